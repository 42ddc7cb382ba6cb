from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent.steps.driving import DS, KA, NO_RESPONSE, Driver, change, context, issued
from gbcs.security_credentials import UpdateDeviceCertificateResponseCode as Code
from keyrig.ledger.states import KeyChangeState
from keyrig.steps.effects import StepFailed
from keyrig.steps.regenerate_keys import regenerate_keys

if TYPE_CHECKING:
    from gbcs.roles import KeyUsage

STORE = "000B by supplier, once"
READ_BACK = "000C by supplier, repeatable"


def resuming(state: KeyChangeState, usage: KeyUsage = KA) -> dict[str, Any]:
    """Give a context in which one key change stands in `state`, and the other key is done."""
    other = DS if usage is KA else KA
    return {
        "open_key_changes": {usage: change(usage, state)},
        "confirmed_key_usages": frozenset({other}),
    }


@pytest.mark.parametrize("state", [KeyChangeState.CERTIFICATE_ISSUED, KeyChangeState.STORING])
@pytest.mark.parametrize("code", [Code.NO_CORRESPONDING_KEY_PAIR_GENERATED, Code.WRONG_PUBLIC_KEY])
def test_refusal_of_a_certificate_that_the_device_holds_already_is_no_refusal(
    state: KeyChangeState, code: Code
) -> None:
    # The first sending was executed and its answer lost; the second is what is refused.
    first = [b"another"] if state is KeyChangeState.STORING else []
    driver = Driver(*first, code, issued(KA, 1), issued(KA, 1))
    driver.run(regenerate_keys(context(**resuming(state))))
    assert driver.trace[-4:] == [STORE, READ_BACK, READ_BACK, "confirmed"]
    assert KeyChangeState.ABANDONED not in [each.to for each in driver.advances]


def test_refusal_of_a_certificate_that_the_device_does_not_hold_gives_it_up() -> None:
    driver = Driver(Code.CERTIFICATE_STORAGE_FAILED, b"another")
    with pytest.raises(StepFailed, match=r"certificate_storage_failed"):
        driver.run(regenerate_keys(context(**resuming(KeyChangeState.CERTIFICATE_ISSUED))))
    assert driver.trace == ["storing", STORE, READ_BACK, "certificate-issued", "abandoned"]


def test_refusal_that_cannot_be_looked_into_leaves_the_certificate_among_those_in_use() -> None:
    driver = Driver(Code.NO_CORRESPONDING_KEY_PAIR_GENERATED, NO_RESPONSE)
    with pytest.raises(type(NO_RESPONSE)):
        driver.run(regenerate_keys(context(**resuming(KeyChangeState.CERTIFICATE_ISSUED))))
    assert driver.trace == ["storing", STORE, READ_BACK]
