"""Showing a run as it goes: to people on a terminal, or to programs as JSON lines."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final

from rich.markup import escape
from rich.table import Table

from keyrig.base.observing import EVENT_SCHEMA
from keyrig.duties.plan import DutyState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from rich.console import Console
    from rich.status import Status

    from gbcs.entity import EntityIdentifier
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

    def __call__(self, event_type: str, /, **fields: Any) -> None:
        """See `keyrig.base.observing.Observer`."""
        event = {
            "schema": EVENT_SCHEMA,
            "type": event_type,
            "at": self._clock().isoformat(),
            **fields,
        }
        self._stream.write(json.dumps(event, ensure_ascii=False) + "\n")
        self._stream.flush()


class TerminalDisplay:
    """Prints what is done, line by line; on a terminal, also what is being waited for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._waiting = False

    def __call__(self, event_type: str, /, **fields: Any) -> None:
        """See `keyrig.base.observing.Observer`."""
        show = getattr(self, "_on_" + event_type.replace("-", "_"), None)
        if show is not None:
            show(**fields)

    def close(self) -> None:
        """Take the line of what is waited for away."""
        self._wait_for(None)

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

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

    def _on_preparing(self, what: str, **_: Any) -> None:
        self._print(f"[dim]{escape(what)}[/dim]")

    def _on_hosting(self, device: str, device_type: str, url: str, framing: str, **_: Any) -> None:
        self._print(f"{device_type:7} {device}  {framing:4}  {escape(url)}")

    def _on_ready(self, devices: int, **_: Any) -> None:
        self._print(f"{devices} devices hosted; stop with Ctrl-C")

    def _on_run_started(
        self, run: str, rig: str, edition: str, duties: int, devices: int, **_: Any
    ) -> None:
        self._print(f"[bold]{escape(rig)}[/bold]  run {run[:8]}  ({escape(edition)})")
        self._print(f"{duties} duties due on {devices} devices" if duties else "nothing is due")

    def _on_clock(self, detail: str, **_: Any) -> None:
        self._print(f"[bold yellow]clock: {escape(detail)}[/bold yellow]")

    def _on_interruption_found(self, duty: str, run: str, **_: Any) -> None:
        self._print(f"[yellow]going on with {duty}, which run {run[:8]} left open[/yellow]")

    def _on_device_started(
        self, device: str, device_type: str, link: str, duties: list[str], **_: Any
    ) -> None:
        self._print(f"\n[bold]{device_type}[/bold] {device}  on {escape(link)}  {' '.join(duties)}")
        self._wait_for(f"opening {link}")

    def _on_receiving(self, address: str, path: str, **_: Any) -> None:
        self._print(f"[dim]the DCC's answers are received on {escape(address)}{escape(path)}[/dim]")

    def _on_document_refused(self, reason: str, **_: Any) -> None:
        self._print(f"[yellow]a document was refused: {escape(reason)}[/yellow]")

    def _on_dcc_alert(self, alert: str, code: str, device: str | None, **_: Any) -> None:
        about = f" about {device}" if device else ""
        self._print(f"      DCC alert {escape(code)}{about}: {escape(alert)}")

    def _on_hosting_radio(self, radio: str, url: str, **_: Any) -> None:
        self._print(f"radio   {escape(radio)}  ezsp  {escape(url)}")

    def _on_radio(self, radio: str, state: str, reason: str, **_: Any) -> None:
        why = f": {escape(reason)}" if reason else ""
        style = "bold yellow" if "lost" in state else "dim"
        self._print(f"[{style}]radio {escape(radio)}: {state}{why}[/{style}]")

    def _on_radio_still_lost(self, radio: str, reason: str, **_: Any) -> None:
        self._print(f"[yellow]radio {escape(radio)}: still lost: {escape(reason)}[/yellow]")

    def _on_radio_lacks_smart_energy(self, why: str, **_: Any) -> None:
        self._print(f"[bold yellow]{escape(why)}[/bold yellow]")

    def _on_radio_standing(
        self, radio: str, state: str, since: str = "", reason: str = "", **more: Any
    ) -> None:
        network = f", channel {more['channel']}, PAN {more['pan_id']}" if "channel" in more else ""
        why = f" ({escape(reason)})" if reason else ""
        self._print(f"radio {escape(radio)}: {state}{why}, since {since[:19]}Z{network}")
        for device, standing in more.get("devices", {}).items():
            self._print(f"  {escape(device)}: {escape(standing)}")

    def _on_network(self, radio: str, channel: int, pan_id: str, version: str, **_: Any) -> None:
        text = f"radio {radio}: network on channel {channel}, PAN {pan_id}, firmware {version}"
        self._print(f"[dim]{escape(text)}[/dim]")

    def _on_forming(self, radio: str, channel: int, **_: Any) -> None:
        self._print(f"[dim]radio {escape(radio)}: forming a network on channel {channel}[/dim]")

    def _on_node_state(self, device: str, state: str, **_: Any) -> None:
        self._wait_for(f"{device}: {state}")

    def _on_node(self, device: str, state: str, **_: Any) -> None:
        style = "yellow" if state in {"left", "kept out"} else "dim"
        self._print(f"      [{style}]{escape(device)} {state}[/{style}]")

    def _on_keys_established(self, device: str, **_: Any) -> None:
        self._print(f"      [dim]{escape(device)} keys established[/dim]")

    def _on_keys_refused(self, device: str, reason: str, **_: Any) -> None:
        self._print(f"      [yellow]{escape(device)}: {escape(reason)}[/yellow]")

    def _on_network_key(self, radio: str, sequence: int, **_: Any) -> None:
        self._print(f"[dim]radio {escape(radio)}: network key {sequence} holds[/dim]")

    def _on_waiting_for_wake(self, device: str, at_most_s: float, **_: Any) -> None:
        self._wait_for(f"{device} sleeps; waiting up to {at_most_s:g} s until it wakes")

    def _on_fault(self, reason: str, **_: Any) -> None:
        self._print(f"      [red]{escape(reason)}[/red]")

    def _on_duty_started(self, requirement: str, clause: str, step: str, **_: Any) -> None:
        self._print(f"  [bold]{requirement}[/bold] {clause}  {step}")

    def _on_command_sent(self, what: str, counter: int, timeout_s: float, **_: Any) -> None:
        self._wait_for(f"{what}: counter {counter}, waiting up to {timeout_s:g} s")

    def _on_response_verified(self, what: str, octets: int, **_: Any) -> None:
        self._print(f"      [dim]{escape(what)}: {octets} octets, verified[/dim]")

    def _on_certifying(self, key_usage: str, authority: str, **_: Any) -> None:
        self._print(f"      [dim]certifying the {key_usage} key: {escape(authority)}[/dim]")

    def _on_request_waiting(self, device: str, key_usage: str, answer: str, **_: Any) -> None:
        self._print(f"      [cyan]{device} {key_usage} request waits: {escape(answer)}[/cyan]")

    def _on_request_certified(self, device: str, key_usage: str, authority: str, **_: Any) -> None:
        self._print(f"      {device} {key_usage} request certified: {escape(authority)}")

    def _on_duty_not_begun(self, duty: str, reason: str, mend: str, **_: Any) -> None:
        self._print(f"  [yellow]{duty} not begun:[/yellow] {escape(reason)}; {escape(mend)}")

    def _on_run_refused(self, reason: str, **_: Any) -> None:
        self._print(f"[bold red]nothing was sent:[/bold red] {escape(reason)}")

    def _on_no_response(self, counter: int, waited_s: float, **_: Any) -> None:
        self._print(f"      [yellow]no response to counter {counter} in {waited_s:g} s[/yellow]")

    def _on_noise(self, reason: str, **_: Any) -> None:
        self._print(f"      [yellow]set aside: {escape(reason)}[/yellow]")

    def _on_alert(
        self, message_code: str, alert_code: str | None, *, verified: bool, **_: Any
    ) -> None:
        word = "verified" if verified else "[red]does not verify[/red]"
        self._print(f"      alert {message_code} {alert_code or ''} {word}")

    def _on_security_incident(self, reason: str, **_: Any) -> None:
        self._print(f"      [bold red]security incident: {escape(reason)}[/bold red]")

    def _on_duty_finished(self, requirement: str, outcome: str, detail: str, **_: Any) -> None:
        style = {"done": "green", "failed": "red"}.get(outcome, "yellow")
        self._print(f"    [{style}]{requirement} {outcome}[/{style}]: {escape(detail)}")

    def _on_cancellation(self, duty: str, detail: str, **_: Any) -> None:
        self._print(f"  {escape(duty)}: {escape(detail)}")

    def _on_replacement_lapsed(
        self, device: str, requirement: str, execution_at: str, **_: Any
    ) -> None:
        self._print(
            f"[yellow]{device} {requirement}: no alert came of what was to be carried out at "
            f"{execution_at}; due anew[/yellow]"
        )

    def _on_smi_status(self, status: str, clause: str, reason: str, **_: Any) -> None:
        self._print(f"    SMI Status '{status}' under {clause}: {escape(reason)}")

    def _on_permission(self, clause: str, reason: str, **_: Any) -> None:
        self._print(
            f"    meanwhile the Communications Hub may be replaced under {clause}, "
            f"return reason {escape(reason)}"
        )

    def _on_notice(self, to: str, clause: str, reason: str, **_: Any) -> None:
        self._print(f"    notice to {to} under {clause}: {escape(reason)}")

    def _on_flag(self, flag: str, reason: str, **_: Any) -> None:
        self._print(f"    [yellow]for a person: {escape(flag)}: {escape(reason)}[/yellow]")

    def _on_person_needed(self, reason: str, **_: Any) -> None:
        self._print(f"  [bold red]a person must act:[/bold red] {escape(reason)}")

    def _on_device_refused(self, reason: str, **_: Any) -> None:
        self._print(f"  [bold red]left alone:[/bold red] {escape(reason)}")

    def _on_device_finished(self, **_: Any) -> None:
        self._wait_for(None)

    def _on_upstream_waiting(self, upstream: str, waiting: int, **_: Any) -> None:
        self._wait_for(f"telling {upstream}: {waiting} events wait")

    def _on_upstream_standing(
        self, upstream: str, waiting: int, parked: int, last_error: str | None, **_: Any
    ) -> None:
        self._wait_for(None)
        if not waiting:
            self._print(f"[green]{escape(upstream)} was told everything[/green]")
            return
        events = "1 event" if waiting == 1 else f"{waiting} events"
        of_these = f", {parked} of them parked" if parked else ""
        why = f": {escape(last_error)}" if last_error else ""
        self._print(
            f"[bold yellow]not yet reported: {escape(upstream)} was not told {events}"
            f"{of_these}{why}; see `keyrig outbox`[/bold yellow]"
        )

    def _on_run_finished(self, result: str, still_due: int, **_: Any) -> None:
        self._wait_for(None)
        still = f"; {still_due} duties still to be done" if still_due else ""
        self._print(f"\n[bold]{result.replace('-', ' ')}[/bold]{still}")

    def _on_delivery_started(
        self, batch: str, device: str, link: str, commands: int, to_send: int, **_: Any
    ) -> None:
        self._print(f"[bold]{device}[/bold]  on {escape(link)}  batch {batch[:8]}")
        several = "commands" if commands > 1 else "command"
        self._print(f"{commands} {several}, {to_send} to be sent")

    def _on_local_command(
        self, position: int, what: str, originator: str, counter: int, remarks: str, **more: Any
    ) -> None:
        request = f"  {more['request_id']}" if more.get("request_id") else ""
        state = f"  [bold]{more['state']}[/bold]" if "state" in more else ""
        self._print(f"  {position}  {escape(what)}{state}")
        self._print(f"      [dim]{originator} counter {counter}{request}[/dim]")
        about = f"{remarks}; may be sent until {more['expires_at'][:16]}Z"
        self._print(f"      [dim]{escape(about)}[/dim]")

    def _on_local_answer(
        self, position: int, what: str, state: str, verification: str, detail: str, **_: Any
    ) -> None:
        self._wait_for(None)
        style = "green" if state == "answered" else "bold red"
        why = f": {escape(detail)}" if detail else ""
        word = verification.replace("-", " ")
        self._print(f"  {position}  {escape(what)} [{style}]{state}[/{style}], {word}{why}")

    def _on_answer_written(self, path: str, **_: Any) -> None:
        self._print(f"      [dim]{escape(path)}[/dim]")

    def _on_command_expired(self, position: int, detail: str, **_: Any) -> None:
        self._print(f"  {position}  [yellow]expired: {escape(detail)}[/yellow]")

    def _on_delivery_stopped(self, position: int, state: str, waiting: int, **_: Any) -> None:
        self._print(
            f"[yellow]stopped behind command {position} ({state}); {waiting} wait; "
            "--go-on sends them[/yellow]"
        )

    def _on_delivery_finished(
        self, batch: str, result: str, detail: str, left: int, **_: Any
    ) -> None:
        self._wait_for(None)
        why = f": {escape(detail)}" if detail else ""
        more = f"; {left} may still be sent: keyrig deliver --resume {batch[:8]}" if left else ""
        self._print(f"\n[bold]{result.replace('-', ' ')}[/bold]{why}{more}")

    def _on_batch_withdrawn(self, batch: str, commands: int, **_: Any) -> None:
        self._print(f"batch {batch[:8]}: {commands} commands withdrawn")

    def _on_local_batch(
        self, batch: str, rig: str, device: str, taken_in_at: str, states: dict[str, int], **_: Any
    ) -> None:
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        self._print(f"{batch[:8]}  {escape(rig)}  {device}  {taken_in_at[:16]}Z  {told}")


def plan_table(plan: Plan, statuses: Mapping[EntityIdentifier, Standing], title: str) -> Table:
    """Make the table of devices, duties, deadlines and SMI Status."""
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
