from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from firmware_stubs.support import (
    BROKER_CELL,
    CONTINGENCY,
    DS,
    ENTITIES,
    KA,
    SUPPLIER_CELLS,
    Bench,
    Mode,
    Role,
    cell,
    remembered,
)
from gbcs import use_cases
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Message, OtherInformation, compose_pre_command
from gbcs.roles import DeviceType
from gbcs.security_credentials import (
    SEQ_NUMBER_MAXIMUM,
    KeyUsageCommand,
    RemotePartySeqNumberChange,
)
from gbcs.use_cases import MessageCode
from meterstub.command_execution import EventCode
from meterstub.key_pair import KeyPair, generate_key

if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT = EventCode.INTEGRITY_CHECK_FAILED
AUTHORITY = EventCode.NO_AUTHORITY
AUTHENTICATION = EventCode.TRUSTED_SOURCE_AUTHENTICATION_FAILURE
ACCESS = EventCode.UNAUTHORISED_COMMUNICATION_ACCESS
STRANGER = EntityIdentifier.parse("0102030405060708")
NO_CELL = cell(Role.NETWORK_OPERATOR, DS)
TCOS_CELL = cell(Role.TRANSITIONAL_COS, DS)


def altered(octets: bytes, offset: int, mask: int = 1) -> bytes:
    changed = bytearray(octets)
    changed[offset] ^= mask
    return bytes(changed)


def for_another_device(bench: Bench) -> bytes:
    supplier = bench.pki.credential(SUPPLIER_CELLS[0])
    header = bench.header(MessageCode.ISSUE_CREDENTIALS, ENTITIES[Role.SUPPLIER], 1)
    content = use_cases.compose(header, KeyUsageCommand(key_usage=DS)).content
    return bench.protected(replace(header, recipient=STRANGER), content, signer=supplier.pair)


def with_header(bench: Bench, **changes: Any) -> bytes:
    supplier = bench.pki.credential(SUPPLIER_CELLS[0])
    header = bench.header(MessageCode.ISSUE_CREDENTIALS, ENTITIES[Role.SUPPLIER], 1)
    content = use_cases.compose(header, KeyUsageCommand(key_usage=DS)).content
    return bench.protected(
        replace(header, **changes),
        content,
        signer=supplier.pair,
    )


def with_content(bench: Bench, code: int, content: bytes) -> bytes:
    supplier = bench.pki.credential(SUPPLIER_CELLS[0])
    header = bench.header(code, ENTITIES[Role.SUPPLIER], 1)
    return bench.protected(header, content, signer=supplier.pair)


def replaced(bench: Bench, **changes: Any) -> bytes:
    return bench.supplier_by_supplier(1, **changes)


def unsigned_update(bench: Bench) -> bytes:
    return bench.supplier_by_supplier(1, signer=None)


def broker_in_two_forms(bench: Bench) -> bytes:
    """ACB by ACB is MACed alone on other devices than a hub; this one is signed besides."""
    new = bench.pki.new_credential(BROKER_CELL)
    signer = KeyPair(generate_key())
    return bench.update(
        1, Mode.ACCESS_CONTROL_BROKER_BY_ACB, (BROKER_CELL, new.der), by=None, signer=signer
    )


def maced_recovery(bench: Bench) -> bytes:
    recovery = cell(Role.RECOVERY, DS)
    new = bench.pki.new_credential(recovery)
    payload = bench.update_payload(
        1, Mode.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY, (recovery, new.der), by=recovery
    )
    header = bench.header(0x0108, ENTITIES[Role.RECOVERY], 1)
    content = use_cases.compose(header, payload).content
    return bench.protected(header, content, signer=bench.pki.credential(recovery).pair)


def counters_of_another(bench: Bench) -> bytes:
    change = RemotePartySeqNumberChange(
        other_remote_party_role=Role.NETWORK_OPERATOR, other_remote_party_floor_seq_number=0
    )
    return replaced(bench, control={"other_remote_party_seq_number_changes": (change,)})


