"""Guides name commands and pages that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keyrig.cli import COMMANDS

ROOT = Path(__file__).parents[2]
GUIDES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_links_of_a_guide_lead_somewhere(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (guide.parent / link).exists(), link


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_commands_shown_in_a_guide_exist(guide: Path) -> None:
    for block in re.findall(
        r"^```[a-z]*\n(.*?)^```", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        for command in re.findall(r"^\s*(?:\S+/)?keyrig ([a-z][a-z-]*)", block, re.MULTILINE):
            assert command in COMMANDS, command
