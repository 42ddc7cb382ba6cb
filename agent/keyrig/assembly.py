"""Putting a rig together from its file: key store, ledger, devices and the lines to them."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gbcs.errors import CertificateRejected, DecodeError
from gbcs.roles import KeyUsage
from keyrig.certification.checking import IssuedCertificates
from keyrig.certification.choosing import authority_of
from keyrig.certification.requests import waiting_requests
from keyrig.clock import elapsed, monotonic, utc_now
from keyrig.clock_trust import clock_event, judge_clock
from keyrig.device_locks import holding
from keyrig.duties.facts import LedgerFacts
from keyrig.duties.known_facts import DeviceRecord, KnownFact, fold, news
from keyrig.duties.plan import Plan, plan
from keyrig.duties.rules import Rules, built_in_rules, load_rules, rules_with
from keyrig.duties.smi_status import Standing
from keyrig.emulation import emulation_of
from keyrig.errors import KeyMissing, KeyStoreError, RigBusy, RigFileInvalid, SettingsError
from keyrig.home import LEDGER_FILE, home_directory, make_home
from keyrig.keystore.folder import read_certificate
from keyrig.keystore.opening import open_rig_keystore
from keyrig.ledger.ledger import Ledger
from keyrig.links.gfi import GFILink
from keyrig.links.hdlc import HDLCLink
from keyrig.lock_files import open_lock, take_lock
from keyrig.observing import Observer, StopAsked, never_stopped, unobserved
from keyrig.pki import initialise
from keyrig.preflight import Preflight
from keyrig.rig import LineSettings, ServiceSettings, ZigBeeSettings
from keyrig.rig_keys import RigKeys
from keyrig.runner import Bench, DeviceOnRig
from keyrig.steps.context import Parties
from keyrig.transcript import NoTranscript, Transcript
from keyrig.zigbee.standing import RadioStandings, read_standings
from meterlink.hdlc.address import HDLCAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from gbcs.certificates import GBCSCertificate
    from gbcs.entity import EntityIdentifier
    from keyrig.certification.requests import WaitingRequest
    from keyrig.conversation import ConversingLink
    from keyrig.emulation import HostedDevices, Line
    from keyrig.keystore.base import KeyStore
    from keyrig.links.base import Link
    from keyrig.rig import Rig, RigDevice
    from keyrig.zigbee.radio import Radio
    from keyrig.zigbee.role import RadioRole

LOCK_WAIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Places:
    """Where a rig keeps things, all below the home folder."""

    home: Path
    rig: Rig

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.home / LEDGER_FILE

    @property
    def emulated(self) -> Path:
        """The memories of the rig's emulated devices."""
        return self.home / "emulated" / self.rig.name

    def radio_database(self, name: str) -> Path:
        """Give where zigpy keeps the devices that a radio knows."""
        return self.home / "rigs" / f"{self.rig.name}.{name}.zigbee.db"

    @property
    def radio_standings(self) -> Path:
        """The file that says how the rig's radios stand."""
        return self.home / "rigs" / f"{self.rig.name}.radios.json"

    @property
    def keystore(self) -> Path:
        """The rig's key store."""
        return self.home / self.rig.pki.keystore

    @property
    def lock(self) -> Path:
        """The file whose lock says that an agent drives the rig."""
        return lock_of(self.home, self.rig.name)

    @property
    def emulation_lock(self) -> Path:
        """The file whose lock says that the rig's emulated devices are hosted."""
        return self.home / "rigs" / f"{self.rig.name}.emulated.lock"


def places_of(rig: Rig) -> Places:
    """Give where a rig keeps things."""
    return Places(home_directory(), rig)


