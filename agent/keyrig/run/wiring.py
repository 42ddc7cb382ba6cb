"""Putting a rig together for a run: key store, ledger, devices and the ways to them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyrig.base.clock import elapsed, monotonic, utc_now
from keyrig.base.observing import Observer, StopAsked, never_stopped, unobserved
from keyrig.config.places import Places, make_data_folder, places_of
from keyrig.config.rig_file import ServiceSettings
from keyrig.keys.authority_choice import authority_of
from keyrig.keys.issued_certificates import IssuedCertificates
from keyrig.keys.rig_keys import RigKeys
from keyrig.ledger.ledger import Ledger
from keyrig.run.bench import Bench, DeviceOnRig
from keyrig.run.device_links import ways_to_devices
from keyrig.run.outlook import facts_of, rules_of
from keyrig.run.rig_locks import reserved
from keyrig.run.rig_organisations import keystore_of, parties_of, preflight_of
from keyrig.session.transcript import NoTranscript, Transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.rig_file import Rig
    from keyrig.session.link import Link
    from keyrig.session.session_context import ConversingLink


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
    make_data_folder(places.data_folder)
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
            authority = authority_of(rig, places.data_folder, store)
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
                from keyrig.transports.dcc.dcc_wiring import service_links  # noqa: PLC0415 - of the extra dcc

                keys, through_dcc = stack.enter_context(
                    service_links(
                        places.data_folder,
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
                    preflight=preflight_of(
                        places, store, ledger, keys=keys, parties=parties, authority=authority
                    ),
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
