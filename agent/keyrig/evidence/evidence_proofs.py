"""Whether the messages of a duty prove that it is done.

Theory of operation. A duty is never proved by what the file says of it, only by messages of the
device that `evidence_messages` verified: signed under a certificate whose path leads to a trusted
root, each a response to its command by counter and use case. What must be there:

- new keys: for both usages, a certification request for a key (CS02c), then the certificate for
  it sent (CS02d), then the same certificate given back (CS02e), in that order; a key that no other
  certificate of the device in the file has; and the new digitalSignature certificate given back
  in a response signed by its own key;
- a replaced certificate (CS02b): a response or a future dated alert, to the same sequence number,
  with success and the identity of the certificate sent, for every cell that the command names;
- credentials read (CS02a): the cells of the role hold the expected party or key.

A CS02a response is under a MAC alone, by a key that the device shares with the broker. No public
key can check it, and a party that has the shared key could have made it: `MACED`, never `SIGNED`.

What a proof does not show: when it happened, since responses carry no time of the device's; that
the device's private key is nowhere else; that the facts, such as who the supplier is, are true;
and, without roots named by the reader, that the root is the true one. A duty done in another run
is `ELSEWHERE`: its messages are in that run's evidence.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.certification_request import CertificationRequest
from gbcs.entity_identifier import ENTITY_IDENTIFIER_OCTETS, EntityIdentifier
from gbcs.key_holders import public_octets
from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    ExecutionOutcome,
    StatusCode,
    TrustAnchorCellContents,
    UpdateCredentialsAlert,
    UpdateCredentialsCommand,
)
from gbcs.use_cases import MessageCode
from keyrig.duties.rules import StepKind
from keyrig.evidence.evidence_key import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.evidence.evidence_file import EvidenceFile
    from keyrig.evidence.evidence_messages import Messages, Seen, SeenAlert

_KEY_USAGES: Final = (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)
_MANAGEMENT_CELLS: Final = frozenset((usage, CellUsage.MANAGEMENT) for usage in _KEY_USAGES)
_UNDER_A_MAC: Final = (
    ", in a response under a MAC, which nobody can check without the broker's or the device's "
    "private key"
)


class Proof(enum.Enum):
    """How far a file proves a duty that it says is done."""

    SIGNED = "proved"
    """By signatures of the device, which anybody can check."""
    MACED = "rests-on-a-mac"
    """By a response under a MAC, which only its parties' private keys can check."""
    ELSEWHERE = "done-in-another-run"
    """By an attempt whose messages are not in this file."""
    NONE = "not-proved"


class Lacking(Exception):
    """A proof fails; the text says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The messages by which one duty may be proved.

    Args:
        facts: What the file says of the device.
        seen: The exchanges of the attempts at the duty, up to the one that did it, in order.
        alerts: The device's signed alerts of the run.
    """

    facts: DeviceFacts
    seen: Sequence[Seen]
    alerts: Sequence[SeenAlert]

    @property
    def device(self) -> EntityIdentifier:
        """The device that owes the duty."""
        return self.facts.entity_id


