"""CS02b: replacing what trust anchor cells hold, each cell whole or not at all.

Source: GBCS 13.3; outcomes and echoes as in RTDS 4.5.0, the rules of processing as far as
`meterstub.device_options` names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.path_validation import NO_TRUST_ANCHOR, validate_path
from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.security_credentials import (
    CredentialsReplacementMode,
    ExecutionOutcome,
    RemotePartySeqNumberChange,
    ReplacementOutcome,
    SpecialistSeqNumber,
    StatusCode,
    TimeBasedCPVChecks,
    TrustAnchorReplacement,
    UpdateCredentialsCommand,
)
from meterstub.command_execution import EventCode
from meterstub.device_faults import FaultKind
from meterstub.device_options import RootReplacement
from meterstub.device_state import set_floors
from meterstub.root_replacement import check_root_replacement
from meterstub.trust_anchor_cells import NO_IDENTIFIER, ROOT_CELL, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from gbcs.roles import RemotePartyRole
    from meterstub.command_execution import Environment
    from meterstub.device_state import DeviceState

_Mode = CredentialsReplacementMode


@dataclass(frozen=True, slots=True)
class Update:
    """One execution of a CS02b command.

    Args:
        payload: The command's.
        role: Who authorised it.
        certificate_time: When certificates must be valid, aware.
        refusal: The status that every cell gets instead, or None.
    """

    payload: UpdateCredentialsCommand
    role: RemotePartyRole
    certificate_time: datetime
    refusal: StatusCode | None = None

    @property
    def mode(self) -> CredentialsReplacementMode:
        """The command's mode."""
        return self.payload.authorising_remote_party_control.credentials_replacement_mode

    @property
    def validity_time(self) -> datetime | None:
        """The time for path validation; None where the command disapplies time checks."""
        checks = self.payload.authorising_remote_party_control.apply_time_based_cpv_checks
        return None if checks is TimeBasedCPVChecks.DISAPPLY else self.certificate_time


def update_credentials(
    update: Update, state: DeviceState, environment: Environment
) -> tuple[DeviceState, ExecutionOutcome]:
    """Replace cell by cell, in the command's order, then set the floors of counters."""
    path = _path_certificates(update.payload.certification_path_certificates)
    outcomes = []
    for replacement in update.payload.replacements:
        state, outcome = _replace(replacement, update, path, state, environment)
        outcomes.append(outcome)
    state, changes = _set_floors(update, outcomes, state, environment)
    control = update.payload.authorising_remote_party_control
    done = sum(outcome.status_code is StatusCode.SUCCESS for outcome in outcomes)
    state = environment.log(
        state,
        EventCode.UPDATE_SECURITY_CREDENTIALS,
        f"{update.mode.name}: {done} of {len(outcomes)} cells replaced",
    )
    return state, ExecutionOutcome(
        authorising_remote_party_seq_number=control.authorising_remote_party_seq_number,
        credentials_replacement_mode=update.mode,
        remote_party_seq_number_changes=changes,
        replacement_outcomes=tuple(outcomes),
    )


def _path_certificates(encoded: Iterable[bytes]) -> list[GBCSCertificate]:
    """Read what can be read; a path that needs another one is not found."""
    certificates = []
    for der in encoded:
        try:
            certificates.append(GBCSCertificate.from_der(der))
        except DecodeError:
            continue
    return certificates


def _replace(
    replacement: TrustAnchorReplacement,
    update: Update,
    path: list[GBCSCertificate],
    state: DeviceState,
    environment: Environment,
) -> tuple[DeviceState, ReplacementOutcome]:
    cell = replacement.target_trust_anchor_cell
    held = state.cells.get(cell)
    existing = (NO_IDENTIFIER, NO_IDENTIFIER) if held is None else subject_of(held)
    status = _status(replacement, update, path, state, environment)
    replacing = existing
    if status is StatusCode.SUCCESS:
        state = state.with_cell(cell, replacement.replacement_certificate)
        replacing = subject_of(replacement.replacement_certificate)
    return state, ReplacementOutcome(
        affected_trust_anchor_cell=cell,
        status_code=status,
        existing_subject_unique_id=existing[0],
        existing_subject_key_identifier=existing[1],
        replacing_subject_unique_id=replacing[0],
        replacing_subject_key_identifier=replacing[1],
    )


