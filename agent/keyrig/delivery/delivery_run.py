"""Delivering a batch: each command in its order, in the ledger before it leaves and after.

The line, alerts, transcript and result are as for every run (`keyrig.session.line_exchange`,
`keyrig.run.bench`). A delivery's own rules are these:

1. Commands leave in the order of the batch. Behind one that was not carried out, the rest waits
   or goes on, as the batch's rule says.
2. A command leaves as the octets that it came in, however often; from its first sending its
   answer is awaited, also by a later command's wait and by a later delivery.
3. After its expiry it is not sent any more.
4. An answer is matched by whose command it answers, counter and use case, recorded once, and
   judged by public certificates alone: verified, not verifiable here, or false. What is false is
   an incident; it is given back all the same, since the DCC verifies by itself.
5. What cannot be returned is not sent: who returns each answer is known before the line opens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from duis.document_headers import RequestIdentifier
from gbcs.message import Message
from gbcs.printable import printable
from gbcs.protocol_errors import LocalProtocolError
from gbcs.use_cases import use_case_name
from keyrig.base import events
from keyrig.base.clock import second_text
from keyrig.base.errors import LinkError, LinkTimeout, RigError
from keyrig.delivery.delivered_answers import judge, verify_alert
from keyrig.delivery.device_certificates import learn_before_sending, learn_from_answer
from keyrig.delivery.returned_answers import write_answer
from keyrig.documents.delivery_document import described_command, states_of
from keyrig.domain.states import BatchRule, Verification
from keyrig.run.bench import Tally
from keyrig.session.conversation import SENDINGS
from keyrig.session.device_messages import DeviceRecord
from keyrig.session.line_exchange import LineExchange
from keyrig.session.session_context import Surroundings

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.message import Header
    from keyrig.delivery.delivered_answers import Judgement
    from keyrig.delivery.public_certificates import PublicCertificates
    from keyrig.delivery.returned_answers import Returning
    from keyrig.domain.run_results import RunResult
    from keyrig.ledger.local_commands import LocalBatch, LocalCommand
    from keyrig.session.link import Link

_Key: TypeAlias = "tuple[EntityIdentifier, int, int]"
"""What an answer is matched by: whose command, its counter, its use case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field(Surroundings):
    """Everything that a delivery needs, apart from its batch; no private key is among it.

    Args:
        link: The line to the device, not open.
        timeout_s: How long one sending of a command is waited for, in seconds.
        certificates: The public certificates that are here.
        returning: Who returns answers, and where they are written.
    """

    link: Link
    timeout_s: float
    certificates: PublicCertificates
    returning: Returning


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
        self._tally = Tally()
        self._is_open = False
        self._awaited: dict[_Key, LocalCommand] = {}
        self._record = DeviceRecord(batch.device, field)
        self._line = LineExchange(
            field.link, self._record, timeout_s=field.timeout_s, take_alert=self._take_alert
        )

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
                self._tally.stopped = f"stopped: {who}"
                return
            settled = self._settle(command)
            self._judge(settled)
            if not settled.was_carried_out and self._batch.rule is BatchRule.STOP:
                behind = sum(each.is_open for each in commands[index + 1 :])
                if behind:
                    self._tell_stop(settled, behind)
                return
        if self._is_open:
            for answer in self._line.unasked(0, self._is_awaited):
                if answer is not None:
                    self._take_answer(answer)

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
            self._tally.needs_person.append(reason)
        elif not command.was_carried_out:
            self._tally.failed.append(reason)

    def _deliver(self, command: LocalCommand) -> LocalCommand:
        request = Message.parse(command.octets)
        for _ in range(SENDINGS):
            if self._field.clock() >= command.expires_at:
                return self._expire(command)
            if not self._is_open:
                self._field.link.open()
                self._is_open = True
            command = self._record_sending(command, request)
            try:
                self._send(command)
            except LinkTimeout:
                continue
            except LocalProtocolError as error:
                return self._unsendable(command, error)
            for answer in self._line.answers(self._is_awaited):
                answered = self._take_answer(answer)
                if answered.id == command.id:
                    return answered
        return self._unanswered(command)

    def _record_sending(self, command: LocalCommand, request: Message) -> LocalCommand:
        """Record that the command may leave, before it does."""
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
        return command

    def _send(self, command: LocalCommand) -> None:
        told = events.CommandSent(
            device=str(self._device),
            what=use_case_name(command.message_code),
            counter=command.counter,
            octets=len(command.octets),
            timeout_s=self._field.timeout_s,
            position=command.position,
            sending=command.sendings,
        )
        self._line.send(command.octets, told)

    def _unsendable(self, command: LocalCommand, error: LocalProtocolError) -> LocalCommand:
        detail = f"the link does not take it: {error}"
        self._need_person(f"command {command.position}: {detail}")
        if command.sendings == 1:
            return self._field.ledger.local_commands.unsent(command.id, detail)
        return self._field.ledger.local_commands.unanswered(command.id, detail)

    def _is_awaited(self, header: Header) -> bool:
        return _answered(header) in self._awaited

    def _take_answer(self, answer: Message) -> LocalCommand:
        """Record an awaited answer with all that it entails, and return its command."""
        field, command = self._field, self._awaited.pop(_answered(answer.header))
        request = Message.parse(command.octets)
        judgement = judge(request, answer, certificates=field.certificates, record=self._record)
        command = self._record_answer(command, request, answer, judgement)
        is_verified = judgement.verification is Verification.VERIFIED
        self._record.transcribe("response", answer.octets, verified=is_verified)
        if judgement.verification is Verification.FAILED:
            self._record.tell_incident(judgement.detail, position=command.position)
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
                about = {"batch": self._batch.id, "command": command.position}
                self._record.queue_incident(about, judgement.detail, now)
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
        self._record.tell_unanswered(command.counter, self._field.timeout_s * SENDINGS)
        return self._field.ledger.local_commands.unanswered(command.id, detail)

    def _take_alert(self, alert: Message) -> None:
        """Keep an alert; what it says is not acted on."""
        verification, detail = verify_alert(
            alert, certificates=self._field.certificates, record=self._record
        )
        is_verified = verification is Verification.VERIFIED
        self._record.keep_alert(alert, why_not=None if is_verified else detail)

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
        self._tally.needs_person.append(reason)
        self._field.observe(events.PersonNeeded(device=str(self._device), reason=printable(reason)))

    def _finish(self) -> RunResult:
        result, detail = self._tally.result, printable(self._tally.reason)
        local = self._field.ledger.local_commands
        local.finish(self._batch.id, result, self._field.clock(), detail=detail)
        commands = local.commands(self._batch.id)
        self._field.observe(
            events.DeliveryFinished(
                batch=self._batch.id,
                device=str(self._device),
                result=result.value,
                detail=detail,
                states=states_of(commands),
                left=sum(each.is_open for each in commands),
            )
        )
        return result


def _key(command: LocalCommand) -> _Key:
    return command.originator, command.counter, command.message_code


def _answered(header: Header) -> _Key:
    return header.recipient, header.originator_counter, header.message_code
