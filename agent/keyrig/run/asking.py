"""Asking each device of a rig who it is and which Trust Anchor Cells it holds, and no more.

It is a run that carries out nobody's duty: it reserves the rig, opens the lines and makes sure
of each device as every run does before it touches anything, and leaves the same record.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyrig.base import events
from keyrig.base.clock import utc_now
from keyrig.base.observing import Observer, unobserved
from keyrig.config.rig_file import LineSettings, ServiceSettings, ZigBeeSettings
from keyrig.run.rig_run import run
from keyrig.run.wiring import assembled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.rig_file import Rig, RigDevice
    from keyrig.domain.trust_anchor import Cell
    from keyrig.run.bench import Bench


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCell:
    """What a Trust Anchor Cell holds.

    Args:
        cell: As the device tells it.
        certificate: The key store's certificate with the same key, or None where it has none.
    """

    cell: Cell
    certificate: GBCSCertificate | None

    @property
    def is_by_another(self) -> bool:
        """True if the key is that of a certificate of somebody else than the cell names."""
        # A root's certificate names no Entity Identifier.
        known = self.certificate
        return known is not None and known.entity_id not in {None, self.cell.entity_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of asking one device.

    Args:
        device: The device, as the rig file has it.
        link: The name of the link to it.
        took_s: How long its answer took from the sending, in seconds; None without an answer
            that verifies.
        counters: The originator counters that were used, one for each sending.
        cells: What its Trust Anchor Cells hold, in the device's order.
        problem: What a person must know, in the words of a run, or None.
    """

    device: RigDevice
    link: str
    took_s: float | None
    counters: tuple[int, ...]
    cells: tuple[HeldCell, ...]
    problem: str | None

    @property
    def is_good(self) -> bool:
        """True if the device answered, and nothing else is wrong."""
        return self.took_s is not None and self.problem is None


def askable(rig: Rig, only: Collection[EntityIdentifier] = ()) -> tuple[RigDevice, ...]:
    """Return the devices of a rig that can be asked, all or of `only` some.

    What is reached by service requests alone cannot: each would be a User's request to the DCC.
    """
    return tuple(
        device
        for device in rig.device
        if not isinstance(device.link, ServiceSettings) and (not only or device.entity_id in only)
    )


def notice(rig: Rig, devices: Collection[RigDevice]) -> str:
    """Return what is to be known before any device is asked."""
    joins = (
        " A device over ZigBee joins its radio's network first, where it is not there yet."
        if any(isinstance(device.link, ZigBeeSettings) for device in devices)
        else ""
    )
    return (
        "Each device is asked once which Trust Anchor Cells it holds (CS02a). That uses one "
        f"originator counter of {rig.dcc.access_control_broker} per device, and one more where "
        "it has to be sent again; each is recorded in the ledger. No key, certificate or setting "
        f"is changed on any device.{joins}"
    )


def framing_of(device: RigDevice) -> str:
    """Return how messages travel to a device, for people."""
    link = device.link
    if isinstance(link, LineSettings):
        return f"{link.framing.upper()}, {link.baud} baud"
    return "ZigBee"


def ask(
    rig: Rig,
    *,
    only: Collection[EntityIdentifier] = (),
    told: Callable[[Asked], None],
    observe: Observer = unobserved,
    clock: Callable[[], datetime] = utc_now,
) -> None:
    """Ask each device once, as a run does before its first duty; changes nothing on any.

    The exchanges and the cells are in the ledger under a run that carried out nobody's duty.

    Args:
        rig: The rig.
        only: The devices to ask; all where empty.
        told: Is given what came of each, in the rig file's order.
        observe: Is told what happens meanwhile.
        clock: Gives the present instant.

    Raises:
        RigBusy: Another agent still drives the rig after a minute.
        DeviceBusy: Another run still holds one of the devices then.
        ClockWrong: No counter may be taken from this clock.
        KeyStoreError: There is no key store, or it lacks what every run needs.
        LedgerError: The ledger cannot be used.
    """
    devices = {device.entity_id: device for device in askable(rig, only)}
    if not devices:
        return
    with assembled(rig, observe=observe, only=tuple(devices), clock=clock) as ready:
        run_id = uuid.uuid4().hex
        watch = _Watch(ready.bench, run_id, devices, told)
        bench = replace(ready.bench, observe=watch)
        run(bench, ready.devices, run_id=run_id, ask=True)


class _Watch:
    """Watches a run, and tells of each device when it is done with it."""

    def __init__(
        self,
        bench: Bench,
        run_id: str,
        devices: dict[EntityIdentifier, RigDevice],
        told: Callable[[Asked], None],
    ) -> None:
        self._bench = bench
        self._run_id = run_id
        self._devices = {str(entity): device for entity, device in devices.items()}
        self._told = told
        self._link = ""
        self._counters: list[int] = []
        self._sent_at_s = 0.0
        self._took_s: float | None = None
        self._problem: str | None = None

    def __call__(self, event: events.Event) -> None:
        """Pass an event on, and note what it says of the device that is being asked."""
        self._bench.observe(event)
        match event:
            case events.DeviceStarted():
                self._link, self._counters = event.link, []
                self._took_s = self._problem = None
            case events.CommandSent():
                # Whoever is asked has a line, and for a line every counter is known here.
                assert event.counter is not None
                self._counters.append(event.counter)
                self._sent_at_s = self._bench.monotonic()
            case events.ResponseVerified():
                self._took_s = self._bench.monotonic() - self._sent_at_s
            case events.PersonNeeded() | events.DeviceRefused():
                self._problem = event.reason
            case events.DeviceFinished():
                self._told(self._asked(self._devices[event.device]))

    def _asked(self, device: RigDevice) -> Asked:
        return Asked(
            device=device,
            link=self._link,
            took_s=self._took_s,
            counters=tuple(self._counters),
            cells=tuple(self._cells(device.entity_id)),
            problem=self._problem,
        )

    def _cells(self, entity: EntityIdentifier) -> Iterator[HeldCell]:
        known = self._bench.keys.organisation_certificates()
        for seen in self._bench.ledger.facts.cell_history(entity):
            if seen.run_id == self._run_id:
                yield HeldCell(cell=seen.cell, certificate=_certificate_of(seen.cell, known))


def _certificate_of(cell: Cell, known: Collection[GBCSCertificate]) -> GBCSCertificate | None:
    """Return the certificate with the key of a cell, its holder's own before another's."""
    same = [each for each in known if each.subject_key_identifier == cell.subject_key_identifier]
    own = (each for each in same if each.entity_id == cell.entity_id)
    return next(own, same[0] if same else None)
