from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbcs.protocol_errors import DecodeError
from meterlink.link_events import NEED_DATA
from zse import smart_energy_assumptions
from zse.key_establishment import (
    EphemeralKeyNeeded,
    FailureReason,
    Initiator,
    KeyEstablished,
    KeyEstablishmentEvent,
    KeyEstablishmentFailed,
    MessageRefused,
    Responder,
    SecretNeeded,
    issuer_of,
    subject_of,
)
from zse.smart_energy_commands import (
    KEY_ESTABLISHMENT,
    Command,
    ConfirmKeyDataRequest,
    ConfirmKeyDataResponse,
    DefaultResponse,
    Direction,
    EphemeralDataRequest,
    EphemeralDataResponse,
    InitiateKeyEstablishmentRequest,
    InitiateKeyEstablishmentResponse,
    TerminateByInitiator,
    TerminateByResponder,
)
from zse.smart_energy_enumerations import KeyEstablishmentStatus as Status
from zse.zcl_frames import Frame, Outgoing, decode_frame

if TYPE_CHECKING:
    from collections.abc import Callable

METER, HUB, OTHER, ISSUER = 0x00DB1234567890A0, 0x00DB1234567890AF, 0x11, 0x7465737453454341
MARGIN_S = smart_energy_assumptions.KEY_ESTABLISHMENT_MARGIN_S
MACS = (b"I" * 16, b"R" * 16)
EPHEMERAL = {METER: b"\x02" + b"m" * 36, HUB: b"\x03" + b"h" * 36}


def identity(subject: int, issuer: int = ISSUER) -> bytes:
    """Lay out a certificate of suite 2: 74 octets, issuer and subject where they belong."""
    return bytes(11) + issuer.to_bytes(8, "big") + bytes(9) + subject.to_bytes(8, "big") + bytes(38)


def initiator(issuers: frozenset[int] | None = None) -> Initiator:
    numbers = itertools.cycle(range(1, 256))
    return Initiator(
        own_address=METER,
        identity=identity(METER),
        next_sequence=numbers.__next__,
        issuers=issuers,
    )


def responder(issuers: frozenset[int] | None = None) -> Responder:
    return Responder(own_address=HUB, identity=identity(HUB), issuers=issuers)


def drain(machine: Initiator | Responder) -> list[KeyEstablishmentEvent]:
    found: list[KeyEstablishmentEvent] = []
    while (event := machine.next_event()) is not NEED_DATA:
        assert not isinstance(event, type(NEED_DATA))
        found.append(event)
    return found


def compute(machine: Initiator | Responder, own: int, now: float) -> list[KeyEstablishmentEvent]:
    """Do what a radio does; give every event."""
    seen: list[KeyEstablishmentEvent] = []
    while events := drain(machine):
        for event in events:
            if isinstance(event, EphemeralKeyNeeded):
                machine.provide_ephemeral_key(EPHEMERAL[own], now)
            elif isinstance(event, SecretNeeded):
                machine.provide_macs(*MACS, now)
        seen += events
    return seen


def frame(command: Command | DefaultResponse, sequence: int = 1) -> Frame:
    return decode_frame(KEY_ESTABLISHMENT, Outgoing(command, sequence).encode())


def sent(machine: Initiator | Responder) -> list[Command]:
    commands = [each.command for each in machine.frames_to_send(0.0)]
    assert all(isinstance(each, Command) for each in commands)
    return [each for each in commands if isinstance(each, Command)]


def run(
    meter: Initiator, hub: Responder, now: float = 0.0
) -> tuple[list[KeyEstablishmentEvent], list[KeyEstablishmentEvent], list[str]]:
    """Carry frames both ways until both are silent."""
    seen: tuple[list[KeyEstablishmentEvent], list[KeyEstablishmentEvent]] = ([], [])
    order: list[str] = []
    while True:
        out, back = meter.frames_to_send(now), hub.frames_to_send(now)
        if not out and not back:
            return seen[0], seen[1], order
        for each in out:
            order.append(type(each.command).__name__)
            hub.receive(decode_frame(KEY_ESTABLISHMENT, each.encode()), METER, now)
        for each in back:
            order.append(type(each.command).__name__)
            meter.receive(decode_frame(KEY_ESTABLISHMENT, each.encode()), HUB, now)
        seen[0].extend(compute(meter, METER, now))
        seen[1].extend(compute(hub, HUB, now))


