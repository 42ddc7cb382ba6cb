"""Locks of devices: one holder at a time, in this process or another."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from agent.observed import Observed
from gbcs.entity_identifier import EntityIdentifier
from keyrig.base import events
from keyrig.base.device_locks import holder_of, holding
from keyrig.base.errors import DeviceBusy

if TYPE_CHECKING:
    from pathlib import Path

METER = EntityIdentifier.parse("00-DB-12-34-56-78-90-A0")
HUB = EntityIdentifier.parse("00-DB-12-34-56-78-90-A2")

HOLDS_UNTIL_KILLED = """
import sys
from pathlib import Path
from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.device_locks import holding
with holding(Path(sys.argv[1]), [EntityIdentifier.parse(sys.argv[2])], wait_s=0, holder="other"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_device_that_is_held_is_refused_with_the_operation_that_holds_it(tmp_path: Path) -> None:
    with holding(tmp_path, [METER, HUB], wait_s=0, holder="operation-1"):
        assert holder_of(tmp_path, HUB) == "operation-1"
        with (
            pytest.raises(DeviceBusy, match="operation-1") as refused,
            holding(tmp_path, [HUB], wait_s=0, holder="operation-2"),
        ):
            pytest.fail("held twice")
    assert (refused.value.device, refused.value.holder) == (str(HUB), "operation-1")


def test_other_devices_are_free_and_so_are_these_once_they_are_given_back(tmp_path: Path) -> None:
    with holding(tmp_path, [METER], wait_s=0), holding(tmp_path, [HUB], wait_s=0):
        assert holder_of(tmp_path, METER) == ""
    assert holder_of(tmp_path, METER) is None
    with holding(tmp_path, [METER, HUB], wait_s=0):
        pass


def test_refusal_of_one_device_gives_the_others_back(tmp_path: Path) -> None:
    with holding(tmp_path, [HUB], wait_s=0):
        with pytest.raises(DeviceBusy), holding(tmp_path, [METER, HUB], wait_s=0):
            pytest.fail("held twice")
        assert holder_of(tmp_path, METER) is None
        with holding(tmp_path, [METER], wait_s=0):
            pass


def test_who_waits_is_told_so_once_and_gives_up_in_time(tmp_path: Path) -> None:
    told = Observed()
    with (
        holding(tmp_path, [HUB], wait_s=0),
        pytest.raises(DeviceBusy),
        holding(tmp_path, [HUB], wait_s=0.05, observe=told),
    ):
        pytest.fail("held twice")
    assert told.all == [events.Preparing(what=f"another run holds device {HUB}; waiting")]


def test_lock_of_a_process_that_was_killed_is_free_and_names_nobody(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_UNTIL_KILLED, str(tmp_path), str(METER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert holder_of(tmp_path, METER) == "other"
        with pytest.raises(DeviceBusy, match="other"), holding(tmp_path, [METER], wait_s=0):
            pytest.fail("held twice")
        other.kill()
    assert holder_of(tmp_path, METER) is None
    with holding(tmp_path, [METER], wait_s=0):
        pass
