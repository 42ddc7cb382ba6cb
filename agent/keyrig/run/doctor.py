"""Looking at what a run needs: home, keys, ledger, clock, ports and radios."""

from __future__ import annotations

import enum
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Final

from gbcs.protocol_errors import KeyrigError
from keyrig.base.clock import monotonic, second_text
from keyrig.base.device_locks import holder_of
from keyrig.base.errors import KeyStoreError, RadioError, RigError, RigFileInvalid, SettingsError
from keyrig.base.installed_extras import is_installed
from keyrig.base.lock_files import open_lock, take_lock
from keyrig.base.private_files import exposure_of
from keyrig.config.needed_extras import lacks_of_rig
from keyrig.config.rig_file import LineSettings, ServiceSettings
from keyrig.domain.clock_trust import judge_clock
from keyrig.keys.lab_pki import check
from keyrig.keys.store_opening import open_rig_keystore
from keyrig.ledger.ledger import Ledger
from keyrig.run.asking import askable, framing_of
from keyrig.run.device_links import link_to
from keyrig.run.outlook import outlook_of
from keyrig.run.preflight import NeedRule
from keyrig.run.radio_standings import read_standings
from keyrig.run.rig_locks import is_driven
from keyrig.run.rig_organisations import preflight_of

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator
    from datetime import datetime
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.places import Places
    from keyrig.config.rig_file import RadioSettings, RigDevice
    from keyrig.keys.key_store import KeyStore
    from keyrig.run.preflight import Need, Preflight

PORTS_AT_ONCE: Final = 8
"""How many ports are tried at a time."""
_DUTIES_SHOWN: Final = 4
_LOOKED_UP: Final = frozenset({NeedRule.DEVICE_CERTIFICATE, NeedRule.ORGANISATION_CERTIFICATE})


class Health(enum.Enum):
    """What a look came to."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, what was seen, and how it is.

    Args:
        what: What was looked at.
        health: How it is.
        detail: What was seen, in one line.
        rule: The need that is not met; "" where it is none.
        duties: The duties that need it, by id.
    """

    what: str
    health: Health
    detail: str
    rule: str = ""
    duties: tuple[str, ...] = ()


def examine(
    places: Places,
    now: datetime,
    *,
    only: Collection[EntityIdentifier] = (),
    is_asking: bool = False,
) -> Iterator[Finding]:
    """Look at everything that a run of a rig needs; changes nothing.

    Ports are opened as a run opens them, and closed.

    Args:
        places: Where the rig keeps things.
        now: The present instant.
        only: The devices whose ports to look at; all where empty.
        is_asking: The devices are about to be asked, which opens their ports and radios.
    """
    yield _home(places.data_folder)
    lacks = tuple(lacks_of_rig(places.rig, only))
    for lack in lacks:
        yield Finding("extras", Health.BAD, str(lack))
    store = yield from _keys(places, now)
    yield from _ledger(places, now)
    if store is not None:
        yield from _needs(places, store, now, only)
    if not is_asking:
        yield from _ports(places, only)
    if lacks:
        return
    asked = askable(places.rig, only) if is_asking else ()
    yield from _radios(places, {getattr(device.link, "zigbee", "") for device in asked})
    yield from _dcc_boxed(places)
    if is_asking:
        yield from _not_asked(places, only)


def _home(data_folder: Path) -> Finding:
    if not data_folder.exists():
        return Finding("home", Health.NOTE, f"{data_folder}: made by the first run")
    if not os.access(data_folder, os.W_OK):
        return Finding("home", Health.BAD, f"{data_folder}: not writable")
    exposure = exposure_of(data_folder)
    if exposure is None:
        return Finding("home", Health.GOOD, f"{data_folder}: writable")
    # Files of secrets are their owner's alone wherever they lie; who may write to the folder
    # could put others in their place.
    health = Health.BAD if exposure.is_writable else Health.NOTE
    return Finding("home", health, f"{data_folder}: writable, and {exposure}")


