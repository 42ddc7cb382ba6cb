from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from authorities import needs
from duis.document_errors import DocumentInvalid
from duis.xml_documents import NAMESPACE
from duis_schemas import DUIS, assert_valid
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.base.errors import LedgerRefused
from keyrig.domain.smi_status import SMIStatus
from keyrig.ledger.ledger import Ledger
from keyrig.run.inventory_facts import read_inventory, take_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HUB = EntityIdentifier.parse("00db1234567890a2")
METER = EntityIdentifier.parse("00db1234567890a0")


def entry(device: str, kind: str, status: str = "", commissioned: str = "") -> str:
    status = f"<s:DeviceStatus>{status}</s:DeviceStatus>" if status else ""
    if commissioned:
        commissioned = f"<s:DateCommissioned>{commissioned}</s:DateCommissioned>"
    return (
        f"<s:Device><s:DeviceID>{device}</s:DeviceID><s:DeviceType>{kind}</s:DeviceType>{status}"
        f"<s:DeviceManufacturer>1060</s:DeviceManufacturer><s:DeviceModel>0001</s:DeviceModel>"
        f"{commissioned}</s:Device>"
    )


HUB_ENTRY = entry("00-DB-12-34-56-78-90-A2", "CHF", "Commissioned", "2026-11-20")
METER_ENTRY = entry("00-DB-12-34-56-78-90-A0", "ESME", "Suspended", "2026-11-21")
DISPLAY = entry("00-DB-12-34-56-78-90-A8", "IHD")


def answer(
    *entries: str, code: str = "I0", at: str = "2026-11-24T08:00:00.00Z", element: str = "Response"
) -> bytes:
    parties = "90-B3-D5-1F-30-01-00-00:90-B3-D5-1F-30-00-00-02:1000"
    return (
        f'<s:{element} xmlns:s="{NAMESPACE}" schemaVersion="5.4"><s:Header>'
        f"<s:RequestID>{parties}</s:RequestID><s:ResponseID>{parties}</s:ResponseID>"
        f"<s:ResponseCode>{code}</s:ResponseCode>"
        f"<s:ResponseDateTime>{at}</s:ResponseDateTime></s:Header><s:Body><s:ResponseMessage>"
        "<s:ServiceReference>8.2</s:ServiceReference>"
        "<s:ServiceReferenceVariant>8.2</s:ServiceReferenceVariant>"
        f"<s:DSPInventory>{''.join(entries)}</s:DSPInventory></s:ResponseMessage></s:Body>"
        f"</s:{element}>"
    ).encode()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as opened:
        yield opened


@needs(DUIS)
@pytest.mark.reference
def test_answer_of_these_tests_is_valid_by_the_schema() -> None:
    assert_valid(answer(HUB_ENTRY, METER_ENTRY, DISPLAY))


def test_entries_are_read_and_type_2_devices_left_out() -> None:
    inventory = read_inventory(answer(HUB_ENTRY, METER_ENTRY, DISPLAY), "a.xml")
    assert inventory.answered_at == datetime(2026, 11, 24, 8, tzinfo=UTC)
    hub, meter = inventory.entries
    assert (hub.device, hub.device_type) == (HUB, DeviceType.CHF)
    assert (hub.commissioned_on, hub.status) == (date(2026, 11, 20), SMIStatus.COMMISSIONED)
    assert (meter.device, meter.status) == (METER, SMIStatus.SUSPENDED)
    assert inventory.without_duties == ("00-DB-12-34-56-78-90-A8",)


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (answer(HUB_ENTRY, element="Request"), "it is {http"),
        (answer(HUB_ENTRY, code="E4"), "the request was refused with E4"),
        (answer(), "Response/Body/ResponseMessage/DSPInventory, line 1: Device is missing"),
        (answer(*[HUB_ENTRY] * 18), "no element of this name belongs here"),
        (answer(HUB_ENTRY, HUB_ENTRY), "device 00-DB-12-34-56-78-90-A2 stands twice"),
        (answer(HUB_ENTRY.replace("90-A2", "90")), "not an Entity Identifier"),
        (
            answer(HUB_ENTRY.replace("CHF", "TOASTER")),
            "Device/DeviceType, line 1: 'TOASTER': not one of ESME",
        ),
        (
            answer(HUB_ENTRY.replace("2026-11-20", "20th Nov")),
            "DateCommissioned, line 1: '20th Nov'",
        ),
        (
            answer(HUB_ENTRY.replace(">Commissioned<", ">Lost<")),
            "Device/DeviceStatus, line 1: 'Lost': not one of Pending",
        ),
        (answer(HUB_ENTRY, at="today"), "Response/Header/ResponseDateTime, line 1: 'today'"),
        (answer(HUB_ENTRY).replace(b"CHF", b"\x1b[31m"), "not XML"),
    ],
)
def test_what_is_no_inventory_is_refused_with_what_it_is(octets: bytes, told: str) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        read_inventory(octets, "a.xml")
    assert str(caught.value).startswith("a.xml: ")
    assert told in str(caught.value)


