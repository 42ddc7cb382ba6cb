"""Checking messages against the keys of a key store, one by one or a folder at a time."""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gbcs.certificates import CertificateProfile
from gbcs.der import encode, with_minimal_lengths
from gbcs.entity import EntityIdentifier
from gbcs.errors import (
    CertificateRejected,
    DecodeError,
    LocalProtocolError,
    MACMismatch,
    SignatureMismatch,
)
from gbcs.keys import SharedSecrets
from gbcs.message import CRAFlag, Message
from gbcs.printable import printable
from gbcs.protection import describe, verify_mac, verify_signature
from gbcs.roles import KeyUsage
from gbcs.use_cases import decode_payload, payload_codec, use_case_name
from keyrig.errors import KeyMissing, KeyStoreError
from keyrig.outside_files import Unreadable, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gbcs.certificates import GBCSCertificate
    from keyrig.keystore import KeyStore, StoredCertificate

SCHEMA: Final = 1
"""Version of the results' form; raised when a field changes its meaning or goes."""

ACCESS_CONTROL_BROKER: Final = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-02")
"""The access control broker of the DCC's reference data."""

FILE_SUFFIX: Final = ".hex"
FILE_MAXIMUM_OCTETS: Final = 1 << 20
_REASON_CHARACTERS: Final = 400


class Verifier:
    """Verifies messages under whatever keys of a key store may be behind them.

    A party may hold several certificates for one use, as during a renewal: a protection
    verifies when it does so under any of them.

    Args:
        store: Has the certificates, and the private keys for the MACs.
        access_control_broker: Whose key MACs commands to devices.

    Source: GBCS v0.8.1, 6.2.3, 6.3.3 and 6.4.5.
    """

    def __init__(
        self, store: KeyStore, access_control_broker: EntityIdentifier = ACCESS_CONTROL_BROKER
    ) -> None:
        self._store = store
        self._broker = access_control_broker
        self._secrets = SharedSecrets()
        self._held: dict[tuple[EntityIdentifier, KeyUsage], list[StoredCertificate]] = defaultdict(
            list
        )
        self._devices: set[EntityIdentifier] = set()
        self._organisations: set[EntityIdentifier] = set()
        for stored in store.stored():
            self._index(stored)

    def _index(self, stored: StoredCertificate) -> None:
        try:
            certificate = stored.certificate
            entity, usage = certificate.entity_id, certificate.key_usage
            profile = certificate.profile
            _ = certificate.public_key
        except CertificateRejected:
            return
        if stored.authority is not None or entity is None or profile.is_authority:
            return
        self._held[entity, usage].append(stored)
        of = self._devices if profile is CertificateProfile.DEVICE else self._organisations
        of.add(entity)

    def verify_signature(self, message: Message) -> GBCSCertificate:
        """Verify the signature of a message; give the certificate that it verifies under.

        Raises:
            ProtectionMissing: It has none.
            SignatureMismatch: It verifies under no certificate of its originator.
            KeyMissing: The store has no certificate of its originator.
        """
        originator = message.header.originator
        held = self._held.get((originator, KeyUsage.DIGITAL_SIGNATURE), ())
        mismatch: SignatureMismatch | None = None
        for stored in held:
            try:
                verify_signature(message, stored.certificate.public_key)
            except SignatureMismatch as error:
                mismatch = error
            else:
                return stored.certificate
        raise mismatch or KeyMissing(
            self._store.location, f"digital signature certificate of {originator}"
        )

    def verify_mac(self, message: Message) -> None:
        """Verify the MAC of a message.

        Raises:
            ProtectionMissing: It has none.
            MACMismatch: It verifies under no pair of keys of its parties.
            KeyStoreError: For no pair of keys is a private one there, or one is locked.
        """
        one, other = self._mac_parties(message)
        mismatch: MACMismatch | None = None
        for secret in self._shared_secrets(one, other):
            try:
                verify_mac(message, secret)
            except MACMismatch as error:
                mismatch = error
            else:
                return
        missing = KeyMissing(
            self._store.location, f"key agreement private key of {one} or {other} with the other's"
        )
        if mismatch is None or not self._parties_are_known(message):
            raise missing
        raise mismatch

    def _mac_parties(self, message: Message) -> tuple[EntityIdentifier, EntityIdentifier]:
        """Say whose key agreement keys a MAC is made with."""
        header = message.header
        between_devices = {header.originator, header.recipient} <= self._devices
        if header.cra_flag is CRAFlag.COMMAND and not between_devices:
            return self._broker, header.recipient
        return header.originator, header.recipient

    def _parties_are_known(self, message: Message) -> bool:
        """Say whether it is certain whose keys made the MAC.

        A command of someone of whom the store has nothing may come from a device, and is then
        not MACed by the broker.
        """
        originator = message.header.originator
        return (
            message.header.cra_flag is not CRAFlag.COMMAND
            or originator == self._broker
            or originator in self._organisations
            or originator in self._devices
        )

    def _shared_secrets(self, one: EntityIdentifier, other: EntityIdentifier) -> Iterable[bytes]:
        """Give the secret of each pair of keys; raise last for a key that cannot be used."""
        locked: KeyStoreError | None = None
        for mine in self._held.get((one, KeyUsage.KEY_AGREEMENT), ()):
            for theirs in self._held.get((other, KeyUsage.KEY_AGREEMENT), ()):
                for own, peer in ((mine, theirs), (theirs, mine)):
                    if not own.has_private_key:
                        continue
                    try:
                        secret = self._agree(own, peer)
                    except KeyStoreError as error:
                        locked = error
                        continue
                    yield secret
                    break
        if locked is not None:
            raise locked

    def _agree(self, own: StoredCertificate, peer: StoredCertificate) -> bytes:
        entity = own.certificate.entity_id
        assert entity is not None, "only certificates of entities are indexed"
        agreer = self._store.agreer(entity, own.cell_usage, certificate=own.certificate)
        return self._secrets.secret(agreer, peer.certificate.public_key)


