"""What the answer to Read Inventory says of devices, taken in as facts.

Source: DUIS 5.4, service reference variant 8.2, `DSPInventory`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from duis.document_errors import DocumentInvalid
from duis.response_codes import Outcome
from duis.response_documents import DSPInventory, parse_response
from gbcs.printable import printable
from keyrig.base.outside_files import without_padding
from keyrig.domain.known_facts import FactName, KnownFact, last_words, plausible_commissioning
from keyrig.domain.smi_status import SMIStatus
from keyrig.run.outside_facts import learn, learn_status

if TYPE_CHECKING:
    from datetime import date, datetime

    from duis.dsp_inventory import Device
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import DeviceType
    from keyrig.ledger.ledger import Ledger

SOURCE: Final = "Read Inventory"


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryEntry:
    """One device of the answer.

    Args:
        device: The device.
        device_type: Its type.
        commissioned_on: The date of its Commissioning, or None.
        status: Its SMI Status, or None.
    """

    device: EntityIdentifier
    device_type: DeviceType
    commissioned_on: date | None
    status: SMIStatus | None

    def said(self, source: str, now: datetime) -> tuple[KnownFact, ...]:
        """Return what the entry says, as facts of `source`."""
        values: dict[FactName, Any] = {
            FactName.DEVICE_TYPE: self.device_type,
            FactName.COMMISSIONED_AT: self.commissioned_on,
            FactName.DECOMMISSIONED: self.status is SMIStatus.DECOMMISSIONED or None,
        }
        return tuple(
            KnownFact(name=name, value=value, source=source, recorded_at=now)
            for name, value in values.items()
            if value is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The answer; `without_duties` names its Type 2 Devices."""

    answered_at: datetime
    entries: tuple[InventoryEntry, ...]
    without_duties: tuple[str, ...]


def read_inventory(octets: bytes, source: str) -> Inventory:
    """Read the answer to a Read Inventory request.

    Args:
        octets: The DUIS Response document.
        source: Its name for errors, such as a path.

    Raises:
        DocumentInvalid: It is no such answer, refuses the request, or cannot be read safely.
    """
    response = parse_response(without_padding(octets), source)
    header = response.header
    if header.outcome is Outcome.ERROR:
        raise DocumentInvalid(
            f"the request was refused with {header.response_code}: {header.meaning}",
            source=source,
            mend="read the inventory again",
        )
    if not isinstance(response.body, DSPInventory):
        raise DocumentInvalid(
            "it has no DSPInventory",
            source=source,
            mend="name the Response to a Read Inventory request (8.2)",
        )
    devices = response.body.devices
    ids = [device.device_id for device in devices]
    twice = next((each for each in ids if ids.count(each) > 1), None)
    if twice is not None:
        raise DocumentInvalid(
            f"device {twice} stands twice", source=source, mend="read the inventory again"
        )
    return Inventory(
        answered_at=header.response_date_time,
        entries=tuple(
            _entry(device, device.device_type.device_type, source)
            for device in devices
            if device.device_type.device_type is not None
        ),
        without_duties=tuple(
            str(device.device_id) for device in devices if device.device_type.device_type is None
        ),
    )


def _entry(device: Device, device_type: DeviceType, source: str) -> InventoryEntry:
    if device.date_commissioned is not None:
        try:
            plausible_commissioning(device.date_commissioned)
        except ValueError as error:
            raise DocumentInvalid(
                f"device {device.device_id}: {printable(str(error), 160)}",
                source=source,
                field="DateCommissioned",
                mend="read the inventory again",
            ) from None
    return InventoryEntry(
        device=device.device_id,
        device_type=device_type,
        commissioned_on=device.date_commissioned,
        status=device.device_status,
    )


def take_in(ledger: Ledger, inventory: Inventory, now: datetime) -> dict[str, Any]:
    """Record what an answer says anew, all of it or nothing.

    A status that the inventory holds differently from the ledger counts from the instant of
    the answer, since the inventory gives none.

    Returns:
        The devices with what was new of each, as plain JSON.

    Raises:
        LedgerRefused: A later status is held already.
    """
    devices: list[dict[str, Any]] = []
    with ledger.transaction():
        for entry in inventory.entries:
            held = last_words(ledger.device_facts.history(entry.device), SOURCE)
            fresh = [f for f in entry.said(SOURCE, now) if held.get(f.name) != f.value]
            learn(ledger, entry.device, fresh, now)
            told = [fact.name.value for fact in fresh]
            if entry.status is not None and learn_status(
                ledger,
                entry.device,
                entry.status,
                at=min(inventory.answered_at, now),
                source=SOURCE,
                now=now,
                is_snapshot=True,
            ):
                told.append(f"SMI Status {entry.status.value}")
            devices.append(
                {
                    "entity_id": str(entry.device),
                    "type": entry.device_type.value,
                    "news": told,
                }
            )
    return {"devices": devices, "without_duties": list(inventory.without_duties)}
