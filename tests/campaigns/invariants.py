"""What must hold of a home after an interruption, and after the run that follows it.

Written against what is on the disk alone: the ledger is read with plain SQL, the devices'
memories as JSON, messages by the places of their fields; nothing of the agent is used.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import tempfile
from collections import Counter, defaultdict
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from homes.virtual_home import Home
    from homes.virtual_lines import Passed

DUTIES: Final = {
    "00db1234567890a2": ("R33a", "R33b", "R33c"),
    "00db1234567890a3": ("R37a", "R37b", "R37c", "R37d", "R37e"),
    "00db1234567890a0": ("R37a", "R37b", "R37c", "R37d", "R37e"),
    "00db1234567890a1": ("R37b", "R37c", "R37d", "R37e"),
    "00db1234567890a4": ("R40",),
    "00db1234567890a5": ("R40",),
}
"""What is owed on each device of the emulated home. Source: SEC H5.33, H5.37 and H5.40."""
HUB: Final = "00db1234567890a2"
RESPONSIBLE_SUPPLIERS: Final = ("90b3d51f30010000", "90b3d51f30030000")
SUSPENDING: Final = frozenset({"R33a", "R33b", "R33c", "R37c", "R37d", "R37e"})
"""The duties whose failure suspends the device. Source: SEC H5.34(a) and H5.38(a)."""
RE_GENERATED: Final = frozenset(d for d, owed in DUTIES.items() if {"R33a", "R37c"} & {*owed})
USAGES: Final = {"digitalSignature": 1, "keyAgreement": 16}
"""The device memory's names of key usages with the ledger's numbers."""

_COMMAND: Final = re.compile(rb"\xdf\x09\x01(.{8})\x08(.{8})\x08(.{8})", re.DOTALL)
"""Tag, transaction id of a command, originator and recipient. Source: GBCS 7.2.7."""


def command_fields(octets: bytes) -> tuple[str, int]:
    """Give originator and originator counter of a command."""
    found = _COMMAND.search(octets)
    assert found is not None, octets.hex()
    return found[2].hex(), int.from_bytes(found[1])


def broken_after_interruption(home: Home, passed: list[Passed]) -> list[str]:
    """Give what is broken already before the next run."""
    faults = _counters_on_the_wire(passed)
    if not home.ledger.exists():
        return faults + ["commands without a ledger" for p in passed if p.what == "command"]
    with tempfile.TemporaryDirectory(dir=home.directory) as aside:
        # Looking at the ledger itself would mend it before the agent does.
        for path in home.agent.glob("ledger.sqlite*"):
            shutil.copy(path, aside)
        with closing(sqlite3.connect(Path(aside) / home.ledger.name)) as ledger:
            return faults + _broken_in_between(home, ledger, passed)


def _broken_in_between(home: Home, ledger: sqlite3.Connection, passed: list[Passed]) -> list[str]:
    if not ledger.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return ["commands without a ledger" for p in passed if p.what == "command"]
    faults = _commands_recorded(ledger, passed)
    for device in DUTIES:
        memory = read_memory(home.devices, device)
        if memory is not None:
            faults += _held_certificates(home, ledger, device, memory)
    return faults + _told(ledger)


def broken_after_recovery(
    home: Home, passed: list[Passed], only: frozenset[str] = frozenset(DUTIES)
) -> list[str]:
    """Give what is broken once a run has said that all is done."""
    faults = _counters_on_the_wire(passed)
    with closing(sqlite3.connect(home.ledger)) as ledger:
        faults += _commands_recorded(ledger, passed)
        faults += _file_sound(ledger)
        faults += _counters_in_the_ledger(ledger)
        faults += _outcomes(ledger, only)
        faults += _told(ledger)
        for device in sorted(only):
            memory = read_memory(home.devices, device)
            assert memory is not None
            faults += _held_certificates(home, ledger, device, memory)
            faults += _keys_in_use(ledger, device, memory)
            faults += _statuses(ledger, device)
    return faults


def read_memory(directory: Path, device: str) -> dict[str, Any] | None:
    """Give what a device remembers; None where it was never made."""
    paths = list(directory.rglob(f"{device}.json"))
    if not paths:
        return None
    body: dict[str, Any] = json.loads(paths[0].read_bytes())["device"]
    return body


def _counters_on_the_wire(passed: list[Passed]) -> list[str]:
    """No counter repeats or goes back; the same octets in the same run are no repetition."""
    faults = []
    greatest: dict[str, int] = {}
    first: dict[tuple[str, int], tuple[int, bytes]] = {}
    for each in passed:
        if each.what != "command":
            continue
        originator, counter = command_fields(each.octets)
        known = first.setdefault((originator, counter), (each.run, each.octets))
        if known != (each.run, each.octets):
            faults.append(f"counter {counter} of {originator} was used for two messages")
        if known[1] is each.octets:
            if counter <= greatest.get(originator, 0):
                faults.append(f"counter {counter} of {originator} goes back")
            greatest[originator] = counter
    return faults


def _commands_recorded(ledger: sqlite3.Connection, passed: list[Passed]) -> list[str]:
    """Every command that left is in the ledger; every counter in it was reserved."""
    rows = ledger.execute("SELECT command FROM exchanges").fetchall()
    recorded = {bytes(row[0]) for row in rows}
    reserved = dict(ledger.execute("SELECT originator, counter FROM originator_counters"))
    faults = []
    for each in passed:
        if each.what != "command":
            continue
        originator, counter = command_fields(each.octets)
        if each.octets not in recorded:
            faults.append(f"command {counter} of {originator} left without a record")
        if reserved.get(originator, -1) < counter:
            faults.append(f"command {counter} of {originator} left without a reservation")
    return faults


def _file_sound(ledger: sqlite3.Connection) -> list[str]:
    said = [row[0] for row in ledger.execute("PRAGMA integrity_check")]
    faults = [] if said == ["ok"] else [f"the ledger is damaged: {said}"]
    if ledger.execute("PRAGMA foreign_key_check").fetchall():
        faults.append("rows of the ledger refer to what is not there")
    return faults


def _counters_in_the_ledger(ledger: sqlite3.Connection) -> list[str]:
    faults = []
    greatest: dict[str, int] = {}
    for originator, counter in ledger.execute(
        "SELECT originator, counter FROM exchanges ORDER BY id"
    ):
        if counter <= greatest.get(originator, 0):
            faults.append(f"exchange with counter {counter} of {originator} goes back")
        greatest[originator] = counter
    return faults


def _outcomes(ledger: sqlite3.Connection, only: frozenset[str]) -> list[str]:
    """Each duty is done by exactly one attempt; nothing is left open."""
    done = Counter(
        ledger.execute("SELECT device, requirement FROM attempts WHERE outcome = 'done'")
    )
    owed = {(device, requirement) for device in only for requirement in DUTIES[device]}
    faults = [f"duty {duty} is not done" for duty in sorted(owed - done.keys())]
    faults += [f"duty {duty} was done though not owed" for duty in sorted(done.keys() - owed)]
    faults += [f"duty {duty} was done {n} times" for duty, n in done.items() if n > 1]
    for table in ("runs", "attempts", "exchanges"):
        (left,) = ledger.execute(f"SELECT count(*) FROM {table} WHERE outcome IS NULL").fetchone()
        if left:
            faults.append(f"{left} {table} without an outcome")
    (left,) = ledger.execute("SELECT count(*) FROM open_duties").fetchone()
    if left:
        faults.append(f"{left} duties still count as open")
    return faults


def _told(ledger: sqlite3.Connection) -> list[str]:
    """Each outcome and each change of status is told exactly once, each notice once."""
    events: dict[str, list[tuple[str, str, dict[str, Any]]]] = defaultdict(list)
    for kind, device, at, body in ledger.execute("SELECT type, device, at, body FROM events"):
        events[kind].append((device, at, json.loads(body)))
    faults = []
    told = Counter((e["attempt"], e["outcome"]) for _, _, e in events["duty-outcome"])
    finished = Counter(
        ledger.execute("SELECT id, outcome FROM attempts WHERE outcome IN ('done', 'failed')")
    )
    if told != finished:
        faults.append(f"outcomes told {told - finished} too often, {finished - told} not")
    changes = Counter((d, at, e["status"]) for d, at, e in events["smi-status-changed"])
    held = Counter(ledger.execute("SELECT device, at, status FROM smi_statuses"))
    if changes != held:
        faults.append(f"statuses told {changes - held} too often, {held - changes} not")
    faults += _suspended(ledger)
    notices = Counter((d, at, e["to"], e["status"]) for d, at, e in events["notice"])
    wanted: Counter[tuple[str, str, str, str]] = Counter()
    for since, until, before in ledger.execute(
        "SELECT since, until, held_before FROM suspensions WHERE device = ?", (HUB,)
    ):
        for supplier in RESPONSIBLE_SUPPLIERS:
            wanted[HUB, since, supplier, "Suspended"] += 1
            if until is not None:
                wanted[HUB, until, supplier, before] += 1
    if notices != wanted:
        faults.append(f"notices told {notices - wanted} too often, {wanted - notices} not")
    return faults


def _suspended(ledger: sqlite3.Connection) -> list[str]:
    """Each failed step has its device suspended, and stands among what that suspension is for."""
    faults = []
    for device, requirement, at in ledger.execute(
        "SELECT device, requirement, finished_at FROM attempts WHERE outcome = 'failed'"
    ):
        if requirement not in SUSPENDING:
            continue
        (standing,) = ledger.execute(
            "SELECT count(*) FROM suspensions JOIN failed_steps ON suspension_id = suspensions.id"
            " WHERE device = ? AND requirement = ? AND since <= ? AND (until IS NULL OR until > ?)",
            (device, requirement, at, at),
        ).fetchone()
        if standing != 1:
            faults.append(f"{device} failed {requirement} and {standing} suspensions tell of it")
    return faults


def _public_of_key(pem: str) -> bytes:
    key = load_pem_private_key(pem.encode(), None).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_of_certificate(der: bytes) -> bytes:
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _stored_certificates(home: Home, device: str) -> set[bytes]:
    found = set()
    for path in (home.agent / "pki").glob(f"{device}-*.pem"):
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        found.add(certificate.public_bytes(Encoding.DER))
    return found


def _held_certificates(
    home: Home, ledger: sqlite3.Connection, device: str, memory: dict[str, Any]
) -> list[str]:
    """Somebody holds a certificate for each key that the device uses, and it is in both places."""
    faults = []
    stored = _stored_certificates(home, device)
    for usage, number in USAGES.items():
        key = _public_of_key(memory["key_pairs"][usage])
        its_own = bytes.fromhex(memory["certificates"][usage])
        if _public_of_certificate(its_own) != key:
            faults.append(f"{device}'s {usage} certificate is not for the key that it uses")
        if its_own not in stored:
            faults.append(f"{device}'s {usage} certificate is not in the key store")
        rows = ledger.execute(
            "SELECT certificate, until FROM device_certificates WHERE device = ? AND key_usage = ?",
            (device, number),
        ).fetchall()
        candidates = {bytes(certificate) for certificate, until in rows if until is None}
        if rows and its_own not in candidates:
            faults.append(f"nobody holds a certificate for the {usage} key that {device} uses")
    return faults


def _keys_in_use(ledger: sqlite3.Connection, device: str, memory: dict[str, Any]) -> list[str]:
    """What the device uses is the one certificate in use, and was confirmed if it is owed."""
    faults = []
    if memory["pending"]:
        faults.append(f"{device} still has pending keys")
    for usage, number in USAGES.items():
        its_own = bytes.fromhex(memory["certificates"][usage])
        in_use = ledger.execute(
            "SELECT certificate, certain FROM device_certificates"
            " WHERE device = ? AND key_usage = ? AND until IS NULL",
            (device, number),
        ).fetchall()
        if [(bytes(c), certain) for c, certain in in_use] != [(its_own, 1)]:
            faults.append(f"{device}'s {usage} certificate is not the one in use: {len(in_use)}")
        changes = ledger.execute(
            "SELECT state, certificate FROM key_changes"
            " WHERE device = ? AND key_usage = ? ORDER BY id",
            (device, number),
        ).fetchall()
        if device not in RE_GENERATED:
            faults += [f"{device}'s {usage} key was changed though not owed"] if changes else []
        elif not changes or changes[-1][0] != "confirmed" or bytes(changes[-1][1]) != its_own:
            faults.append(f"{device}'s {usage} key in use was not confirmed")
        elif [state for state, _ in changes[:-1] if state != "abandoned"]:
            faults.append(f"{device}'s {usage} key was changed more than once")
    return faults


def _statuses(ledger: sqlite3.Connection, device: str) -> list[str]:
    """The status is what it was; no suspension stands."""
    held = [
        row[0]
        for row in ledger.execute(
            "SELECT status FROM smi_statuses WHERE device = ? ORDER BY id", (device,)
        )
    ]
    faults = []
    if not held or held[-1] != "Commissioned" or held[0] != "Commissioned":
        faults.append(f"{device} does not hold the status that it held: {held}")
    if any(status == after for status, after in pairwise(held)):
        faults.append(f"{device} came to hold the status that it held: {held}")
    open_ones = ledger.execute(
        "SELECT count(*) FROM suspensions WHERE device = ? AND"
        " (until IS NULL OR ended_by <> 'restored')",
        (device,),
    ).fetchone()[0]
    if open_ones:
        faults.append(f"{device}'s suspension was not ended by being restored")
    left = ledger.execute(
        "SELECT count(*) FROM failed_steps JOIN suspensions ON suspensions.id = suspension_id"
        " WHERE device = ? AND completed_at IS NULL",
        (device,),
    ).fetchone()[0]
    if left:
        faults.append(f"{left} failed steps of {device} are not completed")
    return faults
