"""Events on a terminal: each has words, or is silent on purpose."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.status import Status

from agent.made_events import AT, AT_TEXT, every_event
from keyrig.base import events
from keyrig.cli.terminal_display import JSONLines, TerminalDisplay

SILENT = {
    events.Plan: "the command prints its table",
    events.RadioFacts: "the command prints them",
    events.DeviceFinished: "it ends what is waited for",
    events.OperationAccepted: "only in the API's streams",
    events.StopRequested: "only in the API's streams",
    events.OperationFinished: "only in the API's streams",
}
MARKED = "[red]x[/red] :bell: [/]"
WAITED_FOR = {
    events.NodeState,
    events.WaitingForWake,
    events.CommandSent,
    events.UpstreamWaiting,
}
"""What a terminal shows only while it lasts."""


class Shown:
    """What a display prints, and what it says that it waits for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.out = io.StringIO()
        self.waits: list[str] = []
        self.display = TerminalDisplay(Console(file=self.out, width=400))
        monkeypatch.setattr(Status, "update", lambda _, text: self.waits.append(text))

    def of(self, event: events.Event) -> str:
        self.display(event)
        self.display.close()
        return self.out.getvalue()


@pytest.mark.parametrize(
    "event", every_event() + every_event(bare=True), ids=lambda event: event.type
)
def test_every_event_is_shown_waited_for_or_silent_on_purpose(
    event: events.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(monkeypatch)
    text = shown.of(event)
    kind = type(event)
    assert bool(text) == (kind not in SILENT.keys() | WAITED_FOR)
    assert bool(shown.waits) == (kind in WAITED_FOR | {events.DeviceStarted})
    assert "None" not in text + "".join(shown.waits)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (events.RunStopped(run="r", reason="stopped by SIGINT"), "stopped by SIGINT\n"),
        (
            events.UpstreamSetBack(upstream="head-office", reason="503"),
            "head-office cannot be told: 503\n",
        ),
        (events.UpstreamTold(upstream="head-office"), "head-office takes events again\n"),
        (
            events.NoResponse(device="00-DB", counter=None, waited_s=20),
            "      no response in 20 s\n",
        ),
        (
            events.NoResponse(device="00-DB", counter=7, waited_s=20),
            "      no response to counter 7 in 20 s\n",
        ),
    ],
)
def test_words(event: events.Event, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Shown(monkeypatch).of(event) == text


@pytest.mark.parametrize(
    "event",
    [
        events.Noise(reason=MARKED),
        events.PersonNeeded(device="00-DB", reason=MARKED),
        events.Fault(link="hub", reason=MARKED),
        events.CommandExpired(device="00-DB", position=1, detail=MARKED),
    ],
    ids=lambda event: event.type,
)
def test_text_from_outside_is_printed_as_it_is(
    event: events.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MARKED in Shown(monkeypatch).of(event)


def test_json_line_is_the_event_in_its_envelope() -> None:
    out = io.StringIO()
    JSONLines(out, lambda: AT)(events.Preparing(what="ä"))
    assert json.loads(out.getvalue()) == {
        "schema": 1,
        "type": "preparing",
        "at": AT_TEXT,
        "what": "ä",
    }
    assert out.getvalue().count("\n") == 1