def test_both_ends_establish_a_key_in_six_messages() -> None:
    meter, hub = initiator(), responder()
    meter.start(HUB, 0.0)
    at_meter, at_hub, order = run(meter, hub)
    assert order == [
        "InitiateKeyEstablishmentRequest",
        "InitiateKeyEstablishmentResponse",
        "EphemeralDataRequest",
        "EphemeralDataResponse",
        "ConfirmKeyDataRequest",
        "ConfirmKeyDataResponse",
    ]
    assert at_meter[-1] == KeyEstablished(HUB)
    assert at_hub[-1] == KeyEstablished(METER)
    assert at_meter[1] == SecretNeeded(HUB, True, identity(HUB), EPHEMERAL[HUB])
    assert at_hub[1] == SecretNeeded(METER, False, identity(METER), EPHEMERAL[METER])
    assert meter.partner is None
    assert hub.partner is None


def test_the_commands_have_the_octets_of_the_standard() -> None:
    begin = InitiateKeyEstablishmentRequest(0x0002, 20, 21, identity(METER))
    assert Outgoing(begin, 7).encode() == bytes.fromhex("01 07 00 0200 14 15") + identity(METER)
    answer = InitiateKeyEstablishmentResponse(0x0002, 20, 21, identity(HUB))
    assert Outgoing(answer, 7).encode()[:7] == bytes.fromhex("19 07 00 0200 14 15")
    assert Outgoing(EphemeralDataRequest(EPHEMERAL[METER]), 8).encode() == (
        bytes.fromhex("01 08 01") + EPHEMERAL[METER]
    )
    assert Outgoing(ConfirmKeyDataRequest(MACS[0]), 9).encode() == (
        bytes.fromhex("01 09 02") + MACS[0]
    )
    terminate = TerminateByResponder(Status.Bad_Key_Confirm, 30, 0x0002)
    assert Outgoing(terminate, 9).encode() == bytes.fromhex("19 09 03 02 1E 0200")


def test_issuer_and_subject_are_read_from_a_certificate() -> None:
    assert issuer_of(identity(METER)) == ISSUER
    assert subject_of(identity(METER)) == METER


BEGIN = InitiateKeyEstablishmentRequest(2, 20, 20, identity(METER))


@pytest.mark.parametrize(
    ("command", "issuers", "status"),
    [
        (replace(BEGIN, key_establishment_suite=1), None, Status.Unsupported_Suite),
        (replace(BEGIN, identity=identity(METER)[:-1]), None, Status.Bad_Message),
        (BEGIN, frozenset({1}), Status.Unknown_Issuer),
        (replace(BEGIN, identity=identity(OTHER)), None, Status.Invalid_Certificate),
    ],
)
def test_a_responder_refuses_what_it_must(
    command: Command, issuers: frozenset[int] | None, status: Status
) -> None:
    hub = responder(issuers)
    hub.receive(frame(command, 5), METER, 10.0)
    (failed,) = drain(hub)
    assert failed == KeyEstablishmentFailed(
        METER,
        FailureReason.TERMINATED,
        status,
        10.0 + smart_energy_assumptions.FAILURE_WAIT_TIME_S,
        is_by_partner=False,
    )
    (outgoing,) = hub.frames_to_send(10.0)
    assert outgoing.sequence == 5
    assert outgoing.command == TerminateByResponder(
        status, smart_energy_assumptions.TERMINATE_WAIT_TIME_S, 2
    )


ANSWER = InitiateKeyEstablishmentResponse(2, 20, 20, identity(HUB))


@pytest.mark.parametrize(
    ("command", "issuers", "status"),
    [
        (replace(ANSWER, key_establishment_suite=1), None, Status.Unsupported_Suite),
        (replace(ANSWER, identity=b""), None, Status.Bad_Message),
        (ANSWER, frozenset({1}), Status.Unknown_Issuer),
        (replace(ANSWER, identity=identity(METER)), None, Status.Invalid_Certificate),
        (EphemeralDataResponse(EPHEMERAL[HUB]), None, Status.Bad_Message),
    ],
)
def test_an_initiator_refuses_what_it_must(
    command: Command, issuers: frozenset[int] | None, status: Status
) -> None:
    meter = initiator(issuers)
    meter.start(HUB, 0.0)
    meter.frames_to_send(0.0)
    meter.receive(frame(command), HUB, 1.0)
    failed = drain(meter)[-1]
    assert isinstance(failed, KeyEstablishmentFailed)
    assert (failed.status, failed.is_by_partner) == (status, False)
    assert [type(each) for each in sent(meter)] == [TerminateByInitiator]


