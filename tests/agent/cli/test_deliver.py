from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import published_events
from agent.delivery.dcc_side import DCCSide
from authorities import Authorities
from duis.document_headers import RequestIdentifier, ResponseHeader
from duis.request_documents import ReturnLocalCommandResponse, parse_request
from duis.response_documents import LocalCommand, Response, build_response
from duis.xml_signatures import among, verify
from duis_schemas import assert_valid
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import Message
from gbcs.roles import KeyUsage, RemotePartyRole
from keyrig.base.clock import utc_now
from keyrig.cli import run_cli
from keyrig.config.rig_file import emulated_home_text, load_rig
from keyrig.keys.store_opening import open_keystore
from keyrig.ledger.ledger import Ledger
from keyrig.run.hosting import emulated_rig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.keys.key_store import KeyStore

ESME = EntityIdentifier.parse("00-DB-12-34-56-78-90-A0")
"""On a line of GFI text in the emulated home."""
CHF = EntityIdentifier.parse("00-DB-12-34-56-78-90-A2")
"""On a line of HDLC."""
SUPPLIER = EntityIdentifier.parse("90-B3-D5-1F-30-01-00-00")
BROKER = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-02")
DS = KeyUsage.DIGITAL_SIGNATURE


@dataclass
class Handheld:
    """A field agent's home, in which there is no key store, beside a hosted emulated home."""

    home: Path
    rig: Path
    store: KeyStore
    elsewhere: Path
    capsys: pytest.CaptureFixture[str]
    files: int = 0

    def dcc(self, device: EntityIdentifier = ESME) -> DCCSide:
        return DCCSide(self.store, device)

    def hex_file(self, octets: bytes) -> str:
        self.files += 1
        path = self.home / f"{self.files}.HEX"
        path.write_text(octets.hex().upper() + "\n", encoding="ascii")
        return str(path)

    def duis_file(self, octets: bytes, request: RequestIdentifier, **changes: Any) -> str:
        self.files += 1
        header: dict[str, Any] = {
            "request_id": request,
            "response_id": request.answered(),
            "response_code": "I0",
            "response_date_time": utc_now(),
        } | changes
        document = build_response(
            Response(
                header=ResponseHeader(**header),
                body=LocalCommand(gbcs_payload=octets),
                service_reference_variant="6.24.1",
            )
        )
        path = self.home / f"{self.files}.xml"
        path.write_bytes(document)
        return str(path)

    def run(self, *arguments: str, device: EntityIdentifier | None = ESME) -> tuple[int, list[Any]]:
        """Run `keyrig deliver`; give its exit code and its events."""
        named = [] if device is None else ["--device", str(device)]
        code = run_cli(["deliver", *arguments, *named, "--rig", str(self.rig), "--json"])
        out = self.capsys.readouterr().out
        told = [json.loads(line) for line in out.splitlines()]
        for line in told:
            published_events.assert_valid(line)
        return code, told


@contextmanager
def hosted(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, KeyStore]]:
    monkeypatch.setenv("KEYRIG_HOME", str(elsewhere))
    rig = load_rig(None)
    with emulated_rig(rig) as devices:
        text = rig.with_urls(devices.urls, devices.commissioned_at)
        yield (
            text.replace("[device.link]", "[device.link]\ntimeout_s = 0.5"),
            open_keystore(elsewhere / "pki"),
        )


@pytest.fixture(name="handheld")
def fixture_handheld(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Handheld]:
    with hosted(tmp_path / "elsewhere", monkeypatch) as (text, store):
        home = tmp_path / "handheld"
        home.mkdir()
        monkeypatch.setenv("KEYRIG_HOME", str(home))
        rig = home / "rig.toml"
        rig.write_text(text, encoding="utf-8")
        capsys.readouterr()
        yield Handheld(home, rig, store, tmp_path / "elsewhere", capsys)


def of_type(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["type"] == kind]


@pytest.mark.parametrize("device", [ESME, CHF], ids=["gfi", "hdlc"])
def test_commands_are_delivered_where_there_is_no_key_at_all(
    handheld: Handheld, device: EntityIdentifier
) -> None:
    dcc = handheld.dcc(device)
    first = dcc.provide(RemotePartyRole.ROOT, RemotePartyRole.RECOVERY)
    request = RequestIdentifier(SUPPLIER, device, 4711)
    second = dcc.issue()
    output = handheld.home / "answers"
    code, events = handheld.run(
        handheld.duis_file(first, request),
        handheld.hex_file(second),
        "--output",
        str(output),
        device=device,
    )
    assert code == 0, events
    assert not list(handheld.home.rglob("*.key"))
    assert not (handheld.home / "pki").exists()
    answers = of_type(events, "local-answer")
    assert [each["verification"] for each in answers] == ["not-verifiable-here"] * 2
    documents = sorted(output.iterdir())
    assert len(documents) == 2
    for path in documents:
        assert_valid(path.read_bytes())
        body = parse_request(path.read_bytes(), path.name).body
        assert isinstance(body, ReturnLocalCommandResponse)
        answer = Message.parse(body.device_gbcs_response)
        assert answer.header.originator == device
    assert of_type(events, "delivery-finished")[0]["result"] == "done"


