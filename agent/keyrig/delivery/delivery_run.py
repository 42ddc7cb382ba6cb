"""Delivering a batch: each command in its order, in the ledger before it leaves and after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from duis.header import RequestIdentifier
from gbcs.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from gbcs.message import CRAFlag, Message
from gbcs.printable import printable
from gbcs.protection import describe
from gbcs.use_cases import use_case_name
from keyrig.base import events
from keyrig.base.clock import second_text
from keyrig.base.errors import LinkError, LinkTimeout, RigError, WrongDevice
from keyrig.base.observing import Observer, StopAsked, never_stopped, unobserved
from keyrig.delivery.delivered_answers import judge, verify_alert
from keyrig.delivery.device_certificates import learn_before_sending, learn_from_answer
from keyrig.delivery.returned_answers import write_answer
from keyrig.documents.delivery_document import described_command, states_of
from keyrig.domain.states import BatchRule, EventType, RunOutcome, Verification
from keyrig.run.bench import RunResult
from keyrig.session.conversation import SENDINGS
from keyrig.session.device_messages import alert_payload
from keyrig.session.transcript import NoTranscript, Transcript

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from gbcs.entity import EntityIdentifier
    from keyrig.delivery.delivered_answers import Judgement
    from keyrig.delivery.public_certificates import PublicCertificates
    from keyrig.delivery.returned_answers import Returning
    from keyrig.ledger.ledger import Ledger
    from keyrig.ledger.local_commands import LocalBatch, LocalCommand
    from keyrig.session.link import Link

_Key: TypeAlias = "tuple[EntityIdentifier, int, int]"
"""What an answer is matched by: whose command, its counter, its use case."""

_OUTCOMES = {
    RunResult.DONE: RunOutcome.DONE,
    RunResult.FAILED: RunOutcome.FAILED,
    RunResult.NEEDS_PERSON: RunOutcome.NEEDS_PERSON,
    RunResult.INTERRUPTED: RunOutcome.INTERRUPTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Everything that a delivery needs, apart from its batch; no private key is among it.

    Args:
        ledger: The ledger.
        link: The line to the device, not open.
        timeout_s: How long one sending of a command is waited for, in seconds.
        certificates: The public certificates that are here.
        returning: Who returns answers, and where they are written.
        clock: Gives the present instant.
        monotonic: Gives seconds that never go back.
        observe: Is told what happens.
        transcript: Takes every message.
        should_stop: Says who asked the delivery to stop, or None.
    """

    ledger: Ledger
    link: Link
    timeout_s: float
    certificates: PublicCertificates
    returning: Returning
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    observe: Observer = unobserved
    transcript: Transcript = field(default_factory=NoTranscript)
    should_stop: StopAsked = never_stopped


@dataclass(slots=True)
class _Progress:
    """How far a delivery has come."""

    result: RunResult = RunResult.DONE
    detail: str = ""
    is_open: bool = False

    def worsen(self, result: RunResult, detail: str) -> None:
        """Take the worse of two results; a person who must act comes before a failure."""
        if result > self.result:
            self.result, self.detail = result, detail


def deliver(field: Field, batch: LocalBatch, rule: BatchRule | None = None) -> RunResult:
    """Deliver what is left of a batch, and give back every answer that it has.

    Args:
        field: What it needs.
        batch: The batch, from `LocalCommands.take_in`.
        rule: What becomes of the commands behind one that was not carried out, where that is
            to change.

    Returns:
        Whether all were answered and none refused, one failed, or a person must act.

    Raises:
        SettingsError: An answer's document cannot be written.
    """
    return _Delivery(field, batch, rule).carry_out()


