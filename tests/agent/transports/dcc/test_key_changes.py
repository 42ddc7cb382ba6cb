"""Key changes through the DCC, which goes by the new certificate once a device has stored it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gbcs.roles import KeyUsage
from homes.boxed_home import ESME, BoxedHome
from keyrig.base import events
from keyrig.domain.key_changes import KeyChangeState
from keyrig.run.bench import RunResult

if TYPE_CHECKING:
    from pathlib import Path

USAGES = {"ds": KeyUsage.DIGITAL_SIGNATURE, "ka": KeyUsage.KEY_AGREEMENT}


@pytest.mark.parametrize("use", USAGES)
def test_key_that_the_dcc_hears_nothing_under_is_not_confirmed_and_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME], response_timeout_s=1) as home:
        home.emulated[ESME].faults.inject(f"keeps-old-key={use}")
        assert home.run() is RunResult.FAILED
        ended = {each.requirement: each.outcome for each in home.told.of(events.DutyFinished)}
        assert ended["R37c"] == "failed"
        with home.ledger() as ledger:
            (change,) = ledger.key_changes.history(ESME, USAGES[use])
            candidates = ledger.key_changes.candidates(ESME, USAGES[use])
        assert change.state is KeyChangeState.STORED
        assert [each.certificate == change.certificate for each in candidates] == [True, False]
