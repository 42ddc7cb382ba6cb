"""Programs that stand in a guide, taken out of it to be run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

GUIDE: Final = Path(__file__).parents[2] / "docs" / "certification.md"


def program(name: str, folder: Path) -> Path:
    """Write a program of the guide, which names itself in its second line, to a folder."""
    text = GUIDE.read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```sh\n(#!/bin/sh\n# {name}:.*?)^```", text, re.MULTILINE | re.DOTALL)
    path = folder / name
    path.write_text(block, encoding="utf-8")
    path.chmod(0o755)
    return path