def test_a_wrong_key_confirmation_is_refused_by_either_end() -> None:
    hub = responder()
    hub.receive(frame(BEGIN), METER, 0.0)
    hub.receive(frame(EphemeralDataRequest(EPHEMERAL[METER])), METER, 0.0)
    compute(hub, HUB, 0.0)
    hub.receive(frame(ConfirmKeyDataRequest(b"X" * 16)), METER, 0.0)
    failed = drain(hub)[-1]
    assert isinstance(failed, KeyEstablishmentFailed)
    assert failed.status == Status.Bad_Key_Confirm
    assert KeyEstablished(METER) not in drain(hub)

    meter = initiator()
    meter.start(HUB, 0.0)
    meter.receive(frame(ANSWER), HUB, 0.0)
    compute(meter, METER, 0.0)
    meter.receive(frame(EphemeralDataResponse(EPHEMERAL[HUB])), HUB, 0.0)
    compute(meter, METER, 0.0)
    meter.receive(frame(ConfirmKeyDataResponse(MACS[0])), HUB, 0.0)
    failed = drain(meter)[-1]
    assert isinstance(failed, KeyEstablishmentFailed)
    assert failed.status == Status.Bad_Key_Confirm


def test_a_confirmation_that_comes_before_the_radio_has_computed_is_kept() -> None:
    hub = responder()
    hub.receive(frame(BEGIN), METER, 0.0)
    hub.receive(frame(EphemeralDataRequest(EPHEMERAL[METER])), METER, 0.0)
    drain(hub)
    hub.provide_ephemeral_key(EPHEMERAL[HUB], 0.0)
    hub.receive(frame(ConfirmKeyDataRequest(MACS[0]), 9), METER, 0.0)
    hub.provide_macs(*MACS, 0.0)
    assert drain(hub)[-1] == KeyEstablished(METER)
    last = hub.frames_to_send(0.0)[-1]
    assert (last.command, last.sequence) == (ConfirmKeyDataResponse(MACS[1]), 9)


@pytest.mark.parametrize("octets", [0, 36, 38])
def test_ephemeral_data_of_another_length_is_a_bad_message(octets: int) -> None:
    hub = responder()
    hub.receive(frame(BEGIN), METER, 0.0)
    hub.receive(frame(EphemeralDataRequest(b"e" * octets)), METER, 0.0)
    failed = drain(hub)[-1]
    assert isinstance(failed, KeyEstablishmentFailed)
    assert failed.status == Status.Bad_Message


def test_a_second_partner_is_told_to_come_back_and_the_first_goes_on() -> None:
    hub = responder()
    hub.receive(frame(BEGIN), METER, 0.0)
    hub.frames_to_send(0.0)
    hub.receive(frame(replace(BEGIN, identity=identity(OTHER)), 4), OTHER, 0.0)
    (outgoing,) = hub.frames_to_send(0.0)
    assert outgoing.address == OTHER
    assert isinstance(outgoing.command, TerminateByResponder)
    assert outgoing.command.status == Status.No_Resources
    assert hub.partner == METER


def test_a_partner_that_begins_again_is_taken_at_its_word() -> None:
    hub = responder()
    hub.receive(frame(BEGIN), METER, 0.0)
    hub.receive(frame(EphemeralDataRequest(EPHEMERAL[METER])), METER, 0.0)
    hub.receive(frame(BEGIN), METER, 1.0)
    assert hub.next_deadline() == 1.0 + 20 + MARGIN_S
    assert len(hub.frames_to_send(1.0)) == 2


def test_a_terminate_ends_it_with_its_status_and_wait() -> None:
    meter = initiator()
    meter.start(HUB, 0.0)
    meter.receive(frame(TerminateByResponder(Status.No_Resources, 30, 2)), HUB, 4.0)
    assert drain(meter) == [
        KeyEstablishmentFailed(
            HUB, FailureReason.TERMINATED, Status.No_Resources, 34.0, is_by_partner=True
        )
    ]
    assert meter.partner is None


