"""A second statement of H5.33 to H5.40, naive on purpose: one plain sentence after the other.

It is written from the table of requirements and shares nothing with what it is compared to,
neither code nor names of values: words are words, and a device is a bag of what happened to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

DAY = timedelta(hours=24)

# requirement, who owes it, on which devices
OWED = [
    ("R33a", "dcc", ["CHF"]),
    ("R33b", "dcc", ["CHF"]),
    ("R33c", "dcc", ["CHF"]),
    ("R37a", "lead-supplier", ["ESME", "GSME", "GPF"]),
    ("R37b", "lead-supplier", ["ESME", "GSME", "GPF"]),
    ("R37c", "lead-supplier", ["ESME", "GSME", "GPF"]),
    ("R37d", "lead-supplier", ["ESME", "GSME", "GPF"]),
    ("R37e", "lead-supplier", ["ESME", "GSME", "GPF"]),
    ("R40", "lead-supplier", ["HCALCS", "PPMID"]),
]
SUSPENDS = {
    "R33a": "H5.34(a)",
    "R33b": "H5.34(a)",
    "R33c": "H5.34(a)",
    "R37c": "H5.38(a)",
    "R37d": "H5.38(a)",
    "R37e": "H5.38(a)",
}


@dataclass
class Reading:
    """How the five ambiguities are read."""

    gas_proxy_owes_37d: bool = True
    days_run_for_other_type_1: bool = True
    other_type_1_days: int = 14
    attempt_fails: bool = True
    deadline_fails: bool = False
    calendar_days: bool = False
    date_until_end_of_day: bool = True


@dataclass
class Try:
    requirement: str
    started: datetime
    ended: datetime | None = None
    outcome: str | None = None


@dataclass
class ModelDevice:
    """One device, and everything that happened to it."""

    kind: str
    commissioned: datetime | date | None = None
    replaced: bool = False
    decommissioned: bool = False
    dcc_replaced_one: bool = False
    recovery_seen_by: str | None = None
    lead: str | None = None
    lead_to_come: list[tuple[datetime, str]] = field(default_factory=list)
    responsible: list[str] = field(default_factory=list)
    tries: list[Try] = field(default_factory=list)
    keys_stored: dict[str, datetime | None] = field(default_factory=dict)
    status: str | None = None
    status_since: datetime | None = None
    suspended_under: str | None = None
    status_before: str | None = None
    failed_steps: set[str] = field(default_factory=set)
    notices: list[tuple[str, str, str]] = field(default_factory=list)
    flags: set[tuple[str, str, str]] = field(default_factory=set)

    # ------------------------------------------------------------ what is owed

    def requirements(self) -> list[str]:
        return [name for name, _, kinds in OWED if self.kind in kinds]

    def began(self) -> datetime | None:
        if self.commissioned is None or isinstance(self.commissioned, datetime):
            return self.commissioned
        return datetime.combine(self.commissioned, time(0), UTC)

    def days(self, name: str, reading: Reading) -> int | None:
        if name != "R40":
            return 7
        return reading.other_type_1_days if reading.days_run_for_other_type_1 else None

    def deadline(self, name: str, reading: Reading) -> datetime | None:
        days = self.days(name, reading)
        if self.commissioned is None or days is None:
            return None
        if isinstance(self.commissioned, datetime) and not reading.calendar_days:
            return self.commissioned + days * DAY
        if not isinstance(self.commissioned, datetime) and not reading.date_until_end_of_day:
            return datetime.combine(self.commissioned, time(0), UTC) + days * DAY
        last = self.commissioned + timedelta(days=days)
        return datetime(last.year, last.month, last.day, 23, 59, 59, 999999, tzinfo=UTC)

    def counting_tries(self, name: str) -> list[Try]:
        began = self.began()
        if began is None:
            return []
        return [t for t in self.tries if t.requirement == name and t.started >= began]

    def exempt(self, name: str, reading: Reading) -> bool:
        if name == "R37a" and self.kind == "GSME":
            return True  # a gas meter has no network party's cells
        if name == "R37d" and self.kind == "GPF" and not reading.gas_proxy_owes_37d:
            return True
        if name in ("R33b", "R37d") and self.dcc_replaced_one:
            return True
        if name == "R33c" and self.recovery_seen_by == "dcc":
            return True
        if name == "R37e" and self.recovery_seen_by is not None:
            return self.recovery_seen_by == self.lead
        return False

    def state(self, name: str, reading: Reading, now: datetime) -> str:
        tries = self.counting_tries(name)
        if any(t.outcome == "done" for t in tries):
            return "done"
        if self.replaced or self.decommissioned:
            return "void"
        if self.exempt(name, reading):
            return "exempt"
        began = self.began()
        if began is None or began > now:
            return "awaiting-commissioning"
        if any(t.outcome == "failed" for t in tries):
            return "failed"
        return "due"

    def open(self, reading: Reading, now: datetime) -> set[str]:
        return {n for n in self.requirements() if self.state(n, reading, now) in ("due", "failed")}

    def late(self, name: str, reading: Reading, now: datetime) -> bool:
        deadline = self.deadline(name, reading)
        still = self.state(name, reading, now) in ("due", "failed")
        return deadline is not None and still and now > deadline

    def cut_short_last(self, name: str) -> bool:
        """An agent that died, or a rig that gave way, is nothing that the device failed at."""
        tries = self.counting_tries(name)
        return bool(tries) and tries[-1].outcome == "interrupted"

    def keys_done(self) -> bool:
        began = self.began()
        stored = [self.keys_stored.get("signing"), self.keys_stored.get("agreeing")]
        return all(at is not None and (began is None or at >= began) for at in stored)

    # ------------------------------------------------------------ what follows

    def try_failed(self, name: str, reading: Reading, now: datetime) -> None:
        deadline = self.deadline(name, reading)
        past = deadline is not None and now > deadline
        if reading.attempt_fails or past:
            self.step_fails(name, now)

    def step_fails(self, name: str, now: datetime) -> None:
        if self.replaced or self.decommissioned or self.status == "Decommissioned":
            return
        if name not in SUSPENDS:
            return
        if self.suspended_under is not None:
            self.failed_steps.add(name)
            return
        key = str(self.status_since or now)
        if self.status == "Suspended":
            self.flags.add(("suspended-for-another-reason", name, key))
            return
        if self.status is None:
            self.flags.add(("status-before-unknown", name, key))
        self.suspended_under = SUSPENDS[name]
        self.status_before = self.status
        self.failed_steps = {name}
        self.status, self.status_since = "Suspended", now
        self.tell(name, key, "H5.34(a)")

    def step_succeeds(self, name: str, now: datetime) -> None:
        if self.replaced or self.decommissioned or self.status == "Decommissioned":
            return
        if self.suspended_under is None or name not in self.failed_steps:
            return
        self.failed_steps.discard(name)
        if self.failed_steps:
            return
        key = str(self.status_since or now)
        if self.status_before is None:
            self.flags.add(("status-before-unknown", name + " done", key))
            return
        self.suspended_under = None
        self.status, self.status_since, self.status_before = self.status_before, now, None
        self.tell(name, key, "H5.34(c)")

    def tell(self, name: str, key: str, step: str) -> None:
        if self.kind != "CHF":
            return
        if not self.responsible:
            self.flags.add(("no-responsible-supplier", f"{name} {step}", key))
        for supplier in dict.fromkeys(self.responsible):
            self.notices.append((supplier, "H5.35", step))

    def status_set_elsewhere(self, status: str, now: datetime) -> None:
        if status == self.status:
            return
        if self.suspended_under is not None and status != "Decommissioned":
            self.flags.add(("barred-status-change", status, str(now)))
        self.suspended_under, self.status_before, self.failed_steps = None, None, set()
        self.status, self.status_since = status, now
        if status == "Decommissioned":
            self.decommissioned = True

    def hub_may_be_replaced(self) -> str | None:
        if self.status != "Suspended":
            return None
        if self.kind == "CHF" and self.suspended_under == "H5.34(a)":
            return "H5.36"
        if self.kind == "GPF" and self.suspended_under == "H5.38(a)":
            return "H5.39"
        return None
