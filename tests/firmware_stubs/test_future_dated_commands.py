from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from authorities import DURING, END
from firmware_stubs.support import (
    DS,
    ENTITIES,
    SUPPLIER_CELLS,
    Bench,
    Mode,
    Role,
    cell,
)
from gbcs import protection, use_cases
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Message
from gbcs.security_credentials import NEVER, StatusCode
from gbcs.use_cases import MessageCode
from meterstub.command_execution import EventCode
from meterstub.device_options import CertificateTime, DeviceOptions

DATE = DURING + timedelta(days=3)
SECOND = timedelta(seconds=1)


def alert_at(bench: Bench, moment: datetime) -> tuple[Message, Any]:
    bench.clock.now = moment
    (octets,) = bench.device.poll()
    message = Message.parse(octets)
    decoded = use_cases.decode_payload(message)
    assert decoded is not None
    return message, decoded.value


def test_command_waits_for_its_date_and_then_raises_its_alert() -> None:
    bench = Bench()
    before = dict(bench.state.cells)
    assert bench.payload_of(bench.supplier_by_supplier(5, at=DATE)).execution_outcome is None
    bench.clock.now = DATE - SECOND
    assert bench.device.poll() == []
    assert dict(bench.state.cells) == before
    message, alert = alert_at(bench, DATE)
    assert alert.alert_code == EventCode.FUTURE_DATED_COMMAND_ACTIONED
    assert alert.execution_date_time == DATE
    assert alert.execution_outcome.authorising_remote_party_seq_number == 5
    assert message.header.cra_flag is CRAFlag.ALERT
    assert message.header.message_code == MessageCode.UPDATE_CREDENTIALS_ALERT
    assert message.header.originator_counter == 1
    assert message.header.recipient == ENTITIES[Role.SUPPLIER]
    assert message.mac is None
    protection.verify_signature(message, bench.state.key_pairs[DS].public_key)
    assert all(bench.state.cells[which] != before[which] for which in SUPPLIER_CELLS)
    assert bench.device.poll() == []
    assert bench.state.future_dated == ()


def test_command_is_executed_before_another_is_looked_at() -> None:
    bench = Bench()
    bench.answer(bench.supplier_by_supplier(5, at=DATE))
    old = bench.pki.credential(SUPPLIER_CELLS[0])
    bench.clock.now = DATE
    assert bench.device.receive_message(bench.issue(6, signer=old.pair)) == []
    assert len(bench.device.poll()) == 1


def test_partial_failure_raises_the_other_alert() -> None:
    bench = Bench()
    good = bench.pki.new_credential(SUPPLIER_CELLS[0])
    bad = bench.pki.new_credential(SUPPLIER_CELLS[0])
    bench.answer(bench.supplier_by_supplier(5, (good.der, bad.der), at=DATE))
    _, alert = alert_at(bench, DATE)
    assert alert.alert_code == EventCode.FUTURE_DATED_COMMAND_NOT_ACTIONED
    statuses = [each.status_code for each in alert.execution_outcome.replacement_outcomes]
    assert statuses == [StatusCode.SUCCESS, StatusCode.BAD_CERTIFICATE]


@pytest.mark.parametrize("moment", [DURING, DURING - SECOND])
def test_date_that_is_not_in_the_future_is_at_once(moment: datetime) -> None:
    bench = Bench()
    assert bench.payload_of(bench.supplier_by_supplier(5, at=moment)).execution_outcome is not None
    assert bench.state.future_dated == ()


def test_waiting_command_survives_a_loss_of_power() -> None:
    bench = Bench()
    bench.answer(bench.supplier_by_supplier(5, at=DATE))
    bench.power_on()
    assert bench.device.poll() == []
    _, alert = alert_at(bench, DATE + timedelta(days=10))
    assert alert.alert_code == EventCode.FUTURE_DATED_COMMAND_ACTIONED
    assert alert.execution_date_time == DATE
    bench.power_on()
    assert bench.device.poll() == []


