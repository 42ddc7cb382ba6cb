from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from gbcs.entity_identifier import EntityIdentifier
from keyrig.api.server import alone
from keyrig.base.device_locks import holder_of, holding
from keyrig.base.errors import LockUnusable, SettingsError
from keyrig.base.lock_files import open_lock
from keyrig.config.places import make_data_folder, places_of
from keyrig.config.rig_file import load_rig
from keyrig.run.rig_locks import held
from keyrig.upstream.event_publisher import UpstreamLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METER = EntityIdentifier.parse("00db1234567890a0")


def full(*_arguments: Any, **_options: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(name="full_disk")
def fixture_full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda operation: monkeypatch.setattr(os, operation, full)


def test_file_of_a_lock_is_for_its_owner_alone(tmp_path: Path) -> None:
    os.close(open_lock(tmp_path / "locks" / "a.lock"))
    assert (tmp_path / "locks" / "a.lock").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "locks").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("operation", ["mkdir", "open"])
def test_lock_that_the_disk_has_no_room_for_is_named_with_what_to_do(
    tmp_path: Path, full_disk: Callable[[str], None], operation: str
) -> None:
    path = tmp_path / "locks" / "a.lock"
    full_disk(operation)
    with pytest.raises(LockUnusable) as caught:
        open_lock(path)
    assert str(caught.value).startswith(f"{path}: the lock cannot be used: No space left on device")
    assert "make room on the disk" in str(caught.value)


def test_every_lock_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_disk: Callable[[str], None]
) -> None:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path))
    places = places_of(load_rig(None))
    full_disk("open")
    with pytest.raises(LockUnusable), held(places.lock, places):
        pass
    with pytest.raises(LockUnusable), holding(tmp_path, [METER], wait_s=0):
        pass
    with pytest.raises(LockUnusable), alone(tmp_path):
        pass
    with pytest.raises(LockUnusable):
        UpstreamLock(tmp_path / "ledger.sqlite", "office").acquire()


def test_device_whose_holder_cannot_be_written_down_is_not_held(
    tmp_path: Path, full_disk: Callable[[str], None]
) -> None:
    full_disk("pwrite")
    with pytest.raises(LockUnusable), holding(tmp_path, [METER], wait_s=0):
        pytest.fail("it is not held")
    assert holder_of(tmp_path, METER) is None


def test_device_is_given_back_though_its_holder_cannot_be_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, holding(tmp_path, [METER], wait_s=0, holder="one"):
        patched.setattr(os, "ftruncate", full)
    assert holder_of(tmp_path, METER) is None
    with holding(tmp_path, [METER], wait_s=0, holder="two"):
        assert holder_of(tmp_path, METER) == "two"


def test_home_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(SettingsError, match="cannot be made: Not a directory; set KEYRIG_HOME"):
        make_data_folder(tmp_path / "file" / "home")