def _keys(places: Places, now: datetime) -> Generator[Finding, None, KeyStore | None]:
    """Look at the key store, and return it where it can be used."""
    if not places.keystore.exists():
        health = Health.NOTE if places.rig.has_emulated_devices else Health.BAD
        yield Finding("keys", health, f"{places.keystore}: none yet")
        return None
    try:
        store = open_rig_keystore(places.data_folder, places.rig.pki)
        report = check(store, now)
    except (KeyStoreError, SettingsError) as error:
        yield Finding("keys", Health.BAD, str(error))
        return None
    wrong = report.findings
    yield Finding(
        "keys",
        Health.BAD if wrong else Health.GOOD,
        f"{places.keystore}: {report.certificates} certificates, {report.keys} private keys, "
        + (f"{len(wrong)} faults; see `keyrig pki check`" if wrong else "all good"),
    )
    for problem in store.problems:
        yield Finding("keys", Health.NOTE, str(problem))
    return store


def _needs(
    places: Places, store: KeyStore, now: datetime, only: Collection[EntityIdentifier]
) -> Iterator[Finding]:
    """Look at what each open duty needs, as a run does before it sends anything."""
    try:
        outlook = outlook_of(places, now=now, only=only)
        duties = outlook.plan.open()
        with ExitStack() as stack:
            ledger = None
            if places.ledger.exists():
                ledger = stack.enter_context(Ledger(places.ledger, create=False))
            preflight = preflight_of(places, store, ledger)
            facts = [record.facts for record in outlook.records.values()]
            needs = preflight.needs(duties, facts, now)
    except RigFileInvalid:
        raise
    except KeyrigError as error:
        yield Finding("needs", Health.BAD, str(error))
        return
    emulated = {each.entity_id for each in places.rig.device if places.rig.is_emulated(each)}
    # A run makes emulated devices, with their certificates, before it looks.
    lacking = [
        need
        for need in needs
        if need.lack is not None
        and not (need.rule is NeedRule.DEVICE_CERTIFICATE and need.device in emulated)
    ]
    if any(need.rule is NeedRule.AUTHORITY and need.lack is None for need in needs):
        name = preflight.authority_name
        yield Finding("authority", Health.GOOD, f"{name}: {preflight.authority_says}")
    if not any(_health(preflight, need) is Health.BAD for need in lacking):
        yield Finding("needs", Health.GOOD, f"what {len(duties)} open duties need is at hand")
    together: dict[tuple[str, str, Health], list[Need]] = {}
    for need in lacking:
        key = (need.rule.value, str(need.lack), _health(preflight, need))
        together.setdefault(key, []).append(need)
    for (rule, lack, health), of_it in together.items():
        held = "holds back" if health is Health.BAD else "may be needed by"
        ids = tuple(dict.fromkeys(need.duty for need in of_it))
        yield Finding("needs", health, f"{lack} ({rule}; {held} {_some(ids)})", rule, ids)


def _health(preflight: Preflight, need: Need) -> Health:
    """Return how bad a lack is; what a run looks up through the DCC may still be found."""
    looked_up = need.rule in _LOOKED_UP and preflight.is_through_dcc(need.device)
    return Health.BAD if need.holds_back and not looked_up else Health.NOTE


def _some(ids: tuple[str, ...]) -> str:
    shown = ", ".join(ids[:_DUTIES_SHOWN])
    more = len(ids) - _DUTIES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


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
    return Finding("clock", Health.GOOD, second_text(now))


def _ports(places: Places, only: Collection[EntityIdentifier]) -> Iterator[Finding]:
    """Open each line's port; the rig is held meanwhile, so that no run finds one in use."""
    devices = [
        device
        for device in places.rig.device
        if isinstance(device.link, LineSettings)
        and not places.rig.is_emulated(device)
        and (not only or device.entity_id in only)
    ]
    if not devices:
        return
    with ExitStack() as stack:
        if not _is_free(places, stack):
            for device in devices:
                detail = f"{device.entity_id}: {link_to(device, {}).name} not opened, for an agent "
                yield Finding("port", Health.NOTE, f"{detail}drives the rig")
            return
        # A host that does not answer takes seconds, and each has a thread of its own.
        with ThreadPoolExecutor(PORTS_AT_ONCE) as threads:
            found = list(threads.map(lambda device: _port(places, device), devices))
    yield from found


