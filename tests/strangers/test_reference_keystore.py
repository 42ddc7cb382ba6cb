"""The reference key store, imported into a home of its own, and what still works with it."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from authorities import REFERENCE_KEYSTORE, needs
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Message
from gbcs.protection import verify_mac
from gbcs.roles import KeyUsage
from gbcs.security_credentials import ProvideCredentialsCommand
from gbcs.use_cases import MessageCode, decode_payload
from homes.strangers_home import Done, keyrig
from keyrig.keys.folder_store import FolderKeyStore
from meterlink.gfi_connection import GFIConnection
from meterlink.link_events import NEED_DATA, MessageReceived
from strangers.openssl_pki import openssl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.reference, needs(REFERENCE_KEYSTORE)]

HCALCS = EntityIdentifier.parse("00db1234567890a4")
BROKER = EntityIdentifier.parse("90b3d51f30000002")
SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")
LEFT_OUT = {
    "90b3d51f30000007-ka.pem": "holds the certificate of 90-B3-D5-1F-30-03-00-00",
    "90b3d51f30010008-ds.pem": "no authorityKeyIdentifier",
    "90b3d51f30010008-ka.pem": "no authorityKeyIdentifier",
}
"""What the set has that is not as its name or the profile says."""
RIG = """\
[rig]
name = "reference"
parties = ["lead-supplier"]

[home.electricity]
supplier = "90-B3-D5-1F-30-01-00-00"
network_operator = "90-B3-D5-1F-30-02-00-00"

[[device]]
entity_id = "{device}"
type = "HCALCS"
commissioned_at = {commissioned_at:%Y-%m-%dT%H:%M:%SZ}
link = {{ url = "{url}", framing = "gfi", timeout_s = 1 }}
"""


@dataclass
class Listener:
    """What a port of the test's own heard."""

    url: str
    messages: list[bytes] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Listener]:
    """Listen as a device would, and answer nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(f"socket://127.0.0.1:{server.getsockname()[1]}")

        def listen() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                connection = GFIConnection()
                with client:
                    while data := client.recv(4096):
                        connection.receive_data(data, 0.0)
                        while (event := connection.next_event()) is not NEED_DATA:
                            if isinstance(event, MessageReceived):
                                listener.messages.append(event.octets)

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(name="home")
def fixture_home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def import_reference(home: Path) -> Done:
    return keyrig(home, "pki", "import", REFERENCE_KEYSTORE, "--json")


def written_rig(folder: Path, url: str) -> Path:
    path = folder / "rig.toml"
    path.write_text(
        RIG.format(device=HCALCS, commissioned_at=datetime.now(UTC), url=url), encoding="utf-8"
    )
    return path


def test_each_file_is_imported_or_left_out_for_what_is_truly_wrong_with_it(home: Path) -> None:
    done = import_reference(home)
    assert done.code == 3, str(done)
    (report,) = done.lines
    files = {path.name for path in REFERENCE_KEYSTORE.glob("*.pem")}
    left_out = {each.partition(":")[0]: each for each in report["refused"]}
    assert left_out.keys() == LEFT_OUT.keys()
    for name, reason in LEFT_OUT.items():
        assert reason in left_out[name]
    assert {f"{stem}.pem" for stem in report["copied"]} == files - LEFT_OUT.keys()
    # Each with the key that stands beside it there, and none without.
    with_key = {path.stem for path in REFERENCE_KEYSTORE.glob("*.key")}
    assert {path.stem for path in (home / "pki").glob("*.key")} == with_key & set(report["copied"])


@pytest.mark.parametrize("name", LEFT_OUT)
def test_openssl_sees_the_same_in_what_was_left_out(name: str) -> None:
    shown = openssl("x509", "-in", REFERENCE_KEYSTORE / name, "-noout", "-text").decode()
    if "authorityKeyIdentifier" in LEFT_OUT[name]:
        assert "Authority Key Identifier" not in shown
    else:
        assert "90B3D51F30030000" in shown


def has_expired(path: Path) -> bool:
    command = ["openssl", "x509", "-in", str(path), "-noout", "-checkend", "0"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 1


def test_doctor_names_what_has_expired(home: Path, tmp_path: Path) -> None:
    import_reference(home)
    expired = {path.name for path in (home / "pki").glob("*.pem") if has_expired(path)}
    assert {name for name in expired if name.startswith("00db")} == set()
    assert {name[:-4] for name in expired} >= {f"{BROKER.stem}-ka", f"{SUPPLIER.stem}-ds"}
    rig = written_rig(tmp_path, "socket://127.0.0.1:9")
    done = keyrig(home, "doctor", rig, "--json")
    assert done.code == 4, str(done)
    said = [each["detail"] for each in done.lines[0]["findings"] if "expired" in each["detail"]]
    named = {stem for stem in stems(home) if any(expiry_of(home, stem) in line for line in said)}
    assert named >= {f"{SUPPLIER.stem}-ds", f"{SUPPLIER.stem}-ka", f"{BROKER.stem}-ka"}
    # Nothing is called expired that is not.
    assert {f"{stem}.pem" for stem in named} <= expired
    assert len(said) == len(named)


def stems(home: Path) -> list[str]:
    return [path.stem for path in (home / "pki").glob("9*.pem") if "-pp-" not in path.stem]


def expiry_of(home: Path, stem: str) -> str:
    """Return how a line that says that a certificate has expired names it and its end."""
    pem = home / "pki" / f"{stem}.pem"
    read = GBCSCertificate.from_der(openssl("x509", "-in", pem, "-outform", "DER"))
    return f"{read} expired at {read.not_after:%Y-%m-%dT%H:%M:%SZ}"


def test_read_of_the_hcalcs_leaves_under_the_brokers_key_though_certificates_have_expired(
    home: Path, tmp_path: Path
) -> None:
    import_reference(home)
    transcript = tmp_path / "transcript.jsonl"
    with listening() as listener:
        rig = written_rig(tmp_path, listener.url)
        done = keyrig(home, "run", rig, "--transcript", transcript, "--json")
    assert done.code == 4, str(done)
    assert listener.messages
    told = [json.loads(line) for line in transcript.read_text(encoding="utf-8").splitlines()]
    assert [bytes.fromhex(line["octets"]) for line in told] == listener.messages
    message = Message.parse(listener.messages[0])
    header = message.header
    assert header.cra_flag is CRAFlag.COMMAND
    assert header.message_code == MessageCode.PROVIDE_CREDENTIALS
    assert (header.originator, header.recipient) == (BROKER, HCALCS)
    decoded = decode_payload(message)
    assert decoded is not None
    assert isinstance(decoded.value, ProvideCredentialsCommand)
    assert not message.signature
    store = FolderKeyStore(REFERENCE_KEYSTORE)
    device = store.certificate(HCALCS, key_usage=KeyUsage.KEY_AGREEMENT)
    verify_mac(message, store.agreer(BROKER).agree(device.public_key))
