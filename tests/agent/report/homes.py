"""Runs of the emulated home through the command line, and the reports of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyrig.base.clock import utc_now
from keyrig.cli import run_cli
from keyrig.config.rig_file import emulated_home_text
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.run_record import gather
from keyrig.report.report_building import compose

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from keyrig.documents.report_document import DevicePart, DutyPart, Report

HUB = "00-DB-12-34-56-78-90-A2"
ESME = "00-DB-12-34-56-78-90-A0"
SWITCH = "00-DB-12-34-56-78-90-A4"


def run_home(
    home: Path, faults: Mapping[str, str] | None = None, *, devices: tuple[str, ...] = ()
) -> int:
    """Run the emulated home, with a fault for some of its devices, and give the exit code."""
    text = emulated_home_text().replace('" }', '", timeout_s = 0.4 }')
    for device, fault in (faults or {}).items():
        marker = f'entity_id = "{device}"\n'
        assert marker in text
        text = text.replace(marker, f'{marker}faults = ["{fault}"]\n')
    rig = home.parent / "rig.toml"
    rig.write_text(text, encoding="utf-8")
    only = [part for device in devices for part in ("--device", device)]
    return run_cli(["run", str(rig), *only, "--json"])


def report_of(home: Path, run: int = 0, *, days_later: float = 0) -> Report:
    """Give the report of a run; the newest is the first."""
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        record = gather(ledger, ledger.runs.runs()[run].id)
    return compose(record, utc_now() + timedelta(days=days_later))


def device_of(report: Report, entity_id: str) -> DevicePart:
    """Give one device of a report."""
    return next(device for device in report.devices if device.entity_id == entity_id)


def duties_of(device: DevicePart) -> dict[str, DutyPart]:
    """Give the duties of a device by requirement."""
    return {duty.requirement: duty for duty in device.duties}
