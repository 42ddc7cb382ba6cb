from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import upstream_bench
from keyrig.config.settings import NDJSONUpstream
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.outbox import event_identifier

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_measured_is_every_event_told_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    upstream_bench.fill(path, 2500, 7)
    marks = upstream_bench.drain(path, NDJSONUpstream(kind="ndjson", path="e.ndjson"), tmp_path)
    assert [told for _, told in marks] == [0, 1000, 2000, 2500]
    assert len((tmp_path / "e.ndjson").read_bytes().splitlines()) == 2500
    with Ledger(path) as ledger:
        for event in ledger.outbox.all()[:20]:
            assert event.id == event_identifier(event.type, event.device, event.at, event.body)


def test_rate_is_taken_of_each_third_alone() -> None:
    marks = [(0.0, 0), (1.0, 100), (3.0, 200), (7.0, 300)]
    assert upstream_bench.rate(marks) == pytest.approx(300 / 7)
    assert upstream_bench.thirds(marks) == (100.0, 50.0, 25.0)
