"""What the answer to Read Inventory says of devices.

Source: DUIS 5.4, service reference variant 8.2, `DSPInventory`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from gbcs.entity import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.duties.known_facts import FactName, KnownFact, last_words, plausible_commissioning
from keyrig.duties.smi_status import SMIStatus
from keyrig.errors import DocumentInvalid
from keyrig.printable import printable
from keyrig.xml_reading import read_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

    from keyrig.ledger import Ledger

NAMESPACE: Final = "http://www.dccinterface.co.uk/ServiceUserGateway"
SOURCE: Final = "Read Inventory"
DEVICES_MAXIMUM: Final = 17
"""How many devices one answer may name."""

_TYPE_2: Final = frozenset({"IHD", "CAD"})
"""Types that hold no SMI Status and owe nothing."""


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
        """Give what the entry says, as facts of `source`."""
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
    root = read_xml(octets, source)
    if root.tag != _name("Response"):
        found = printable(str(root.tag), 80)
        raise DocumentInvalid(source, f"it is {found}", "name a DUIS Response")
    code = _text(root, "Header/ResponseCode", source)
    if not code.startswith("I"):
        raise DocumentInvalid(
            source, f"the request was refused with {printable(code, 8)}", "read the inventory again"
        )
    listed = root.findall(_path("Body/ResponseMessage/DSPInventory/Device"))
    if not 0 < len(listed) <= DEVICES_MAXIMUM:
        raise DocumentInvalid(
            source,
            f"{len(listed)} devices under DSPInventory, where 1 to {DEVICES_MAXIMUM} may be",
            "name the Response to a Read Inventory request (8.2)",
        )
    answered = _read(_text(root, "Header/ResponseDateTime", source), _instant, source)
    entries: list[InventoryEntry] = []
    others: list[str] = []
    for element in listed:
        if _text(element, "DeviceType", source) in _TYPE_2:
            others.append(printable(_text(element, "DeviceID", source), 23))
        else:
            entries.append(_entry(element, source))
    devices = [entry.device for entry in entries]
    twice = next((device for device in devices if devices.count(device) > 1), None)
    if twice is not None:
        raise DocumentInvalid(source, f"device {twice} stands twice", "read the inventory again")
    return Inventory(answered_at=answered, entries=tuple(entries), without_duties=tuple(others))


def _entry(element: _Element, source: str) -> InventoryEntry:
    commissioned = element.findtext(_path("DateCommissioned"))
    status = element.findtext(_path("DeviceStatus"))
    return InventoryEntry(
        device=_read(_text(element, "DeviceID", source), EntityIdentifier.parse, source),
        device_type=_read(_text(element, "DeviceType", source), DeviceType, source),
        commissioned_on=None if commissioned is None else _read(commissioned, _date, source),
        status=None if status is None else _read(status, SMIStatus, source),
    )


def _text(element: _Element, path: str, source: str) -> str:
    text = element.findtext(_path(path))
    if not text or not text.strip():
        raise DocumentInvalid(source, f"{path} is missing", "name a complete DUIS Response")
    return text.strip()


def _read(text: str, reader: Any, source: str) -> Any:
    try:
        return reader(text.strip())
    except ValueError as error:
        raise DocumentInvalid(source, printable(str(error), 160), "read the inventory again") from (
            None
        )


def _date(text: str) -> date:
    # An xs:date may carry a zone, which says nothing about the hour of Commissioning.
    found = date.fromisoformat(text[:10])
    plausible_commissioning(found)
    return found


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _name(local: str) -> str:
    return f"{{{NAMESPACE}}}{local}"


def _path(path: str) -> str:
    return "/".join(_name(part) for part in path.split("/"))


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
            ledger.learn(entry.device, fresh, now)
            told = [fact.name.value for fact in fresh]
            if entry.status is not None and ledger.learn_status(
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
