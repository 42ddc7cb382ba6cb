from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.session.steps.driving import (
    BROKER,
    NETWORK,
    OTHER_NETWORK,
    OTHER_SUPPLIER,
    ROLE,
    TRANSITIONAL_COS,
    cell,
    context,
)
from authorities import SUPPLIER
from gbcs.roles import DeviceType
from gbcs.security_credentials import CredentialsReplacementMode as Mode
from keyrig.session.steps.effects import StepFailed
from keyrig.session.steps.signatories import (
    ReplacementAuthority,
    device_key_authority,
    replacing_network_operator,
    replacing_supplier,
    same_party_replacement,
    supplier,
)

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier

HOME_DEVICES = [each for each in DeviceType if each is not DeviceType.CHF]


def test_broker_acts_for_itself_on_a_chf() -> None:
    hub = context(DeviceType.CHF, lead_supplier=None)
    assert same_party_replacement(hub) == ReplacementAuthority(
        originator=BROKER,
        mode=Mode.ACCESS_CONTROL_BROKER_BY_ACB,
        cell=cell(ROLE.ACCESS_CONTROL_BROKER),
    )
    assert device_key_authority(hub) == (BROKER, cell(ROLE.ACCESS_CONTROL_BROKER))


@pytest.mark.parametrize("device_type", HOME_DEVICES)
def test_lead_supplier_acts_for_itself_on_every_other_device(device_type: DeviceType) -> None:
    device = context(device_type)
    assert same_party_replacement(device) == ReplacementAuthority(
        originator=SUPPLIER, mode=Mode.SUPPLIER_BY_SUPPLIER, cell=cell(ROLE.SUPPLIER)
    )
    assert device_key_authority(device) == (SUPPLIER, cell(ROLE.SUPPLIER))


def test_device_without_a_supplier_in_the_rig_is_named_as_such() -> None:
    with pytest.raises(StepFailed, match=r"^the rig names no supplier for the device$"):
        supplier(context(lead_supplier=None))
    with pytest.raises(StepFailed, match="no supplier"):
        device_key_authority(context(lead_supplier=None))


@pytest.mark.parametrize("holder", [BROKER, SUPPLIER])
def test_broker_hands_over_and_supplier_renews_by_the_supplier_cell(
    holder: EntityIdentifier,
) -> None:
    assert replacing_supplier(context(), holder) == ReplacementAuthority(
        originator=holder, mode=Mode.SUPPLIER_BY_SUPPLIER, cell=cell(ROLE.SUPPLIER)
    )


@pytest.mark.parametrize("holder", [OTHER_SUPPLIER, TRANSITIONAL_COS, NETWORK])
def test_any_other_holder_is_replaced_by_the_transitional_change_of_supplier(
    holder: EntityIdentifier,
) -> None:
    assert replacing_supplier(context(), holder) == ReplacementAuthority(
        originator=TRANSITIONAL_COS,
        mode=Mode.SUPPLIER_BY_TRANS_COS,
        cell=cell(ROLE.TRANSITIONAL_COS),
    )


@pytest.mark.parametrize("holder", [BROKER, OTHER_NETWORK])
def test_network_cells_are_replaced_by_whoever_holds_them(holder: EntityIdentifier) -> None:
    assert replacing_network_operator(holder) == ReplacementAuthority(
        originator=holder,
        mode=Mode.NETWORK_OPERATOR_BY_NETWORK_OPERATOR,
        cell=cell(ROLE.NETWORK_OPERATOR),
    )
