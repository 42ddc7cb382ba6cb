"""Homes that are served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.serve.serving import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="home")
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    return home


@pytest.fixture(name="served")
def fixture_served(home: Path) -> Iterator[Serving]:
    """The emulated home, served, with a client that may do everything."""
    with serving(home) as found:
        yield found
