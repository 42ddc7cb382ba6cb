from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from keyrig.ledger.ledger import Ledger
from ledger_generator import NOW, disagreements, generate

if TYPE_CHECKING:
    from pathlib import Path


def test_generated_ledger_is_one_that_the_planner_agrees_with(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    generate(path, 120)
    assert disagreements(path, 120) == 0
    with Ledger(path, create=False) as ledger:
        ledger.check()
        assert len(ledger.device_facts.devices()) > 120
        due = ledger.open_duties.next_due(NOW, 50)
    deadlines = [duty.due_by for duty in due if duty.due_by is not None]
    assert len(deadlines) == 50
    assert deadlines == sorted(deadlines)


def test_open_duties_that_do_not_follow_from_the_facts_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    generate(path, 60)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM open_duties WHERE requirement = 'R33a'")
    connection.commit()
    connection.close()
    assert disagreements(path, 60) > 0
