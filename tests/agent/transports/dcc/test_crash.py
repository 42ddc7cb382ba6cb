"""A run that ends without a word at each write around transform, send and response."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from gbcs.roles import KeyUsage
from gbcs.use_cases import MessageCode
from homes.boxed_home import ESME, HCALCS, BoxedHome
from keyrig.base import events
from keyrig.domain.run_results import RunResult
from keyrig.ledger.exchanges import Exchanges
from keyrig.ledger.service_documents import ServiceDocuments
from keyrig.transports.dcc.duis_client import DUISClient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.base.events import CommandSent


class Killed(BaseException):
    """Stands for the end of the process; nothing of the agent's catches it."""


class Points:
    """Counts the points at which a run may end, from a command on, and ends it at one.

    What the receiver keeps is kept before the DCC hears of it, so only the run's thread counts.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, what: str, ends_at: int) -> None:
        self._what = what
        self._left: int | None = None
        self._ends_at = ends_at
        self._thread = threading.current_thread()
        for owner, name in (
            (ServiceDocuments, "record"),
            (ServiceDocuments, "take"),
            (Exchanges, "record_outcome"),
            (DUISClient, "post"),
        ):
            monkeypatch.setattr(owner, name, self._guarded(getattr(owner, name)))

    def _guarded(self, done: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            self._pass()
            result = done(*args, **kwargs)
            self._pass()
            return result

        return guarded

    def _pass(self) -> None:
        if self._left is None or threading.current_thread() is not self._thread:
            return
        if self._left == 0:
            self._left = None
            raise Killed
        self._left -= 1

    def sent(self, event: CommandSent) -> None:
        if self._what in event.what and self._left is None and self._ends_at >= 0:
            self._left, self._ends_at = self._ends_at, -1


# Before Transform, before the signed pre-command is kept, once it is sent, once it is answered.
@pytest.mark.parametrize("point", [0, 4, 7, 12])
def test_certificate_is_stored_once_and_confirmed_whenever_the_run_ends(
    point: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ended_and_gone_on(ESME, "CS02d", point, tmp_path, monkeypatch)
    stored = [
        each
        for each in home.exchanges()
        if each.message_code == MessageCode.UPDATE_DEVICE_CERTIFICATE
    ]
    # One for each key usage; where it is not known whether the first left, CS02e was asked
    # before a second one did.
    asked = {each.counter for each in home.exchanges()}
    assert len(stored) in {2, 3}
    assert len(asked) == len(home.exchanges())
    device = home.emulated[ESME].memory.state
    with home.ledger() as ledger:
        for usage in (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT):
            (known,) = ledger.key_changes.candidates(ESME, usage)
            assert known.certificate == device.certificates[usage]


# Once it is sent, and once the answer is there.
@pytest.mark.parametrize("point", [1, 5])
def test_handover_is_completed_whenever_the_run_ends(
    point: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ended_and_gone_on(HCALCS, "CS02b", point, tmp_path, monkeypatch)
    with home.ledger() as ledger:
        done = [each for each in ledger.runs.attempts_on(HCALCS) if each.outcome is not None]
    assert [each.outcome.value for each in done if each.outcome] == ["interrupted", "done"]


def ended_and_gone_on(
    device: EntityIdentifier,
    what: str,
    point: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> BoxedHome:
    with BoxedHome(tmp_path, monkeypatch, entities=[device], response_timeout_s=2) as home:
        points = Points(monkeypatch, what, point)
        home.when_sent = points.sent
        with pytest.raises(Killed):
            home.run()
        home.running.wait_delivered(0.2)
        assert home.run() is RunResult.DONE
        home.told.all.clear()
        assert home.run() is RunResult.DONE
        assert home.told.of(events.CommandSent) == []
    return home