def _status(
    replacement: TrustAnchorReplacement,
    update: Update,
    path: list[GBCSCertificate],
    state: DeviceState,
    environment: Environment,
) -> StatusCode:
    if update.refusal is not None:
        return update.refusal
    if replacement.target_trust_anchor_cell not in state.cells:
        return StatusCode.TRUST_ANCHOR_NOT_FOUND
    try:
        _check_certificate(replacement, update, path, state, environment)
    except CertificateRejected as error:
        has_path = error.rule != NO_TRUST_ANCHOR
        return StatusCode.BAD_CERTIFICATE if has_path else StatusCode.NO_TRUST_ANCHOR
    except DecodeError:
        return StatusCode.BAD_CERTIFICATE
    if environment.faults.takes_effect(FaultKind.STORAGE):
        return StatusCode.INSUFFICIENT_MEMORY
    return StatusCode.SUCCESS


def _check_certificate(
    replacement: TrustAnchorReplacement,
    update: Update,
    path: list[GBCSCertificate],
    state: DeviceState,
    environment: Environment,
) -> None:
    certificate = GBCSCertificate.from_der(replacement.replacement_certificate)
    cell = replacement.target_trust_anchor_cell
    root = GBCSCertificate.from_der(state.cells[ROOT_CELL])
    if cell == ROOT_CELL:
        check_root_replacement(
            certificate,
            current_root=root,
            path_certificates=path,
            at=update.validity_time,
            must_be_linked=_must_be_linked(update.mode, environment.options.root_replacement),
        )
        return
    validate_path(
        certificate,
        path_certificates=path,
        trust_anchors=(root,),
        at=update.validity_time,
        role=cell.role,
        key_usage=cell.key_usage,
    )


def _must_be_linked(mode: CredentialsReplacementMode, rule: RootReplacement) -> bool:
    if mode is _Mode.ANY_BY_CONTINGENCY:
        return False
    if mode is _Mode.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY:
        return True
    return rule is RootReplacement.LINKED


def _set_floors(
    update: Update,
    outcomes: list[ReplacementOutcome],
    state: DeviceState,
    environment: Environment,
) -> tuple[DeviceState, tuple[RemotePartySeqNumberChange, ...]]:
    """Set the floors that may be set, and return them as they are echoed."""
    replaced = {
        outcome.affected_trust_anchor_cell.role
        for outcome in outcomes
        if outcome.status_code is StatusCode.SUCCESS
    }
    changes = []
    for change in _asked_changes(update):
        role = change.other_remote_party_role
        if environment.options.floors_need_a_replacement and role not in replaced:
            continue
        specialist = change.new_remote_party_specialist_floor_seq_number
        state = set_floors(
            state,
            role,
            floor=change.other_remote_party_floor_seq_number,
            top_up_floor=_top_up_floor(specialist),
        )
        changes.append(change)
    return state, tuple(changes)


def _asked_changes(update: Update) -> list[RemotePartySeqNumberChange]:
    control = update.payload.authorising_remote_party_control
    changes = list(control.other_remote_party_seq_number_changes or ())
    if control.new_remote_party_floor_seq_number is not None:
        own = RemotePartySeqNumberChange(
            other_remote_party_role=update.role,
            other_remote_party_floor_seq_number=control.new_remote_party_floor_seq_number,
            new_remote_party_specialist_floor_seq_number=(
                control.new_remote_party_specialist_floor_seq_number
            ),
        )
        changes.insert(0, own)
    return changes


def _top_up_floor(specialist: tuple[SpecialistSeqNumber, ...] | None) -> int | None:
    return specialist[-1].seq_number if specialist else None
