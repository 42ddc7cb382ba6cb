"""Showing the events of a run as text on a terminal, or as JSON lines for programs."""

from __future__ import annotations

import json
from functools import singledispatchmethod
from typing import IO, TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table

from keyrig.base import events
from keyrig.duties.plan import DutyState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from rich.console import Console
    from rich.status import Status

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.smi_status import Standing
    from keyrig.duties.plan import Duty, Plan

_STATE_STYLES: Final = {
    DutyState.DONE: "green",
    DutyState.EXEMPT: "dim",
    DutyState.VOID: "dim",
    DutyState.NOT_OURS: "dim",
    DutyState.DUE: "yellow",
    DutyState.SCHEDULED: "cyan",
    DutyState.WAITING: "cyan",
    DutyState.FAILED: "red",
    DutyState.AWAITING_COMMISSIONING: "dim",
}


class JSONLines:
    """Writes each event as one JSON object on a line of its own."""

    def __init__(self, stream: IO[str], clock: Callable[[], datetime]) -> None:
        self._stream = stream
        self._clock = clock

    def __call__(self, event: events.Event) -> None:
        """Write one event."""
        line = events.event_line(event.type, self._clock(), event.to_json())
        self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._stream.flush()


class TerminalDisplay:
    """Prints events line by line; on a terminal, also what is being waited for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._waiting = False

    def __call__(self, event: events.Event) -> None:
        """Show one event."""
        self._show(event)

    @singledispatchmethod
    def _show(self, event: events.Event) -> None:
        raise TypeError(f"no words for {event.type}")

    def close(self) -> None:
        """Clear the line that shows what is being waited for."""
        self._wait_for(None)

    def _say(self, text: str, style: str = "") -> None:
        """Print text as it is."""
        self._console.print(
            text, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True
        )

    def _print(self, text: str) -> None:
        """Print text with rich's markup."""
        self._console.print(text, emoji=False, highlight=False, soft_wrap=True)

    def _wait_for(self, text: str | None) -> None:
        if self._status is None:
            if text is None:
                return
            self._status = self._console.status("")
        if text is not None:
            self._status.update(f"[dim]{escape(text)}[/dim]")
        if (text is not None) != self._waiting:
            self._waiting = text is not None
            (self._status.start if self._waiting else self._status.stop)()

    @_show.register
    def _(self, event: events.Preparing) -> None:
        self._say(event.what, "dim")

    @_show.register
    def _(self, event: events.Hosting) -> None:
        self._say(f"{event.device_type:7} {event.device}  {event.framing:4}  {event.url}")

    @_show.register
    def _(self, event: events.Ready) -> None:
        self._say(f"{event.devices} devices hosted; stop with Ctrl-C")

    @_show.register
    def _(self, event: events.RunStarted) -> None:
        self._print(
            f"[bold]{escape(event.rig)}[/bold]  run {event.run[:8]}  ({escape(event.edition)})"
        )
        self._print(
            f"{event.duties} duties due on {event.devices} devices"
            if event.duties
            else "nothing is due"
        )

    @_show.register
    def _(self, event: events.Clock) -> None:
        self._say(f"clock: {event.detail}", "bold yellow")

    @_show.register
    def _(self, event: events.InterruptionFound) -> None:
        self._say(f"going on with {event.duty}, which run {event.run[:8]} left open", "yellow")

    @_show.register
    def _(self, event: events.DeviceStarted) -> None:
        duties = " ".join(event.duties)
        self._print(
            f"\n[bold]{event.device_type}[/bold] {event.device}  on {escape(event.link)}  {duties}"
        )
        self._wait_for(f"opening {event.link}")

    @_show.register
    def _(self, event: events.Receiving) -> None:
        self._say(f"the DCC's answers are received on {event.address}{event.path}", "dim")

    @_show.register
    def _(self, event: events.DocumentRefused) -> None:
        self._say(f"a document was refused: {event.reason}", "yellow")

    @_show.register
    def _(self, event: events.DCCAlert) -> None:
        about = f" about {event.device}" if event.device else ""
        self._say(f"      DCC alert {event.code}{about}: {event.alert}")

    @_show.register
    def _(self, event: events.HostingRadio) -> None:
        self._say(f"radio   {event.radio}  ezsp  {event.url}")

    @_show.register
    def _(self, event: events.Radio) -> None:
        why = f": {event.reason}" if event.reason else ""
        style = "bold yellow" if "lost" in event.state else "dim"
        self._say(f"radio {event.radio}: {event.state}{why}", style)

    @_show.register
    def _(self, event: events.RadioStillLost) -> None:
        self._say(f"radio {event.radio}: still lost: {event.reason}", "yellow")

    @_show.register
    def _(self, event: events.RadioLacksSmartEnergy) -> None:
        self._say(event.why, "bold yellow")

    @_show.register
    def _(self, event: events.RadioStanding) -> None:
        network = f", channel {event.channel}, PAN {event.pan_id}" if event.channel else ""
        why = f" ({event.reason})" if event.reason else ""
        since = f", since {event.since[:19]}Z" if event.since else ""
        self._say(f"radio {event.radio}: {event.state}{why}{since}{network}")
        for device, standing in event.devices.items():
            self._say(f"  {device}: {standing}")

    @_show.register
    def _(self, event: events.Network) -> None:
        firmware = f", firmware {event.version}" if event.version else ""
        network = f"channel {event.channel}, PAN {event.pan_id}{firmware}"
        self._say(f"radio {event.radio}: network on {network}", "dim")

    @_show.register
    def _(self, event: events.Forming) -> None:
        self._say(f"radio {event.radio}: forming a network on channel {event.channel}", "dim")

    @_show.register
    def _(self, event: events.NodeState) -> None:
        self._wait_for(f"{event.device}: {event.state}")

    @_show.register
    def _(self, event: events.Node) -> None:
        style = "yellow" if event.state in {"left", "kept out"} else "dim"
        self._say(f"      {event.device} {event.state}", style)

    @_show.register
    def _(self, event: events.KeysEstablished) -> None:
        self._say(f"      {event.device} keys established", "dim")

    @_show.register
    def _(self, event: events.KeysRefused) -> None:
        self._say(f"      {event.device}: {event.reason}", "yellow")

    @_show.register
    def _(self, event: events.NetworkKey) -> None:
        self._say(f"radio {event.radio}: network key {event.sequence} holds", "dim")

    @_show.register
    def _(self, event: events.WaitingForWake) -> None:
        self._wait_for(f"{event.device} sleeps; waiting up to {event.at_most_s:g} s until it wakes")

    @_show.register
    def _(self, event: events.Fault) -> None:
        self._say(f"      {event.reason}", "red")

    @_show.register
    def _(self, event: events.DutyStarted) -> None:
        self._print(f"  [bold]{event.requirement}[/bold] {event.clause}  {event.step}")

    @_show.register
    def _(self, event: events.CommandSent) -> None:
        counter = "" if event.counter is None else f" counter {event.counter},"
        self._wait_for(f"{event.what}:{counter} waiting up to {event.timeout_s:g} s")

    @_show.register
    def _(self, event: events.ResponseVerified) -> None:
        self._say(f"      {event.what}: {event.octets} octets, verified", "dim")

    @_show.register
    def _(self, event: events.Certifying) -> None:
        self._say(f"      certifying the {event.key_usage} key: {event.authority}", "dim")

    @_show.register
    def _(self, event: events.RequestWaiting) -> None:
        self._say(f"      {event.device} {event.key_usage} request waits: {event.answer}", "cyan")

    @_show.register
    def _(self, event: events.RequestCertified) -> None:
        self._say(f"      {event.device} {event.key_usage} request certified: {event.authority}")

    @_show.register
    def _(self, event: events.DutyNotBegun) -> None:
        why = escape(f"{event.reason}; {event.mend}")
        self._print(f"  [yellow]{event.duty} not begun:[/yellow] {why}")

    @_show.register
    def _(self, event: events.RunRefused) -> None:
        self._print(f"[bold red]nothing was sent:[/bold red] {escape(event.reason)}")

    @_show.register
    def _(self, event: events.NoResponse) -> None:
        counter = "" if event.counter is None else f" to counter {event.counter}"
        self._say(f"      no response{counter} in {event.waited_s:g} s", "yellow")

    @_show.register
    def _(self, event: events.Noise) -> None:
        self._say(f"      set aside: {event.reason}", "yellow")

    @_show.register
    def _(self, event: events.Alert) -> None:
        word = "verified" if event.verified else "[red]does not verify[/red]"
        self._print(f"      alert {event.message_code} {event.alert_code or ''} {word}")

    @_show.register
    def _(self, event: events.SecurityIncident) -> None:
        self._say(f"      security incident: {event.reason}", "bold red")

    @_show.register
    def _(self, event: events.DutyFinished) -> None:
        style = {"done": "green", "failed": "red"}.get(event.outcome, "yellow")
        self._print(
            f"    [{style}]{event.requirement} {event.outcome}[/{style}]: {escape(event.detail)}"
        )

    @_show.register
    def _(self, event: events.Cancellation) -> None:
        self._say(f"  {event.duty}: {event.detail}")

    @_show.register
    def _(self, event: events.ReplacementLapsed) -> None:
        was = f"what was to be carried out at {event.execution_at:%Y-%m-%dT%H:%M:%SZ}"
        self._say(f"{event.device} {event.requirement}: no alert came of {was}; due anew", "yellow")

    @_show.register
    def _(self, event: events.SMIStatus) -> None:
        self._say(f"    SMI Status '{event.status}' under {event.clause}: {event.reason}")

    @_show.register
    def _(self, event: events.Permission) -> None:
        self._say(
            f"    meanwhile the Communications Hub may be replaced under {event.clause}, "
            f"return reason {event.reason}"
        )

    @_show.register
    def _(self, event: events.Notice) -> None:
        self._say(f"    notice to {event.to} under {event.clause}: {event.reason}")

    @_show.register
    def _(self, event: events.Flag) -> None:
        self._say(f"    for a person: {event.flag}: {event.reason}", "yellow")

    @_show.register
    def _(self, event: events.PersonNeeded) -> None:
        self._print(f"  [bold red]a person must act:[/bold red] {escape(event.reason)}")

    @_show.register
    def _(self, event: events.DeviceRefused) -> None:
        self._print(f"  [bold red]left alone:[/bold red] {escape(event.reason)}")

    @_show.register
    def _(self, _event: events.DeviceFinished) -> None:
        self._wait_for(None)

    @_show.register
    def _(self, event: events.UpstreamWaiting) -> None:
        self._wait_for(f"telling {event.upstream}: {event.waiting} events wait")

    @_show.register
    def _(self, event: events.UpstreamStanding) -> None:
        self._wait_for(None)
        if not event.waiting:
            self._say(f"{event.upstream} was told everything", "green")
            return
        several = "1 event" if event.waiting == 1 else f"{event.waiting} events"
        of_these = f", {event.parked} of them parked" if event.parked else ""
        why = f": {event.last_error}" if event.last_error else ""
        self._say(
            f"not yet reported: {event.upstream} was not told {several}"
            f"{of_these}{why}; see `keyrig outbox`",
            "bold yellow",
        )

    @_show.register
    def _(self, event: events.UpstreamTold) -> None:
        self._say(f"{event.upstream} takes events again", "dim")

    @_show.register
    def _(self, event: events.UpstreamSetBack) -> None:
        self._say(f"{event.upstream} cannot be told: {event.reason}", "yellow")

    @_show.register
    def _(
        self,
        event: events.Plan
        | events.RadioFacts
        | events.OperationAccepted
        | events.StopRequested
        | events.OperationFinished,
    ) -> None:
        """Print nothing: the command prints it itself, or the event is for the API's streams."""

    @_show.register
    def _(self, event: events.RunStopped) -> None:
        self._wait_for(None)
        self._say(event.reason, "yellow")

    @_show.register
    def _(self, event: events.RunFinished) -> None:
        self._wait_for(None)
        still = f"; {event.still_due} duties still to be done" if event.still_due else ""
        self._print(f"\n[bold]{event.result.replace('-', ' ')}[/bold]{still}")

    @_show.register
    def _(self, event: events.DeliveryStarted) -> None:
        self._print(
            f"[bold]{event.device}[/bold]  on {escape(event.link)}  batch {event.batch[:8]}"
        )
        several = "commands" if event.commands > 1 else "command"
        self._say(f"{event.commands} {several}, {event.to_send} to be sent")

    @_show.register
    def _(self, event: events.LocalCommand) -> None:
        request = f"  {event.request_id}" if event.request_id else ""
        state = f"  [bold]{event.state}[/bold]" if event.state else ""
        self._print(f"  {event.position}  {escape(event.what)}{state}")
        self._say(f"      {event.originator} counter {event.counter}{request}", "dim")
        about = f"{event.remarks}; may be sent until {event.expires_at:%Y-%m-%dT%H:%MZ}"
        self._say(f"      {about}", "dim")

    @_show.register
    def _(self, event: events.LocalAnswer) -> None:
        self._wait_for(None)
        style = "green" if event.state == "answered" else "bold red"
        why = f": {escape(event.detail)}" if event.detail else ""
        word = event.verification.replace("-", " ")
        what = escape(event.what)
        self._print(f"  {event.position}  {what} [{style}]{event.state}[/{style}], {word}{why}")

    @_show.register
    def _(self, event: events.AnswerWritten) -> None:
        self._say(f"      {event.path}", "dim")

    @_show.register
    def _(self, event: events.CommandExpired) -> None:
        self._print(f"  {event.position}  [yellow]expired: {escape(event.detail)}[/yellow]")

    @_show.register
    def _(self, event: events.DeliveryStopped) -> None:
        behind = f"command {event.position} ({event.state})"
        self._say(f"stopped behind {behind}; {event.waiting} wait; --go-on sends them", "yellow")

    @_show.register
    def _(self, event: events.DeliveryFinished) -> None:
        self._wait_for(None)
        why = f": {escape(event.detail)}" if event.detail else ""
        more = (
            f"; {event.left} may still be sent: keyrig deliver --resume {event.batch[:8]}"
            if event.left
            else ""
        )
        self._print(f"\n[bold]{event.result.replace('-', ' ')}[/bold]{why}{more}")

    @_show.register
    def _(self, event: events.BatchWithdrawn) -> None:
        self._say(f"batch {event.batch[:8]}: {event.commands} commands withdrawn")

    @_show.register
    def _(self, event: events.LocalBatch) -> None:
        told = ", ".join(f"{count} {state}" for state, count in event.states.items())
        taken_in = f"{event.taken_in_at:%Y-%m-%dT%H:%MZ}"
        self._say(f"{event.batch[:8]}  {event.rig}  {event.device}  {taken_in}  {told}")


