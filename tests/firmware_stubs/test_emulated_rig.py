from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from gbcs.roles import KeyUsage
from keyrig.config.rig_file import load_rig
from keyrig.keys.lab_pki import initialise
from keyrig.keys.store_opening import open_keystore
from keyrig_emulation import emulated_rig
from keyrig_emulation.commissioning_mark import commissioned_at
from keyrig_emulation.emulated_rig import EmulatedDevices
from meterstub.device_memory import DeviceMemory, FileStorage

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
USAGES = (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)


class Killed(BaseException):
    """Stands for the end of the process, which nothing catches."""


def killed(*_: object) -> None:
    raise Killed


@pytest.fixture(name="devices")
def fixture_devices(tmp_path: Path) -> EmulatedDevices:
    store = initialise(tmp_path / "pki", NOON, os.urandom)
    return EmulatedDevices(
        load_rig(None),
        directory=tmp_path / "emulated",
        store=store,
        clock=lambda: NOON,
        observe=lambda *_, **__: None,
    )


def kept_as_used(tmp_path: Path) -> bool:
    """Say whether each device's certificates, and no others of it, are in the key store."""
    store = open_keystore(tmp_path / "pki")
    for path in (tmp_path / "emulated").glob("*.json"):
        state = DeviceMemory(FileStorage(path)).state
        for usage in USAGES:
            kept = [
                each.der
                for each in store.certificates()
                if each.entity_id == state.entity_id and each.key_usage == usage
            ]
            if kept != [state.certificates[usage]]:
                return False
    return True


def test_device_whose_making_was_interrupted_has_no_other_certificates_kept(
    devices: EmulatedDevices, tmp_path: Path
) -> None:
    with mock.patch.object(DeviceMemory, "create", killed), pytest.raises(Killed):
        devices.make()
    devices.make()
    assert len(list((tmp_path / "emulated").glob("*.json"))) == 6
    assert kept_as_used(tmp_path)


def test_device_whose_certificates_were_not_kept_yet_has_them_kept(
    devices: EmulatedDevices, tmp_path: Path
) -> None:
    with mock.patch.object(emulated_rig, "add_certificate", killed), pytest.raises(Killed):
        devices.make()
    assert not kept_as_used(tmp_path)
    devices.make()
    assert kept_as_used(tmp_path)


def test_moment_of_commissioning_is_there_whole_or_not_at_all(
    devices: EmulatedDevices, tmp_path: Path
) -> None:
    directory = tmp_path / "emulated"
    with mock.patch("pathlib.Path.replace", killed), pytest.raises(Killed):
        devices.make()
    assert commissioned_at(directory) is None
    devices.make()
    assert commissioned_at(directory) == NOON
