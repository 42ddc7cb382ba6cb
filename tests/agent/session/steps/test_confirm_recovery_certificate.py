from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.session.steps.driving import (
    DS,
    FIRST_EXCHANGE,
    KA,
    OTHER_SUPPLIER,
    RECOVERY,
    ROLE,
    Driver,
    certificate,
    contents,
    context,
    details,
)
from gbcs.roles import DeviceType
from gbcs.security_credentials import RemotePartyDetails, StatusCode
from keyrig.session.steps.confirm_recovery_certificate import confirm_recovery_certificate
from keyrig.session.steps.effects import StepFailed

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier

ASKED = ["0008 by broker, repeatable", "record"]


def key() -> bytes:
    identifier = certificate(RECOVERY, ROLE.RECOVERY).subject_key_identifier
    assert identifier is not None
    return identifier


def failure(answer: RemotePartyDetails) -> str:
    driver = Driver((answer,))
    with pytest.raises(StepFailed) as failed:
        driver.run(confirm_recovery_certificate(context()))
    assert driver.trace == ASKED
    return str(failed.value)


@pytest.mark.parametrize("device_type", [DeviceType.CHF, DeviceType.ESME])
def test_one_recovery_certificate_is_confirmed_from_one_exchange(device_type: DeviceType) -> None:
    driver = Driver((details(ROLE.RECOVERY, contents(RECOVERY, DS, key=key())),))
    result = driver.run(confirm_recovery_certificate(context(device_type)))
    assert driver.trace == ASKED
    assert driver.payload().remote_party_roles_credentials_required == (ROLE.RECOVERY,)
    assert result.detail == f"the Recovery cell holds {RECOVERY} key {key().hex()}"
    assert result.evidence == (FIRST_EXCHANGE,)


@pytest.mark.parametrize(
    ("entity", "identifier"),
    [(OTHER_SUPPLIER, None), (RECOVERY, b"\x11" * 8), (OTHER_SUPPLIER, b"\x11" * 8)],
)
def test_another_party_or_another_key_of_the_same_fails_with_both_named(
    entity: EntityIdentifier, identifier: bytes | None
) -> None:
    held = identifier or key()
    assert failure(details(ROLE.RECOVERY, contents(entity, key=held))) == (
        f"the Recovery cell holds {entity} key {held.hex()}, where the Recovery "
        f"Certificate is {RECOVERY} key {key().hex()}"
    )


def test_right_certificate_in_another_cell_of_the_role_does_not_count() -> None:
    answer = details(ROLE.RECOVERY, contents(RECOVERY, KA, key=key()))
    assert failure(answer) == "the device has no cell {recovery, digitalSignature}"


def test_device_without_a_recovery_cell_fails_with_what_it_says() -> None:
    answer = details(ROLE.RECOVERY, status=StatusCode.TRUST_ANCHOR_NOT_FOUND)
    assert failure(answer) == (
        "asked for its recovery cells, the device answers trust_anchor_not_found (25)"
    )
