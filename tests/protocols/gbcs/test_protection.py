import functools
import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from authorities import Authorities, new_key
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Header, Message, OtherInformation, compose_pre_command
from gbcs.protection import (
    add_mac,
    derive_key,
    describe,
    protect,
    signed_under,
    verify_mac,
    verify_signature,
)
from gbcs.protocol_errors import (
    DecodeError,
    LocalProtocolError,
    MACMismatch,
    ProtectionMissing,
    SignatureMismatch,
)
from gbcs.use_cases import compose, decode_payload
from vectors import asn1, independent
from vectors.keys import HeldKey
from vectors.reference import (
    ACCESS_CONTROL_BROKER,
    has_private_key,
    message_files,
    needs_reference,
    private_key,
    public_key,
    read_octets,
)

VECTORS = Path(independent.__file__).parent
CRITICAL = tomllib.loads((VECTORS / "critical_command.toml").read_text())
DERIVATION = tomllib.loads((VECTORS / "key_derivation.toml").read_text())
MESSAGES = tomllib.loads((VECTORS / "messages.toml").read_text())
OWN = {vector["name"]: vector for vector in MESSAGES["message"]}
SHARED_SECRET = bytes.fromhex(MESSAGES["keys"]["shared_secret"])


def figure(name: str) -> bytes:
    return bytes.fromhex(CRITICAL[name])


def held(name: str) -> HeldKey:
    return HeldKey(ec.derive_private_key(int.from_bytes(figure(name)), ec.SECP256R1()))


def critical_header() -> Header:
    return Header(
        cra_flag=CRAFlag.COMMAND,
        originator_counter=CRITICAL["originator_counter"],
        originator=EntityIdentifier.parse(CRITICAL["originator"]),
        recipient=EntityIdentifier.parse(CRITICAL["recipient"]),
        other_information=OtherInformation(CRITICAL["message_code"]),
    )


def own_message(name: str) -> Message:
    return Message.parse(bytes.fromhex(OWN[name]["octets"]))


def signing_key(name: str) -> ec.EllipticCurvePublicKey:
    return independent.public_key_of(MESSAGES["keys"][OWN[name]["signed_by"]])


def verify(name: str, message: Message) -> None:
    """Verify what the message `name` of the project's own vectors carries."""
    if OWN[name]["maced"]:
        verify_mac(message, SHARED_SECRET)
    if "signed_by" in OWN[name]:
        verify_signature(message, signing_key(name))


def test_private_keys_of_the_critical_command_belong_to_its_public_keys() -> None:
    for name in ("supplier_signature", "broker_agreement"):
        public = independent.public_key_of(CRITICAL[f"{name}_public_key"])
        assert held(f"{name}_private_key").public_key == public


def test_figures_of_the_critical_command_are_those_of_an_independent_reading() -> None:
    parts = independent.split(figure("message"))
    secret = held("broker_agreement_private_key").agree(
        independent.public_key_of(CRITICAL["device_agreement_public_key"])
    )
    assert hashlib.sha256(parts.signed).digest() == figure("signed_octets_sha256")
    assert secret == figure("shared_secret")
    assert independent.other_info(parts) == figure("other_info")
    kdf = hashlib.sha256(b"\x00\x00\x00\x01" + secret + figure("other_info")).digest()
    assert kdf == figure("kdf_output")
    assert independent.mac(parts, secret) == parts.mac == figure("tag")[:12]
    independent.verify_signature(
        parts, independent.public_key_of(CRITICAL["supplier_signature_public_key"])
    )


def test_critical_command_is_read_and_verified() -> None:
    message = Message.parse(figure("message"))
    assert message.header == critical_header()
    assert hashlib.sha256(message.signed_octets).digest() == figure("signed_octets_sha256")
    verify_signature(message, independent.public_key_of(CRITICAL["supplier_signature_public_key"]))
    verify_mac(message, figure("shared_secret"))


def test_certificate_by_whose_key_a_message_is_signed_is_found_among_others() -> None:
    message = Message.parse(figure("message"))
    key = independent.public_key_of(CRITICAL["supplier_signature_public_key"])
    authorities = Authorities("S")
    other = authorities.organisation(public_key=new_key().public_key())
    signer = authorities.organisation(public_key=key)
    assert signed_under(message, [other, signer]) is signer
    assert signed_under(message, [other]) is None
    assert signed_under(message, []) is None


def test_key_of_the_critical_command_is_the_first_half_of_the_hash() -> None:
    header = critical_header()
    key = derive_key(
        figure("shared_secret"),
        originator=header.originator,
        flag=header.cra_flag,
        counter=header.originator_counter,
        recipient=header.recipient,
    )
    assert key == figure("kdf_output")[:16]