class Prover:
    """Proves duties by their messages.

    Args:
        file: The evidence.
        messages: The verifier of its messages and certificates.
    """

    def __init__(self, file: EvidenceFile, messages: Messages) -> None:
        self._file = file
        self._messages = messages
        self._steps: dict[StepKind, Callable[[Case], tuple[Proof, str]]] = {
            StepKind.REGENERATE_KEYS: self._keys,
            StepKind.REPLACE_ORGANISATION_CERTIFICATE: self._replacement,
            StepKind.CONFIRM_RECOVERY_CERTIFICATE: self._recovery,
            StepKind.ENSURE_SUPPLIER_CREDENTIALS: self._supplier,
            StepKind.ENSURE_NETWORK_CREDENTIALS: self._network,
        }

    def prove(self, step: StepKind, case: Case) -> tuple[Proof, str]:
        """Return how far the messages prove that a step was done, and what they show.

        Raises:
            Lacking: They do not prove it.
        """
        return self._steps[step](case)

    def _keys(self, case: Case) -> tuple[Proof, str]:
        for usage in _KEY_USAGES:
            self._key(case, usage)
        return Proof.SIGNED, (
            "the device signed that it made both keys, and gives back the certificates of both"
        )

    def _key(self, case: Case, usage: KeyUsage) -> None:
        """Check that a device requested a certificate of a new key, was sent it, and holds it.

        Raises:
            Lacking: One of these messages is missing.
        """
        name = usage.gbcs_name
        given = _last_given(case, usage)
        certificate = self._device_certificate(given.response, case.device, usage)
        key = public_octets(certificate.public_key)
        if usage is KeyUsage.DIGITAL_SIGNATURE and certificate.der not in given.signed_under:
            raise Lacking(
                "the device gives back its new digitalSignature certificate, and goes on signing "
                "with another key"
            )
        sent = _last_sent(case, given, name)
        before = {
            public_octets(other.public_key)
            for other in self._file.device_certificates
            if other != certificate and other.entity_id == case.device
        }
        if key in before:
            raise Lacking(f"the {name} key that the device gives back is one that it had before")
        if not any(
            _requested_key(each.response, case.device, usage) == key
            for each in case.seen
            if each.header.message_code == MessageCode.ISSUE_CREDENTIALS
            and each.exchange.id < sent.exchange.id
        ):
            raise Lacking(f"no request of the device is for the {name} key that it gives back")

    def _device_certificate(
        self, der: bytes, device: EntityIdentifier, usage: KeyUsage
    ) -> GBCSCertificate:
        name = usage.gbcs_name
        try:
            certificate = GBCSCertificate.from_der(der)
            is_fit = certificate.entity_id == device and certificate.key_usage is usage
        except (CertificateRejected, DecodeError) as error:
            reason = f"the {name} certificate that the device gives back is none: {error}"
            raise Lacking(reason) from None
        if not is_fit:
            raise Lacking(f"the {name} certificate that the device gives back is for another use")
        if not self._messages.is_trusted(certificate):
            raise Lacking(f"the {name} certificate that the device gives back leads to no root")
        return certificate

    def _replacement(self, case: Case) -> tuple[Proof, str]:
        """Return the proof of a replacement: a signed response or alert with its outcome."""
        reason = "nothing that the device signed says that it replaced a certificate"
        for each in reversed(case.seen):
            if not isinstance(each.command, UpdateCredentialsCommand):
                continue
            for outcome in _outcomes(each, case):
                try:
                    cells = self._replaced(each.command, outcome)
                except Lacking as lacking:
                    reason = str(lacking)
                else:
                    return Proof.SIGNED, f"the device signed that it replaced {cells}"
        raise Lacking(reason)

    def _replaced(self, command: UpdateCredentialsCommand, outcome: ExecutionOutcome) -> str:
        """Return the names of the cells that a device replaced as the command says."""
        told = {each.affected_trust_anchor_cell: each for each in outcome.replacement_outcomes}
        cells = []
        for replacement in command.replacements:
            cell = replacement.target_trust_anchor_cell
            said = told.get(cell)
            if said is None or said.status_code is not StatusCode.SUCCESS:
                raise Lacking(f"the device does not say that it replaced {cell}")
            sent = _identity(replacement.replacement_certificate)
            if (
                said.replacing_subject_unique_id,
                said.replacing_subject_key_identifier,
            ) != sent:
                raise Lacking(f"the device says that it put another certificate into {cell}")
            cells.append(str(cell))
        if not cells:
            raise Lacking("the command replaces nothing")
        return ", ".join(cells)

    def _recovery(self, case: Case) -> tuple[Proof, str]:
        expected = next(
            (
                certificate
                for certificate in self._file.certificates
                if fingerprint(certificate.der) == self._file.header.parties.recovery_certificate
            ),
            None,
        )
        if expected is None:
            raise Lacking("the Recovery Certificate is not in the file")
        if expected.role is not RemotePartyRole.RECOVERY or not self._messages.is_trusted(expected):
            raise Lacking("what the file calls the Recovery Certificate is none of a known root")
        cells, read = _cells(case, RemotePartyRole.RECOVERY)
        held = {
            (cell.existing_subject_unique_id, cell.existing_subject_key_identifier)
            for cell in cells
            if cell.trust_anchor_cell_key_usage is KeyUsage.DIGITAL_SIGNATURE
        }
        if held != {_identity(expected.der)}:
            raise Lacking("the Recovery cell holds another certificate")
        return _shown(read, "the device gives the Recovery Certificate's key in its Recovery cell")

    def _supplier(self, case: Case) -> tuple[Proof, str]:
        return self._party(case, RemotePartyRole.SUPPLIER, case.facts.lead_supplier)

    def _network(self, case: Case) -> tuple[Proof, str]:
        return self._party(case, RemotePartyRole.NETWORK_OPERATOR, case.facts.network_operator)

    def _party(
        self, case: Case, role: RemotePartyRole, party: EntityIdentifier | None
    ) -> tuple[Proof, str]:
        name = role.gbcs_name
        if party is None:
            raise Lacking(f"no fact names the {name} whose credentials the device should hold")
        cells, read = _cells(case, role)
        if any(cell.existing_subject_unique_id != party for cell in cells):
            raise Lacking(f"the {name} cells hold another party than {party}")
        told = {(cell.trust_anchor_cell_key_usage, cell.trust_anchor_cell_usage) for cell in cells}
        if not told >= _MANAGEMENT_CELLS:
            raise Lacking(f"the device does not tell of its {name} cells for both key usages")
        proof, shown = _shown(read, f"the device gives {party} in its {len(cells)} {name} cells")
        try:
            _, replaced = self._replacement(case)
        except Lacking:
            return proof, shown
        return proof, f"{shown}; before that, {replaced}"


