from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_stubs.support import Bench, Mode, Role, cell, remembered
from gbcs.roles import DeviceType, KeyUsage
from meterstub.device_memory import DeviceMemory, VolatileStorage

DS = KeyUsage.DIGITAL_SIGNATURE


@cache
def benches() -> tuple[Bench, Bench]:
    return Bench(), Bench(DeviceType.CHF)


@cache
def commands() -> tuple[tuple[Bench, bytes, bytes], ...]:
    """Right commands of every kind, each with its device and the state it is for."""
    meter, hub = benches()
    request = meter.payload_of(meter.issue(1))
    recovery = cell(Role.RECOVERY, DS)
    wan_provider = cell(Role.WAN_PROVIDER, DS)
    new = meter.pki.new_credential(recovery), hub.pki.new_credential(wan_provider)
    made = [
        (meter, meter.issue(2)),
        (meter, meter.install(2, meter.pki.certify(request))),
        (meter, meter.read_certificate(2)),
        (meter, meter.provide(2, Role.SUPPLIER, Role.RECOVERY)),
        (meter, meter.provide(2, Role.SUPPLIER, by=recovery)),
        (meter, meter.supplier_by_supplier(2)),
        (
            meter,
            meter.update(
                2,
                Mode.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY,
                (recovery, new[0].der),
                by=recovery,
            ),
        ),
        (
            hub,
            hub.update(
                2, Mode.WAN_PROVIDER_BY_WAN_PROVIDER, (wan_provider, new[1].der), by=wan_provider
            ),
        ),
    ]
    return tuple((bench, octets, bench.storage.read()) for bench, octets in made)


@pytest.mark.sweep
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_flipped_bits_change_nothing_but_the_log(data: st.DataObject) -> None:
    bench, octets, before = data.draw(st.sampled_from(commands()))
    flips = data.draw(
        st.sets(st.integers(0, len(octets) * 8 - 1), min_size=1, max_size=4), label="bits"
    )
    damaged = bytearray(octets)
    for bit in flips:
        damaged[bit // 8] ^= 1 << (bit % 8)
    bench.storage = VolatileStorage(before)
    bench.power_on()
    assert bench.device.receive_message(bytes(damaged)) == []
    assert remembered(bench.storage) == remembered(VolatileStorage(before))
    assert bench.device.receive_message(octets), "the command itself is still taken"


@pytest.mark.sweep
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_cut_or_grown_commands_change_nothing_but_the_log(data: st.DataObject) -> None:
    bench, octets, before = data.draw(st.sampled_from(commands()))
    cut = octets[: data.draw(st.integers(0, len(octets) - 1))]
    grown = octets + data.draw(st.binary(min_size=1, max_size=80))
    bench.storage = VolatileStorage(before)
    bench.power_on()
    for damaged in (cut, grown):
        assert bench.device.receive_message(damaged) == []
        assert remembered(bench.storage) == remembered(VolatileStorage(before))


@pytest.mark.sweep
@settings(deadline=None, max_examples=150)
@given(noise=st.binary(max_size=300))
def test_noise_is_survived(noise: bytes) -> None:
    bench, _ = benches()
    before = remembered(bench.storage)
    for octets in (noise, b"\xdd" + noise, b"\xdf\x09\x01" + noise):
        assert bench.device.receive_message(octets) == []
    assert remembered(bench.storage) == before
    assert DeviceMemory(bench.storage).state == bench.state


@pytest.mark.sweep
@settings(deadline=None, max_examples=200)
@given(content=st.binary(max_size=120), code=st.sampled_from((0x0008, 0x000A, 0x000B, 0x0102)))
def test_well_protected_nonsense_is_survived(content: bytes, code: int) -> None:
    """The entitled party may send anything; keys and cells stay."""
    bench, _, before = commands()[0]
    bench.storage = VolatileStorage(before)
    bench.power_on()
    credential = bench.pki.credential(bench.critical_cell)
    originator = credential.certificate.entity_id
    assert originator is not None
    header = bench.header(code, originator, 50)
    bench.device.receive_message(bench.protected(header, content, signer=credential.pair))
    state = DeviceMemory(VolatileStorage(before)).state
    assert bench.state.cells == state.cells
    assert bench.state.key_pairs == state.key_pairs
