"""Measures `keyrig conformance` beside bare cryptography, and look-ups in large key stores.

The reference set has 1,275 messages. Where fewer are beside the checkout, its mix is made of
those that are there, whose payloads are all decoded, and of messages made with the test keys.
"""

from __future__ import annotations

import itertools
import tempfile
import time  # noqa: TID251 - it measures
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding

from gbcs.certificate_issuing import (
    Issuance,
    Issuer,
    device_certificate,
    issuing_certificate,
    root_certificate,
)
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Header, Message, OtherInformation, compose_pre_command
from gbcs.protection import protect
from gbcs.roles import CellUsage, KeyUsage
from gbcs.use_cases import decode_payload
from keyrig.keys.key_store import IndexedKeyStore, StoredCertificate
from keyrig.keys.store_opening import open_keystore
from keyrig.session.conformance import Summary, Verifier, check_file, message_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cryptography import x509

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.keys.key_store import KeyStore

ROUNDS = 25
MESSAGES: Final = 1275
SIGNED: Final = 472
MACED: Final = 811
DECODED: Final = 67
"""What the reference set has."""
OPAQUE_CODE: Final = 0x0062
"""The Message Code of a use case whose payloads are not decoded."""
CONTENT_OCTETS: Final = 120
SUPPLIER: Final = EntityIdentifier.parse("90-B3-D5-1F-30-01-00-00")
DEVICE: Final = EntityIdentifier.parse("00-DB-12-34-56-78-90-A0")
STORE_SIZES = (30, 30_000)
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_ECDSA: Final = ec.ECDSA(hashes.SHA256())


def least_cpu_seconds(*works: Callable[[], None]) -> list[float]:
    """Give the least process CPU time of each, run in turns; what is above it is noise."""
    least = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for number, work in enumerate(works):
            started = time.process_time()
            work()
            least[number] = min(least[number], time.process_time() - started)
    return least


def _made(store: KeyStore, number: int, *, signed: bool) -> Message:
    """Make a response with an opaque payload: signed by the supplier, or MACed for it."""
    originator, recipient = (SUPPLIER, DEVICE) if signed else (DEVICE, SUPPLIER)
    header = Header(CRAFlag.RESPONSE, number, originator, recipient, OtherInformation(OPAQUE_CODE))
    content = (number.to_bytes(2) * CONTENT_OCTETS)[:CONTENT_OCTETS]
    unprotected = compose_pre_command(header, content)
    if signed:
        return protect(unprotected, signer=store.signer(SUPPLIER))
    device = store.certificate(DEVICE, key_usage=KeyUsage.KEY_AGREEMENT)
    return protect(unprotected, shared_secret=store.agreer(SUPPLIER).agree(device.public_key))


@contextmanager
def reference_mix(messages: Path, store: KeyStore) -> Iterator[tuple[Path, bool]]:
    """Give a folder with the reference set or its mix, and whether it is the set itself."""
    files = message_files(messages)
    if len(files) >= MESSAGES:
        yield messages, True
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        real = list(itertools.islice(itertools.cycle(files), DECODED))
        parsed = [Message.parse(bytes.fromhex(each.read_text("ascii"))) for each in real]
        texts = [each.read_text("ascii") for each in real]
        signed = SIGNED - sum(bool(each.signature) for each in parsed)
        maced = MACED - sum(each.mac is not None for each in parsed)
        texts += [_made(store, each, signed=True).octets.hex() for each in range(signed)]
        texts += [_made(store, each, signed=False).octets.hex() for each in range(maced)]
        for number, text in enumerate(texts):
            (folder / f"{number:05}.HEX").write_text(text, encoding="ascii")
        yield folder, False