REFUSALS: dict[str, tuple[EventCode, Callable[[Bench], bytes]]] = {
    "nothing": (FORMAT, lambda _: b""),
    "noise": (FORMAT, lambda _: bytes(range(200))),
    "cut short": (FORMAT, lambda b: b.issue(1)[:-1]),
    "octets behind": (FORMAT, lambda b: b.issue(1) + b"\0"),
    "a response": (FORMAT, lambda b: with_header(b, cra_flag=CRAFlag.RESPONSE)),
    "a date-time": (FORMAT, lambda b: with_header(b, date_time=bytes(12))),
    "a supplement": (
        FORMAT,
        lambda b: with_header(b, other_information=OtherInformation(0x000A, STRANGER)),
    ),
    "an unknown use case": (FORMAT, lambda b: with_content(b, 0x0062, b"\x05\x00")),
    "an alert's code": (FORMAT, lambda b: with_content(b, 0x00CB, b"\x05\x00")),
    "another payload": (FORMAT, lambda b: with_content(b, 0x000A, b"\x30\x00")),
    "lengths not minimal": (
        FORMAT,
        lambda b: with_content(b, 0x000A, bytes.fromhex("30810403020780")),
    ),
    "another recipient": (ACCESS, for_another_device),
    "a stranger": (ACCESS, lambda b: b.issue(1, originator=STRANGER)),
    "a stranger by CS02b": (
        ACCESS,
        lambda b: b.update(1, Mode.SUPPLIER_BY_SUPPLIER, by=cell(Role.WAN_PROVIDER, DS)),
    ),
    "a counter of zero": (ACCESS, lambda b: b.issue(0)),
    "a counter too great": (ACCESS, lambda b: b.issue(SEQ_NUMBER_MAXIMUM + 1)),
    "a signature of another key": (
        AUTHENTICATION,
        lambda b: b.issue(1, signer=KeyPair(generate_key())),
    ),
    "no signature": (AUTHENTICATION, lambda b: b.issue(1, signer=None)),
    "no signature in CS02b": (AUTHENTICATION, unsigned_update),
    "no MAC": (AUTHENTICATION, lambda b: b.issue(1, maced=False)),
    "no protection": (AUTHENTICATION, lambda b: Message.parse(b.issue(1)).grouping),
    "a MAC of another key": (
        AUTHENTICATION,
        lambda b: b.issue(1, broker=KeyPair(generate_key())),
    ),
    "an altered MAC": (AUTHENTICATION, lambda b: altered(b.issue(1), -1)),
    "an altered signature": (AUTHENTICATION, lambda b: altered(b.issue(1), -20)),
    "an altered counter": (AUTHENTICATION, lambda b: altered(b.issue(1), 17, 0x40)),
    "a signature too many": (AUTHENTICATION, broker_in_two_forms),
    "a MAC too many": (AUTHENTICATION, maced_recovery),
    "CS02a with an altered MAC": (
        AUTHENTICATION,
        lambda b: altered(b.provide(1, Role.SUPPLIER), -1),
    ),
    "a network operator's CS02c": (AUTHORITY, lambda b: b.issue(1, by=NO_CELL)),
    "CS02a by a supplier's key agreement": (
        AUTHORITY,
        lambda b: b.provide(1, Role.SUPPLIER, by=cell(Role.SUPPLIER, KA)),
    ),
    "a code of another mode": (AUTHORITY, lambda b: replaced(b, code=0x0103)),
    "a mode of another role": (
        AUTHORITY,
        lambda b: b.update(1, Mode.SUPPLIER_BY_SUPPLIER, by=TCOS_CELL),
    ),
    "another authorising counter": (
        AUTHORITY,
        lambda b: replaced(b, control={"authorising_remote_party_seq_number": 2}),
    ),
    "a symmetric key": (
        AUTHORITY,
        lambda b: replaced(b, control={"plaintext_symmetric_key": bytes(16)}),
    ),
    "contingency without a symmetric key": (
        AUTHORITY,
        lambda b: b.update(1, Mode.ANY_BY_CONTINGENCY, by=None),
    ),
    "a cell of another role": (
        AUTHORITY,
        lambda b: b.update(
            1,
            Mode.SUPPLIER_BY_SUPPLIER,
            (NO_CELL, b.pki.new_credential(NO_CELL).der),
            by=SUPPLIER_CELLS[0],
        ),
    ),
    "counters of another role": (AUTHORITY, counters_of_another),
    "more than a response can carry": (
        FORMAT,
        lambda b: b.provide(1, *(Role.SUPPLIER,) * 5000),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_command_gets_no_response_and_changes_nothing_but_the_log(name: str) -> None:
    event, make = REFUSALS[name]
    bench = Bench()
    octets = make(bench)
    before = remembered(bench.storage)
    assert bench.device.receive_message(octets) == []
    assert remembered(bench.storage) == before
    assert [entry.code for entry in bench.state.log] == [event]
    assert bench.payload_of(bench.issue(1)), "the device takes a right command afterwards"


def test_contingency_is_refused_where_none_was_given() -> None:
    bench = Bench()
    bench.device.memory.commit(replace(bench.state, contingency=None))
    command = bench.update(
        1, Mode.ANY_BY_CONTINGENCY, by=None, control={"plaintext_symmetric_key": bytes(16)}
    )
    assert bench.device.receive_message(command) == []
    assert bench.state.log[-1].code == ACCESS


def test_replay_is_refused_and_a_greater_counter_taken() -> None:
    bench = Bench()
    command = bench.read_certificate(5)
    assert bench.device.receive_message(command)
    assert bench.device.receive_message(command) == []
    assert bench.device.receive_message(bench.read_certificate(4)) == []
    assert bench.device.receive_message(bench.read_certificate(6))
    assert [entry.code for entry in bench.state.log] == [ACCESS, ACCESS]


def test_counters_of_roles_are_apart() -> None:
    bench = Bench()
    assert bench.device.receive_message(bench.issue(1000))
    assert bench.device.receive_message(bench.provide(1, Role.SUPPLIER))
    assert bench.state.counters == {Role.SUPPLIER: 1000, Role.ACCESS_CONTROL_BROKER: 1}


def test_replay_survives_a_restart() -> None:
    bench = Bench()
    command = bench.read_certificate(5)
    assert bench.device.receive_message(command)
    assert bench.power_on().receive_message(command) == []


def test_counter_is_checked_before_the_signature_and_the_signature_before_the_mac() -> None:
    bench = Bench()
    wrong = KeyPair(generate_key())
    bench.device.receive_message(bench.issue(0, signer=wrong, broker=wrong))
    bench.device.receive_message(bench.issue(1, signer=wrong, broker=wrong))
    bench.device.receive_message(bench.issue(1, broker=wrong))
    counter, signature, mac = bench.state.log
    assert counter.code == ACCESS
    assert "counter" in counter.what
    assert "signature" in signature.what
    assert "MAC" in mac.what


def test_broker_acts_as_supplier_while_the_factory_certificates_are_there() -> None:
    bench = Bench()
    broker = ENTITIES[Role.ACCESS_CONTROL_BROKER]
    as_supplier = bench.pki.new_credential(
        SUPPLIER_CELLS[0], entity_id=broker, role=Role.ACCESS_CONTROL_BROKER
    )
    bench.device.memory.commit(bench.state.with_cell(SUPPLIER_CELLS[0], as_supplier.der))
    command = bench.issue(7, originator=broker, signer=as_supplier.pair)
    assert bench.device.receive_message(command)
    assert bench.state.counters == {Role.SUPPLIER: 7}


@pytest.mark.parametrize("device_type", DeviceType)
def test_critical_commands_are_the_supplier_s_and_on_a_hub_the_broker_s(
    device_type: DeviceType,
) -> None:
    bench = Bench(device_type)
    assert bench.device.receive_message(bench.issue(1))
    expected = Role.ACCESS_CONTROL_BROKER if device_type is DeviceType.CHF else Role.SUPPLIER
    assert bench.state.counters == {expected: 1}


def test_hub_refuses_the_wan_provider_s_key_command_and_the_broker_s_without_its_cell() -> None:
    bench = Bench(DeviceType.CHF)
    wan_provider = cell(Role.WAN_PROVIDER, DS)
    assert bench.device.receive_message(bench.issue(1, by=wan_provider)) == []
    new = bench.pki.new_credential(BROKER_CELL)
    update = bench.update(1, Mode.ACCESS_CONTROL_BROKER_BY_ACB, (BROKER_CELL, new.der), by=None)
    assert bench.device.receive_message(update) == []
    assert [entry.code for entry in bench.state.log] == [AUTHORITY, AUTHORITY]


def test_contingency_originator_needs_the_contingency_key() -> None:
    bench = Bench()
    command = bench.update(
        1,
        Mode.ANY_BY_CONTINGENCY,
        by=None,
        signer=KeyPair(generate_key()),
        control={"plaintext_symmetric_key": bytes(16)},
    )
    assert Message.parse(command).header.originator == CONTINGENCY
    assert bench.device.receive_message(command) == []
    assert bench.state.log[-1].code == AUTHENTICATION


def test_pre_command_is_not_taken_for_a_maced_command() -> None:
    bench = Bench()
    message = Message.parse(bench.provide(1, Role.SUPPLIER))
    pre_command = compose_pre_command(message.header, message.content)
    assert bench.device.receive_message(pre_command.octets) == []
    assert bench.state.log[-1].code == AUTHENTICATION