def test_critical_command_is_rebuilt_octet_for_octet() -> None:
    published = Message.parse(figure("message"))
    assert published.signature is not None
    pre_command = compose_pre_command(critical_header(), published.content)
    rebuilt = add_mac(
        pre_command, signature=published.signature, shared_secret=figure("shared_secret")
    )
    assert rebuilt.octets == figure("message")


def test_critical_command_is_rebuilt_from_its_keys_save_the_signature() -> None:
    published = Message.parse(figure("message"))
    signer = held("supplier_signature_private_key")
    pre_command = compose_pre_command(critical_header(), published.content)
    rebuilt = protect(pre_command, signer=signer, shared_secret=figure("shared_secret"))
    assert rebuilt.octets[: rebuilt.content_end + 1] == figure("message")[: rebuilt.content_end + 1]
    assert len(rebuilt.octets) == len(published.octets)
    parts = independent.split(rebuilt.octets)
    independent.verify_signature(parts, signer.public_key)
    assert independent.mac(parts, figure("shared_secret")) == parts.mac


@pytest.mark.parametrize("vector", DERIVATION["vector"], ids=lambda vector: vector["name"])
def test_key_derivation_gives_the_key_of_the_vector(vector: dict[str, Any]) -> None:
    key = derive_key(
        bytes.fromhex(DERIVATION["shared_secrets"][vector["shared_secret"]]),
        originator=EntityIdentifier.parse(vector["originator"]),
        flag=vector["flag"],
        counter=vector["counter"],
        recipient=EntityIdentifier.parse(vector["recipient"]),
    )
    assert key == bytes.fromhex(vector["key"])


@pytest.mark.parametrize("name", OWN)
def test_own_vector_verifies_without_code_of_the_project(name: str) -> None:
    parts = independent.split(bytes.fromhex(OWN[name]["octets"]))
    if OWN[name]["maced"]:
        assert independent.mac(parts, SHARED_SECRET) == parts.mac
    else:
        assert parts.mac == b""
    if "signed_by" in OWN[name]:
        independent.verify_signature(parts, signing_key(name))
    else:
        assert parts.signature == b""
    value = asn1.decode(OWN[name]["payload"], parts.content)
    assert asn1.module().encode(OWN[name]["payload"], value) == parts.content


@pytest.mark.parametrize("name", OWN)
def test_own_vector_is_read_verified_and_composed_again(name: str) -> None:
    message = own_message(name)
    verify(name, message)
    decoded = decode_payload(message)
    assert decoded is not None
    assert asn1.decode(OWN[name]["payload"], message.content) == asn1.as_asn1tools(
        OWN[name]["payload"], decoded.value
    )
    assert message.signature is not None
    again = add_mac(
        compose(message.header, decoded.value),
        signature=message.signature,
        shared_secret=SHARED_SECRET if OWN[name]["maced"] else None,
    )
    assert again == message