class _Delivery:
    def __init__(self, field: Field, batch: LocalBatch, rule: BatchRule | None) -> None:
        self._field = field
        self._batch = field.ledger.local_commands.begin(batch.id, rule)
        self._device = batch.device
        self._progress = _Progress()
        self._awaited: dict[_Key, LocalCommand] = {}

    def carry_out(self) -> RunResult:
        commands = self._field.ledger.local_commands.commands(self._batch.id)
        self._awaited = {_key(each): each for each in commands if each.is_open and each.sendings}
        for each in commands:
            if each.is_open:
                # What cannot be returned must not be sent, or its answer would be lost.
                self._field.returning.party_for(each.request_id, each.originator)
        self._field.returning.make_directory()
        self._tell_start(commands)
        try:
            self._deliver_all(commands)
        except (RigError, LinkError) as error:
            self._need_person(str(error))
        finally:
            self._field.link.close()
        return self._finish()

    def _tell_start(self, commands: tuple[LocalCommand, ...]) -> None:
        self._field.observe(
            events.DeliveryStarted(
                batch=self._batch.id,
                rig=self._batch.rig_name,
                device=str(self._device),
                link=self._field.link.name,
                rule=self._batch.rule.value,
                commands=len(commands),
                to_send=sum(each.is_open for each in commands),
            )
        )
        for each in commands:
            self._field.observe(described_command(each))

    def _deliver_all(self, commands: tuple[LocalCommand, ...]) -> None:
        for index, command in enumerate(commands):
            who = self._field.should_stop()
            if who is not None:
                self._progress.worsen(RunResult.INTERRUPTED, f"stopped: {who}")
                return
            settled = self._settle(command)
            self._judge(settled)
            if not settled.was_carried_out and self._batch.rule is BatchRule.STOP:
                behind = sum(each.is_open for each in commands[index + 1 :])
                if behind:
                    self._tell_stop(settled, behind)
                return
        if self._progress.is_open:
            self._listen()

    def _settle(self, command: LocalCommand) -> LocalCommand:
        """Bring one command as far as it goes now, and give back its answer if it has one."""
        # A late answer may have come while another command was under way.
        command = self._field.ledger.local_commands.command(command.id)
        if command.is_open:
            return self._deliver(command)
        self._write(command)
        return command

    def _judge(self, command: LocalCommand) -> None:
        where = f"command {command.position}: {command.state.value}"
        reason = f"{where}: {command.detail}" if command.detail else where
        if command.is_open:
            self._progress.worsen(RunResult.NEEDS_PERSON, reason)
        elif not command.was_carried_out:
            self._progress.worsen(RunResult.FAILED, reason)

    def _deliver(self, command: LocalCommand) -> LocalCommand:
        request = Message.parse(command.octets)
        for _ in range(SENDINGS):
            if self._field.clock() >= command.expires_at:
                return self._expire(command)
            self._open()
            command = self._record_sending(command, request)
            try:
                self._field.link.send(command.octets)
            except LinkTimeout:
                continue
            except LocalProtocolError as error:
                return self._unsendable(command, error)
            answered = self._await(command)
            if answered is not None:
                return answered
        return self._unanswered(command)

    def _open(self) -> None:
        if not self._progress.is_open:
            self._field.link.open()
            self._progress.is_open = True

    def _record_sending(self, command: LocalCommand, request: Message) -> LocalCommand:
        """Have in the ledger that the command may leave, before it does."""
        field, now = self._field, self._field.clock()
        with field.ledger.transaction():
            command = field.ledger.local_commands.sending(command.id, now)
            learn_before_sending(
                command,
                request,
                certificates=field.certificates,
                key_changes=field.ledger.key_changes,
                now=now,
            )
        self._awaited[_key(command)] = command
        field.observe(
            events.CommandSent(
                device=str(self._device),
                what=use_case_name(command.message_code),
                counter=command.counter,
                octets=len(command.octets),
                timeout_s=field.timeout_s,
                position=command.position,
                sending=command.sendings,
            )
        )
        self._transcribe("command", command.octets, verified=True)
        return command

    def _unsendable(self, command: LocalCommand, error: LocalProtocolError) -> LocalCommand:
        detail = f"the link does not take it: {error}"
        self._need_person(f"command {command.position}: {detail}")
        if command.sendings == 1:
            return self._field.ledger.local_commands.unsent(command.id, detail)
        return self._field.ledger.local_commands.unanswered(command.id, detail)

    def _await(self, command: LocalCommand) -> LocalCommand | None:
        """Wait for the answer to a command; None when the time is over."""
        field = self._field
        deadline = field.monotonic() + field.timeout_s
        while (remaining_s := deadline - field.monotonic()) > 0:
            try:
                octets = field.link.receive(remaining_s)
            except LinkTimeout:
                return None
            except RemoteProtocolError as error:
                self._noise(str(error))
                continue
            answered = self._sort(octets)
            if answered is not None and answered.id == command.id:
                return answered
        return None

    def _listen(self) -> None:
        """Take what has come unasked."""
        while True:
            try:
                octets = self._field.link.receive(0)
            except (LinkTimeout, RemoteProtocolError):
                return
            self._sort(octets)

    def _sort(self, octets: bytes) -> LocalCommand | None:
        """Give the command that what came answers; deal with everything else."""
        try:
            message = Message.parse(octets)
        except DecodeError as error:
            self._transcribe("response", octets, verified=False)
            self._noise(str(error))
            return None
        header = message.header
        if header.originator != self._device:
            self._transcribe("response", octets, verified=False)
            raise WrongDevice(
                self._field.link.name, expected=str(self._device), found=str(header.originator)
            )
        if header.cra_flag is CRAFlag.ALERT:
            self._take_alert(message)
            return None
        awaited = self._awaited.get(
            (header.recipient, header.originator_counter, header.message_code)
        )
        if header.cra_flag is CRAFlag.COMMAND or awaited is None:
            self._transcribe("response", octets, verified=False)
            self._noise(f"{describe(header)} answers nothing that is awaited; set aside")
            return None
        return self._take_answer(awaited, message)

    def _take_answer(self, command: LocalCommand, answer: Message) -> LocalCommand:
        """Record an answer with all that it entails, and give it back."""
        field = self._field
        request = Message.parse(command.octets)
        judgement = judge(
            command,
            request,
            answer,
            certificates=field.certificates,
            key_changes=field.ledger.key_changes,
        )
        del self._awaited[_key(command)]
        command = self._record_answer(command, request, answer, judgement)
        is_verified = judgement.verification is Verification.VERIFIED
        self._transcribe("response", answer.octets, verified=is_verified)
        if judgement.verification is Verification.FAILED:
            field.observe(
                events.SecurityIncident(
                    device=str(self._device),
                    reason=printable(judgement.detail),
                    position=command.position,
                )
            )
        field.observe(
            events.LocalAnswer(
                device=str(self._device),
                what=use_case_name(command.message_code),
                position=command.position,
                counter=command.counter,
                octets=len(answer.octets),
                state=command.state.value,
                verification=judgement.verification.value,
                detail=printable(judgement.detail),
            )
        )
        self._write(command)
        return command

    def _record_answer(
        self, command: LocalCommand, request: Message, answer: Message, judgement: Judgement
    ) -> LocalCommand:
        field, ledger = self._field, self._field.ledger
        now = field.clock()
        party = field.returning.party_for(command.request_id, command.originator)
        with ledger.transaction():
            counter = ledger.counters.reserve(party, now)
            answered = ledger.local_commands.answered(
                command.id,
                answer.octets,
                state=judgement.state,
                verification=judgement.verification,
                return_id=str(RequestIdentifier(party, field.returning.dcc, counter)),
                detail=printable(judgement.detail),
                now=now,
            )
            learn_from_answer(command, request, judgement, key_changes=ledger.key_changes, now=now)
            if judgement.verification is Verification.FAILED:
                ledger.outbox.append(
                    EventType.SECURITY_INCIDENT,
                    self._device,
                    now,
                    {
                        "batch": self._batch.id,
                        "command": command.position,
                        "reason": judgement.detail,
                    },
                )
        return answered

    def _write(self, command: LocalCommand) -> None:
        path = write_answer(command, self._field.returning)
        if path is not None:
            self._field.observe(
                events.AnswerWritten(
                    device=str(self._device),
                    position=command.position,
                    path=str(path),
                )
            )

    def _expire(self, command: LocalCommand) -> LocalCommand:
        until = f"its time ended at {second_text(command.expires_at)}"
        sent = (
            f"it was sent, last at {second_text(command.last_sent_at)}, and no answer came"
            if command.last_sent_at
            else "it was never sent"
        )
        expired = self._field.ledger.local_commands.expired(
            command.id, self._field.clock(), f"{until}; {sent}"
        )
        self._field.observe(
            events.CommandExpired(
                device=str(self._device),
                position=command.position,
                detail=expired.detail,
            )
        )
        return expired

    def _unanswered(self, command: LocalCommand) -> LocalCommand:
        times = f"{command.sendings} sendings" if command.sendings > 1 else "one sending"
        detail = f"no answer to {times}; the device may have carried it out"
        self._field.observe(
            events.NoResponse(
                device=str(self._device),
                counter=command.counter,
                waited_s=self._field.timeout_s * SENDINGS,
            )
        )
        return self._field.ledger.local_commands.unanswered(command.id, detail)

    def _take_alert(self, alert: Message) -> None:
        """Keep an alert; what it says is not acted on."""
        field = self._field
        verification, detail = verify_alert(
            alert, certificates=field.certificates, key_changes=field.ledger.key_changes
        )
        verified = verification is Verification.VERIFIED
        self._transcribe("alert", alert.octets, verified=verified)
        payload = alert_payload(alert)
        code = None if payload is None else payload.alert_code
        field.ledger.exchanges.record_alert(
            alert.octets,
            device=self._device,
            alert_code=code,
            verified=verified,
            now=field.clock(),
            detail=detail,
        )
        field.observe(
            events.Alert(
                device=str(self._device),
                message_code=f"{alert.header.message_code:04X}",
                alert_code=None if code is None else f"{code:04X}",
                verified=verified,
            )
        )

    def _tell_stop(self, command: LocalCommand, behind: int) -> None:
        self._field.observe(
            events.DeliveryStopped(
                batch=self._batch.id,
                position=command.position,
                state=command.state.value,
                waiting=behind,
            )
        )

    def _need_person(self, reason: str) -> None:
        self._progress.worsen(RunResult.NEEDS_PERSON, reason)
        self._field.observe(events.PersonNeeded(device=str(self._device), reason=printable(reason)))

    def _finish(self) -> RunResult:
        result, now = self._progress.result, self._field.clock()
        outcome = _OUTCOMES[result]
        local = self._field.ledger.local_commands
        local.finish(self._batch.id, outcome, now, detail=printable(self._progress.detail))
        commands = local.commands(self._batch.id)
        self._field.observe(
            events.DeliveryFinished(
                batch=self._batch.id,
                device=str(self._device),
                result=outcome.value,
                detail=printable(self._progress.detail),
                states=states_of(commands),
                left=sum(each.is_open for each in commands),
            )
        )
        return result

    def _noise(self, reason: str) -> None:
        self._field.observe(events.Noise(device=str(self._device), reason=printable(reason)))

    def _transcribe(self, direction: str, octets: bytes, *, verified: bool) -> None:
        self._field.transcript.record(
            at=self._field.clock(),
            device=self._device,
            direction=direction,
            octets=octets,
            verified=verified,
        )


def _key(command: LocalCommand) -> _Key:
    return command.originator, command.counter, command.message_code
