"""Makes ledgers of very many devices, to measure what a ledger costs as it grows.

A few devices are brought through the ledger's own interface into the states that devices are
in; their rows are then copied under other identifiers, earlier by other amounts of time.
Messages, keys and suspensions are left out: no plan reads them.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType, KeyUsage
from keyrig.domain.device_facts import Outcome
from keyrig.domain.known_facts import FactName, KnownFact
from keyrig.domain.smi_status import SMIStatus
from keyrig.duties.plan import plan
from keyrig.duties.rules import Actor, built_in_rules
from keyrig.ledger.ledger import Ledger
from keyrig.run.duty_outcomes import finish_duty
from keyrig.run.outside_facts import learn

if TYPE_CHECKING:
    from pathlib import Path

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
SUPPLIER: Final = EntityIdentifier.parse("90-B3-D5-1F-30-01-00-00")
NETWORK: Final = EntityIdentifier.parse("90-B3-D5-1F-30-02-00-00")
RULES: Final = built_in_rules()
RUN: Final = "1" * 32
_FIRST_COPY: Final = 1 << 24
_PER_ROUND: Final = 10
"""Of so many devices of a type one is new, one half done, one failed; the others are done."""
_TWO_YEARS_S: Final = 2 * 365 * 86_400
_THREE_DAYS_S: Final = 3 * 86_400
_TABLES: Final = (
    ("device_facts", "id"),
    ("planned_devices", None),
    ("open_duties", None),
    ("attempts", "id"),
    ("smi_statuses", "id"),
)
_INSTANTS: Final = {"at", "recorded_at", "due_by", "started_at", "finished_at"}


def generate(path: Path, devices: int) -> None:
    """Make a ledger of `devices` devices at `path`."""
    with Ledger(path) as ledger:
        ledger.runs.start_run(RUN, "generated", NOW)
        originals = _originals(ledger)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        _copy(connection, originals, devices)
    finally:
        connection.close()


def disagreements(path: Path, sample: int) -> int:
    """Count the devices, of a sample, whose open duties are not those that the planner gives."""
    with Ledger(path, create=False) as ledger:
        connection = sqlite3.connect(path)
        total = connection.execute("SELECT count(*) FROM planned_devices").fetchone()[0]
        step = max(1, total // sample)
        rows = connection.execute(
            "SELECT device FROM planned_devices WHERE rowid % ? = 0", (step,)
        ).fetchall()
        wrong = 0
        for (stem,) in rows:
            device = EntityIdentifier.parse(stem)
            made = plan(
                RULES,
                [ledger.open_duties.facts(device, NOW)],
                ledger.facts.ledger_facts([device]),
                NOW,
                frozenset(Actor),
            )
            due = {(d.requirement, d.deadline) for d in made.to_do()}
            held = connection.execute(
                "SELECT requirement, due_by FROM open_duties WHERE device = ?", (stem,)
            )
            wrong += due != {(name, datetime.fromisoformat(by)) for name, by in held}
        connection.close()
    return wrong


def _originals(ledger: Ledger) -> list[tuple[str, int]]:
    """Make one device of each type in each state; give each with how far back it may lie."""
    originals: list[tuple[str, int]] = []
    number = 0
    for device_type in DeviceType:
        for state in ("new", "half", "failed", *["done"] * (_PER_ROUND - 3)):
            number += 1
            if state == "done" and originals and originals[-1][1] == _TWO_YEARS_S:
                originals.append(originals[-1])
                continue
            device = EntityIdentifier.parse(f"00db{number:012x}")
            _bring(ledger, device, device_type, state)
            originals.append((device.stem, _TWO_YEARS_S if state == "done" else _THREE_DAYS_S))
    return originals


def _bring(ledger: Ledger, device: EntityIdentifier, device_type: DeviceType, state: str) -> None:
    begun = NOW - timedelta(days=1)
    # A date, where only the inventory knows of the device.
    commissioned: Any = begun.date() if state == "half" else begun
    said = {
        FactName.DEVICE_TYPE: device_type,
        FactName.COMMISSIONED_AT: commissioned,
        FactName.LEAD_SUPPLIER: SUPPLIER,
        FactName.RESPONSIBLE_SUPPLIERS: (SUPPLIER,),
        FactName.NETWORK_OPERATOR: NETWORK,
    }
    facts = [
        KnownFact(name=name, value=value, source="rig generated", recorded_at=begun)
        for name, value in said.items()
    ]
    ledger.smi_statuses.record(
        device, SMIStatus.COMMISSIONED, at=begun, cause="rig file", now=begun
    )
    learn(ledger, device, facts, begun)
    owed = [r for r in RULES.owed_by(device_type) if device_type not in r.met_on]
    tried = {"new": [], "half": owed[: len(owed) // 2], "failed": owed, "done": owed}[state]
    for minutes, requirement in enumerate(tried, 1):
        outcome = Outcome.FAILED if state == "failed" else Outcome.DONE
        at = begun + timedelta(minutes=minutes)
        if outcome is Outcome.DONE:
            _confirm_keys(ledger, device, at)
        attempt_id = ledger.runs.start_attempt(RUN, device, requirement.id, at)
        finish_duty(
            ledger,
            attempt_id=attempt_id,
            outcome=outcome,
            detail="generated",
            evidence="generated",
            rules=RULES,
            device=ledger.open_duties.facts(device, at),
            now=at,
        )


def _confirm_keys(ledger: Ledger, device: EntityIdentifier, at: datetime) -> None:
    for usage in (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT):
        change = ledger.key_changes.request(device, usage, RUN, at)
        ledger.key_changes.csr_received(change.id, b"generated", at)
        ledger.key_changes.certificate_issued(change.id, b"generated", at)
        ledger.key_changes.storing(change.id, at)
        ledger.key_changes.confirmed(change.id, at)


def _copy(connection: sqlite3.Connection, originals: list[tuple[str, int]], devices: int) -> None:
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    connection.execute("CREATE TEMP TABLE copy (source TEXT, device TEXT, days INTEGER)")
    # Whole days, by which the end of a day stays one; spread by a step prime to their number.
    connection.executemany(
        "INSERT INTO copy VALUES (?, ?, ?)",
        (
            (
                originals[n % len(originals)][0],
                f"00db{_FIRST_COPY + n:012x}",
                (n * 7919) % (originals[n % len(originals)][1] // 86_400),
            )
            for n in range(devices)
        ),
    )
    connection.execute("CREATE INDEX copy_source ON copy (source)")
    for table, key in _TABLES:
        connection.execute(_copying(connection, table, key))
    connection.execute("COMMIT")
    connection.execute("ANALYZE")


def _copying(connection: sqlite3.Connection, table: str, key: str | None) -> str:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    columns = [column for column in columns if column != key]
    values = ", ".join(_copied(table, column) for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT {values} FROM copy "
        f"CROSS JOIN {table} AS t ON t.device = copy.source"
    )


def _copied(table: str, column: str) -> str:
    if column == "device":
        return "copy.device"
    if column == "duty_id":
        return "copy.device || substr(t.duty_id, 17)"
    back = "'-' || copy.days || ' days'"
    if column in _INSTANTS:
        return (
            f"strftime('%Y-%m-%dT%H:%M:%S', substr(t.\"{column}\", 1, 19), {back})"
            f' || substr(t."{column}", 20)'
        )
    if table == "device_facts" and column == "value":
        day = f"strftime('%Y-%m-%d', substr(t.value, 2, 10), {back})"
        return (
            "CASE t.name WHEN 'commissioned_at' "
            f"THEN '\"' || {day} || substr(t.value, 12) ELSE t.value END"
        )
    return f't."{column}"'
