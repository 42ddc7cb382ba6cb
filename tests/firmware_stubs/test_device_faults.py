from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from firmware_stubs.support import DS, KA, SUPPLIER_CELLS, Bench, Role, without_power
from gbcs.message import Message
from gbcs.security_credentials import (
    IssueCredentialsResponseCode,
    ProvideDeviceCertificateResponseCode,
    StatusCode,
    UpdateDeviceCertificateResponseCode,
)
from meterstub.device_faults import FaultKind, Faults
from meterstub.device_memory import WriteStep

if TYPE_CHECKING:
    from gbcs.roles import KeyUsage


def test_dropped_responses_were_carried_out() -> None:
    bench = Bench()
    bench.device.faults.drop_responses(2)
    assert bench.device.receive_message(bench.issue(1)) == []
    assert bench.state.pending
    assert bench.device.receive_message(bench.read_certificate(2)) == []
    assert bench.device.receive_message(bench.read_certificate(3))
    assert bench.state.log == ()


def test_corrupt_response_differs_in_one_bit() -> None:
    bench, twin = Bench(), Bench()
    twin = Bench(pki=bench.pki)
    twin.device.memory.commit(bench.state)
    bench.device.faults.corrupt_response(2, octet=30)
    commands = [bench.provide(number, Role.SUPPLIER) for number in (1, 2, 3)]
    damaged = [bench.device.receive_message(command)[0] for command in commands]
    sound = [twin.device.receive_message(command)[0] for command in commands]
    assert [a == b for a, b in zip(damaged, sound, strict=True)] == [True, False, True]
    differing = [i for i, (a, b) in enumerate(zip(damaged[1], sound[1], strict=True)) if a != b]
    assert differing == [30]
    assert damaged[1][30] ^ sound[1][30] == 1


def test_refusals_answer_each_use_case_with_its_code() -> None:
    bench = Bench()
    faults = bench.device.faults
    for text in ("refuse=0008:127", "refuse=000A:3", "refuse=000B:7", "refuse=000C:2"):
        faults.inject(text)
    faults.inject("refuse=0102:30")
    der = bench.pki.authorities.device(key_usage=DS).der
    (details,) = bench.payload_of(bench.provide(1, Role.SUPPLIER))
    assert details.status_code is StatusCode.OTHER
    issued = bench.payload_of(bench.issue(1))
    assert issued is IssueCredentialsResponseCode.CR_PRODUCTION_FAILED
    installed = bench.payload_of(bench.install(2, der))
    assert installed is UpdateDeviceCertificateResponseCode.PRIVATE_KEY_CHANGE_FAILED
    read = bench.payload_of(bench.read_certificate(3))
    assert read is ProvideDeviceCertificateResponseCode.NO_CERTIFICATE_HELD
    before = dict(bench.state.cells)
    outcome = bench.payload_of(bench.supplier_by_supplier(4)).execution_outcome
    assert {o.status_code for o in outcome.replacement_outcomes} == {StatusCode.RESOURCES_BUSY}
    assert dict(bench.state.cells) == before
    faults.allow(0x000C)
    assert isinstance(bench.payload_of(bench.read_certificate(5)), bytes)


def test_refusal_of_a_waiting_command_takes_effect_at_its_date() -> None:
    bench = Bench()
    date = bench.clock.now.replace(month=7)
    bench.device.faults.refuse(0x0102, StatusCode.RESOURCES_BUSY)
    bench.answer(bench.supplier_by_supplier(1, at=date))
    before = bench.state.cells[SUPPLIER_CELLS[0]]
    bench.clock.now = date
    assert len(bench.device.poll()) == 1
    assert bench.state.cells[SUPPLIER_CELLS[0]] == before


def test_late_responses_come_out_of_the_poll_they_should() -> None:
    bench = Bench()
    bench.device.faults.answer_late(3)
    assert bench.device.receive_message(bench.read_certificate(1)) == []
    assert bench.device.poll() == []
    assert bench.device.receive_message(bench.read_certificate(2)) == []
    assert bench.device.poll() == []
    (first,) = bench.device.poll()
    (second,) = bench.device.poll()
    assert [Message.parse(octets).header.originator_counter for octets in (first, second)] == [1, 2]
    bench.device.faults.answer_late(0)
    assert bench.device.receive_message(bench.read_certificate(3))


def test_faults_work_together() -> None:
    bench = Bench()
    for text in (
        "drop-responses=1",
        "corrupt-response=2",
        "answer-late=1",
        "fail-key-generation=1",
    ):
        bench.device.faults.inject(text)
    assert bench.device.receive_message(bench.issue(1)) == []
    assert bench.device.poll() == []
    assert bench.device.receive_message(bench.issue(2)) == []
    assert len(bench.device.poll()) == 1
    assert set(bench.state.pending) == {DS}


def test_power_goes_in_the_write_that_was_named() -> None:
    bench = Bench()
    bench.device.faults.inject("cut-power-at-write=2")
    assert bench.device.receive_message(bench.read_certificate(1))
    without_power(bench, bench.read_certificate(2))
    assert bench.power_on().receive_message(bench.read_certificate(2))


def test_power_cut_after_the_write_loses_the_response_alone() -> None:
    bench = Bench()
    bench.device.faults.cut_power_at_write(1, WriteStep.REPLACED)
    without_power(bench, bench.issue(1))
    assert bench.power_on().memory.state.pending


@pytest.mark.parametrize(
    "text",
    [
        "",
        "drop-responses",
        "drop-responses=0",
        "drop-responses=-1",
        "drop-responses=many",
        "answer-late=-1",
        "set-fire=1",
        "refuse=000B",
        "refuse=000B:8",
        "refuse=000B:0",
        "refuse=9999:1",
        "refuse=0008:3",
        "refuse=00CB:5",
        "fail-storage=0",
    ],
)
def test_fault_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names:"):
        Faults().inject(text)


@pytest.mark.parametrize("kind", FaultKind)
def test_failure_takes_effect_so_many_times(kind: FaultKind) -> None:
    faults = Faults()
    faults.inject(f"{kind.value}=2")
    assert [faults.takes_effect(kind) for _ in range(3)] == [True, True, False]
    assert not any(faults.takes_effect(other) for other in FaultKind)


@pytest.mark.parametrize("usage", [DS, KA])
def test_device_that_keeps_its_old_key_stores_the_certificate_and_says_success(
    usage: KeyUsage,
) -> None:
    bench = Bench()
    bench.device.faults.inject(f"keeps-old-key={'ds' if usage == DS else 'ka'}")
    before = bench.state.key_pairs
    certificates = {each: certified(bench, number, each) for number, each in ((1, DS), (3, KA))}
    assert dict(bench.state.certificates) == certificates
    assert not bench.state.pending
    assert [each for each in (DS, KA) if bench.state.key_pairs[each] == before[each]] == [usage]


def certified(bench: Bench, number: int, usage: KeyUsage) -> bytes:
    der = bench.pki.certify(bench.payload_of(bench.issue(number, usage)))
    answered = bench.payload_of(bench.install(number + 1, der))
    assert answered is UpdateDeviceCertificateResponseCode.SUCCESS
    return der


@pytest.mark.parametrize("text", ["keeps-old-key=", "keeps-old-key=1", "keeps-old-key=DS"])
def test_kept_key_is_named_by_its_use(text: str) -> None:
    with pytest.raises(ValueError, match="keeps-old-key=ds or ka"):
        Faults().inject(text)
