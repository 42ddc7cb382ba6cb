"""The access control broker: it MACs every command, signs the DCC's own, and verifies answers.

Source: GBCS v0.8.1, 6.2.3 and 13.3.3.1; RTDS 4.5.0 for who is the originator of what a request
that is not critical becomes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from gbcs import protection, use_cases
from gbcs.key_holders import SharedSecrets
from gbcs.message import CRAFlag, Message
from gbcs.protocol_errors import SecurityError, WrongEntity
from gbcs.roles import KeyUsage
from gbcs.use_cases import SIGNED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dccstub.certificate_directory import Directory
    from dccstub.key_folder import KeyFolder
    from dccstub.stand_in_options import DCCParties
    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Broker:
    """Holds the DCC's keys and counters.

    Args:
        keys: Has the keys of the DCC's parties.
        directory: Has the devices' certificates.
        parties: Who the DCC is.
        clock: Returns the time, from whose milliseconds the DCC's counters start.
        counters: The next counters of the DCC's parties, in the place of that.
    """

    def __init__(
        self,
        keys: KeyFolder,
        directory: Directory,
        parties: DCCParties,
        clock: Callable[[], datetime],
        counters: Mapping[EntityIdentifier, int] | None = None,
    ) -> None:
        self._keys = keys
        self._directory = directory
        self._parties = parties
        self._clock = clock
        self._counters = {party: counter - 1 for party, counter in (counters or {}).items()}
        self._secrets = SharedSecrets()

    def next_counter(self, party: EntityIdentifier) -> int:
        """Return the next originator counter of a party of the DCC; none comes twice."""
        last = self._counters.get(party)
        if last is None:
            elapsed = self._clock() - _EPOCH
            last = int(elapsed.total_seconds() * 1000)
        self._counters[party] = last + 1
        return last + 1

    def signed_by(self, party: EntityIdentifier, command: Message) -> bytes:
        """Sign a command of the DCC's own; b"" where its kind carries a MAC alone."""
        if not use_cases.command_protection(payload_of(command)).signature:
            return b""
        return self._keys.key(party, "ds").sign(command.signed_octets)

    def completed(self, command: Message, signature: bytes) -> list[Message]:
        """Return a command with the broker's MAC.

        While a device's key agreement certificate is being replaced, its MAC may be by either
        key; a command whose MAC is wrong changes nothing on a device.

        Args:
            command: Header and content.
            signature: 64 octets, or b"" where it carries none.

        Returns:
            One for each key that the device may hold, the likeliest first.
        """
        if not use_cases.command_protection(payload_of(command)).mac:
            return [protection.add_mac(command, signature=signature, shared_secret=None)]
        certificates = self._directory.device_certificates(
            command.header.recipient, KeyUsage.KEY_AGREEMENT
        )
        return [
            protection.add_mac(
                command, signature=signature, shared_secret=self._shared_secret(certificate)
            )
            for certificate in certificates
        ]

    def verify_answer(self, command: Message, answer: Message) -> None:
        """Verify what a device answered, as far as the DCC can.

        Raises:
            SecurityError: It does not answer the command, or a protection fails.
        """
        if answer.header != command.header.reply(date_time=answer.header.date_time):
            raise WrongEntity(
                f"{protection.describe(answer.header)} does not answer "
                f"{protection.describe(command.header)}"
            )
        if use_cases.response_protection(payload_of(command)) == SIGNED:
            self._verify_signature(answer)
        else:
            self._verify_mac(answer)

    def verify_alert(self, alert: Message) -> Message:
        """Verify what a device sent unasked, and return it.

        Raises:
            SecurityError: It is no alert, or its signature is not the device's.
        """
        if alert.header.cra_flag is not CRAFlag.ALERT:
            raise WrongEntity(f"{protection.describe(alert.header)} answers no command")
        self._verify_signature(alert)
        return alert

    def _verify_signature(self, message: Message) -> None:
        device = message.header.originator
        certificates = self._directory.device_certificates(device, KeyUsage.DIGITAL_SIGNATURE)
        _first_that_verifies(
            certificates,
            lambda each: protection.verify_signature(message, each.public_key),
            message,
        )

    def _verify_mac(self, message: Message) -> None:
        device = message.header.originator
        certificates = self._directory.device_certificates(device, KeyUsage.KEY_AGREEMENT)
        _first_that_verifies(
            certificates,
            lambda each: protection.verify_mac(message, self._shared_secret(each)),
            message,
        )

    def _shared_secret(self, certificate: GBCSCertificate) -> bytes:
        own = self._keys.key(self._parties.access_control_broker, "ka")
        return self._secrets.secret(own, certificate.public_key)


def _first_that_verifies(
    certificates: list[GBCSCertificate],
    verify: Callable[[GBCSCertificate], None],
    message: Message,
) -> None:
    failure: SecurityError = SecurityError(
        f"{protection.describe(message.header)}: no certificate of its device is known"
    )
    for certificate in certificates:
        try:
            return verify(certificate)
        except SecurityError as error:
            failure = error
    raise failure


def payload_of(message: Message) -> Any:
    """Decode a message's payload; None for a use case that is not decoded.

    Raises:
        DecodeError: The payload is not its use case's.
    """
    decoded = use_cases.decode_payload(message)
    return None if decoded is None else decoded.value


def verify_signed_pre_command(
    pre_command: Message, signed: bytes, certificates: list[GBCSCertificate]
) -> bytes:
    """Verify that `signed` is `pre_command` with its originator's signature; return the latter.

    Args:
        pre_command: What the request was transformed to.
        signed: The payload of the Signed Pre-Command.
        certificates: Those by which its originator may sign.

    Raises:
        DecodeError: `signed` is no message.
        SecurityError: It is another message, has another protection, or nobody of
            `certificates` signed it.
    """
    message = Message.parse(signed)
    if message.grouping != pre_command.grouping:
        raise WrongEntity("the signed pre-command is not the pre-command")
    if message.mac is not None or not message.signature:
        raise SecurityError("a signed pre-command has a signature and no MAC")
    _first_that_verifies(
        certificates, lambda each: protection.verify_signature(message, each.public_key), message
    )
    return message.signature
