"""Folders, ledgers and served homes that many tests of the agent begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.api.serving import Serving, serving
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Recorded


@pytest.fixture(name="home")
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that KEYRIG_HOME names."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    return home


@pytest.fixture(name="served")
def fixture_served(home: Path) -> Iterator[Serving]:
    """The emulated home, served, with a client that may do everything."""
    with serving(home) as found:
        yield found


@pytest.fixture(name="served_hub")
def fixture_served_hub(recorded: Recorded) -> Iterator[Serving]:
    """A home whose hub is done, served."""
    with serving(recorded("hub done").agent) as found:
        yield found


@pytest.fixture(name="path")
def fixture_path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger.db"


@pytest.fixture(name="ledger")
def fixture_ledger(path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger(path) as opened:
        yield opened
