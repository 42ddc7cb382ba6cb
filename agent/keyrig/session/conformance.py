"""Checking messages against the keys of a key store, one by one or a folder at a time."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gbcs.certificate_profiles import END_ENTITY_KEY_USAGES, CertificateProfile
from gbcs.der import encode, with_minimal_lengths
from gbcs.entity_identifier import EntityIdentifier
from gbcs.key_holders import SharedSecrets
from gbcs.message import CRAFlag, Message
from gbcs.printable import printable
from gbcs.protection import describe, verify_mac, verify_signature
from gbcs.protocol_errors import (
    CertificateRejected,
    DecodeError,
    LocalProtocolError,
    MACMismatch,
    SignatureMismatch,
)
from gbcs.roles import KeyUsage
from gbcs.use_cases import decode_payload, payload_codec, use_case_name
from keyrig.base.errors import KeyMissing, KeyStoreError
from keyrig.base.outside_files import Unreadable, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.keys.key_store import KeyStore, StoredCertificate

SCHEMA: Final = 1
"""Version of the results' form; raised when a field changes its meaning or goes."""

ACCESS_CONTROL_BROKER: Final = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-02")
"""The access control broker of the DCC's reference data."""

FILE_SUFFIX: Final = ".hex"
FILE_MAXIMUM_OCTETS: Final = 1 << 20
_REASON_CHARACTERS: Final = 400


@dataclass(frozen=True, slots=True)
class _Agreed:
    """The shared secrets of two parties, and why another could not be computed."""

    secrets: tuple[bytes, ...] = field(repr=False)
    locked: KeyStoreError | None


def _has_readable_key(certificate: GBCSCertificate) -> bool:
    try:
        _ = certificate.public_key, certificate.profile
    except CertificateRejected:
        return False
    return not certificate.profile.is_authority


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
        self._held: dict[tuple[EntityIdentifier, KeyUsage], Sequence[StoredCertificate]] = {}
        self._agreed: dict[tuple[EntityIdentifier, EntityIdentifier], _Agreed] = {}
        self._is_device: dict[EntityIdentifier, bool] = {}

    def is_device(self, entity: EntityIdentifier) -> bool:
        """True if the store has a certificate of `entity` as a device."""
        known = self._is_device.get(entity)
        if known is None:
            known = self._is_device[entity] = any(
                each.certificate.profile is CertificateProfile.DEVICE
                for key_usage in END_ENTITY_KEY_USAGES
                for each in self._usable(entity, key_usage)
            )
        return known

    def _usable(self, entity: EntityIdentifier, key_usage: KeyUsage) -> Sequence[StoredCertificate]:
        """Return the certificates of a party for one use whose keys can be read."""
        held = self._held.get((entity, key_usage))
        if held is None:
            held = self._held[entity, key_usage] = [
                each
                for each in self._store.held_for(entity, key_usage)
                if _has_readable_key(each.certificate)
            ]
        return held

    def verify_signature(self, message: Message) -> GBCSCertificate:
        """Verify the signature of a message; give the certificate that it verifies under.

        Raises:
            ProtectionMissing: It has none.
            SignatureMismatch: It verifies under no certificate of its originator.
            KeyMissing: The store has no certificate of its originator.
        """
        originator = message.header.originator
        held = self._usable(originator, KeyUsage.DIGITAL_SIGNATURE)
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
        agreed = self._shared_secrets(one, other)
        for secret in agreed.secrets:
            try:
                verify_mac(message, secret)
            except MACMismatch as error:
                mismatch = error
            else:
                return
        if agreed.locked is not None:
            raise agreed.locked
        missing = KeyMissing(
            self._store.location, f"key agreement private key of {one} or {other} with the other's"
        )
        if mismatch is None or not self._parties_are_known(message):
            raise missing
        raise mismatch

    def _mac_parties(self, message: Message) -> tuple[EntityIdentifier, EntityIdentifier]:
        """Return whose key agreement keys a MAC is made with."""
        header = message.header
        if header.cra_flag is CRAFlag.COMMAND and not (
            self.is_device(header.originator) and self.is_device(header.recipient)
        ):
            return self._broker, header.recipient
        return header.originator, header.recipient

    def _parties_are_known(self, message: Message) -> bool:
        """Return True if it is certain whose keys made the MAC.

        A command of someone of whom the store has nothing may come from a device, and is then
        not MACed by the broker.
        """
        originator = message.header.originator
        return (
            message.header.cra_flag is not CRAFlag.COMMAND
            or originator == self._broker
            or any(self._usable(originator, key_usage) for key_usage in END_ENTITY_KEY_USAGES)
        )

    def _shared_secrets(self, one: EntityIdentifier, other: EntityIdentifier) -> _Agreed:
        """Return the secret of each pair of keys of two parties, computed once for both."""
        known = self._agreed.get((one, other))
        if known is not None:
            return known
        secrets: list[bytes] = []
        locked: KeyStoreError | None = None
        for mine in self._usable(one, KeyUsage.KEY_AGREEMENT):
            for theirs in self._usable(other, KeyUsage.KEY_AGREEMENT):
                for own, peer in ((mine, theirs), (theirs, mine)):
                    if not own.has_private_key:
                        continue
                    try:
                        secrets.append(self._agree(own, peer))
                    except KeyStoreError as error:
                        locked = error
                        continue
                    break
        found = _Agreed(tuple(secrets), locked)
        if locked is None:
            self._agreed[one, other] = found
        return found

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
        """True if anything is invalid, unreadable or encoded differently."""
        return (
            self.signature is ProtectionState.INVALID
            or self.mac is ProtectionState.INVALID
            or self.payload is PayloadState.DIFFERS
            or self.payload is PayloadState.UNREADABLE
        )

    @property
    def kind(self) -> str:
        """Command, pre-command, response or alert; "" where it is unreadable."""
        if self.message is None:
            return ""
        if self.message.is_pre_command:
            return "pre-command"
        return self.message.header.cra_flag.name.lower()

    def as_json(self) -> dict[str, Any]:
        """Return its fields, ready for JSON."""
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
        self.messages += 1
        self.signatures_valid += result.signature is ProtectionState.VALID
        self.signatures_invalid += result.signature is ProtectionState.INVALID
        self.macs_valid += result.mac is ProtectionState.VALID
        self.macs_invalid += result.mac is ProtectionState.INVALID
        self.not_checkable += result.signature is ProtectionState.NOT_CHECKABLE
        self.not_checkable += result.mac is ProtectionState.NOT_CHECKABLE
        self.payloads_reencoded += result.payload is PayloadState.REENCODED
        self.lengths_not_minimal += result.lengths_not_minimal
        self.payloads_opaque += result.payload is PayloadState.OPAQUE
        self.unreadable += result.payload is PayloadState.UNREADABLE
        self.wrong += result.is_wrong

    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
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
