"""How a rig stands: what is known of its devices, and the plan of their duties."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyrig.base.observing import Observer, unobserved
from keyrig.domain.clock_trust import judge_clock
from keyrig.domain.device_facts import LedgerFacts
from keyrig.domain.known_facts import DeviceRecord, KnownFact, fold, news
from keyrig.domain.smi_status import Standing
from keyrig.duties.plan import Plan, plan
from keyrig.duties.rules import Rules, built_in_rules, load_rules, rules_with
from keyrig.ledger.ledger import Ledger
from keyrig.run.emulation import emulation_of
from keyrig.run.waiting_requests import waiting_requests

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.places import Places
    from keyrig.run.waiting_requests import WaitingRequest


def rules_of(places: Places) -> Rules:
    """Return the rule set of a rig, with the readings that its file chooses.

    Raises:
        RulesInvalid: Its file cannot be read or breaks its own form.
        SettingsError: There is no such reading or choice.
    """
    settings = places.rig.rules
    rules = (
        built_in_rules()
        if settings.file is None
        else load_rules(places.data_folder / settings.file)
    )
    return rules_with(rules, settings.readings, f"rig {places.rig.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDevice:
    """What holds of a device of a rig, and what of it the ledger has not been told yet."""

    record: DeviceRecord
    news: tuple[KnownFact, ...]


def facts_of(
    places: Places, ledger: Ledger | None, *, now: datetime
) -> dict[EntityIdentifier, KnownDevice]:
    """Return what is known of a rig's devices from its file and the ledger; changes nothing.

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
        observe(finding.event())
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
