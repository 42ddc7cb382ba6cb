"""Looking at what a run needs: home, keys, ledger, clock, ports and radios."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from gbcs.errors import KeyrigError
from keyrig.clock_trust import judge_clock
from keyrig.errors import KeyStoreError
from keyrig.keystore.opening import open_keystore
from keyrig.ledger.ledger import Ledger
from keyrig.pki import check
from keyrig.rig import ZigBeeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyrig.assembly import Places


class Health(enum.Enum):
    """What a look came to."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, what was seen, and how it is."""

    what: str
    health: Health
    detail: str


def examine(places: Places, now: datetime) -> Iterator[Finding]:
    """Look at everything that a run of a rig needs; changes nothing."""
    yield _home(places.home)
    yield from _keys(places, now)
    yield from _ledger(places, now)
    yield from _ports(places)
    yield _radio_stack()


def _home(home: Path) -> Finding:
    if not home.exists():
        return Finding("home", Health.NOTE, f"{home}: made by the first run")
    writable = os.access(home, os.W_OK)
    health = Health.GOOD if writable else Health.BAD
    return Finding("home", health, f"{home}: {'writable' if writable else 'not writable'}")


def _keys(places: Places, now: datetime) -> Iterator[Finding]:
    if not places.keystore.exists():
        health = Health.NOTE if places.rig.has_emulated_devices else Health.BAD
        yield Finding("keys", health, f"{places.keystore}: none yet")
        return
    try:
        store = open_keystore(places.keystore)
        report = check(store, now)
    except KeyStoreError as error:
        yield Finding("keys", Health.BAD, str(error))
        return
    wrong = report.findings
    yield Finding(
        "keys",
        Health.BAD if wrong else Health.GOOD,
        f"{places.keystore}: {report.certificates} certificates, {report.keys} private keys, "
        + (f"{len(wrong)} faults; see `keyrig pki check`" if wrong else "all good"),
    )
    for problem in store.problems:
        yield Finding("keys", Health.NOTE, problem)


def _ledger(places: Places, now: datetime) -> Iterator[Finding]:
    if not places.ledger.exists():
        yield Finding("ledger", Health.NOTE, f"{places.ledger}: made by the first run")
        yield _clock(now, None)
        return
    try:
        with Ledger(places.ledger, create=False) as ledger:
            ledger.check()
            yield Finding("ledger", Health.GOOD, f"{places.ledger}: whole and readable")
            latest = ledger.clock.latest()
    except KeyrigError as error:
        yield Finding("ledger", Health.BAD, str(error))
        yield _clock(now, None)
        return
    yield _clock(now, latest)


def _clock(now: datetime, latest: datetime | None) -> Finding:
    finding = judge_clock(now, latest)
    if finding is not None:
        return Finding("clock", Health.BAD, finding.detail)
    return Finding("clock", Health.GOOD, f"{now:%Y-%m-%dT%H:%M:%SZ}")


def _ports(places: Places) -> Iterator[Finding]:
    for device in places.rig.device:
        if isinstance(device.link, ZigBeeSettings) or places.rig.is_emulated(device):
            continue
        url = device.link.url
        if not url.startswith("/"):
            yield Finding("port", Health.NOTE, f"{device.entity_id}: {url}, not opened")
            continue
        there, usable = Path(url).exists(), os.access(url, os.R_OK | os.W_OK)
        state = "there" if usable else "no permission" if there else "missing"
        health = Health.GOOD if usable else Health.BAD
        yield Finding("port", health, f"{device.entity_id}: {url} {state}")


def _radio_stack() -> Finding:
    """Say which ZigBee stack is installed; rig files do not name radios yet."""
    return Finding(
        "radio", Health.NOTE, f"zigpy {metadata.version('zigpy')}; no device of a rig uses a radio"
    )