class ProtectionState(enum.Enum):
    """What is known of one protection of a message."""

    ABSENT = "absent"
    VALID = "valid"
    INVALID = "invalid"
    NOT_CHECKABLE = "not checkable"


class PayloadState(enum.Enum):
    """What is known of a message's payload."""

    REENCODED = "re-encoded"
    """Decoded, and encoded again to the same octets, but for lengths that were not minimal."""
    DIFFERS = "differs"
    """Decoded, and encoded again to other octets."""
    OPAQUE = "opaque"
    """Of a use case whose payloads are not decoded."""
    UNREADABLE = "unreadable"
    """Not what its use case has, or not read because the message was not."""


@dataclass(frozen=True, slots=True)
class MessageResult:
    """What the check of one message found.

    Args:
        message: The message, or None where it is unreadable.
        signature: State of its signature.
        mac: State of its MAC.
        payload: State of its payload.
        lengths_not_minimal: Whether a length in payload or headers took more octets than needed.
        reasons: One line for each thing that is wrong or could not be checked.
    """

    message: Message | None
    signature: ProtectionState
    mac: ProtectionState
    payload: PayloadState
    lengths_not_minimal: bool
    reasons: tuple[str, ...]

    @property
    def is_wrong(self) -> bool:
        """Whether anything is invalid, unreadable or encoded differently."""
        return ProtectionState.INVALID in {self.signature, self.mac} or self.payload in {
            PayloadState.DIFFERS,
            PayloadState.UNREADABLE,
        }

    @property
    def kind(self) -> str:
        """Command, pre-command, response or alert; "" where it is unreadable."""
        if self.message is None:
            return ""
        if self.message.is_pre_command:
            return "pre-command"
        return self.message.header.cra_flag.name.lower()

    def as_json(self) -> dict[str, Any]:
        """Give its fields, ready for JSON."""
        header = None if self.message is None else self.message.header
        return {
            "message_code": None if header is None else f"{header.message_code:04X}",
            "use_case": None if header is None else use_case_name(header.message_code),
            "kind": self.kind or None,
            "originator": None if header is None else str(header.originator),
            "recipient": None if header is None else str(header.recipient),
            "signature": self.signature.value,
            "mac": self.mac.value,
            "payload": self.payload.value,
            "lengths_not_minimal": self.lengths_not_minimal,
            "reason": "; ".join(self.reasons),
        }


def check_message(message: Message, verifier: Verifier) -> MessageResult:
    """Check the protections of a message, and encode its payload again."""
    reasons: list[str] = []
    signature = _protection_state(
        bool(message.signature), lambda: verifier.verify_signature(message), reasons
    )
    mac = _protection_state(message.mac is not None, lambda: verifier.verify_mac(message), reasons)
    if not message.is_pre_command and signature is mac is ProtectionState.ABSENT:
        reasons.append(f"{describe(message.header)} carries neither signature nor MAC")
    payload, padded = _payload_state(message, reasons)
    return MessageResult(
        message=message,
        signature=signature,
        mac=mac,
        payload=payload,
        lengths_not_minimal=padded or message.lengths_not_minimal,
        reasons=tuple(printable(reason, _REASON_CHARACTERS) for reason in reasons),
    )


