"""What a command must be before it is taken in; nothing is sent of a batch that breaks a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from duis.xml_signatures import among
from duis.xml_signatures import verify as verify_document
from gbcs.message import CRAFlag, Message
from gbcs.protection import signed_under
from gbcs.protocol_errors import (
    CertificateRejected,
    DecodeError,
    ProtectionMissing,
    SignatureMismatch,
)
from gbcs.use_cases import Protection, command_protection, decode_payload, use_case_name
from keyrig.base.errors import SettingsError
from keyrig.delivery.batch_reading import command_in_response
from keyrig.ledger.local_commands import NewLocalCommand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from duis.distinguished_names import DistinguishedName
    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.delivery.batch_reading import GivenCommand
    from keyrig.delivery.public_certificates import PublicCertificates

_MEND: Final = "nothing was sent; give commands that the DCC made for local delivery"
SIGNATURE_VERIFIED: Final = "signature verified"
_KINDS: Final = {CRAFlag.RESPONSE: "a response", CRAFlag.ALERT: "an alert"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Until when commands may be sent; GBCS gives a command no end of its own.

    Args:
        at: A person's word for the whole batch, or None.
        valid_for: How long a command may be sent otherwise.
    """

    at: datetime | None
    valid_for: timedelta

    def of(self, given: GivenCommand, now: datetime) -> datetime:
        """Return until when a command may be sent.

        A DUIS response that claims a time to come counts from now.
        """
        if self.at is not None:
            return self.at
        made_at = now if given.responded_at is None else min(given.responded_at, now)
        return made_at + self.valid_for


def check_batch(
    given: Sequence[GivenCommand],
    *,
    device: EntityIdentifier,
    certificates: PublicCertificates,
    expiry: Expiry,
    now: datetime,
) -> tuple[NewLocalCommand, ...]:
    """Check every command of a batch, and that their order is one in which a device takes them.

    Args:
        given: In the order of delivery.
        device: The device that all of them must be for.
        certificates: Those by which signatures are checked, where they have the originator's.
        expiry: Until when commands may be sent.
        now: The present instant.

    Raises:
        SettingsError: One is no command, is for another device, or stands where it cannot.
        SecurityError: One lacks a protection, or its signature is false.
    """
    if not given:
        raise SettingsError("the batch", "no commands", _MEND)
    checked = []
    for each in given:
        message = _command(each, device)
        remarks = [
            _check_protection(each, message, certificates),
            _check_document(each, certificates),
            _request_remark(each, message),
        ]
        checked.append(
            NewLocalCommand(
                originator=message.header.originator,
                counter=message.header.originator_counter,
                message_code=message.header.message_code,
                request_id="" if each.request_id is None else str(each.request_id),
                source=each.source,
                octets=each.octets,
                remarks="; ".join(filter(None, remarks)),
                expires_at=expiry.of(each, now),
            )
        )
    _check_order(checked)
    return tuple(checked)


def payload_of(command: Message) -> Any:
    """Return a command's payload; None where its use case is not one that is decoded.

    Raises:
        DecodeError: It is not what its use case has.
    """
    decoded = decode_payload(command)
    return None if decoded is None else decoded.value


def _command(given: GivenCommand, device: EntityIdentifier) -> Message:
    """Read a message that must be a complete command for `device`."""
    try:
        message = Message.parse(given.octets)
    except DecodeError as error:
        raise SettingsError(given.source, f"no GBCS message: {error}", _MEND) from error
    header = message.header
    if header.cra_flag is not CRAFlag.COMMAND:
        what = f"{_KINDS[header.cra_flag]} of {header.originator}, not a command"
        raise SettingsError(given.source, what, _MEND)
    if message.is_pre_command:
        raise SettingsError(
            given.source, "a pre-command, which is neither signed nor MACed yet", _MEND
        )
    if header.recipient != device:
        raise SettingsError(
            given.source,
            f"a command for {header.recipient}, not for {device}",
            "nothing was sent; name the device that it is for with --device",
        )
    if given.request_id is not None and given.request_id.target != device:
        raise SettingsError(
            given.source, f"its RequestID is for {given.request_id.target}, not {device}", _MEND
        )
    return message