def plan_table(plan: Plan, statuses: Mapping[EntityIdentifier, Standing], title: str) -> Table:
    """Return the table of devices, duties, deadlines and SMI Status."""
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False)
    for column in ("device", "SMI Status", "duty", "state", "until (UTC)", "why"):
        table.add_column(column, overflow="fold")
    previous: EntityIdentifier | None = None
    for duty in plan.duties:
        first = duty.device != previous
        if first and previous is not None:
            table.add_section()
        previous = duty.device
        table.add_row(
            f"{duty.device_type.value} {duty.device}" if first else "",
            _status(statuses[duty.device]) if first else "",
            f"{duty.requirement} {duty.clause}",
            _state(duty),
            f"{duty.deadline:%Y-%m-%d %H:%M}" if duty.deadline else "",
            escape(duty.reason),
        )
    return table


def _status(standing: Standing) -> str:
    if standing.status is None:
        return "not known"
    suspension, waits = standing.suspension, standing.instruction
    held = f"{standing.status.value} {suspension.clause}" if suspension else standing.status.value
    return f"{held}\nwaits for the inventory" if waits else held


def _state(duty: Duty) -> str:
    style = "bold red" if duty.overdue else _STATE_STYLES[duty.state]
    late = ", overdue" if duty.overdue else ", late" if duty.is_done_late else ""
    return f"[{style}]{duty.state.value}{late}[/{style}]"
