"""Replacing the certificates of trust anchor cells with CS02b."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gbcs.entity_identifier import EntityIdentifier
from gbcs.security_credentials import (
    AuthorisingRemotePartyControl,
    CredentialsReplacementMode,
    RemotePartySeqNumberChange,
    ReplacementOutcome,
    StatusCode,
    TrustAnchorCellIdentifier,
    TrustAnchorReplacement,
    UpdateCredentialsCommand,
    UpdateCredentialsResponse,
)
from keyrig.domain.trust_anchor import Cell
from keyrig.session.steps.effects import Effect, RecordCells, ReserveCounter, StepFailed, ask

if TYPE_CHECKING:
    from datetime import datetime

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.session.steps.signatories import ReplacementAuthority
    from keyrig.session.steps.step_context import StepContext

Replacements = Sequence[tuple[TrustAnchorCellIdentifier, "GBCSCertificate"]]


class Replaced(NamedTuple):
    """The exchange that shows a replacement, and until when the device holds it, if it does."""

    exchange_id: int
    held_until: datetime | None


def replace_certificates(
    context: StepContext,
    authority: ReplacementAuthority,
    replacements: Replacements,
    *,
    execute_at: datetime | None = None,
) -> Generator[Effect, Any, Replaced]:
    """Replace the contents of cells, at once or at `execute_at`, where that lies ahead.

    On a change of control the new party's counters start above one that is reserved for the
    purpose, so that nothing it sent before can be replayed.

    Raises:
        StepFailed: The device did not replace every one of them; names the cells.

    Source: GBCS 13.3.
    """
    new_party = replacements[0][1].entity_id
    assert new_party is not None
    floor: int | None = None
    if new_party != authority.originator:
        floor = yield ReserveCounter(new_party)
    path = tuple(
        dict.fromkeys(
            issuer.der
            for _, certificate in replacements
            for issuer in context.certificates.certification_path(certificate)
        )
    )

    def command(counter: int) -> UpdateCredentialsCommand:
        return UpdateCredentialsCommand(
            authorising_remote_party_control=_control(authority, replacements, counter, floor),
            replacements=tuple(
                TrustAnchorReplacement(
                    replacement_certificate=certificate.der, target_trust_anchor_cell=cell
                )
                for cell, certificate in replacements
            ),
            certification_path_certificates=path,
            execution_date_time=execute_at,
        )

    answer = yield from ask(
        authority.mode.message_code,
        authority.originator,
        command,
        repeatable=True,
        detail=", ".join(str(cell) for cell, _ in replacements),
        signing_key_identifier=context.held_key_identifier(authority.cell),
    )
    if execute_at is not None and answer.payload.execution_outcome is None:
        return Replaced(answer.exchange_id, execute_at)
    outcomes = _outcomes(answer.payload)
    yield RecordCells(tuple(_cell(outcome) for outcome in outcomes.values()))
    _check(outcomes, [cell for cell, _ in replacements], new_party)
    return Replaced(answer.exchange_id, None)


def _control(
    authority: ReplacementAuthority,
    replacements: Replacements,
    counter: int,
    floor: int | None,
) -> AuthorisingRemotePartyControl:
    by_other_role = authority.mode is CredentialsReplacementMode.SUPPLIER_BY_TRANS_COS
    changes: tuple[RemotePartySeqNumberChange, ...] | None = None
    if by_other_role and floor is not None:
        changes = (
            RemotePartySeqNumberChange(
                other_remote_party_role=replacements[0][0].role,
                other_remote_party_floor_seq_number=floor,
            ),
        )
    return AuthorisingRemotePartyControl(
        credentials_replacement_mode=authority.mode,
        authorising_remote_party_ta_cell_identifier=authority.cell,
        authorising_remote_party_seq_number=counter,
        new_remote_party_floor_seq_number=None if by_other_role else floor,
        other_remote_party_seq_number_changes=changes,
    )


def _outcomes(
    response: UpdateCredentialsResponse,
) -> dict[TrustAnchorCellIdentifier, ReplacementOutcome]:
    if response.execution_outcome is None:
        raise StepFailed("the device accepted the replacement but tells no outcome")
    return {
        outcome.affected_trust_anchor_cell: outcome
        for outcome in response.execution_outcome.replacement_outcomes
    }


def _cell(outcome: ReplacementOutcome) -> Cell:
    """Return what a cell holds after an outcome; a failed replacement repeats what it held."""
    cell = outcome.affected_trust_anchor_cell
    return Cell(
        role=cell.role,
        key_usage=cell.key_usage,
        cell_usage=cell.cell_usage,
        entity_id=EntityIdentifier(outcome.replacing_subject_unique_id),
        subject_key_identifier=outcome.replacing_subject_key_identifier,
    )


def _check(
    outcomes: dict[TrustAnchorCellIdentifier, ReplacementOutcome],
    cells: list[TrustAnchorCellIdentifier],
    new_party: EntityIdentifier,
) -> None:
    """Refuse outcomes that do not say of every cell that it was replaced."""
    failures = []
    for cell in cells:
        outcome = outcomes.get(cell)
        if outcome is None:
            failures.append(f"{cell}: no outcome")
        elif outcome.status_code is not StatusCode.SUCCESS:
            code = outcome.status_code
            failures.append(f"{cell}: {code.name.lower()} ({code.value})")
        elif outcome.replacing_subject_unique_id != new_party:
            held = EntityIdentifier(outcome.replacing_subject_unique_id)
            failures.append(f"{cell}: holds {held} after it")
    if failures:
        raise StepFailed(f"not replaced: {'; '.join(failures)}")
