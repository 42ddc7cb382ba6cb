"""What the server carries out by itself, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent.api.serving import ESME, HUB, RIG, Serving, serving
from gbcs.entity_identifier import EntityIdentifier
from homes.recorded import BY_HAND, BY_TEST
from keyrig.api.schedule import LONGEST_WAIT_S, Schedule
from keyrig.base.device_locks import holding
from keyrig.config.rig_file import emulated_home_text

if TYPE_CHECKING:
    from pathlib import Path

    from keyrig.api.api_service import Service


class Seconds:
    """Seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rig_has_its_turn_once_in_each_interval() -> None:
    schedule = Schedule(60.0)
    turns = [now for now in range(0, 300, 10) if schedule.has_turn("a", float(now))]
    assert turns == [0, 60, 120, 180, 240]
    assert schedule.has_turn("b", 250.0)


def test_without_an_interval_no_rig_ever_has() -> None:
    schedule = Schedule(None)
    schedule.ended("a", "failed", 0.0)
    assert not any(schedule.has_turn("a", 1e9 * number) for number in range(5))


def test_rig_on_which_nothing_comes_to_an_end_waits_longer_each_time_and_never_for_ever() -> None:
    schedule, now, waits = Schedule(60.0), 0.0, []
    assert schedule.has_turn("a", now)
    for _ in range(10):
        schedule.ended("a", "needs-person", now)
        began = now
        while not schedule.has_turn("a", now):
            now += 30.0
        waits.append(now - began)
    assert waits == sorted(waits)
    assert waits[:3] == [120.0, 240.0, 480.0]
    assert waits[-1] == LONGEST_WAIT_S
    schedule.ended("a", "done", now)
    assert schedule.has_turn("a", now + 60.0)


def tick(schedule: Schedule, service: Service) -> None:
    schedule.tick(service.rigs, service.operations, now=service.clock(), now_s=service.seconds())


def runs_of(served: Serving) -> list[tuple[str | None, str]]:
    runs = served.client.get("/api/v1/runs").json()["runs"]
    return [(run["requested_by"], run["state"]) for run in runs]


def test_what_is_due_is_carried_out_once_with_the_same_bookkeeping(home: Path) -> None:
    seconds = Seconds()
    with serving(home, seconds=seconds, run_due_every_s=3600) as served:
        schedule, service = served.service.schedule, served.service
        schedule.tick(
            service.rigs, service.operations, now=service.clock(), now_s=service.seconds()
        )
        run_id = served.client.get("/api/v1/runs").json()["runs"][0]["operation_id"]
        schedule.tick(
            service.rigs, service.operations, now=service.clock(), now_s=service.seconds()
        )
        assert served.events(run_id)[0]["requested_by"] == "schedule"
        assert runs_of(served) == [("schedule", "done")]
        seconds.now += 3600
        schedule.tick(
            service.rigs, service.operations, now=service.clock(), now_s=service.seconds()
        )
        assert runs_of(served) == [("schedule", "done")]
        (only,) = served.client.get("/api/v1/runs").json()["runs"]
        assert served.client.get(f"/api/v1/runs/{only['operation_id']}").json()["has_report"]


def test_authority_that_said_later_is_asked_again_and_a_person_is_not(
    home: Path, tmp_path: Path
) -> None:
    later = 'by = "command"\ncommand = ["/bin/sh", "-c", "[ $1 = probe ] || exit 75", "sh"]'
    for certification, further in ((later, 1), (BY_HAND, 0)):
        seconds, rig = Seconds(), tmp_path / "rig.toml"
        rig.write_text(emulated_home_text().replace(BY_TEST, certification), encoding="utf-8")
        with serving(home, rigs=[rig], seconds=seconds, run_due_every_s=10) as served:
            schedule, service = served.service.schedule, served.service
            before = len(runs_of(served))
            if not before:
                served.finished(served.start_run())
                before = len(runs_of(served))
            states = {
                duty["state"]
                for device in served.client.get(f"/api/v1/rigs/{RIG}/devices").json()["devices"]
                for duty in device["duties"]
            }
            assert states == {"done", "exempt", "waiting"}
            seconds.now += LONGEST_WAIT_S
            schedule.tick(
                service.rigs, service.operations, now=service.clock(), now_s=service.seconds()
            )
            assert len(runs_of(served)) == before + further
            newest = served.client.get("/api/v1/runs").json()["runs"][0]
            assert served.finished(newest["operation_id"])["state"] == "needs-person"


def test_rig_that_is_in_use_or_broken_is_passed_over(home: Path, tmp_path: Path) -> None:
    broken, good = tmp_path / "broken.toml", tmp_path / "good.toml"
    broken.write_text("[rig", encoding="utf-8")
    good.write_text(emulated_home_text(), encoding="utf-8")
    seconds = Seconds()
    with serving(home, rigs=[broken, good], seconds=seconds, run_due_every_s=10) as served:
        schedule, service = served.service.schedule, served.service
        with (
            holding(home, [EntityIdentifier.parse(ESME)], wait_s=0),
            capture_logs() as logs,
        ):
            schedule.tick(
                service.rigs, service.operations, now=service.clock(), now_s=service.seconds()
            )
        assert [each["rig"] for each in logs] == ["broken", RIG]
        assert runs_of(served) == []
        run_id = served.start_run(devices=[HUB])
        seconds.now += 10
        schedule.tick(
            service.rigs, service.operations, now=service.clock(), now_s=service.seconds()
        )
        served.finished(run_id)
        assert len(runs_of(served)) <= 2


@pytest.mark.parametrize(
    ("certification", "runs"),
    [('by = "by-hand"', 1), ('by = "command"\ncommand = ["sh", "-c", "LATER", "sh"]', 2)],
)
def test_program_is_asked_again_for_what_waits_and_a_person_brings_it(
    home: Path, tmp_path: Path, certification: str, runs: int
) -> None:
    later = "test $1 = probe || exit 75"
    text = emulated_home_text().replace('by = "test"', certification.replace("LATER", later))
    rig = tmp_path / "waiting.toml"
    rig.write_text(text, encoding="utf-8")
    seconds = Seconds()
    with serving(home, rigs=[rig], seconds=seconds, run_due_every_s=10) as served:
        schedule, service = served.service.schedule, served.service
        for _ in range(2):
            before = len(runs_of(served))
            schedule.tick(
                service.rigs, service.operations, now=service.clock(), now_s=service.seconds()
            )
            began = served.client.get("/api/v1/runs").json()["runs"]
            if len(began) > before:
                events = served.events(began[0]["operation_id"])
            seconds.now += LONGEST_WAIT_S
        assert len(runs_of(served)) == runs
        # What is asked again is asked without a visit.
        visited = [event for event in events if event["type"] == "device-started"]
        assert bool(visited) == (runs == 1)