def rules_of(places: Places) -> Rules:
    """Give the rule set of a rig, with the readings that its file chooses.

    Raises:
        RulesInvalid: Its file cannot be read or breaks its own form.
        SettingsError: There is no such reading or choice.
    """
    settings = places.rig.rules
    rules = built_in_rules() if settings.file is None else load_rules(places.home / settings.file)
    return rules_with(rules, settings.readings, f"rig {places.rig.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDevice:
    """What holds of a device of a rig, and what of it the ledger has not been told yet."""

    record: DeviceRecord
    news: tuple[KnownFact, ...]


def facts_of(
    places: Places, ledger: Ledger | None, *, now: datetime
) -> dict[EntityIdentifier, KnownDevice]:
    """Give what is known of a rig's devices from its file and the ledger; changes nothing.

    Emulated devices are commissioned when they are made; those that are not yet made count as
    made now.
    """
    made_at = now
    if places.rig.has_emulated_devices:
        made_at = emulation_of(places.rig).commissioned_at(places.emulated) or now
    entities = [device.entity_id for device in places.rig.device]
    history = ledger.device_facts.known(entities) if ledger else {}
    known: dict[EntityIdentifier, KnownDevice] = {}
    for device in places.rig.device:
        entity = device.entity_id
        said = places.rig.said(device, made_at if places.rig.is_emulated(device) else None)
        before = history.get(entity, ())
        fresh = news(said, before, f"rig {places.rig.name}", now)
        known[entity] = KnownDevice(record=fold(entity, (*before, *fresh), now), news=fresh)
    return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A rig's plan as things stand, with what it was made from.

    Args:
        plan: The plan.
        statuses: Each device's SMI Status and the suspension that stands.
        records: What holds of each device.
        attempts: What was tried.
        rules: The rule set.
        requests: The certification requests that wait for the authority.
    """

    plan: Plan
    statuses: Mapping[EntityIdentifier, Standing]
    records: Mapping[EntityIdentifier, DeviceRecord]
    attempts: LedgerFacts
    rules: Rules
    requests: tuple[WaitingRequest, ...] = ()


def outlook_of(
    places: Places,
    *,
    now: datetime,
    only: Collection[EntityIdentifier] = (),
    observe: Observer = unobserved,
    ledger: Ledger | None = None,
) -> Outlook:
    """Plan the duties of a rig, or of `only` some of its devices; changes nothing.

    Args:
        places: Where the rig keeps things.
        now: The present instant.
        only: The devices; all where empty.
        observe: Is told what is wrong with the clock, by which deadlines are judged.
        ledger: The ledger, where it is open already.
    """
    with ExitStack() as stack:
        if ledger is None and places.ledger.exists():
            ledger = stack.enter_context(Ledger(places.ledger, create=False))
        if ledger is not None:
            stack.enter_context(ledger.reading())
        records = {
            entity: known.record
            for entity, known in facts_of(places, ledger, now=now).items()
            if not only or entity in only
        }
        attempts = ledger.facts.ledger_facts(records) if ledger else LedgerFacts()
        statuses: dict[EntityIdentifier, Standing] = {}
        for device in places.rig.device:
            standing = ledger.smi_statuses.standing(device.entity_id) if ledger else Standing()
            if standing.status is None:
                standing = Standing(status=device.smi_status)
            statuses[device.entity_id] = standing
        finding = judge_clock(now, ledger.clock.latest() if ledger else None)
        requests = waiting_requests(ledger, now, records) if ledger else ()
    if finding is not None:
        observe("clock", **clock_event(finding))
    rules = rules_of(places)
    facts = [record.facts for record in records.values()]
    return Outlook(
        plan=plan(rules, facts, attempts, now, frozenset(places.rig.rig.parties)),
        statuses=statuses,
        records=records,
        attempts=attempts,
        rules=rules,
        requests=requests,
    )


@contextmanager
def held(
    lock: Path,
    places: Places,
    observe: Observer = unobserved,
    *,
    wait_s: float = LOCK_WAIT_S,
) -> Iterator[None]:
    """Hold one of a rig's locks; the operating system gives it back if this process dies.

    Raises:
        RigBusy: Another agent still holds it after `wait_s`.
        LockUnusable: Its file cannot be opened or made.
    """
    descriptor = open_lock(lock)
    try:
        name = places.rig.name
        if not take_lock(
            descriptor,
            until=monotonic() + wait_s,
            monotonic=monotonic,
            waiting=lambda: observe("preparing", what=f"another agent drives {name}; waiting"),
        ):
            raise RigBusy(name)
        yield
    finally:
        os.close(descriptor)


def is_driven(places: Places) -> bool:
    """Say whether an agent drives the rig at this moment."""
    return is_held(places.lock)


def is_held(lock: Path) -> bool:
    """Say whether somebody holds a rig's lock at this moment.

    Raises:
        LockUnusable: Its file is there and cannot be opened.
    """
    if not lock.exists():
        return False
    descriptor = open_lock(lock)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def lock_of(home: Path, rig_name: str) -> Path:
    """Give the file whose lock says that an agent drives the rig of a name."""
    return home / "rigs" / f"{rig_name}.lock"


def radios_of(places: Places) -> dict[str, dict[str, Any]]:
    """Give how a rig's radios stand."""
    return read_standings(places.radio_standings, is_driven=is_driven(places))


@contextmanager
def reserved(
    rig: Rig,
    *,
    only: Collection[EntityIdentifier] = (),
    observe: Observer = unobserved,
    wait_s: float = LOCK_WAIT_S,
    holder: str = "",
) -> Iterator[None]:
    """Hold all that a run of a rig needs for itself: the rig and its devices.

    Args:
        rig: The rig.
        only: The devices to reach; all where empty.
        observe: Is told what is waited for.
        wait_s: How long to wait for each, in seconds; 0 for not at all.
        holder: Who holds the devices, for whoever is refused.

    Raises:
        RigBusy: Another agent still drives the rig after `wait_s`.
        DeviceBusy: Another run still holds one of the devices after `wait_s`.
    """
    places = places_of(rig)
    make_home(places.home)
    devices = only or [device.entity_id for device in rig.device]
    with ExitStack() as stack:
        stack.enter_context(held(places.lock, places, observe, wait_s=wait_s))
        stack.enter_context(
            holding(places.home, devices, wait_s=wait_s, holder=holder, observe=observe)
        )
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """A rig that is ready to be run."""

    places: Places
    bench: Bench
    devices: tuple[DeviceOnRig, ...]


@contextmanager
def assembled(
    rig: Rig,
    *,
    observe: Observer = unobserved,
    transcript: Transcript | None = None,
    only: Collection[EntityIdentifier] = (),
    clock: Callable[[], datetime] = utc_now,
    execute_at: datetime | None = None,
    should_stop: StopAsked = never_stopped,
    is_reserved: bool = False,
) -> Iterator[Assembled]:
    """Put a rig together, emulated devices started, lines not yet open.

    Args:
        rig: The rig.
        observe: Is told what happens.
        transcript: Takes every message.
        only: The devices to reach; all where empty.
        clock: Gives the present instant.
        execute_at: When devices are to replace their certificates, or None for at once.
        should_stop: Says who asked the run to stop, or None.
        is_reserved: The caller holds `reserved` already.
    """
    places = places_of(rig)
    make_home(places.home)
    with (
        nullcontext() if is_reserved else reserved(rig, only=only, observe=observe),
        ways_to_devices(places, observe=observe, only=only, clock=clock) as ways,
    ):
        # Making emulated devices adds their certificates to the store, so it is opened after.
        store = keystore_of(places, observe, clock())
        with Ledger(places.ledger) as ledger, ExitStack() as stack:
            known = facts_of(places, ledger, now=clock())
            parties = parties_of(places, store)
            keys = RigKeys(store)
            authority = authority_of(rig, places.home, store)
            reached: dict[EntityIdentifier, tuple[Link | ConversingLink, float]] = {
                entity: (way.link, way.timeout_s) for entity, way in ways.items()
            }
            by_service = {
                device: known[device.entity_id].record.facts
                for device in rig.device
                if isinstance(device.link, ServiceSettings)
                and (not only or device.entity_id in only)
            }
            if by_service:
                # httpx and what signs XML take a while to load, which other rigs are spared.
                from keyrig.dcc_boxed.assembling import service_links  # noqa: PLC0415 - as said

                keys, through_dcc = stack.enter_context(
                    service_links(
                        places.home,
                        store,
                        ledger,
                        by_service,
                        parties,
                        clock=clock,
                        observe=observe,
                    )
                )
                reached |= {entity: (way, way.timeout_s) for entity, way in through_dcc.items()}
            yield Assembled(
                places=places,
                bench=Bench(
                    name=rig.name,
                    ledger=ledger,
                    keys=keys,
                    authority=authority,
                    issued=IssuedCertificates(store),
                    preflight=preflight_of(places, store, ledger, keys),
                    parties=parties,
                    rules=rules_of(places),
                    carried_out=frozenset(rig.rig.parties),
                    clock=clock,
                    monotonic=monotonic,
                    elapsed=elapsed,
                    observe=observe,
                    transcript=transcript or NoTranscript(),
                    execute_at=execute_at,
                    should_stop=should_stop,
                ),
                devices=tuple(
                    DeviceOnRig(
                        facts=known[device.entity_id].record.facts,
                        news=known[device.entity_id].news,
                        link=reached[device.entity_id][0],
                        timeout_s=reached[device.entity_id][1],
                        smi_status=device.smi_status,
                    )
                    for device in rig.device
                    if device.entity_id in reached
                ),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WayToDevice:
    """How a device of a rig is reached.

    Args:
        device: The device, as the rig file has it.
        link: The line to it, not open.
        timeout_s: How long one sending of a command is waited for, in seconds.
    """

    device: RigDevice
    link: Link
    timeout_s: float


@contextmanager
def ways_to_devices(
    places: Places,
    *,
    observe: Observer,
    only: Collection[EntityIdentifier] = (),
    clock: Callable[[], datetime] = utc_now,
) -> Iterator[dict[EntityIdentifier, WayToDevice]]:
    """Make the lines to a rig's devices, emulated ones started; keys are for those alone.

    Devices that are reached by service requests have none.

    The caller holds `reserved`, and the home folder is there.

    Args:
        places: Where the rig keeps things.
        observe: Is told what happens.
        only: The devices to reach; all where empty.
        clock: Gives the present instant.
    """
    rig = places.rig
    with ExitStack() as stack:
        urls: Mapping[EntityIdentifier, str] = {}
        radio_urls: Mapping[str, str] = {}
        if rig.has_emulated_devices:
            devices = stack.enter_context(_hosted(places, observe, clock))
            urls, radio_urls = devices.urls, devices.radio_urls
        radios = _radios(places, radio_urls, observe, stack)
        yield {
            device.entity_id: WayToDevice(
                device=device,
                link=_zigbee_link(rig, device, radios, observe)
                if isinstance(device.link, ZigBeeSettings)
                else link_to(device, urls),
                timeout_s=_answer_timeout_s(rig, device),
            )
            for device in rig.device
            if not isinstance(device.link, ServiceSettings)
            and (not only or device.entity_id in only)
        }


@contextmanager
def emulated_rig(
    rig: Rig,
    *,
    observe: Observer = unobserved,
    line: Line = "pty",
    clock: Callable[[], datetime] = utc_now,
) -> Iterator[HostedDevices]:
    """Start a rig's emulated devices, for other programs to use.

    Raises:
        SettingsError: The rig has none.
    """
    if not rig.has_emulated_devices:
        raise SettingsError(f"rig {rig.name}", "has no emulated device", "name another rig")
    places = places_of(rig)
    make_home(places.home)
    with _hosted(places, observe, clock, line) as devices:
        yield devices


@contextmanager
def _hosted(
    places: Places, observe: Observer, clock: Callable[[], datetime], line: Line = "pty"
) -> Iterator[HostedDevices]:
    """Host a rig's emulated devices, which no other process does meanwhile."""
    emulation = emulation_of(places.rig)
    store = keystore_of(places, observe, clock())
    devices = emulation.hosted(
        places.rig,
        directory=places.emulated,
        store=store,
        clock=clock,
        observe=observe,
        line=line,
    )
    with held(places.emulation_lock, places, observe), devices:
        yield devices


def keystore_of(places: Places, observe: Observer, now: datetime) -> KeyStore:
    """Open a rig's key store; the test PKI is made for a rig that has emulated devices.

    Raises:
        KeyStoreError: There is none and the rig is of real devices, or a part cannot be used.
    """
    if not places.keystore.exists():
        if not places.rig.has_emulated_devices:
            raise KeyStoreError(
                f"{places.keystore}: no key store; make one with `keyrig pki init` or import one "
                "with `keyrig pki import`"
            )
        observe("preparing", what=f"making a test PKI in {places.keystore}")
        initialise(places.keystore, now, os.urandom)
    return open_rig_keystore(places.home, places.rig.pki)


def parties_of(places: Places, store: KeyStore) -> Parties:
    """Return the DCC's organisations of a rig; a Recovery Certificate that lacks is left out.

    Raises:
        RigFileInvalid: The file that the rig names for the Recovery Certificate cannot be read.
    """
    dcc, path = places.rig.dcc, places.rig.pki.recovery_certificate
    recovery: GBCSCertificate | None = None
    missing = ""
    if path is not None:
        try:
            recovery = read_certificate(places.home / path)
        except (KeyStoreError, CertificateRejected, DecodeError) as error:
            raise RigFileInvalid(
                f"rig {places.rig.name}, recovery_certificate of [pki]",
                str(error).partition("; ")[0],
                "name the Recovery Certificate's file",
            ) from error
    else:
        try:
            recovery = store.certificate(dcc.recovery, key_usage=KeyUsage.DIGITAL_SIGNATURE)
        except KeyMissing as error:
            missing = f"{error.where}: no {error.what}, which is the Recovery Certificate"
    return Parties(
        access_control_broker=dcc.access_control_broker,
        transitional_cos=dcc.transitional_cos,
        recovery_certificate=recovery,
        recovery_missing=missing,
    )


def preflight_of(
    places: Places, store: KeyStore, ledger: Ledger | None, keys: RigKeys | None = None
) -> Preflight:
    """Return what says what a rig's duties need; nothing is looked at yet.

    Args:
        places: Where the rig keeps things.
        store: Its key store.
        ledger: The ledger, or None before the first run.
        keys: Finds keys and certificates, in the DCC too; the key store alone without.

    Raises:
        RigFileInvalid: The file that the rig names for the Recovery Certificate cannot be read.
    """
    return Preflight(
        store=store,
        keys=keys or RigKeys(store),
        parties=parties_of(places, store),
        authority=authority_of(places.rig, places.home, store),
        ledger=ledger,
        through_dcc=[
            device.entity_id
            for device in places.rig.device
            if isinstance(device.link, ServiceSettings)
        ],
    )


def link_to(device: RigDevice, urls: Mapping[EntityIdentifier, str]) -> GFILink | HDLCLink:
    """Make the link to a device, not open; emulated ones are reached where `urls` says."""
    settings = device.link
    assert isinstance(settings, LineSettings)
    url = urls.get(device.entity_id, settings.url)
    if settings.framing == "gfi":
        return GFILink(url, baud=settings.baud)
    return HDLCLink(
        url,
        baud=settings.baud,
        client=HDLCAddress.client(settings.hdlc.client),
        server=HDLCAddress.server(settings.hdlc.server),
    )


def _answer_timeout_s(rig: Rig, device: RigDevice) -> float:
    """Give how long an answer of a device may take once the link has its command."""
    link = device.link
    assert not isinstance(link, ServiceSettings)
    is_relayed = isinstance(link, ZigBeeSettings) and rig.radio[link.zigbee].role == "handheld"
    if isinstance(link, ZigBeeSettings) and is_relayed and device.sleeps:
        return link.wakes_within_s
    return link.timeout_s


def _zigbee_link(
    rig: Rig, device: RigDevice, radios: Mapping[str, Radio], observe: Observer
) -> Link:
    settings = device.link
    assert isinstance(settings, ZigBeeSettings)
    from keyrig.links.zigbee import ZigBeeLink  # noqa: PLC0415 - for rigs with a radio alone

    is_relayed = rig.radio[settings.zigbee].role == "handheld"
    return ZigBeeLink(
        radios[settings.zigbee],
        device.entity_id,
        link_key=settings.link_key,
        # A hub that relays takes messages for a device that sleeps at once.
        sleeps=device.sleeps and not is_relayed,
        timeout_s=settings.join_timeout_s,
        wakes_within_s=settings.wakes_within_s,
        send_timeout_s=settings.timeout_s,
        observe=observe,
    )


def _radios(
    places: Places, urls: Mapping[str, str], observe: Observer, stack: ExitStack
) -> dict[str, Radio]:
    """Make the rig's radios; each is started when the first of its devices is reached."""
    radios: dict[str, Radio] = {}
    if not places.rig.radio:
        return radios
    # bellows and zigpy take a second to load, which rigs without a radio are spared.
    from keyrig.zigbee.handheld import Handheld, HandheldSettings  # noqa: PLC0415 - as said
    from keyrig.zigbee.hub import Hub  # noqa: PLC0415 - as said
    from keyrig.zigbee.radio import Radio  # noqa: PLC0415 - as said
    from keyrig.zigbee.role import RoleSettings  # noqa: PLC0415 - as said

    standings = RadioStandings(places.radio_standings, observe, utc_now)
    for name, settings in places.rig.radio.items():
        common = RoleSettings(
            name=name,
            url=urls.get(name, settings.url),
            baud=settings.baud,
            flow_control=settings.flow_control,
            channel=settings.channel,
            database=places.radio_database(name),
        )
        role: RadioRole
        if settings.role == "handheld" and settings.hub and settings.install_code:
            joining = HandheldSettings(
                hub=int.from_bytes(settings.hub, "big"),
                install_code=bytes.fromhex(settings.install_code),
            )
            role = Handheld(common, joining, standings)
        else:
            role = Hub(common, standings)
        radio = radios[name] = Radio(role)
        stack.callback(radio.stop)
    return radios