def _protection_state(
    present: bool,  # noqa: FBT001 - private, and plain where it is called
    verify: Callable[[], object],
    reasons: list[str],
) -> ProtectionState:
    if not present:
        return ProtectionState.ABSENT
    try:
        verify()
    except (SignatureMismatch, MACMismatch) as error:
        reasons.append(str(error))
        return ProtectionState.INVALID
    except KeyStoreError as error:
        reasons.append(str(error))
        return ProtectionState.NOT_CHECKABLE
    return ProtectionState.VALID


def _payload_state(message: Message, reasons: list[str]) -> tuple[PayloadState, bool]:
    """Decode and encode a payload; say also whether its lengths were longer than needed."""
    codec = payload_codec(message.header.message_code, message.header.cra_flag)
    try:
        decoded = decode_payload(message)
    except DecodeError as error:
        reasons.append(str(error))
        return PayloadState.UNREADABLE, False
    if codec is None or decoded is None:
        return PayloadState.OPAQUE, False
    padded = bool(decoded.lengths_not_minimal)
    try:
        again = encode(codec, decoded.value)
        same = again == (with_minimal_lengths(message.content) if padded else message.content)
    except (DecodeError, LocalProtocolError) as error:
        reasons.append(f"the payload cannot be encoded again: {error}")
        return PayloadState.DIFFERS, padded
    if not same:
        reasons.append("the payload is encoded again to other octets")
    return (PayloadState.REENCODED if same else PayloadState.DIFFERS), padded


@dataclass(slots=True)
class Summary:
    """Counts over many messages.

    A protection that could not be checked counts once in `not_checkable`; a payload whose only
    fault is a length that is not minimal counts in `payloads_reencoded` and in
    `lengths_not_minimal`. `messages` counts every file, the unreadable ones too.
    """

    messages: int = 0
    signatures_valid: int = 0
    signatures_invalid: int = 0
    macs_valid: int = 0
    macs_invalid: int = 0
    not_checkable: int = 0
    payloads_reencoded: int = 0
    lengths_not_minimal: int = 0
    payloads_opaque: int = 0
    unreadable: int = 0
    wrong: int = field(default=0, repr=False)

    def add(self, result: MessageResult) -> None:
        """Count one message."""
        states = (result.signature, result.mac)
        self.messages += 1
        self.signatures_valid += result.signature is ProtectionState.VALID
        self.signatures_invalid += result.signature is ProtectionState.INVALID
        self.macs_valid += result.mac is ProtectionState.VALID
        self.macs_invalid += result.mac is ProtectionState.INVALID
        self.not_checkable += states.count(ProtectionState.NOT_CHECKABLE)
        self.payloads_reencoded += result.payload is PayloadState.REENCODED
        self.lengths_not_minimal += result.lengths_not_minimal
        self.payloads_opaque += result.payload is PayloadState.OPAQUE
        self.unreadable += result.payload is PayloadState.UNREADABLE
        self.wrong += result.is_wrong

    def counts(self) -> dict[str, int]:
        """Give the counts by name."""
        counts = asdict(self)
        del counts["wrong"]
        return counts


def message_files(directory: Path) -> list[Path]:
    """List the files below `directory` that hold a message each, by their suffix, in order."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.suffix.lower() == FILE_SUFFIX and path.is_file()
    )


def check_file(path: Path, verifier: Verifier) -> MessageResult:
    """Check the message in a file of hexadecimal digits with any white space between them."""
    try:
        octets = _read_hexadecimal(path)
        message = Message.parse(octets)
    except (DecodeError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return MessageResult(
            message=None,
            signature=ProtectionState.ABSENT,
            mac=ProtectionState.ABSENT,
            payload=PayloadState.UNREADABLE,
            lengths_not_minimal=False,
            reasons=(printable(reason or "cannot be read", _REASON_CHARACTERS),),
        )
    return check_message(message, verifier)


def _read_hexadecimal(path: Path) -> bytes:
    try:
        text = read_text(path, maximum=FILE_MAXIMUM_OCTETS)
    except Unreadable as error:
        raise DecodeError(str(error), layer="file") from None
    try:
        return bytes.fromhex("".join(text.split()))
    except ValueError:
        raise DecodeError("not an even number of hexadecimal digits", layer="file") from None
