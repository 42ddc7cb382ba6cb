"""CS02b commands that wait for their date: stored, cancelled, and carried out when due.

Source: GBCS 13.3 and 9.2.2; responses, cancellation and alerts as in RTDS 4.5.0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gbcs import use_cases
from gbcs.der import decode
from gbcs.message import CRAFlag, Header, Message, OtherInformation
from gbcs.security_credentials import (
    NEVER,
    UPDATE_CREDENTIALS_COMMAND,
    CredentialsReplacementMode,
    ExecutionOutcome,
    StatusCode,
    UpdateCredentialsAlert,
    UpdateCredentialsCommand,
    UpdateCredentialsResponse,
)
from gbcs.use_cases import MessageCode
from meterstub.command_execution import Environment, EventCode, Execution
from meterstub.command_rights import authorising_cell
from meterstub.device_options import CertificateTime
from meterstub.device_state import DeviceState, FutureDatedCommand, next_alert_counter
from meterstub.trust_anchor_cells import BROKER_KEY_AGREEMENT_CELL
from meterstub.update_credentials import Update, update_credentials

if TYPE_CHECKING:
    from datetime import datetime

    from meterstub.command_verification import VerifiedCommand


def receive_update(
    command: VerifiedCommand, state: DeviceState, environment: Environment
) -> Execution:
    """Carry out a CS02b command at once, store it for its date, or cancel a stored one.

    A new one replaces a stored one of the same mode and originator; NEVER only cancels it. A
    date that is not in the future is at once.
    """
    payload: UpdateCredentialsCommand = command.payload
    header = command.message.header
    date = payload.execution_date_time
    if date is not None and date > environment.now:
        waiting = _without(state, command)
        if date != NEVER:
            stored = FutureDatedCommand(
                originator=header.originator,
                role=command.role,
                mode=_mode_of(payload),
                received_at=environment.now,
                execution_date_time=date,
                content=command.message.content,
            )
            waiting = (*waiting, stored)
        accepted = UpdateCredentialsResponse(command_accepted=None)
        return Execution(replace(state, future_dated=waiting), accepted)
    refusal = environment.faults.refusal_of(header.message_code)
    update = Update(
        payload=payload,
        role=command.role,
        certificate_time=environment.now,
        refusal=None if refusal is None else StatusCode(refusal),
    )
    state, outcome = update_credentials(update, state, environment)
    response = UpdateCredentialsResponse(command_accepted=None, execution_outcome=outcome)
    return Execution(state, response)


def due_command(state: DeviceState, now: datetime) -> FutureDatedCommand | None:
    """Return the stored command that is due first, or None when none is due."""
    due = [command for command in state.future_dated if command.execution_date_time <= now]
    return min(due, key=lambda command: command.execution_date_time, default=None)


def execute_due(
    command: FutureDatedCommand, state: DeviceState, environment: Environment
) -> tuple[DeviceState, Message]:
    """Carry out a stored command; return the state and its alert, to be signed."""
    waiting = tuple(other for other in state.future_dated if other != command)
    state = replace(state, future_dated=waiting)
    payload = decode(UPDATE_CREDENTIALS_COMMAND, command.content).value
    options = environment.options
    is_at_receipt = options.certificate_time is CertificateTime.RECEIPT
    lost = options.recheck_authority_at_execution and not _still_holds(command, state)
    refusal = environment.faults.refusal_of(command.mode.message_code)
    update = Update(
        payload=payload,
        role=command.role,
        certificate_time=command.received_at if is_at_receipt else environment.now,
        refusal=StatusCode.OTHER if lost else None if refusal is None else StatusCode(refusal),
    )
    state, outcome = update_credentials(update, state, environment)
    code = _alert_code(outcome)
    state = environment.log(state, code, f"{command.mode.name} of {command.originator}")
    state, counter = next_alert_counter(state)
    header = Header(
        cra_flag=CRAFlag.ALERT,
        originator_counter=counter,
        originator=state.entity_id,
        recipient=command.originator,
        other_information=OtherInformation(MessageCode.UPDATE_CREDENTIALS_ALERT),
    )
    alert = UpdateCredentialsAlert(
        alert_code=code,
        execution_date_time=command.execution_date_time,
        execution_outcome=outcome,
    )
    return state, use_cases.compose(header, alert)


def _mode_of(payload: UpdateCredentialsCommand) -> CredentialsReplacementMode:
    return payload.authorising_remote_party_control.credentials_replacement_mode


def _without(state: DeviceState, command: VerifiedCommand) -> tuple[FutureDatedCommand, ...]:
    key = (command.message.header.originator, _mode_of(command.payload))
    return tuple(
        waiting for waiting in state.future_dated if (waiting.originator, waiting.mode) != key
    )


def _still_holds(command: FutureDatedCommand, state: DeviceState) -> bool:
    """True if the cell that authorised `command` is still its originator's."""
    if command.mode is CredentialsReplacementMode.ANY_BY_CONTINGENCY:
        return state.contingency is not None and state.contingency.originator == command.originator
    cell = authorising_cell(command.mode, state.device_type) or BROKER_KEY_AGREEMENT_CELL
    certificate = state.certificate_in(cell)
    return certificate is not None and certificate.entity_id == command.originator


def _alert_code(outcome: ExecutionOutcome) -> EventCode:
    if all(o.status_code is StatusCode.SUCCESS for o in outcome.replacement_outcomes):
        return EventCode.FUTURE_DATED_COMMAND_ACTIONED
    return EventCode.FUTURE_DATED_COMMAND_NOT_ACTIONED