def test_never_cancels_what_waits_of_its_mode_and_originator_alone() -> None:
    bench = Bench()
    operator = cell(Role.NETWORK_OPERATOR, DS)
    new = bench.pki.new_credential(operator)
    other = bench.update(
        8, Mode.NETWORK_OPERATOR_BY_NETWORK_OPERATOR, (operator, new.der), by=operator, at=DATE
    )
    bench.answer(other)
    bench.answer(bench.supplier_by_supplier(5, at=DATE))
    assert bench.payload_of(bench.supplier_by_supplier(6, at=NEVER)).execution_outcome is None
    _, alert = alert_at(bench, DATE)
    mode = alert.execution_outcome.credentials_replacement_mode
    assert mode is Mode.NETWORK_OPERATOR_BY_NETWORK_OPERATOR
    assert bench.state.future_dated == ()


def test_never_with_nothing_waiting_is_accepted() -> None:
    bench = Bench()
    assert bench.payload_of(bench.supplier_by_supplier(6, at=NEVER)).execution_outcome is None
    assert bench.state.future_dated == ()


def test_second_command_replaces_the_first() -> None:
    bench = Bench()
    bench.answer(bench.supplier_by_supplier(5, at=DATE))
    bench.answer(bench.supplier_by_supplier(6, at=DATE + timedelta(days=1)))
    bench.clock.now = DATE
    assert bench.device.poll() == []
    _, alert = alert_at(bench, DATE + timedelta(days=1))
    assert alert.execution_outcome.authorising_remote_party_seq_number == 6


def test_alerts_come_in_the_order_of_their_dates_with_their_own_counters() -> None:
    bench = Bench()
    bench.device.memory.commit(replace(bench.state, alert_counter=2000))
    operator = cell(Role.NETWORK_OPERATOR, DS)
    new = bench.pki.new_credential(operator)
    mode = Mode.NETWORK_OPERATOR_BY_NETWORK_OPERATOR
    later = bench.update(8, mode, (operator, new.der), by=operator, at=DATE + SECOND)
    bench.answer(later)
    bench.answer(bench.supplier_by_supplier(5, at=DATE))
    bench.clock.now = DATE + timedelta(days=1)
    alerts = [Message.parse(octets).header for octets in bench.device.poll()]
    assert [header.originator_counter for header in alerts] == [2001, 2002]
    assert [header.recipient for header in alerts] == [
        ENTITIES[Role.SUPPLIER],
        ENTITIES[Role.NETWORK_OPERATOR],
    ]


@pytest.mark.parametrize("rechecks", [True, False])
def test_command_of_a_party_that_was_replaced_meanwhile(rechecks: bool) -> None:  # noqa: FBT001 - a parameter
    bench = Bench(options=DeviceOptions(recheck_authority_at_execution=rechecks))
    bench.answer(bench.supplier_by_supplier(5, at=DATE))
    successor = bench.pki.new_credential(
        SUPPLIER_CELLS[0], entity_id=EntityIdentifier.parse("90b3d51f30030000")
    )
    change_of_supplier = bench.update(
        1,
        Mode.SUPPLIER_BY_TRANS_COS,
        (SUPPLIER_CELLS[0], successor.der),
        by=cell(Role.TRANSITIONAL_COS, DS),
    )
    bench.answer(change_of_supplier)
    _, alert = alert_at(bench, DATE)
    statuses = {each.status_code for each in alert.execution_outcome.replacement_outcomes}
    assert statuses == {StatusCode.OTHER if rechecks else StatusCode.SUCCESS}
    assert (bench.state.cells[SUPPLIER_CELLS[0]] == successor.der) == rechecks


@pytest.mark.parametrize(
    ("moment", "code"), [(CertificateTime.RECEIPT, 0x8F66), (CertificateTime.EXECUTION, 0x8F67)]
)
def test_certificates_that_expire_before_the_date(moment: CertificateTime, code: int) -> None:
    bench = Bench(options=DeviceOptions(certificate_time=moment))
    after = END + timedelta(days=1)
    bench.answer(bench.supplier_by_supplier(5, at=after))
    _, alert = alert_at(bench, after)
    assert alert.alert_code == code
