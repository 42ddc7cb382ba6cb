from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent.session.steps.driving import (
    DS,
    KA,
    NO_RESPONSE,
    ROLE,
    Driver,
    change,
    contents,
    context,
    details,
    device_key,
    issued,
    request,
)
from authorities import SUPPLIER
from gbcs.certification_request import build_certification_request
from gbcs.key_holders import public_octets
from gbcs.security_credentials import UpdateDeviceCertificateResponseCode as Code
from keyrig.domain.key_changes import KeyChangeState
from keyrig.session.steps.effects import Answer, StepFailed
from keyrig.session.steps.regenerate_keys import regenerate_keys

if TYPE_CHECKING:
    from gbcs.roles import KeyUsage

REQUEST = "000A by supplier, repeatable"
STORE = "000B by supplier, once"
READ_BACK = "000C by supplier, repeatable"
USE = "0008 by broker, repeatable"
OLD = b"the certificate before"


def resuming(state: KeyChangeState, usage: KeyUsage = KA) -> dict[str, Any]:
    """Give a context in which one key change stands in `state`, and the other key is done."""
    other = DS if usage is KA else KA
    return {
        "open_key_changes": {usage: change(usage, state)},
        "confirmed_key_usages": frozenset({other}),
    }


def shown(usage: KeyUsage, number: int = 1, under: bytes | None = None) -> Answer:
    """Give what CS02e brings from a device that uses the key of `under`, the shown one by default.

    For digital signature that is whose key signed the answer; for key agreement, whose key MACed
    the command that was answered.
    """
    certificate = issued(usage, number)
    used = certificate if under is None else under
    return Answer(
        payload=certificate,
        exchange_id=0,
        signed_under=used if usage is DS else OLD,
        agreed_under=used if usage is KA else OLD,
    )


def maced(under: bytes | None, *, is_by_the_dcc: bool = False) -> Answer:
    """Give the answer to the CS02a by which a key agreement key is used."""
    return Answer(
        payload=(details(ROLE.RECOVERY, contents(SUPPLIER)),),
        exchange_id=0,
        maced_under=under,
        is_by_the_dcc=is_by_the_dcc,
    )


def used(number: int = 1) -> list[Answer]:
    return [shown(KA, number), maced(issued(KA, number))]


def test_both_requests_come_before_any_certificate_is_stored() -> None:
    driver = Driver(
        request(DS, 1), request(KA, 1), Code.SUCCESS, shown(DS, 2), Code.SUCCESS, *used(3)
    )
    result = driver.run(regenerate_keys(context()))
    assert driver.trace == [
        "request digitalSignature",
        REQUEST,
        "csr-received",
        "request keyAgreement",
        REQUEST,
        "csr-received",
        "certify digitalSignature",
        "certify keyAgreement",
        "storing",
        STORE,
        "stored",
        READ_BACK,
        "confirmed",
        "storing",
        STORE,
        "stored",
        READ_BACK,
        USE,
        "record",
        "confirmed",
    ]
    assert not result.waits_for_authority
    assert len(result.evidence) == len(driver.asks)


def test_requests_that_wait_end_the_visit_with_nothing_stored() -> None:
    driver = Driver(request(DS, 1), request(KA, 1), waits=frozenset({DS, KA}))
    result = driver.run(regenerate_keys(context()))
    assert result.waits_for_authority
    assert driver.trace[-2:] == ["certify digitalSignature", "certify keyAgreement"]


@pytest.mark.parametrize("waiting", [DS, KA])
def test_one_certificate_alone_is_not_stored_while_the_other_is_awaited(waiting: KeyUsage) -> None:
    driver = Driver(request(DS, 1), request(KA, 1), waits=frozenset({waiting}))
    result = driver.run(regenerate_keys(context()))
    assert result.waits_for_authority
    assert waiting.gbcs_name in result.detail
    assert STORE not in driver.trace


def test_what_waits_is_asked_for_again_and_no_other_key_is_made() -> None:
    waits = {
        usage: change(usage, KeyChangeState.WAITING_FOR_AUTHORITY, id=1 + (usage is KA))
        for usage in (DS, KA)
    }
    driver = Driver(Code.SUCCESS, shown(DS, 1), Code.SUCCESS, *used(2))
    driver.run(regenerate_keys(context(open_key_changes=waits)))
    assert driver.trace[:3] == ["certify digitalSignature", "certify keyAgreement", "storing"]
    assert REQUEST not in driver.trace


@pytest.mark.parametrize("usage", [DS, KA])
@pytest.mark.parametrize("code", [Code.NO_CORRESPONDING_KEY_PAIR_GENERATED, Code.WRONG_PUBLIC_KEY])
def test_pair_that_was_lost_during_a_wait_makes_the_request_void_and_is_made_anew(
    usage: KeyUsage, code: Code
) -> None:
    driver = Driver(code, OLD, request(usage, 2), waits=frozenset({usage}))
    result = driver.run(
        regenerate_keys(context(**resuming(KeyChangeState.CERTIFICATE_ISSUED, usage)))
    )
    assert result.waits_for_authority
    name = usage.gbcs_name
    assert driver.trace == [
        "storing",
        STORE,
        READ_BACK,
        "certificate-issued",
        "abandoned",
        f"request {name}",
        REQUEST,
        "csr-received",
        f"certify {name}",
    ]


