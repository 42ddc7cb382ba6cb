"""The ledger where the command line looks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="ledger")
def fixture_ledger(home: Path) -> Iterator[Ledger]:
    with Ledger(home / "ledger.sqlite") as opened:
        yield opened
