from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyrig.config.places import ledger_path
from keyrig.ledger.ledger import Ledger

from .bench import CertificationBench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="bench")
def fixture_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CertificationBench]:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path))
    with Ledger(ledger_path()) as ledger:
        yield CertificationBench(tmp_path, ledger)