def _last_given(case: Case, usage: KeyUsage) -> Seen:
    for each in reversed(case.seen):
        if (
            each.header.message_code == MessageCode.PROVIDE_DEVICE_CERTIFICATE
            and each.command.key_usage is usage
            and isinstance(each.response, bytes)
        ):
            return each
    raise Lacking(f"the device gives no {usage.gbcs_name} certificate back")


def _last_sent(case: Case, given: Seen, name: str) -> Seen:
    """Return the exchange in which a device was sent the certificate that it gives back.

    Its response may be lost, or be the refusal of a second sending: what the device gives back
    shows that it was executed.
    """
    for each in reversed(case.seen):
        if (
            each.exchange.id < given.exchange.id
            and each.header.message_code == MessageCode.UPDATE_DEVICE_CERTIFICATE
            and each.command == given.response
        ):
            return each
    raise Lacking(f"the device was not sent the {name} certificate that it gives back")


def _outcomes(seen: Seen, case: Case) -> Iterator[ExecutionOutcome]:
    """Yield each outcome of one command that the device states, in its response or an alert."""
    control = seen.command.authorising_remote_party_control
    told = [getattr(seen.response, "execution_outcome", None)]
    told += [
        alert.payload.execution_outcome
        for alert in case.alerts
        if isinstance(alert.payload, UpdateCredentialsAlert)
        and alert.header.recipient == seen.header.originator
    ]
    for outcome in told:
        if outcome is not None and (
            outcome.authorising_remote_party_seq_number,
            outcome.credentials_replacement_mode,
        ) == (control.authorising_remote_party_seq_number, control.credentials_replacement_mode):
            yield outcome


def _shown(read: Seen, what: str) -> tuple[Proof, str]:
    if read.is_maced:
        return Proof.MACED, what + _UNDER_A_MAC
    return Proof.SIGNED, what


def _cells(case: Case, role: RemotePartyRole) -> tuple[tuple[TrustAnchorCellContents, ...], Seen]:
    """Return the last contents of a role's cells that the device stated, and the exchange."""
    for each in reversed(case.seen):
        if each.header.message_code != MessageCode.PROVIDE_CREDENTIALS or each.response is None:
            continue
        for details in each.response:
            if details.remote_party_role is role and details.status_code is StatusCode.SUCCESS:
                return tuple(details.trust_anchor_cell_details or ()), each
    raise Lacking(f"no response of the device tells of its {role.gbcs_name} cells")


def _identity(der: bytes) -> tuple[bytes, bytes | None]:
    """Return a certificate's Entity Identifier and key identifier, as in trust anchor cells."""
    try:
        certificate = GBCSCertificate.from_der(der)
        entity = certificate.entity_id or bytes(ENTITY_IDENTIFIER_OCTETS)
        return bytes(entity), certificate.subject_key_identifier
    except (CertificateRejected, DecodeError) as error:
        raise Lacking(f"a certificate cannot be read: {error}") from None


def _requested_key(response: Any, device: EntityIdentifier, usage: KeyUsage) -> bytes | None:
    """Return the public key of a certification request; None if it is none or does not verify."""
    if not isinstance(response, bytes):
        return None
    try:
        request = CertificationRequest.from_der(response)
        request.verify(entity=device, key_usage=usage)
    except (CertificateRejected, DecodeError):
        return None
    return public_octets(request.public_key)