def test_answers_are_verified_by_public_certificates_alone(handheld: Handheld) -> None:
    """Certificates may stand in the key store without keys, or come with the command line."""
    pki = handheld.home / "pki"
    pki.mkdir()
    shutil.copy(handheld.elsewhere / "pki" / f"{BROKER.stem}-ds.pem", pki)
    device = handheld.elsewhere / "pki" / f"{ESME.stem}-ds.pem"
    command = handheld.hex_file(handheld.dcc().issue())
    code, events = handheld.run(command, "--certificate", str(device))
    assert code == 0
    assert of_type(events, "local-command")[0]["remarks"] == "signature verified"
    assert of_type(events, "local-answer")[0]["verification"] == "verified"


def test_false_signature_of_a_command_sends_nothing_of_the_batch(handheld: Handheld) -> None:
    pki = handheld.home / "pki"
    pki.mkdir()
    shutil.copy(handheld.elsewhere / "pki" / f"{BROKER.stem}-ds.pem", pki)
    dcc = handheld.dcc()
    good, bad = dcc.issue(), bytearray(dcc.issue())
    bad[-20] ^= 1
    files = [handheld.hex_file(good), handheld.hex_file(bytes(bad))]
    code = run_cli(["deliver", *files, "--device", str(ESME), "--rig", str(handheld.rig)])
    captured = handheld.capsys.readouterr()
    assert code == 3
    (line,) = captured.err.splitlines()
    assert "2.HEX: the signature of the command is by no key known of" in line
    assert not captured.out
    assert handheld.run("--list", device=None) == (0, [])


def test_device_that_is_absent_needs_a_person_and_the_batch_goes_on_later(
    handheld: Handheld,
) -> None:
    text = handheld.rig.read_text(encoding="utf-8")
    handheld.rig.write_text(text.replace("/dev/pts/", "/dev/no-such-"), encoding="utf-8")
    output = str(handheld.home / "answers")
    code, events = handheld.run(handheld.hex_file(handheld.dcc().issue()))
    assert code == 4
    finished = of_type(events, "delivery-finished")[0]
    assert (finished["result"], finished["left"]) == ("needs-person", 1)
    handheld.rig.write_text(text, encoding="utf-8")
    batch = finished["batch"][:6]
    code, events = handheld.run("--resume", batch, "--output", output, device=None)
    assert code == 0
    (written,) = of_type(events, "answer-written")
    assert written["path"].startswith(output)
    code, (listed,) = handheld.run("--list", device=None)
    assert code == 0
    assert (listed["states"], listed["left"]) == ({"answered": 1}, 0)


def has_keys(handheld: Handheld, *uses: str) -> Path:
    pki = handheld.home / "pki"
    pki.mkdir()
    for name in (f"{SUPPLIER.stem}-{use}.{suffix}" for use in uses for suffix in ("pem", "key")):
        shutil.copy(handheld.elsewhere / "pki" / name, pki)
    return pki


def test_key_that_is_not_for_documents_signs_one_where_it_is_named(handheld: Handheld) -> None:
    pki = has_keys(handheld, "ds")
    output = handheld.home / "answers"
    command = handheld.hex_file(handheld.dcc().issue())
    asked = ["deliver", command, "--device", str(ESME), "--rig", str(handheld.rig)]
    assert run_cli([*asked, "--sign-as", str(SUPPLIER), "--output", str(output)]) == 4
    told = handheld.capsys.readouterr().err
    certificate = open_keystore(pki).certificate(SUPPLIER, key_usage=DS)
    assert f"{SUPPLIER} has no XML-signing key" in told
    assert f"duis.signing_certificates ({certificate.serial:x})" in told
    with (handheld.home / "keyrig.toml").open("a") as settings:
        settings.write(f'\n[duis.signing_certificates]\n"{SUPPLIER}" = "{certificate.serial:X}"\n')
    code, _ = handheld.run(command, "--sign-as", str(SUPPLIER), "--output", str(output))
    assert code == 0
    (path,) = output.iterdir()
    verify(path.read_bytes(), among([certificate]), path.name)


def test_answers_are_signed_where_the_party_has_a_key(handheld: Handheld) -> None:
    pki = has_keys(handheld, "ds", "xml")
    output = handheld.home / "answers"
    command = handheld.hex_file(handheld.dcc().issue())
    code, _ = handheld.run(command, "--sign-as", str(SUPPLIER), "--output", str(output))
    assert code == 0
    (path,) = output.iterdir()
    (signing,) = open_keystore(pki).xml_signing_certificates(SUPPLIER)
    held = among([signing.certificate])
    request = parse_request(verify(path.read_bytes(), held, path.name), path.name)
    assert request.header.request_id.originator == SUPPLIER
    assert_valid(path.read_bytes())


