"""Runs over the API: started, watched, taken up again, stopped, and reported."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from agent.api.serving import ESME, HUB, RIG, Serving, events_of, serving
from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.device_locks import holding
from keyrig.cli import run_cli
from keyrig.evidence.evidence_check import check
from keyrig.evidence.evidence_file import read_evidence
from keyrig.ledger.operation_record import Operation, OperationEvent
from patience import HANG_S

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_home_is_carried_out_watched_and_reported(served: Serving) -> None:
    answer = served.client.post("/api/v1/runs", json={"rig": RIG})
    run_id = answer.json()["operation_id"]
    assert (answer.status_code, answer.headers["location"]) == (202, f"/api/v1/runs/{run_id}")
    events = served.events(run_id)
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[-1]["type"]) == ("operation-accepted", "operation-finished")
    assert events[-1]["result"] == "done"
    finished = [event for event in events if event["type"] == "duty-finished"]
    assert {event["outcome"] for event in finished} == {"done"}
    run = served.client.get(f"/api/v1/runs/{run_id}").json()
    assert (run["state"], run["requested_by"], run["stoppable"]) == ("done", "all", False)
    assert len(run["duties"]) == len(finished) == 19
    plan = served.client.get(f"/api/v1/rigs/{RIG}/plan").json()
    assert plan["devices"] == []
    whole = served.client.get(f"/api/v1/rigs/{RIG}/plan", params={"duties": "all"}).json()
    assert sum(len(device["duties"]) for device in whole["devices"]) > 19
    for form, start in (("html", b"<!DOCTYPE html>"), ("json", b"{"), ("junit", b"<?xml")):
        report = served.client.get(f"/api/v1/runs/{run_id}/report", params={"format": form})
        assert report.content.startswith(start)
        assert "attachment" in report.headers["content-disposition"]
    evidence = served.client.get(f"/api/v1/runs/{run_id}/evidence")
    verdict = check(read_evidence(evidence.content, "over HTTP"), None)
    assert verdict.holds
    assert verdict.file.key == evidence.headers["x-evidence-key"]


def test_events_go_on_after_the_last_that_was_seen(served: Serving) -> None:
    run_id = served.start_run(devices=[HUB])
    events = served.events(run_id)
    path = f"/api/v1/runs/{run_id}/events"
    assert served.events(run_id, after=5) == events[5:]
    seen = {"Last-Event-ID": str(len(events) - 2)}
    with served.client.stream("GET", path, headers=seen, params={"after": 1}) as response:
        assert list(events_of(response.iter_lines())) == events[-2:]
    seen = {"Last-Event-ID": str(len(events))}
    assert served.client.get(path, headers=seen).status_code == 204


def test_stream_of_one_who_is_ahead_of_the_run_ends_with_it(served: Serving) -> None:
    run_id = served.start_run(devices=[HUB])
    assert served.events(run_id, after=1_000_000) == []
    assert served.client.get(f"/api/v1/runs/{run_id}").json()["state"] == "done"


def test_events_are_kept_when_the_server_starts_again(home: Path) -> None:
    with serving(home) as served:
        run_id = served.start_run(devices=[HUB])
        events = served.events(run_id)
    with serving(home) as served:
        assert served.events(run_id) == events
        assert served.events(run_id, after=7) == events[7:]


def test_operation_that_a_killed_server_left_open_is_closed_by_the_next(home: Path) -> None:
    run_id = "0" * 31 + "1"
    with serving(home) as served:
        now = served.service.clock()
        operation = Operation(
            id=run_id, rig_name=RIG, requested_by="someone", requested_at=now, request={}
        )
        served.service.ledgers.writing.operations.start(operation)
        event = OperationEvent(number=1, type="operation-accepted", at=now, body={})
        served.service.ledgers.writing.operations.record(run_id, [event])
    with serving(home) as served:
        events = served.events(run_id, after=1)
        assert [(each["number"], each["type"]) for each in events] == [(2, "operation-finished")]
        assert served.client.get(f"/api/v1/runs/{run_id}").json()["state"] == "interrupted"


def test_problem_that_another_version_recorded_is_told_as_far_as_it_goes(served: Serving) -> None:
    run_id, now = "0" * 31 + "2", served.service.clock()
    ledger = served.service.ledgers.writing
    ledger.operations.start(
        Operation(id=run_id, rig_name=RIG, requested_by="someone", requested_at=now, request={})
    )
    ledger.operations.finish(run_id, "error", now, {"title": "t", "detail": "d", "more": 1})
    run = served.client.get(f"/api/v1/runs/{run_id}").json()
    assert (run["problem"]["title"], run["problem"]["detail"]) == ("t", "d")
    assert run["problem"]["code"] == "unknown"
    assert served.client.get("/api/v1/runs").json()["runs"][0]["request"]["cancel"] is False


def test_second_run_of_a_device_is_refused_with_the_operation_that_holds_it(
    home: Path, served: Serving
) -> None:
    held = EntityIdentifier.parse(ESME)
    with holding(home, [held], wait_s=0, holder="a" * 32):
        refused = served.client.post("/api/v1/runs", json={"rig": RIG, "devices": [ESME]})
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (409, "device-busy")
        assert problem["operation_id"] == "a" * 32
        other = served.start_run(devices=[HUB])
        assert served.finished(other)["state"] == "done"
        devices = served.client.get(f"/api/v1/rigs/{RIG}/devices").json()["devices"]
        assert {d["entity_id"]: d["held_by"] for d in devices}[ESME] == "a" * 32
    assert served.finished(served.start_run(devices=[ESME]))["state"] == "done"


def watch_until(served: Serving, run_id: str, wanted: str) -> dict[str, Any]:
    with served.client.stream("GET", f"/api/v1/runs/{run_id}/events") as response:
        return next(event for event in events_of(response.iter_lines()) if event["type"] == wanted)


def test_run_is_stopped_and_the_next_one_goes_on(served: Serving) -> None:
    run_id = served.start_run()
    watch_until(served, run_id, "duty-started")
    answer = served.client.post(f"/api/v1/runs/{run_id}/stop")
    assert answer.status_code == 202
    run = served.finished(run_id)
    assert run["state"] == "interrupted"
    assert all(duty["outcome"] for duty in run["duties"])
    again = served.client.post(f"/api/v1/runs/{run_id}/stop")
    assert (again.status_code, again.json()["code"]) == (409, "not-running")
    assert served.finished(served.start_run())["state"] == "done"
    assert served.client.get(f"/api/v1/rigs/{RIG}/plan").json()["devices"] == []


def test_server_that_ends_stops_its_runs_and_ends_streams(home: Path) -> None:
    with serving(home) as served:
        run_id = served.start_run()
        events: list[dict[str, Any]] = []
        reader = threading.Thread(target=lambda: events.extend(served.events(run_id)))
        watch_until(served, run_id, "run-started")
        reader.start()
        served.server.should_exit = True
        served.thread.join(HANG_S)
        assert not served.thread.is_alive()
        reader.join(HANG_S)
    assert events[-1]["type"] == "operation-finished"
    assert events[-1]["result"] in {"interrupted", "done"}
    with serving(home) as served:
        assert served.finished(run_id)["state"] in {"interrupted", "done"}
        assert served.finished(served.start_run())["state"] == "done"


def test_stream_says_that_it_lives_while_nothing_happens(home: Path) -> None:
    with serving(home, heartbeat_s=0.05) as served:
        operation = Operation(
            id="b" * 32,
            rig_name=RIG,
            requested_by="someone",
            requested_at=served.service.clock(),
            request={},
        )
        served.service.ledgers.writing.operations.start(operation)
        with served.client.stream("GET", f"/api/v1/runs/{'b' * 32}/events") as response:
            lines = response.iter_lines()
            beats = [line for line in (next(lines) for _ in range(8)) if line == ": heartbeat"]
    assert len(beats) >= 2


def test_runs_of_the_command_line_stand_in_the_list_and_have_no_events(
    home: Path, served: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", "--device", HUB, "--json"]) == 0
    capsys.readouterr()
    mine = served.start_run(devices=[ESME])
    served.finished(mine)
    first = served.client.get("/api/v1/runs", params={"limit": 1}).json()
    assert [run["operation_id"] for run in first["runs"]] == [mine]
    rest = served.client.get("/api/v1/runs", params={"before": first["next"]}).json()
    assert rest["next"] is None
    (other,) = rest["runs"]
    assert (other["state"], other["requested_by"]) == ("done", None)
    events = served.client.get(f"/api/v1/runs/{other['operation_id']}/events")
    assert (events.status_code, events.json()["code"]) == (409, "events-not-kept")
    assert home.is_dir()
