from __future__ import annotations

import pytest

from firmware_stubs.support import BROKER_CELL, DS, ENTITIES, KA, TOP_UP, Bench, Role, cell
from gbcs import protection
from gbcs.message import Message
from gbcs.roles import DeviceType
from gbcs.security_credentials import StatusCode
from meterstub.device_options import DeviceOptions, SeqNumberMoment
from meterstub.trust_anchor_cells import CELLS, ROOT_CELL


@pytest.mark.parametrize("device_type", DeviceType)
def test_every_cell_of_every_type_is_given_with_its_subject(device_type: DeviceType) -> None:
    bench = Bench(device_type)
    roles = [role for role in Role if role < Role.LOAD_CONTROLLER]
    details = bench.payload_of(bench.provide(1, *roles))
    assert [each.remote_party_role for each in details] == roles
    found = {}
    for each in details:
        held = any(which.role is each.remote_party_role for which in CELLS[device_type])
        assert (each.status_code is StatusCode.SUCCESS) == held
        assert (each.status_code is StatusCode.TRUST_ANCHOR_NOT_FOUND) != held
        assert (each.current_seq_number is not None) == held
        for contents in each.trust_anchor_cell_details or ():
            which = cell(
                each.remote_party_role,
                contents.trust_anchor_cell_key_usage,
                contents.trust_anchor_cell_usage,
            )
            found[which] = (
                contents.existing_subject_unique_id,
                contents.existing_subject_key_identifier,
            )
    expected = {
        which: (
            ENTITIES[which.role],
            bench.pki.credential(which).certificate.subject_key_identifier,
        )
        for which in CELLS[device_type]
        if which != ROOT_CELL
    }
    root = bench.pki.authorities.root.certificate
    expected[ROOT_CELL] = (bytes(8), root.subject_key_identifier)  # type: ignore[assignment]  # nobody's
    assert found == expected


def test_roles_come_as_asked_and_cells_in_their_order() -> None:
    bench = Bench()
    first, second = bench.payload_of(bench.provide(1, Role.SUPPLIER, Role.RECOVERY))
    assert [first.remote_party_role, second.remote_party_role] == [Role.SUPPLIER, Role.RECOVERY]
    usages = [
        (each.trust_anchor_cell_key_usage, each.trust_anchor_cell_usage)
        for each in first.trust_anchor_cell_details
    ]
    assert usages == [(DS, 0), (KA, 0), (KA, TOP_UP)]


@pytest.mark.parametrize(
    ("moment", "expected"), [(SeqNumberMoment.BEFORE, 3), (SeqNumberMoment.AFTER, 9)]
)
def test_counter_of_the_asking_role(moment: SeqNumberMoment, expected: int) -> None:
    bench = Bench(options=DeviceOptions(cs02a_seq_number=moment))
    bench.answer(bench.provide(3, Role.SUPPLIER))
    (details,) = bench.payload_of(bench.provide(9, Role.ACCESS_CONTROL_BROKER))
    assert details.current_seq_number == expected


def test_response_to_the_broker_is_maced_and_not_signed() -> None:
    bench = Bench()
    response = bench.answer(bench.provide(1, Role.SUPPLIER))
    secret = bench.pki.credential(BROKER_CELL).pair.agree(bench.state.key_pairs[KA].public_key)
    protection.verify_mac(response, secret)
    assert response.signature == b""
    assert response.header.date_time == b""


def test_response_to_a_signed_command_is_signed_and_not_maced() -> None:
    bench = Bench()
    response = bench.answer(bench.provide(1, Role.RECOVERY, by=cell(Role.RECOVERY, DS)))
    bench.verify_signed(response, bench.state.key_pairs[DS].public_key)
    assert bench.state.counters == {Role.RECOVERY: 1}


def test_lengths_are_minimal_unless_told_otherwise() -> None:
    command_roles = (Role.SUPPLIER, Role.NETWORK_OPERATOR)
    bench = Bench()
    assert bench.answer(bench.provide(1, *command_roles)).content[:2] == b"\x30\x81"
    bench = Bench(options=DeviceOptions(minimal_lengths=False))
    response = bench.answer(bench.provide(1, *command_roles))
    assert response.content[:3] == b"\x30\x82\x00"
    assert not Message.parse(response.octets).lengths_not_minimal
