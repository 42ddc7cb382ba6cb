"""Reports of the runs of a home, and their parts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyrig.base.clock import utc_now
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.run_record import gather
from keyrig.report.report_building import compose

if TYPE_CHECKING:
    from homes.virtual_home import Home
    from keyrig.documents.report_document import DevicePart, DutyPart, Report


def report_of(home: Home, run: int = 0, *, days_later: float = 0) -> Report:
    """Return the report of a run; the newest is the first."""
    with Ledger(home.ledger, create=False) as ledger:
        record = gather(ledger, ledger.runs.runs()[run].id)
    return compose(record, utc_now() + timedelta(days=days_later))


def device_of(report: Report, entity_id: str) -> DevicePart:
    """Return one device of a report."""
    return next(device for device in report.devices if device.entity_id == entity_id)


def duties_of(device: DevicePart) -> dict[str, DutyPart]:
    """Return the duties of a device by requirement."""
    return {duty.requirement: duty for duty in device.duties}