def test_inventory_is_taken_in_once_and_then_only_its_news(ledger: Ledger) -> None:
    inventory = read_inventory(answer(HUB_ENTRY, METER_ENTRY), "a.xml")
    taken = take_in(ledger, inventory, NOW)
    assert taken["devices"][0] == {
        "entity_id": str(HUB),
        "type": "CHF",
        "news": ["device_type", "commissioned_at", "SMI Status Commissioned"],
    }
    before = ledger.device_facts.history(HUB)
    again = take_in(ledger, inventory, NOW + timedelta(hours=1))
    assert [device["news"] for device in again["devices"]] == [[], []]
    assert ledger.device_facts.history(HUB) == before
    due = ledger.open_duties.next_due(NOW, 100)
    # Only a date is known, so the days last until the end of the seventh.
    assert {duty.due_by for duty in due if duty.device == HUB} == {
        datetime(2026, 11, 27, 23, 59, 59, 999999, tzinfo=UTC)
    }


def test_older_answer_changes_nothing_at_all(ledger: Ledger) -> None:
    take_in(ledger, read_inventory(answer(HUB_ENTRY), "a.xml"), NOW)
    older = HUB_ENTRY.replace(">Commissioned<", ">Whitelisted<")
    stale = read_inventory(answer(METER_ENTRY, older, at="2026-11-23T00:00:00Z"), "b.xml")
    with pytest.raises(LedgerRefused, match="is older than Commissioned"):
        take_in(ledger, stale, NOW)
    assert ledger.device_facts.devices() == (HUB,)


def test_inventory_that_still_shows_the_status_before_leaves_our_suspension_waiting(
    ledger: Ledger,
) -> None:
    take_in(ledger, read_inventory(answer(HUB_ENTRY), "a.xml"), NOW)
    later = NOW + timedelta(hours=1)
    ledger.smi_statuses.suspend(HUB, "H5.34(a)", "failed", later, failed=["R33a"])
    unchanged = read_inventory(answer(HUB_ENTRY, at="2026-11-24T14:00:00Z"), "b.xml")
    taken = take_in(ledger, unchanged, NOW + timedelta(hours=2))
    assert taken["devices"][0]["news"] == []
    standing = ledger.smi_statuses.standing(HUB)
    assert standing.status is SMIStatus.SUSPENDED
    assert standing.suspension is not None
    assert standing.instruction is not None

    suspended = HUB_ENTRY.replace(">Commissioned<", ">Suspended<")
    carried_out = read_inventory(answer(suspended, at="2026-11-24T15:00:00Z"), "c.xml")
    taken = take_in(ledger, carried_out, NOW + timedelta(hours=3))
    assert taken["devices"][0]["news"] == ["SMI Status Suspended"]
    standing = ledger.smi_statuses.standing(HUB)
    assert standing.suspension is not None
    assert standing.instruction is None


def test_answer_of_the_future_counts_from_now(ledger: Ledger) -> None:
    ahead = read_inventory(answer(HUB_ENTRY, at="2026-11-25T00:00:00Z"), "a.xml")
    take_in(ledger, ahead, NOW)
    assert ledger.smi_statuses.standing(HUB).status_since == NOW
