from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from authorities import DEVICE
from dccstub.__main__ import emulated_devices, main
from dccstub.smki_repository import SEARCH_PATH
from duis.smki_documents import CertificateSearchRequest, build_smki
from firmware_stubs.dccstub.bench import BROKER, StandInBench
from firmware_stubs.support import DS
from meterstub.device_memory import DeviceMemory, FileStorage, MemoryDamaged
from patience import HANG_S

if TYPE_CHECKING:
    from pathlib import Path

PORTS = [f"--{which}-port=0" for which in ("duis", "smki", "bundle")]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of keys whose broker has the reference set's name, and one of one device."""
    bench = StandInBench()
    keys, devices = tmp_path / "keys", tmp_path / "devices"
    keys.mkdir()
    devices.mkdir()
    for held in bench.keys.held:
        stem = held.stem.replace(BROKER.stem, "90b3d51f30000002")
        if held.owner == BROKER and held.key is not None:
            pem = held.certificate.decoded.public_bytes(Encoding.PEM)
            (keys / f"{stem}.pem").write_bytes(pem)
            (keys / f"{stem}.key").write_text(held.key.pem, encoding="ascii")
    storage = FileStorage(devices / f"{DEVICE.stem}.json")
    DeviceMemory.create(storage, bench.device.memory.state)
    (devices / "radio-hub.json").write_text("{}", encoding="ascii")
    return keys, devices


def test_stand_in_says_where_it_is_and_ends_on_a_signal(folders: tuple[Path, Path]) -> None:
    api_key = folders[0] / "api-key"
    api_key.write_text("from a file\n", encoding="ascii")
    command = [sys.executable, "-m", "dccstub", *map(str, folders), *PORTS, "--json"]
    with subprocess.Popen(
        [*command, f"--api-key-file={api_key}"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            addresses = json.loads(process.stdout.readline())
            assert addresses["devices"] == [str(DEVICE)]
            asked = build_smki(CertificateSearchRequest(certificate_subject_alt_name=DEVICE))
            found = httpx.post(
                addresses["smki"] + SEARCH_PATH,
                params={"apikey": "from a file"},
                content=asked,
                headers={"Content-Type": "application/xml"},
                trust_env=False,
            )
            assert found.status_code == 200
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0


@pytest.mark.parametrize("what", ["keys", "devices"])
def test_folder_that_is_not_there_is_wrong_usage(
    folders: tuple[Path, Path], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, devices = folders
    arguments = {"keys": str(keys), "devices": str(devices)} | {what: str(keys / "none")}
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert main([*arguments.values(), *PORTS]) == 2
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), handlers, strict=True):
            signal.signal(number, handler)
    assert capsys.readouterr().err.startswith("dccstub: ")


def test_only_files_named_by_an_entity_identifier_are_devices(folders: tuple[Path, Path]) -> None:
    (device,) = emulated_devices(folders[1])
    assert device.entity_id == DEVICE
    assert DS in device.memory.state.certificates
    (folders[1] / "00db1234567890a1.json").write_text("{}", encoding="ascii")
    with pytest.raises(MemoryDamaged):
        emulated_devices(folders[1])