def test_both_pairs_that_were_lost_are_asked_for_in_one_visit() -> None:
    opened = {usage: change(usage, KeyChangeState.CERTIFICATE_ISSUED) for usage in (DS, KA)}
    lost = Code.NO_CORRESPONDING_KEY_PAIR_GENERATED
    driver = Driver(lost, OLD, request(DS, 2), lost, OLD, request(KA, 2), waits=frozenset({DS, KA}))
    result = driver.run(regenerate_keys(context(open_key_changes=opened)))
    assert result.waits_for_authority
    assert driver.trace.count(REQUEST) == 2


def test_pair_that_is_lost_within_the_visit_is_the_devices_failure() -> None:
    driver = Driver(request(DS, 1), request(KA, 1), Code.WRONG_PUBLIC_KEY, OLD)
    with pytest.raises(StepFailed, match="no longer has the digitalSignature key pair it has just"):
        driver.run(regenerate_keys(context()))


def test_pair_that_is_lost_twice_is_the_devices_failure() -> None:
    lost = Code.NO_CORRESPONDING_KEY_PAIR_GENERATED
    driver = Driver(lost, OLD, request(KA, 2), lost, OLD)
    with pytest.raises(StepFailed, match="no longer has the keyAgreement key pair"):
        driver.run(regenerate_keys(context(**resuming(KeyChangeState.CERTIFICATE_ISSUED))))


@pytest.mark.parametrize("state", [KeyChangeState.STORING, KeyChangeState.STORED])
@pytest.mark.parametrize("usage", [DS, KA])
def test_device_that_shows_its_new_certificate_and_goes_on_with_its_old_key_is_not_done(
    usage: KeyUsage, state: KeyChangeState
) -> None:
    driver = Driver(shown(usage, under=OLD))
    with pytest.raises(StepFailed, match="goes on with its old key"):
        driver.run(regenerate_keys(context(**resuming(state, usage))))
    assert driver.trace == [READ_BACK, "abandoned"]


def test_key_agreement_is_confirmed_by_a_mac_under_the_new_key_alone() -> None:
    driver = Driver(shown(KA), maced(OLD))
    with pytest.raises(StepFailed, match="goes on with its old key"):
        driver.run(regenerate_keys(context(**resuming(KeyChangeState.STORED))))
    assert driver.asks[-1].agreement_certificate == issued(KA, 1)


def test_device_that_answers_under_its_old_key_after_silence_under_the_new_is_not_done() -> None:
    driver = Driver(shown(KA), NO_RESPONSE, maced(OLD))
    with pytest.raises(StepFailed, match="goes on with its old key"):
        driver.run(regenerate_keys(context(**resuming(KeyChangeState.STORED))))
    assert [each.agreement_certificate for each in driver.asks[1:]] == [issued(KA, 1), None]


def test_silence_under_both_keys_leaves_the_change_where_it_stands() -> None:
    driver = Driver(shown(KA), NO_RESPONSE, NO_RESPONSE)
    with pytest.raises(type(NO_RESPONSE)):
        driver.run(regenerate_keys(context(**resuming(KeyChangeState.STORED))))
    assert driver.advances == []


def test_mac_that_only_the_dcc_can_verify_confirms() -> None:
    through_dcc = Answer(payload=issued(KA, 1), exchange_id=0, signed_under=OLD)
    driver = Driver(through_dcc, maced(None, is_by_the_dcc=True))
    driver.run(regenerate_keys(context(**resuming(KeyChangeState.STORED))))
    assert driver.trace[-1] == "confirmed"


def test_mac_that_nobody_verified_does_not_confirm() -> None:
    driver = Driver(shown(KA), maced(None))
    with pytest.raises(StepFailed, match="goes on with its old key"):
        driver.run(regenerate_keys(context(**resuming(KeyChangeState.STORED))))


def test_one_key_pair_for_both_uses_is_refused() -> None:
    # The key agreement request carries the key that the signature request carried.
    same = build_certification_request(device_key(2), KA, context().device)
    driver = Driver(request(DS, 1), same)
    with pytest.raises(StepFailed, match="had before or has for another use"):
        driver.run(regenerate_keys(context()))
    assert "certify keyAgreement" not in driver.trace


def test_key_that_waits_for_its_certificate_is_not_asked_for_by_the_other_use() -> None:
    same = build_certification_request(device_key(2), KA, context().device)
    opened = {DS: change(DS, KeyChangeState.WAITING_FOR_AUTHORITY)}
    driver = Driver(same)
    with pytest.raises(StepFailed, match="had before or has for another use"):
        driver.run(regenerate_keys(context(open_key_changes=opened)))


def test_key_that_the_device_had_before_is_refused() -> None:
    had = frozenset({public_octets(device_key(2).public_key())})
    driver = Driver(request(DS, 1))
    with pytest.raises(StepFailed, match="had before"):
        driver.run(regenerate_keys(context(device_public_keys=had)))


@pytest.mark.parametrize("state", [KeyChangeState.CERTIFICATE_ISSUED, KeyChangeState.STORING])
@pytest.mark.parametrize("code", [Code.NO_CORRESPONDING_KEY_PAIR_GENERATED, Code.WRONG_PUBLIC_KEY])
def test_refusal_of_a_certificate_that_the_device_holds_already_is_no_refusal(
    state: KeyChangeState, code: Code
) -> None:
    # The first sending was executed and its answer lost; the second is what is refused.
    first = [b"another"] if state is KeyChangeState.STORING else []
    driver = Driver(*first, code, *used())
    driver.run(regenerate_keys(context(**resuming(state))))
    assert driver.trace[-5:] == [STORE, READ_BACK, USE, "record", "confirmed"]
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
