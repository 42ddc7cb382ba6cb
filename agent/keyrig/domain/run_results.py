"""How a run or a delivery ends, and what follows of it: one name, one table.

The ledger, the API and every event have the enumeration's values; the exit code and the words of
the report are in the table.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, NamedTuple

from keyrig.base.error_kinds import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping


class RunResult(enum.Enum):
    """How a run or a delivery ended."""

    DONE = "done"
    FAILED = "failed"
    NEEDS_PERSON = "needs-person"
    ERROR = "error"
    INTERRUPTED = "interrupted"
    """Somebody asked it to stop, or the agent ended; what is not done goes on with the next."""

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with."""
        return FOLLOWING[self].exit_code


class Following(NamedTuple):
    """What follows of a result."""

    exit_code: ExitCode
    verdict: str
    """The report's sentence."""


FOLLOWING: Final[Mapping[RunResult, Following]] = {
    RunResult.DONE: Following(ExitCode.DONE, "All that was due is done."),
    RunResult.FAILED: Following(ExitCode.FAILED, "A duty failed, or a device was refused."),
    RunResult.NEEDS_PERSON: Following(ExitCode.NEEDS_PERSON, "A person must act."),
    RunResult.ERROR: Following(ExitCode.UNEXPECTED, "The run ended with an error."),
    RunResult.INTERRUPTED: Following(
        ExitCode.STOPPED,
        "The agent ended before the run did; the next run goes on with it.",
    ),
}


def result_of(code: ExitCode) -> RunResult:
    """Return how what an error cut short has ended, by the exit code that the error has."""
    same = (result for result, follows in FOLLOWING.items() if follows.exit_code is code)
    return next(same, RunResult.ERROR)
