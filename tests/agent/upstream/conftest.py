from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyrig.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("KEYRIG_HOME", str(folder))
    return folder


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    with Ledger(home / "ledger.sqlite") as opened:
        yield opened