def test_withdrawn_commands_are_not_sent_and_may_be_handed_over_anew(handheld: Handheld) -> None:
    text = handheld.rig.read_text(encoding="utf-8")
    handheld.rig.write_text(text.replace("/dev/pts/", "/dev/no-such-"), encoding="utf-8")
    dcc = handheld.dcc()
    first, second = handheld.hex_file(dcc.issue()), handheld.hex_file(dcc.issue())
    _, events = handheld.run(first, second)
    batch = of_type(events, "delivery-finished")[0]["batch"]
    assert run_cli(["deliver", second, "--device", str(ESME), "--rig", str(handheld.rig)]) == 4
    assert f"stands in batch {batch}, which is not through" in handheld.capsys.readouterr().err
    code, (withdrawn,) = handheld.run("--withdraw", batch, device=None)
    assert (code, withdrawn["commands"]) == (0, 2)
    handheld.rig.write_text(text, encoding="utf-8")
    assert handheld.run(second)[0] == 0


def test_counter_below_one_that_was_answered_is_remarked_on_where_it_is_new(
    handheld: Handheld,
) -> None:
    dcc = handheld.dcc()
    older, newer = handheld.hex_file(dcc.issue()), handheld.hex_file(dcc.issue())
    assert handheld.run(newer)[0] == 0
    code, events = handheld.run(older)
    (command,) = of_type(events, "local-command")
    assert command["remarks"].endswith("the device answered counter 1002 of this originator before")
    # The device refuses it as a replay, by silence.
    assert (code, of_type(events, "delivery-finished")[0]["left"]) == (4, 1)
    _, events = handheld.run(newer)
    assert "answered counter" not in of_type(events, "local-command")[0]["remarks"]


def test_dry_run_checks_and_records_nothing(handheld: Handheld) -> None:
    code, (command,) = handheld.run(handheld.hex_file(handheld.dcc().issue()), "--dry-run")
    assert code == 0
    assert command["what"] == "CS02c Issue Security Credentials"
    assert not (handheld.home / "ledger.sqlite").exists()


def test_default_expiry_is_a_setting(handheld: Handheld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYRIG_DELIVER__VALID_FOR_HOURS", "2")
    request = RequestIdentifier(SUPPLIER, ESME, 5)
    old = utc_now() - timedelta(hours=3)
    file = handheld.duis_file(handheld.dcc().issue(), request, response_date_time=old)
    code, events = handheld.run(file)
    assert code == 3
    assert of_type(events, "command-expired")
    assert not of_type(events, "command-sent")


@pytest.mark.parametrize(
    "arguments",
    [
        ["deliver"],
        ["deliver", "a.hex"],
        ["deliver", "a.hex", "--resume", "x", "--device", str(ESME)],
        ["deliver", "--resume", "x", "--dry-run"],
        ["deliver", "--list", "--withdraw", "x"],
        ["deliver", "--resume", "no-such"],
        ["deliver", "no-such.hex", "--device", str(ESME)],
        ["deliver", "a.hex", "--device", "zz"],
        ["deliver", "/dev/zero", "--device", str(ESME)],
    ],
)
def test_wrong_usage_ends_with_2(
    handheld: Handheld, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(handheld.home)
    with Ledger(handheld.home / "ledger.sqlite"):
        pass
    assert run_cli(arguments) == 2
    assert "Traceback" not in handheld.capsys.readouterr().err


def test_terminal_shows_commands_answers_and_how_it_ended(handheld: Handheld) -> None:
    file = handheld.hex_file(handheld.dcc().issue())
    assert run_cli(["deliver", file, "--device", str(ESME), "--rig", str(handheld.rig)]) == 0
    out = handheld.capsys.readouterr().out
    assert "1 command, 1 to be sent" in out
    assert "CS02c Issue Security Credentials answered, not verifiable here" in out
    assert out.rstrip().endswith("done")


def test_certificate_that_a_device_may_have_been_given_does_not_displace_its_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A later run by an agent with keys still finds the device by its certificate of before."""
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path))
    device = EntityIdentifier.parse("00-DB-12-34-56-78-90-A4")
    other = Authorities().device(entity_id=device).der
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.key_changes.record_possible(device, KeyUsage.KEY_AGREEMENT, other, utc_now())
    rig = tmp_path / "rig.toml"
    rig.write_text(emulated_home_text().replace('" }', '", timeout_s = 0.3 }'), encoding="utf-8")
    assert run_cli(["run", str(rig), "--device", str(device), "--json"]) == 0
    assert '"done"' in capsys.readouterr().out


def test_handheld_terminal_delivers_over_zigbee(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path))
    file = Path(__file__).parents[3] / "hil-rigs" / "emulated-handheld.toml"
    with emulated_rig(load_rig(file)):
        pass
    command = tmp_path / "1.hex"
    command.write_text(DCCSide(open_keystore(tmp_path / "pki"), ESME).issue().hex(), "ascii")
    named = ["--device", str(ESME), "--rig", str(file), "--json"]
    assert run_cli(["deliver", str(command), *named]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert of_type(events, "local-answer")[0]["verification"] == "verified"
