"""`python -m meterstub` in another process, used by a client that has none of its code.

The client writes GFI lines itself, has gurux speak HDLC, and knows GBCS by the protocols alone.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tty
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gbcs import protection, use_cases
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import CRAFlag, Header, Message, OtherInformation
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from gbcs.security_credentials import ProvideCredentialsCommand, TrustAnchorCellIdentifier
from gbcs.use_cases import MessageCode
from keyrig.keys.store_opening import open_keystore

if TYPE_CHECKING:
    from collections.abc import Iterator

ESME, HUB = "00-DB-12-34-56-78-90-A0", "00-DB-12-34-56-78-90-A2"
BROKER = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-02")
GURUX = Path(__file__).parent / "hosts" / "gurux_client.py"
TIMEOUT_S = 20


@contextmanager
def hosted(*arguments: str | Path, stop_by: signal.Signals = signal.SIGTERM) -> Iterator[Any]:
    """Host devices in another process; yields what it announces, and stops it in order."""
    command = [sys.executable, "-m", "meterstub", *map(str, arguments), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(stop_by)
        assert process.wait(TIMEOUT_S) == 0
        assert process.stdout.read() == ""


def certificate(file: str | Path) -> GBCSCertificate:
    return GBCSCertificate.all_from_pem(Path(file).read_bytes())[0]


class Client:
    """The access control broker, with the key that the announced folder has of it."""

    def __init__(self, announced: Any, at: int) -> None:
        self.device = announced["devices"][at]
        pem = Path(announced["pki"], f"{BROKER.stem}-ka.key").read_bytes()
        key = load_pem_private_key(pem, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        agreed = certificate(self.device["certificates"]["ka"])
        self.secret = key.exchange(ec.ECDH(), agreed.public_key)

    def command(self, counter: int) -> bytes:
        """CS02a for the root, authorised by the broker's MAC."""
        header = Header(
            CRAFlag.COMMAND,
            counter,
            BROKER,
            EntityIdentifier.parse(self.device["entity_id"]),
            OtherInformation(MessageCode.PROVIDE_CREDENTIALS),
        )
        by = TrustAnchorCellIdentifier(
            role=RemotePartyRole.ACCESS_CONTROL_BROKER,
            key_usage=KeyUsage.KEY_AGREEMENT,
            cell_usage=CellUsage.MANAGEMENT,
        )
        payload = ProvideCredentialsCommand(
            authorising_remote_party_ta_cell_identifier=by,
            remote_party_roles_credentials_required=(RemotePartyRole.ROOT,),
        )
        message = use_cases.compose(header, payload)
        return protection.protect(message, signer=None, shared_secret=self.secret).octets

    def verify(self, octets: bytes, counter: int) -> None:
        """Check that a response is the device's own, and answers the command of this counter."""
        response = Message.parse(octets)
        protection.verify_mac(response, self.secret)
        assert str(response.header.originator) == self.device["entity_id"]
        assert response.header.originator_counter == counter
        decoded = use_cases.decode_payload(response)
        assert decoded is not None


def line_of(octets: bytes) -> bytes:
    return f"GBCS:DATA#7:{len(octets)}:{octets.hex().upper()}\r\n".encode()


def message_in(line: bytes) -> bytes:
    prefix, length, digits = line.strip().split(b":")[1:]
    assert prefix.startswith(b"DATA#")
    assert len(digits) == 2 * int(length)
    return bytes.fromhex(digits.decode())


def ask_by_gfi_on_tcp(url: str, octets: bytes, timeout_s: float = TIMEOUT_S) -> bytes:
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as line:
        line.sendall(line_of(octets))
        with line.makefile("rb") as answers:
            return message_in(answers.readline())


def ask_by_gfi_on_pty(path: str, octets: bytes) -> bytes:
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(descriptor)
    with os.fdopen(descriptor, "r+b", buffering=0) as line:
        line.write(line_of(octets))
        answer = b""
        while not answer.endswith(b"\n"):
            answer += line.read(4096)
        return message_in(answer)


