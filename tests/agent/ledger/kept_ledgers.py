"""Ledgers of older versions, as that version's own code wrote them, and what it said of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

KEPT = Path(__file__).with_name("kept")
VERSIONS = (1, 2, 3, 4, 5)


def write_kept_ledger(version: int, path: Path) -> None:
    """Write the kept ledger of a version to a file."""
    path.write_bytes(gzip.decompress((KEPT / f"ledger-v{version}.sqlite.gz").read_bytes()))


def said_of(version: int) -> dict[str, Any]:
    """Return what that version's code read in it."""
    said: dict[str, Any] = json.loads((KEPT / f"ledger-v{version}.json").read_text("utf-8"))
    return said