def shares(folder: Path, store: KeyStore) -> dict[str, float]:
    """Give how much of the time is bare cryptography, by how much of the command is timed.

    Both begin with the octets. Bare cryptography verifies the same signatures under keys at hand,
    and computes the same MACs with one key, without deriving any; shared secrets count for
    neither after the first message of two parties.
    """
    files = message_files(folder)
    octets = [bytes.fromhex(path.read_text("ascii")) for path in files]
    messages = [Message.parse(each) for each in octets]
    verifier = Verifier(store)
    signatures = [
        (
            verifier.verify_signature(each).public_key,
            encode_dss_signature(
                int.from_bytes(each.signature[:32]), int.from_bytes(each.signature[32:])
            ),
            each.signed_octets,
        )
        for each in messages
        if each.signature
    ]
    authenticated = [each.authenticated_octets for each in messages if each.mac is not None]

    def bare() -> None:
        for key, signature, signed in signatures:
            key.verify(signature, signed, _ECDSA)
        for each in authenticated:
            AESGCM(bytes(16)).encrypt(bytes(12), b"", each)

    def verified() -> None:
        verifier = Verifier(store)
        for each in octets:
            message = Message.parse(each)
            if message.signature:
                verifier.verify_signature(message)
            if message.mac is not None:
                verifier.verify_mac(message)
            decode_payload(message)

    def command() -> None:
        verifier, summary = Verifier(store), Summary()
        for path in files:
            summary.add(check_file(path, verifier))
        assert not summary.wrong + summary.not_checkable

    bare_s, verified_s, command_s = least_cpu_seconds(bare, verified, command)
    return {
        "messages": len(files) / verified_s,
        "verified": bare_s / verified_s,
        "command": bare_s / command_s,
    }


class _Authority:
    """Signs certificates with a key made for it."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    def sign_certificate(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        return builder.sign(self._key, hashes.SHA256())


def device_certificates(count: int) -> Sequence[GBCSCertificate]:
    """Make certificates of that many devices of a depot, all with one key."""
    end = datetime(2036, 1, 1, tzinfo=UTC)
    root, signer = _Authority(), _Authority()
    issuance = Issuance(serial=1, not_before=START, not_after=end)
    anchor = Issuer(root, root_certificate(root, issuance, common_name="B0"))
    issuing = issuing_certificate(
        anchor, issuance, common_name="B1", public_key=signer.public_key, role=None
    )
    issuer, key = Issuer(signer, issuing), ec.generate_private_key(ec.SECP256R1()).public_key()
    return [
        device_certificate(
            issuer,
            serial=number + 1,
            not_before=START,
            entity_id=EntityIdentifier((0x00DB_FFFF_0000_0000 + number).to_bytes(8)),
            key_usage=KeyUsage.KEY_AGREEMENT,
            public_key=key,
        )
        for number in range(count)
    ]


def growth(folder: Path, keystore: Path) -> tuple[dict[int, float], dict[int, float]]:
    """Give ms to verify the folder, and s to open a folder, by how many certificates there are.

    The key store's own are always there; the devices of a depot fill it up.
    """
    store = open_keystore(keystore)
    octets = [bytes.fromhex(path.read_text("ascii")) for path in message_files(folder)]
    depot = device_certificates(max(STORE_SIZES))

    def work_of(size: int) -> Callable[[], None]:
        more = max(0, size - len(store.stored()))
        further = [StoredCertificate(each, CellUsage.MANAGEMENT, "") for each in depot[:more]]
        larger = IndexedKeyStore("", [*further, *store.stored()], ())

        def work() -> None:
            verifier = Verifier(larger)
            for each in octets:
                message = Message.parse(each)
                if message.signature:
                    verifier.verify_signature(message)
                if message.mac is not None:
                    verifier.verify_mac(message)

        return work

    times = least_cpu_seconds(*(work_of(size) for size in STORE_SIZES))
    verifying = {size: each * 1000 for size, each in zip(STORE_SIZES, times, strict=True)}
    return verifying, {size: _opening(depot[:size]) for size in STORE_SIZES}


def _opening(certificates: Sequence[GBCSCertificate]) -> float:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for each in certificates:
            assert each.entity_id is not None
            pem = each.decoded.public_bytes(Encoding.PEM)
            (folder / f"{each.entity_id.stem}-ka.pem").write_bytes(pem)
        started = time.process_time()
        assert len(open_keystore(folder).stored()) == len(certificates)
        return time.process_time() - started
