from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from authorities import DEVICE
from duis.alert_messages import (
    CHFDecommissioning,
    DCCAlertMessage,
    DeviceRemovedFromInventory,
    DeviceStatusChangeEvent,
    MeterDecommissioningOrWithdrawal,
)
from duis.dsp_inventory import DSPInventory
from duis.duis_enumerations import ListedDeviceType, SMIStatus
from duis.request_documents import (
    DecommissionDevice,
    PropertyFilter,
    ReadInventory,
    UpdateDeviceDetails,
    UpdateInventory,
    UpdateMPxN,
)
from firmware_stubs.dccstub.bench import BROKER, StandInBench
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType

NOBODY = EntityIdentifier.parse("00db1234567890ff")
HOME = PropertyFilter(post_code="AB1 2CD", address_identifier="7")


def ask(bench: StandInBench, body: Any) -> Any:
    return bench.ask(body, bench.next_id(BROKER))


def code(bench: StandInBench, body: Any) -> str:
    found: str = ask(bench, body).header.response_code
    return found


def changes(bench: StandInBench) -> list[type]:
    found = []
    for response in bench.responses():
        assert isinstance(response.body, DCCAlertMessage)
        assert isinstance(response.body.dcc_alert, DeviceStatusChangeEvent)
        assert response.body.dcc_alert.device_id == DEVICE
        found.append(type(response.body.dcc_alert.device_status_change))
    return found


@pytest.mark.parametrize(
    "by",
    [{"device_id": DEVICE}, {"mpxn": "1312345678333"}, {"uprn": 77}, {"property_filter": HOME}],
)
def test_inventory_is_read_with_status_and_date(by: dict[str, Any]) -> None:
    bench = StandInBench(inventory={"uprn": 77, "property_filter": HOME})
    response = ask(bench, ReadInventory(**by))
    assert response.header.response_code == "I0"
    assert isinstance(response.body, DSPInventory)
    (device,) = response.body.devices
    assert (device.device_id, device.device_type) == (DEVICE, ListedDeviceType.ESME)
    assert device.device_status is SMIStatus.COMMISSIONED
    assert device.date_commissioned == date(2026, 5, 20)


@pytest.mark.parametrize(
    "by", [{"device_id": NOBODY}, {"mpxn": "1"}, {"uprn": 1}, {"property_filter": HOME}]
)
def test_nothing_in_the_inventory_is_an_error(by: dict[str, Any]) -> None:
    assert code(StandInBench(), ReadInventory(**by)) == "E080201"


def test_meter_is_decommissioned_once() -> None:
    bench = StandInBench()
    assert code(bench, DecommissionDevice(device_id=DEVICE)) == "I0"
    assert bench.listed.status is SMIStatus.DECOMMISSIONED
    assert code(bench, DecommissionDevice(device_id=DEVICE)) == "E080301"
    assert changes(bench) == [MeterDecommissioningOrWithdrawal]


def test_hub_is_decommissioned() -> None:
    bench = StandInBench(DeviceType.CHF)
    assert code(bench, DecommissionDevice(device_id=DEVICE)) == "I0"
    assert changes(bench) == [CHFDecommissioning]


def test_device_without_a_meter_point_is_decommissioned_in_silence() -> None:
    bench = StandInBench(DeviceType.HCALCS, inventory={"import_mpxn": None})
    assert code(bench, DecommissionDevice(device_id=DEVICE)) == "I0"
    assert changes(bench) == []


def update(**change: Any) -> UpdateInventory:
    return UpdateInventory(device_id=DEVICE, **change)


@pytest.mark.parametrize(
    ("device_type", "change", "after"),
    [
        (
            DeviceType.ESME,
            {"update_device_status_except_ch": SMIStatus.INSTALLED_NOT_COMMISSIONED},
            SMIStatus.INSTALLED_NOT_COMMISSIONED,
        ),
        (DeviceType.CHF, {"update_device_status_ch": SMIStatus.WITHDRAWN}, SMIStatus.WITHDRAWN),
        (DeviceType.ESME, {"update_device_status_ch": SMIStatus.WITHDRAWN}, None),
        (DeviceType.CHF, {"update_device_status_except_ch": SMIStatus.PENDING}, None),
    ],
)
def test_status_changes_as_the_schema_lets_users_change_it(
    device_type: DeviceType, change: dict[str, Any], after: SMIStatus | None
) -> None:
    bench = StandInBench(device_type)
    assert code(bench, update(**change)) == ("E080405" if after is None else "I0")
    assert bench.listed.status is (after or SMIStatus.COMMISSIONED)


def test_details_and_meter_points_change_where_they_are_given() -> None:
    bench = StandInBench()
    details = UpdateDeviceDetails(device_model="M2", firmware_version="0001")
    assert code(bench, update(update_device_details=details)) == "I0"
    points = UpdateMPxN(export_mpan="1312345678444")
    assert code(bench, update(update_mpxn=points)) == "I0"
    (device,) = ask(bench, ReadInventory(mpxn="1312345678444")).body.devices
    assert (device.device_model, device.device_firmware_version) == ("M2", "0001")
    assert (device.device_manufacturer, device.import_mpxn) == ("EMULATED", "1312345678333")


def test_device_is_deleted_when_it_is_pending() -> None:
    bench = StandInBench(inventory={"status": SMIStatus.PENDING})
    assert code(bench, update(delete_device=True)) == "I0"
    assert changes(bench) == [DeviceRemovedFromInventory]
    assert code(bench, update(delete_device=True)) == "E19"


def test_commissioned_device_is_not_deleted() -> None:
    bench = StandInBench()
    assert code(bench, update(delete_device=True)) == "E080405"
    assert bench.boxed.inventory.find(DEVICE) is bench.listed


def test_decommissioned_device_does_not_come_back() -> None:
    bench = StandInBench(inventory={"status": SMIStatus.DECOMMISSIONED})
    body = update(update_device_status_except_ch=SMIStatus.PENDING)
    assert code(bench, body) == "E080405"
