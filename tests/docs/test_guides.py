"""Guides name commands, options and pages that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from keyrig.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
GUIDES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_links_of_a_guide_lead_somewhere(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (guide.parent / link).exists(), link


def shown(guide: Path) -> Iterator[list[str]]:
    """Give the words of each keyrig command in a guide's blocks, without remarks."""
    text = guide.read_text(encoding="utf-8")
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^\s*(?:\S+/)?keyrig ([a-z].*)$", block, re.MULTILINE):
            yield re.split(r"\s#|\s\|\s", line)[0].split()


def command_of(words: list[str]) -> click.Command:
    command: click.Command = cli
    context = click.Context(cli)
    for word in words:
        if not isinstance(command, click.Group) or not word[0].isalpha():
            break
        found = command.get_command(context, word)
        if found is None:
            break
        command = found
    return command


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_commands_and_options_shown_in_a_guide_exist(guide: Path) -> None:
    for words in shown(guide):
        command = command_of(words)
        assert command is not cli, words
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        named = {word.strip("[]").split("=")[0] for word in words if re.match(r"\[?--", word)}
        assert named <= known, words
