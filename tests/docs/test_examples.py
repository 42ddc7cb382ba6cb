"""Every example is read as what it is, so that nobody copies a mistake."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from keyrig.config.places import places_of
from keyrig.config.rig_file import load_rig
from keyrig.config.settings import load_settings
from keyrig.run.outlook import outlook_of

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
SETTINGS: Final = sorted(EXAMPLES.glob("settings-*.toml"))
RIGS: Final = sorted(set(EXAMPLES.glob("*.toml")) - set(SETTINGS))
NOW: Final = datetime(2026, 11, 30, tzinfo=UTC)


def test_there_are_examples_of_both_kinds() -> None:
    assert len(RIGS) >= 10
    assert len(SETTINGS) >= 2


@pytest.mark.parametrize("path", RIGS, ids=lambda path: path.stem)
def test_example_of_a_rig_is_read_and_something_is_due_on_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path / "nothing-yet"))
    rig = load_rig(path)
    assert not rig.has_emulated_devices
    plan = outlook_of(places_of(rig), now=NOW).plan
    due = {duty.device for duty in plan.to_do()}
    assert due
    assert due <= {device.entity_id for device in rig.device}


def test_names_of_rigs_differ() -> None:
    names = [load_rig(path).name for path in RIGS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_example_of_settings_is_read(path: Path) -> None:
    settings = load_settings({"KEYRIG_SETTINGS": str(path)})
    assert settings.upstream


def test_list_of_examples_names_each_once() -> None:
    listed = re.findall(r"\]\(([\w.-]+\.toml)\)", (EXAMPLES / "README.md").read_text("utf-8"))
    assert sorted(listed) == sorted(path.name for path in EXAMPLES.glob("*.toml"))