def _is_free(places: Places, stack: ExitStack) -> bool:
    """Hold the rig's lock until `stack` ends, where it has one; False where an agent has it."""
    if not places.lock.exists():
        return True
    descriptor = open_lock(places.lock)
    stack.callback(os.close, descriptor)
    now = monotonic()
    return take_lock(descriptor, until=now, monotonic=lambda: now, waiting=lambda: None)


def _port(places: Places, device: RigDevice) -> Finding:
    link, entity = link_to(device, {}), device.entity_id
    if holder_of(places.data_folder, entity) is not None:
        detail = f"{entity}: {link.name} not opened, for another run holds the device"
        return Finding("port", Health.NOTE, detail)
    try:
        link.try_port()
    except RigError as error:
        return Finding("port", Health.BAD, f"{entity}: {error}")
    return Finding("port", Health.GOOD, f"{entity}: {link.name} opens ({framing_of(device)})")


def _not_asked(places: Places, only: Collection[EntityIdentifier]) -> Iterator[Finding]:
    for device in places.rig.device:
        if isinstance(device.link, ServiceSettings) and (not only or device.entity_id in only):
            detail = (
                f"{device.entity_id}: not asked; it is reached by service requests alone, and "
                "each is a User's request to the DCC, which `keyrig run` makes"
            )
            yield Finding("ask", Health.NOTE, detail)


def _dcc_boxed(places: Places) -> Iterator[Finding]:
    """Check that the DCC's interface answers; a rig that an agent drives is left alone."""
    if not places.rig.has_service_devices:
        return
    if is_driven(places):
        yield Finding("dcc-boxed", Health.NOTE, "in use by an agent")
        return
    from keyrig.transports.dcc.dcc_reachability import check_reachable  # noqa: PLC0415 - for such rigs alone

    try:
        yield Finding("dcc-boxed", Health.GOOD, check_reachable(places.data_folder))
    except KeyrigError as error:
        yield Finding("dcc-boxed", Health.BAD, str(error))


def _radios(places: Places, about_to_start: Collection[str]) -> Iterator[Finding]:
    """Ask each radio what it is; one that is used now or in a moment is left alone."""
    if not places.rig.radio:
        what = f"zigpy {metadata.version('zigpy')}" if is_installed("zigbee") else "no extra zigbee"
        yield Finding("radio", Health.NOTE, f"{what}; no device of a rig uses a radio")
        return
    driven = is_driven(places)
    standings = read_standings(places.radio_standings, is_driven=is_driven(places))
    for name, settings in places.rig.radio.items():
        if settings.is_emulated:
            kind = "with" if settings.emulated.smart_energy else "without"
            detail = (
                f"{name}: emulated, EZSP {settings.emulated.ezsp}, {kind} Smart Energy security"
            )
            health = Health.NOTE if settings.emulated.smart_energy else Health.BAD
            yield Finding("radio", health, detail)
        elif driven:
            state = standings.get(name, {}).get("state", "not started")
            yield Finding("radio", Health.NOTE, f"{name}: in use by an agent, {state}")
        elif name not in about_to_start:
            yield _radio(name, settings)


def _radio(name: str, settings: RadioSettings) -> Finding:
    from keyrig.run.radio_inspection import RadioPort, look  # noqa: PLC0415 - zigpy takes a second to load

    port = RadioPort(name, settings.url, settings.baud, settings.flow_control)
    try:
        facts = look(port)
    except RadioError as error:
        return Finding("radio", Health.BAD, str(error))
    what = f"{port.name}: {facts.manufacturer} {facts.board}, EZSP {facts.ezsp_version}"
    if not facts.smart_energy:
        status = facts.smart_energy_status
        return Finding("radio", Health.BAD, f"{what}: no Smart Energy security ({status})")
    network = "no network yet"
    if facts.channel is not None:
        network = f"network on channel {facts.channel}, PAN {facts.pan_id}"
    return Finding("radio", Health.GOOD, f"{what}, Smart Energy security, {network}")