@pytest.mark.parametrize("name", OWN)
def test_no_flipped_bit_is_ever_verified(name: str) -> None:
    original = bytes.fromhex(OWN[name]["octets"])
    verify_one = (
        functools.partial(verify_mac, shared_secret=SHARED_SECRET)
        if OWN[name]["maced"]
        else functools.partial(verify_signature, public_key=signing_key(name))
    )
    for bit in range(len(original) * 8):
        octets = bytearray(original)
        octets[bit // 8] ^= 1 << (bit % 8)
        try:
            message = Message.parse(bytes(octets))
        except DecodeError:
            continue
        # The MAC covers all of a MACed message, so the slower signature is asked only elsewhere.
        with pytest.raises((MACMismatch, SignatureMismatch, ProtectionMissing)):
            verify_one(message)


def test_no_flipped_bit_of_what_is_signed_is_ever_verified() -> None:
    name = "CS02c command"
    message = own_message(name)
    for bit in range(message.grouping_offset * 8 + 8, (message.content_end + 65) * 8):
        octets = bytearray(message.octets)
        octets[bit // 8] ^= 1 << (bit % 8)
        try:
            changed = Message.parse(bytes(octets))
        except DecodeError:
            continue
        with pytest.raises((SignatureMismatch, ProtectionMissing)):
            verify_signature(changed, signing_key(name))


@pytest.mark.parametrize("name", OWN)
def test_every_truncation_and_every_padding_is_refused(name: str) -> None:
    octets = bytes.fromhex(OWN[name]["octets"])
    message = Message.parse(octets)
    for stop in range(len(octets)):
        if stop == message.content_end and message.header.cra_flag is CRAFlag.COMMAND:
            assert message.grouping_offset, "cut there, only a MACed message is not whole"
        with pytest.raises(DecodeError):
            Message.parse(octets[:stop])
    for padding in (b"\x00", b"\x00" * 12, message.octets):
        with pytest.raises(DecodeError):
            Message.parse(octets + padding)
        with pytest.raises(DecodeError):
            Message.parse(padding + octets)


def test_missing_protection_is_never_taken_for_a_valid_one() -> None:
    maced, signed = own_message("CS02a command"), own_message("CS02c response")
    with pytest.raises(ProtectionMissing) as no_signature:
        verify_signature(maced, signing_key("CS02c command"))
    with pytest.raises(ProtectionMissing) as no_mac:
        verify_mac(signed, SHARED_SECRET)
    assert str(no_signature.value) == (
        "the command 0008 of 02-00-00-00-00-00-00-04 with counter 4886718345 carries no signature"
    )
    assert str(no_mac.value) == (
        "the response 000A of 02-00-00-00-00-00-00-A0 with counter 4886718345 carries no MAC"
    )
    pre_command = compose_pre_command(maced.header, maced.content)
    with pytest.raises(ProtectionMissing):
        verify_signature(pre_command, signing_key("CS02c command"))
    with pytest.raises(ProtectionMissing):
        verify_mac(pre_command, SHARED_SECRET)


def test_another_key_does_not_verify() -> None:
    command = own_message("CS02c command")
    with pytest.raises(
        SignatureMismatch, match=r"^the signature of the command 000A of .* verify$"
    ):
        verify_signature(command, HeldKey().public_key)
    with pytest.raises(MACMismatch, match=r"^the MAC of the command 000A of .* does not verify$"):
        verify_mac(command, bytes(32))


@pytest.mark.parametrize("signature", [bytes(64), b"\xff" * 64, bytes(32) + b"\x01" * 32])
def test_signature_outside_the_group_is_a_mismatch(signature: bytes) -> None:
    command = own_message("CS02c command")
    forged = add_mac(command, signature=signature, shared_secret=SHARED_SECRET)
    with pytest.raises(SignatureMismatch):
        verify_signature(forged, signing_key("CS02c command"))


def test_message_never_goes_out_unprotected() -> None:
    with pytest.raises(LocalProtocolError, match="a signature, a MAC, or both"):
        protect(own_message("CS02a command"))


def test_alert_is_described_as_one() -> None:
    assert describe(own_message("CS02b alert").header) == (
        "the alert 00CB of 02-00-00-00-00-00-00-A0 with counter 4886718345"
    )


def _mac_parties(message: Message) -> tuple[bytes, bytes]:
    """Give the two key agreement keys behind a reference message's MAC."""
    header = message.header
    if header.cra_flag is CRAFlag.COMMAND:
        return ACCESS_CONTROL_BROKER, header.recipient
    return header.recipient, header.originator


def _reference_secret(message: Message) -> bytes:
    own, peer = _mac_parties(message)
    return private_key(own, "ka").exchange(ec.ECDH(), public_key(peer, "ka"))


@needs_reference
@pytest.mark.parametrize("path", message_files(), ids=lambda path: path.stem)
def test_reference_message_verifies(path: Path) -> None:
    message = Message.parse(read_octets(path))
    assert message.is_pre_command == ("PRECOMMAND" in path.name)
    if message.mac is not None:
        verify_mac(message, _reference_secret(message))
    if message.signature:
        verify_signature(message, public_key(message.header.originator, "ds"))
    assert message.is_pre_command or message.mac is not None or message.signature


@needs_reference
@pytest.mark.parametrize(
    "path",
    [path for path in message_files() if path.stem.endswith("_COMMAND_GBCS")],
    ids=lambda path: path.stem,
)
def test_reference_command_is_rebuilt_from_its_values_and_keys(path: Path) -> None:
    message = Message.parse(read_octets(path))
    decoded = decode_payload(message)
    assert decoded is not None
    originator = message.header.originator
    signer = None
    if message.signature:
        assert has_private_key(originator, "ds")
        signer = HeldKey(private_key(originator, "ds"))
    secret = _reference_secret(message) if message.mac is not None else None
    rebuilt = protect(compose(message.header, decoded.value), signer=signer, shared_secret=secret)
    assert rebuilt.octets[: rebuilt.content_end + 1] == message.octets[: message.content_end + 1]
    if signer is None:
        assert rebuilt.octets == message.octets
        return
    parts = independent.split(rebuilt.octets)
    independent.verify_signature(parts, public_key(originator, "ds"))
    if secret is not None:
        assert independent.mac(parts, secret) == parts.mac


@needs_reference
@pytest.mark.parametrize(
    "path",
    [path for path in message_files() if "PRECOMMAND" in path.name],
    ids=lambda path: path.stem,
)
def test_reference_pre_command_becomes_its_command(path: Path) -> None:
    pre_command = Message.parse(read_octets(path))
    command = Message.parse(read_octets(path.with_name(path.name.replace("PRECOMMAND", "COMMAND"))))
    assert command.grouping == pre_command.octets
    assert command.signature is not None
    secret = _reference_secret(command) if command.mac is not None else None
    protected = add_mac(pre_command, signature=command.signature, shared_secret=secret)
    assert protected.octets == command.octets