def ask_by_hdlc_on_tcp(url: str, octets: bytes) -> bytes:
    done = subprocess.run(
        [sys.executable, GURUX, url.rpartition(":")[2], "128", octets.hex()],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return bytes.fromhex(json.loads(done.stdout)["message"])


def test_devices_answer_a_client_of_their_keys_by_each_framing(tmp_path: Path) -> None:
    folder = tmp_path / "devices"
    named = ["--device", f"ESME:{ESME}", "--device", f"CHF:{HUB}:hdlc", "--tcp"]
    with hosted(*named, "--folder", folder) as announced:
        esme, hub = announced["devices"]
        assert (esme["type"], esme["framing"]) == ("ESME", "gfi")
        assert (hub["type"], hub["framing"]) == ("CHF", "hdlc")
        client = Client(announced, 0)
        client.verify(ask_by_gfi_on_tcp(esme["url"], client.command(1)), 1)
        client = Client(announced, 1)
        client.verify(ask_by_hdlc_on_tcp(hub["url"], client.command(1)), 1)


def test_device_remembers_who_it_is_and_what_it_was_asked(tmp_path: Path) -> None:
    named: list[str | Path] = ["--device", f"ESME:{ESME}", "--folder", tmp_path / "devices"]
    with hosted(*named, stop_by=signal.SIGINT) as announced:
        client = Client(announced, 0)
        client.verify(ask_by_gfi_on_pty(client.device["url"], client.command(5)), 5)
    with hosted(*named, "--tcp") as announced:
        client = Client(announced, 0)
        url = client.device["url"]
        with pytest.raises(TimeoutError):
            ask_by_gfi_on_tcp(url, client.command(5), timeout_s=1)
        client.verify(ask_by_gfi_on_tcp(url, client.command(6)), 6)


def test_file_names_links_faults_and_addresses(tmp_path: Path) -> None:
    file = tmp_path / "devices.toml"
    file.write_text(
        f'folder = "kept"\n\n[[device]]\nentity_id = "{ESME}"\ntype = "ESME"\n'
        'link = "esme.port"\nfaults = ["drop-responses=1"]\n'
        f'\n[[device]]\nentity_id = "{HUB}"\ntype = "CHF"\nframing = "hdlc"\ntcp_port = 0\n'
        "hdlc = { server = 1 }\noptions = { minimal_lengths = false }\n",
        encoding="utf-8",
    )
    with hosted(file) as announced:
        client = Client(announced, 0)
        assert client.device["url"] == str(tmp_path / "esme.port")
        descriptor = os.open(client.device["url"], os.O_RDWR | os.O_NOCTTY)
        os.write(descriptor, line_of(client.command(1)))
        os.close(descriptor)
        client.verify(ask_by_gfi_on_pty(client.device["url"], client.command(2)), 2)
        client = Client(announced, 1)
        client.verify(ask_by_hdlc_on_tcp(client.device["url"], client.command(1)), 1)
    assert (tmp_path / "kept" / "memories").is_dir()
    assert not (tmp_path / "esme.port").is_symlink()


def test_announced_certificates_are_a_whole_pki(tmp_path: Path) -> None:
    with hosted("--device", f"GSME:{ESME}", "--folder", tmp_path) as announced:
        store = open_keystore(Path(announced["pki"]))
        assert store.problems == ()
        for use, usage in (
            ("ds", KeyUsage.DIGITAL_SIGNATURE),
            ("ka", KeyUsage.KEY_AGREEMENT),
        ):
            own = certificate(announced["devices"][0]["certificates"][use])
            assert str(own.entity_id) == ESME
            assert own.key_usage == usage
            assert own.der in {each.der for each in store.certificates()}


def test_stand_in_for_the_dcc_serves_the_same_folder(tmp_path: Path) -> None:
    with hosted("--device", f"ESME:{ESME}", "--folder", tmp_path):
        pass
    ports = [f"--{which}-port=0" for which in ("duis", "smki", "bundle")]
    folders = [str(tmp_path / "pki"), str(tmp_path / "memories")]
    with subprocess.Popen(
        [sys.executable, "-m", "dccstub", *folders, *ports], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
    assert [line.split()[0] for line in lines] == ["duis", "smki", "bundle", "device"]
    assert lines[3] == f"device {ESME}\n"


def test_nothing_of_the_agent_is_loaded() -> None:
    said = "import sys, meterstub.__main__; print([m for m in sys.modules if 'keyrig' in m])"
    done = subprocess.run(
        [sys.executable, "-S", "-c", said],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    assert done.stdout == "[]\n"


def refused(*arguments: str | Path) -> str:
    """Return the one line by which it refuses to begin."""
    done = subprocess.run(
        [sys.executable, "-m", "meterstub", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("meterstub: ")
    return line


def test_folder_of_another_process_is_refused(tmp_path: Path) -> None:
    named: list[str | Path] = ["--device", f"ESME:{ESME}", "--folder", tmp_path]
    with hosted(*named):
        assert f"{tmp_path}: another process hosts its devices" in refused(*named)


def test_device_of_another_type_is_refused(tmp_path: Path) -> None:
    with hosted("--device", f"ESME:{ESME}", "--folder", tmp_path):
        pass
    assert "a ESME, not a GSME" in refused("--device", f"GSME:{ESME}", "--folder", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name a file of devices, or devices by --device TYPE:EUI; not both"),
        (["--device", "ESME"], "device.0.entity_id: not an Entity Identifier"),
        (["--device", f"TOASTER:{ESME}"], "device.0.type"),
        (["--device", f"ESME:{ESME}:morse"], "device.0.framing"),
        (["--device", f"ESME:{ESME}", "--device", f"GSME:{ESME}"], f"{ESME} is there twice"),
        (["--device", f"ESME:{ESME}", "--fault", f"{HUB}:fail-storage=1"], "no such device"),
        (["--device", f"ESME:{ESME}", "--fault", f"{ESME}:burn=1"], "no fault 'burn=1'"),
        (["none.toml"], "No such file or directory: 'none.toml'"),
        (["none.toml", "--tcp"], "--fault and --tcp go with --device"),
    ],
)
def test_wrong_option_is_refused_in_one_line(arguments: list[str], says: str) -> None:
    assert says in refused(*arguments)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "device: Field required"),
        ("device = []", "device: "),
        ("[[device", "no TOML"),
        ("[[device]]\ntype = 'ESME'", "device.0.entity_id"),
        (f"[[device]]\nentity_id = '{ESME}'\ntype = 'ESME'\nbaud = 1", "device.0.baud"),
        (
            f"[[device]]\nentity_id = '{ESME}'\ntype = 'ESME'\noptions = {{ shy = true }}",
            "no option shy",
        ),
        (
            f"[[device]]\nentity_id = '{ESME}'\ntype = 'ESME'\nlink = 'a'\ntcp_port = 0",
            "leave it or tcp_port out",
        ),
    ],
)
def test_wrong_file_is_refused_in_one_line(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "devices.toml"
    file.write_text(text, encoding="utf-8")
    line = refused(file)
    assert str(file) in line
    assert says in line
