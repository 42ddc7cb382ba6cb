"""Key changes on whole runs: a device that goes on with its old key is never stranded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage
from homes.virtual_home import RUN_AT, Home, carry_out
from homes.virtual_lines import Line
from keyrig.base import events
from keyrig.domain.key_changes import KeyChangeState
from keyrig.domain.known_facts import FactName, KnownFact
from keyrig.domain.run_results import RunResult
from keyrig.ledger.ledger import Ledger
from keyrig.run.outside_facts import learn

METER = EntityIdentifier.parse("00db1234567890a0")
USAGES = {"ds": KeyUsage.DIGITAL_SIGNATURE, "ka": KeyUsage.KEY_AGREEMENT}


class Run:
    """One run of the meter alone, and what was told of it."""

    def __init__(
        self, home: Home, number: int, fault: str = "", drop: tuple[int, ...] = ()
    ) -> None:
        self.ended: dict[str, str] = {}
        self.details: dict[str, str] = {}
        self.waited_s = 0.0
        self.responses = 0
        say = Line._say

        def lossy(line: Line, station: Any, message: bytes) -> None:
            self.responses += 1
            if self.responses not in drop:
                say(line, station, message)

        with mock.patch.object(Line, "_say", lossy):
            self.result = carry_out(
                home,
                number=number,
                start=RUN_AT + number * timedelta(hours=1),
                only=[METER],
                faults={METER.stem: fault} if fault else {},
                observe=self._observe,
                accept_clock=True,
            )

    def _observe(self, event: events.Event) -> None:
        match event:
            case events.DutyFinished():
                self.ended[event.requirement] = event.outcome
                self.details[event.requirement] = event.detail
            case events.NoResponse():
                self.waited_s += event.waited_s

    def but(self, outcome: str) -> set[str]:
        return {requirement for requirement, ended in self.ended.items() if ended != outcome}


@pytest.fixture(name="home")
def fixture_home(virtual_home: Home) -> Home:
    return virtual_home


@pytest.mark.parametrize("use", USAGES)
def test_device_that_keeps_its_old_key_owes_on_answers_on_and_changes_when_it_is_honest(
    home: Home, use: str
) -> None:
    usage = USAGES[use]
    with_old = Run(home, 0, f"keeps-old-key={use}")
    assert (with_old.result, with_old.but("done")) == (RunResult.FAILED, {"R37c"})
    assert "goes on with its old key" in with_old.details["R37c"]
    assert {"R37d", "R37e"} <= with_old.ended.keys()
    with Ledger(home.ledger) as ledger:
        (given_up,) = ledger.key_changes.history(METER, usage)
        certain = [each.certain for each in ledger.key_changes.candidates(METER, usage)]
    assert given_up.state is KeyChangeState.ABANDONED
    assert certain == [False, True]
    again = Run(home, 1, f"keeps-old-key={use}")
    assert (again.result, again.but("failed")) == (RunResult.FAILED, set())
    # Nothing but the one exchange that asks for the new key waits for nothing.
    assert again.waited_s <= with_old.waited_s <= 30
    honest = Run(home, 2)
    assert (honest.result, honest.ended, honest.waited_s) == (RunResult.DONE, {"R37c": "done"}, 0)
    with Ledger(home.ledger) as ledger:
        (in_use,) = ledger.key_changes.candidates(METER, usage)
    assert in_use.certain
    assert Run(home, 3).ended == {}


@pytest.mark.parametrize("use", USAGES)
@pytest.mark.parametrize("lost", [(n,) for n in range(8, 14)] + [(n, n + 1) for n in range(8, 14)])
def test_lost_answers_neither_confirm_a_key_that_is_not_used_nor_strand_the_device(
    home: Home, use: str, lost: tuple[int, ...]
) -> None:
    with_old = Run(home, 0, f"keeps-old-key={use}", lost)
    assert "R37c" in with_old.but("done")
    for number in (1, 2):
        # Where the answer that shows it was lost, the next run finds the old key in use.
        found = Run(home, number)
        if found.result is RunResult.DONE:
            break
        assert "goes on with its old key" in found.details["R37c"]
    assert found.result is RunResult.DONE


@pytest.mark.parametrize("lost", [(n, n + 1) for n in range(6, 16)])
def test_device_that_uses_its_new_key_is_not_told_otherwise_for_lost_answers(
    home: Home, lost: tuple[int, ...]
) -> None:
    first = Run(home, 0, "", lost)
    assert not any("old key" in detail for detail in first.details.values())
    second = Run(home, 1)
    assert (second.result, second.but("done")) == (RunResult.DONE, set())


def test_second_change_years_later_begins_with_the_keys_of_the_first(home: Home) -> None:
    assert Run(home, 0).result is RunResult.DONE
    years = 3 * 365 * 24
    at = RUN_AT + timedelta(hours=years)
    with Ledger(home.ledger) as ledger:
        first = [ledger.key_changes.candidates(METER, usage) for usage in USAGES.values()]
        said = KnownFact(
            name=FactName.COMMISSIONED_AT,
            value=at,
            at=at,
            source="a test",
            recorded_at=at,
        )
        learn(ledger, METER, [said], at)
    with_old = Run(home, years + 1, "keeps-old-key=ka")
    assert with_old.ended["R37c"] == "failed"
    honest = Run(home, years + 2)
    assert (honest.result, honest.ended) == (RunResult.DONE, {"R37c": "done"})
    with Ledger(home.ledger) as ledger:
        second = [ledger.key_changes.candidates(METER, usage) for usage in USAGES.values()]
        changes = [len(ledger.key_changes.history(METER, usage)) for usage in USAGES.values()]
    assert [len(each) for each in second] == [1, 1]
    assert not {each[0].certificate for each in first} & {each[0].certificate for each in second}
    assert changes == [2, 3]
