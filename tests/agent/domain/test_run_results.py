"""The results of a run: one name each, and all that follows of it."""

from __future__ import annotations

from keyrig.base.error_kinds import ExitCode
from keyrig.domain.run_results import FOLLOWING, RunResult, result_of


def test_every_result_has_an_exit_code_and_a_sentence_of_its_own() -> None:
    assert set(FOLLOWING) == set(RunResult)
    assert len({follows.exit_code for follows in FOLLOWING.values()}) == len(RunResult)
    assert len({follows.verdict for follows in FOLLOWING.values()}) == len(RunResult)


def test_exit_codes_are_those_that_programs_know() -> None:
    assert {result.value: int(result.exit_code) for result in RunResult} == {
        "done": 0,
        "error": 1,
        "failed": 3,
        "needs-person": 4,
        "interrupted": 130,
    }


def test_what_an_error_cuts_short_ends_as_the_command_would() -> None:
    assert result_of(ExitCode.FAILED) is RunResult.FAILED
    assert result_of(ExitCode.NEEDS_PERSON) is RunResult.NEEDS_PERSON
    for code in (ExitCode.USAGE, ExitCode.UNEXPECTED, ExitCode.NOT_REPORTED):
        assert result_of(code) is RunResult.ERROR