def test_a_default_response_that_refuses_ends_it() -> None:
    meter = initiator()
    meter.start(HUB, 0.0)
    meter.receive(frame(DefaultResponse(0, 0, Direction.TO_CLIENT)), HUB, 1.0)
    assert drain(meter) == []
    meter.receive(frame(DefaultResponse(0, 0x81, Direction.TO_CLIENT)), HUB, 1.0)
    (failed,) = drain(meter)
    assert isinstance(failed, KeyEstablishmentFailed)
    assert failed.reason is FailureReason.REFUSED


def test_silence_ends_it_at_the_time_the_partner_named_and_not_before() -> None:
    meter = initiator()
    meter.start(HUB, 100.0)
    assert meter.next_deadline() == 100.0 + MARGIN_S
    meter.receive(frame(replace(ANSWER, ephemeral_data_generate_time=7)), HUB, 101.0)
    compute(meter, METER, 102.0)
    due = 102.0 + 7 + MARGIN_S
    assert meter.next_deadline() == due
    meter.handle_deadline(due - 0.001)
    assert drain(meter) == []
    meter.frames_to_send(due)
    meter.handle_deadline(due)
    assert drain(meter) == [
        KeyEstablishmentFailed(
            HUB,
            FailureReason.NO_ANSWER,
            None,
            due + smart_energy_assumptions.FAILURE_WAIT_TIME_S,
            is_by_partner=False,
        )
    ]
    assert sent(meter) == []


def test_nothing_is_overdue_while_the_radio_computes() -> None:
    hub = responder()
    hub.receive(frame(BEGIN), METER, 0.0)
    hub.receive(frame(EphemeralDataRequest(EPHEMERAL[METER])), METER, 0.0)
    assert hub.next_deadline() is None
    hub.handle_deadline(1e9)
    assert hub.partner == METER


def test_a_radio_that_cannot_compute_ends_it_with_a_terminate() -> None:
    hub = responder()
    hub.receive(frame(BEGIN), METER, 0.0)
    hub.frames_to_send(0.0)
    hub.fail_computation(1.0, Status.Invalid_Certificate)
    failed = drain(hub)[-1]
    assert isinstance(failed, KeyEstablishmentFailed)
    assert failed.reason is FailureReason.COMPUTATION
    (command,) = sent(hub)
    assert isinstance(command, TerminateByResponder)
    assert command.status == Status.Invalid_Certificate


def test_strangers_and_late_results_change_nothing() -> None:
    hub = responder()
    hub.receive(frame(EphemeralDataRequest(EPHEMERAL[METER])), METER, 0.0)
    assert [type(each) for each in drain(hub)] == [MessageRefused]
    hub.provide_ephemeral_key(EPHEMERAL[HUB], 0.0)
    hub.provide_macs(*MACS, 0.0)
    hub.handle_undelivered(0.0)
    hub.fail_computation(0.0)
    assert drain(hub) == []
    assert sent(hub) == []


def test_no_key_confirmation_shows() -> None:
    hub = responder()
    hub.receive(frame(BEGIN), METER, 0.0)
    hub.receive(frame(EphemeralDataRequest(EPHEMERAL[METER])), METER, 0.0)
    compute(hub, HUB, 0.0)
    command = ConfirmKeyDataRequest(MACS[0])
    assert "IIII" not in repr((hub.__dict__, command))


@given(st.lists(st.tuples(st.binary(max_size=90), st.sampled_from([METER, HUB, OTHER]))))
def test_whatever_comes_nothing_is_raised(frames: list[tuple[bytes, int]]) -> None:
    meter, hub = initiator(), responder()
    meter.start(HUB, 0.0)
    make: Callable[[bytes], Frame] = lambda octets: decode_frame(KEY_ESTABLISHMENT, octets)  # noqa: E731
    for octets, sender in frames:
        try:
            decoded = make(octets)
        except DecodeError:
            continue
        for machine, own in ((meter, METER), (hub, HUB)):
            machine.receive(decoded, sender, 0.0)
            compute(machine, own, 0.0)
            machine.frames_to_send(0.0)
    assert hub.partner in {None, METER, HUB, OTHER}
