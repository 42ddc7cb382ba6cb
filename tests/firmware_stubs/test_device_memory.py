from __future__ import annotations

import json
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from firmware_stubs.support import DS, SUPPLIER_CELLS, Bench, without_power
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.key_holders import public_octets
from gbcs.security_credentials import UpdateDeviceCertificateResponseCode
from meterstub.device_memory import (
    DeviceMemory,
    FileStorage,
    MemoryDamaged,
    MemoryUnwritable,
    PowerLost,
    VolatileStorage,
    WriteStep,
    _digest,
    decode_state,
    encode_state,
)
from meterstub.device_options import DeviceOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meterstub.emulated_device import EmulatedDevice


def test_state_comes_back_whole(tmp_path: Path) -> None:
    bench = Bench(storage=FileStorage(tmp_path / "esme.json"))
    bench.answer(bench.issue(1))
    bench.device.receive_message(b"noise")
    bench.answer(bench.supplier_by_supplier(2, at=bench.pki.authorities.root.certificate.not_after))
    state = replace(bench.state, alert_counter=4, top_up_floors={SUPPLIER_CELLS[0].role: 3})
    bench.device.memory.commit(state)
    assert DeviceMemory(FileStorage(tmp_path / "esme.json")).state == state


def test_file_is_the_owner_s_alone_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "esme.json"
    bench = Bench(storage=FileStorage(path))
    bench.answer(bench.issue(1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_remains_of_a_cut_write_are_no_hindrance(tmp_path: Path) -> None:
    bench = Bench(storage=FileStorage(tmp_path / "esme.json"))
    left = tmp_path / "esme.json.new"
    left.write_bytes(b"half")
    left.chmod(0o644)
    bench.answer(bench.issue(1))
    assert not left.exists()
    assert stat.S_IMODE((tmp_path / "esme.json").stat().st_mode) == 0o600


def altered_field(octets: bytes) -> bytes:
    document = json.loads(octets)
    document["device"]["alert_counter"] = 7
    return json.dumps(document).encode()


def other_version(octets: bytes) -> bytes:
    return octets.replace(b'"version": 1', b'"version": 2')


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda octets: octets[: len(octets) // 2],
    "one octet altered": lambda octets: octets.replace(b"30", b"31", 1),
    "a field altered": altered_field,
    "another version": other_version,
    "another format": lambda _: b'{"format": "a diary"}',
    "no object": lambda _: b"[1, 2]",
    "no text": lambda _: bytes(range(256)),
    "nested too deep": lambda _: b"[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_memory_is_refused(name: str) -> None:
    octets = encode_state(Bench().state)
    damaged = DAMAGES[name](octets)
    assert damaged != octets
    with pytest.raises(MemoryDamaged):
        DeviceMemory(VolatileStorage(damaged))


def test_field_that_is_none_is_refused_even_with_the_right_digest() -> None:
    document = json.loads(encode_state(Bench().state))
    document["device"]["counters"] = {"postman": 3}
    document["sha256"] = _digest(document["device"])
    with pytest.raises(MemoryDamaged, match="bad field"):
        decode_state(json.dumps(document).encode())


def test_error_of_a_damaged_memory_has_no_key_in_it() -> None:
    document = json.loads(encode_state(Bench().state))
    pem = document["device"]["key_pairs"]["digitalSignature"]
    with pytest.raises(MemoryDamaged) as caught:
        decode_state(json.dumps(document["device"]).encode())
    assert pem[30:60] not in str(caught.value)


def test_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MemoryUnwritable, match=r"esme\.json cannot be read"):
        DeviceMemory(FileStorage(tmp_path / "esme.json"))


def test_refused_write_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    bench = Bench(storage=FileStorage(folder / "esme.json"))
    before = bench.state
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(MemoryUnwritable):
        bench.device.receive_message(bench.issue(1))
    assert bench.state is before
    (tmp_path / "elsewhere").rename(folder)
    assert bench.device.receive_message(bench.issue(1))


def consistent(bench: Bench) -> None:
    """No key without its certificate, none of another key."""
    for usage, pair in bench.state.key_pairs.items():
        certificate = GBCSCertificate.from_der(bench.state.certificates[usage])
        assert public_octets(certificate.public_key) == public_octets(pair.public_key)


@pytest.mark.parametrize("loses_pending", [False, True])
@pytest.mark.parametrize("step", WriteStep)
@pytest.mark.parametrize("write", [1, 2])
def test_power_cut_in_a_key_change_leaves_the_old_or_the_new_key(
    write: int,
    step: WriteStep,
    loses_pending: bool,  # noqa: FBT001 - a parameter
    tmp_path: Path,
) -> None:
    """Write 1 is CS02c's, write 2 CS02d's; afterwards the device completes a key change."""
    bench = Bench(
        storage=FileStorage(tmp_path / "esme.json"),
        options=DeviceOptions(lose_pending_on_power_loss=loses_pending),
    )
    old = bench.state.key_pairs[DS]
    bench.device.faults.cut_power_at_write(write, step)
    if write == 1:
        without_power(bench, bench.issue(1))
    else:
        der = bench.pki.certify(bench.payload_of(bench.issue(1)))
        without_power(bench, bench.install(2, der))
    bench.power_on()
    consistent(bench)
    is_written = step is WriteStep.REPLACED
    assert (bench.state.key_pairs[DS] == old) == (write == 1 or not is_written)
    is_pending = is_written if write == 1 else not is_written
    assert bool(bench.state.pending) == (is_pending and not loses_pending)
    assert bench.payload_of(bench.read_certificate(3)) == bench.state.certificates[DS]
    der = bench.pki.certify(bench.payload_of(bench.issue(4)))
    assert bench.payload_of(bench.install(5, der)) is UpdateDeviceCertificateResponseCode.SUCCESS
    consistent(bench)


@pytest.mark.parametrize("step", WriteStep)
def test_power_cut_in_a_replacement_leaves_all_cells_old_or_all_new(
    step: WriteStep, tmp_path: Path
) -> None:
    bench = Bench(storage=FileStorage(tmp_path / "esme.json"))
    before = dict(bench.state.cells)
    new = {which: bench.pki.new_credential(which).der for which in SUPPLIER_CELLS}
    bench.device.faults.cut_power_at_write(1, step)
    without_power(bench, bench.supplier_by_supplier(1, tuple(new.values())))
    bench.power_on()
    is_written = step is WriteStep.REPLACED
    assert dict(bench.state.cells) == (before | new if is_written else before)
    assert bool(bench.state.counters) == is_written


@pytest.mark.parametrize("step", WriteStep)
def test_power_cut_at_the_date_of_a_waiting_command(step: WriteStep, tmp_path: Path) -> None:
    bench = Bench(storage=FileStorage(tmp_path / "esme.json"))
    date = bench.clock.now.replace(month=7)
    new = {which: bench.pki.new_credential(which).der for which in SUPPLIER_CELLS}
    before = dict(bench.state.cells)
    bench.answer(bench.supplier_by_supplier(1, tuple(new.values()), at=date))
    bench.clock.now = date
    bench.device.faults.cut_power_at_write(1, step)
    with pytest.raises(PowerLost):
        bench.device.poll()
    bench.power_on()
    is_written = step is WriteStep.REPLACED
    assert dict(bench.state.cells) == (before | new if is_written else before)
    assert len(bench.device.poll()) == (0 if is_written else 1)
    assert dict(bench.state.cells) == before | new


def test_device_without_power_does_nothing_more() -> None:
    bench = Bench()
    device: EmulatedDevice = bench.device
    device.faults.cut_power_at_write(1)
    without_power(bench, bench.issue(1))
    with pytest.raises(PowerLost, match="no power"):
        device.receive_message(bench.issue(2))
    with pytest.raises(PowerLost, match="no power"):
        device.poll()


def test_one_command_is_one_write() -> None:
    class Counting(VolatileStorage):
        writes = 0

        def write(
            self, octets: bytes, on_step: Callable[[WriteStep], None] = lambda _: None
        ) -> None:
            self.writes += 1
            super().write(octets, on_step)

    storage = Counting()
    bench = Bench(storage=storage)
    for command in (bench.issue(1), bench.read_certificate(2), bench.supplier_by_supplier(3)):
        before = storage.writes
        bench.answer(command)
        assert storage.writes == before + 1
    bench.device.receive_message(b"noise")
    bench.device.poll()
    assert storage.writes == before + 2
