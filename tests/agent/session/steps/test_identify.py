from __future__ import annotations

import pytest

from agent.session.steps.driving import (
    FIRST_EXCHANGE,
    NO_RESPONSE,
    RECOVERY,
    ROLE,
    Driver,
    contents,
    context,
    details,
)
from gbcs.roles import DeviceType, RemotePartyRole
from gbcs.security_credentials import StatusCode
from keyrig.session.steps.effects import NoResponse
from keyrig.session.steps.identify import identify, roles_of

HUB = (ROLE.ROOT, ROLE.RECOVERY, ROLE.ACCESS_CONTROL_BROKER, ROLE.WAN_PROVIDER)
HOME = (
    ROLE.ROOT,
    ROLE.RECOVERY,
    ROLE.SUPPLIER,
    ROLE.NETWORK_OPERATOR,
    ROLE.ACCESS_CONTROL_BROKER,
    ROLE.TRANSITIONAL_COS,
)
BY_TYPE = [(each, HUB if each is DeviceType.CHF else HOME) for each in DeviceType]


@pytest.mark.parametrize(("device_type", "roles"), BY_TYPE)
def test_every_role_that_a_type_may_hold_is_read_in_one_exchange(
    device_type: DeviceType, roles: tuple[RemotePartyRole, ...]
) -> None:
    assert roles_of(device_type) == roles
    # A role that the device does not hold does not hinder.
    absent = details(roles[-1], status=StatusCode.TRUST_ANCHOR_NOT_FOUND)
    held = [details(role, contents(RECOVERY)) for role in roles[:-1]]
    driver = Driver((*held, absent))
    result = driver.run(identify(context(device_type)))
    assert driver.trace == ["0008 by broker, repeatable", "record"]
    assert driver.payload().remote_party_roles_credentials_required == roles
    assert result.detail == f"{len(roles) - 1} trust anchor cells read"
    assert result.evidence == (FIRST_EXCHANGE,)


def test_silence_is_left_to_the_run_to_deal_with() -> None:
    driver = Driver(NO_RESPONSE)
    with pytest.raises(NoResponse):
        driver.run(identify(context()))
    assert driver.recorded == []