def _check_protection(
    given: GivenCommand, message: Message, certificates: PublicCertificates
) -> str:
    """Check that a command is protected as its use case demands; return what could be checked."""
    try:
        payload = payload_of(message)
    except DecodeError as error:
        name = use_case_name(message.header.message_code)
        raise SettingsError(given.source, f"no payload of {name}: {error}", _MEND) from error
    if payload is None:
        # Which protection such a use case demands is not known here; none has neither.
        needed = Protection(signature=message.mac is None, mac=not message.signature)
    else:
        needed = command_protection(payload)
    if needed.mac and message.mac is None:
        raise ProtectionMissing("the command carries no MAC", where=given.source, mend=_MEND)
    if needed.signature and not message.signature:
        raise ProtectionMissing("the command carries no signature", where=given.source, mend=_MEND)
    if not message.signature:
        return "MAC for the device alone"
    return _check_signature(given, message, certificates)


def _check_signature(
    given: GivenCommand, message: Message, certificates: PublicCertificates
) -> str:
    originator = message.header.originator
    held = certificates.signing(originator)
    if not held:
        return f"signature cannot be checked here: no certificate of {originator}"
    if signed_under(message, held) is not None:
        return SIGNATURE_VERIFIED
    raise SignatureMismatch(
        f"the signature of the command is by no key known of {originator}; nothing was sent",
        where=given.source,
        mend="have the command made anew, or give the originator's new certificate",
    )


def _check_document(given: GivenCommand, certificates: PublicCertificates) -> str:
    """Check the signature of the DUIS response that a command came in; say what could be.

    It covers what the command itself does not: which request it answers, and when.

    Raises:
        SignatureMismatch: It is false, or covers something else.
    """
    if not given.document:
        return ""
    signers: list[GBCSCertificate] = []
    find = among(certificates.all_signing())

    def find_signer(issuer: DistinguishedName, serial: int) -> GBCSCertificate | None:
        found = find(issuer, serial)
        signers.extend([found] if found else [])
        return found

    try:
        covered = verify_document(given.document, find_signer, given.source)
    except ProtectionMissing:
        return "its DUIS response is not signed"
    except (CertificateRejected, SignatureMismatch):
        if signers:
            raise
        return "the signature of its DUIS response cannot be checked here"
    inner = command_in_response(covered, given.source)
    if (inner.octets, inner.request_id, inner.responded_at) != (
        given.octets,
        given.request_id,
        given.responded_at,
    ):
        raise SignatureMismatch(
            "its signature covers another response", where=given.source, mend=_MEND
        )
    return "DUIS response verified"


def _request_remark(given: GivenCommand, message: Message) -> str:
    """Return a remark where a RequestID names another counter than its command; the DCC decides."""
    request, header = given.request_id, message.header
    if request is None or request.originator != header.originator:
        return ""
    if request.counter == header.originator_counter:
        return ""
    return f"its RequestID has counter {request.counter}, it has {header.originator_counter}"


def _check_order(commands: Sequence[NewLocalCommand]) -> None:
    """Check that none stands twice and that each originator's counters rise.

    Source: GBCS v0.8.1, 4.3.1.5 (a device takes no counter below the last accepted).
    """
    last: dict[EntityIdentifier, NewLocalCommand] = {}
    seen: dict[str, NewLocalCommand] = {}
    for command in commands:
        twin = seen.get(command.digest)
        if twin is not None:
            raise SettingsError(
                command.source,
                f"the same command as {twin.source}",
                "nothing was sent; leave one of them out",
            )
        seen[command.digest] = command
        before = last.get(command.originator)
        if before is not None and command.counter <= before.counter:
            raise SettingsError(
                command.source,
                f"counter {command.counter} of {command.originator} stands behind "
                f"{before.counter} of {before.source}, and would be refused as a replay",
                "nothing was sent; give the commands in the order of their counters",
            )
        last[command.originator] = command


def is_trusted(
    command: Message, certificates: PublicCertificates, certificate: GBCSCertificate
) -> bool:
    """Return True if the certificate that a CS02d brings may count as the device's.

    Its sender vouches for it where the command's signature verified; an authority does where
    its certificate is here.

    Args:
        command: The CS02d.
        certificates: The public certificates that are here.
        certificate: What it brings.
    """
    signers = certificates.signing(command.header.originator) if command.signature else ()
    return signed_under(command, signers) is not None or certificates.vouch_for_device(
        certificate, command.header.recipient
    )
