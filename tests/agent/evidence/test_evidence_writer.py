"""Evidence of real runs on emulated devices: what it proves, and that no octet can be changed."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from agent.report.forging import (
    bodies,
    changed,
    duty_of,
    flip,
    forged,
    of_kind,
    reasons,
    verdict_of,
)
from homes.recorded import ESME
from keyrig.base.errors import EvidenceBroken, KeyStoreError
from keyrig.cli import run_cli
from keyrig.config.rig_file import emulated_home_text
from keyrig.documents.evidence_document import BODIES, schema_text
from keyrig.evidence.evidence_check import Proof
from keyrig.evidence.evidence_file import read_evidence
from keyrig.evidence.evidence_key import evidence_key, fingerprint
from keyrig.evidence.evidence_lines import as_written
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from homes.recorded import Recordings


@pytest.fixture(scope="module", name="home")
def fixture_home(recordings: Recordings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run of the HCALCS, and after it one of the meter."""
    home = recordings.copy("switch and meter done", tmp_path_factory.mktemp("evidence"))
    with pytest.MonkeyPatch.context() as patch, Ledger(home.ledger, create=False) as ledger:
        patch.setenv("KEYRIG_HOME", str(home.agent))
        for run, name in zip(ledger.runs.runs(), ("esme", "hcalcs"), strict=True):
            output = str(home.agent / name)
            assert run_cli(["report", run.id, "--format", "evidence", "--output", output]) == 0
    return home.agent


@pytest.fixture(name="octets")
def fixture_octets(home: Path) -> bytes:
    return (home / "esme").read_bytes()


def test_run_is_proved_on_a_machine_that_knows_nothing_of_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path / "nowhere"))
    file = str(home / "esme")
    assert run_cli(["verify-evidence", file, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["holds"]
    assert document["findings"] == []
    assert document["exchanges"] == document["exchanges_that_hold"] > 10
    proofs = {duty["requirement"]: duty["proof"] for duty in document["duties"]}
    assert proofs == {
        "R37a": "rests-on-a-mac",
        "R37b": "rests-on-a-mac",
        "R37c": "proved",
        "R37d": "proved",
        "R37e": "rests-on-a-mac",
    }
    assert run_cli(["verify-evidence", file, "--key", document["key"].upper()]) == 0
    text = capsys.readouterr().out
    assert "everything holds" in text
    assert "compare it with the one that you trust" in text
    (root,) = document["roots"]
    assert run_cli(["verify-evidence", file, "--root", root]) == 0
    assert "compare it with the one" not in capsys.readouterr().out
    assert not (tmp_path / "nowhere").exists()


def test_every_line_is_what_the_published_schema_says(octets: bytes, home: Path) -> None:
    published = (Path(__file__).parents[3] / "docs" / "evidence.schema.json").read_text("utf-8")
    assert published == schema_text(), "`make docs` writes it anew"
    validator = Draft202012Validator(json.loads(published), format_checker=FormatChecker())
    kinds = set()
    for line in (octets + (home / "hcalcs").read_bytes()).splitlines():
        validator.validate(json.loads(line))
        kinds.add(json.loads(line)["kind"])
    assert kinds >= set(BODIES) - {"clock", "service-document", "alert", "scheduled"}
    wrong = json.loads(octets.splitlines()[-1]) | {"kind": "exchange"}
    with pytest.raises(ValidationError):
        validator.validate(wrong)


def test_every_instant_is_utc_with_milliseconds(octets: bytes) -> None:
    instants = re.findall(rb'"(\d{4}-\d\d-\d\dT[^"]*)"', octets)
    assert len(instants) > 50
    for instant in instants:
        assert re.fullmatch(rb"[\d-]{10}T\d\d:\d\d:\d\d\.\d{3}Z", instant)


def test_file_of_a_version_that_wrote_instants_otherwise_still_holds(octets: bytes) -> None:
    def as_then(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: as_then(each) for name, each in value.items()}
        if isinstance(value, str) and re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", value):
            # The offset instead of Z, to the microsecond.
            return f"{value[:-1]}421+00:00"
        return value

    told = [(kind, as_then(body)) for kind, body in bodies(octets)]
    assert "421+00:00" in json.dumps(told)
    verdict = verdict_of(forged(told))
    assert reasons(verdict) == ""
    assert verdict.holds


def test_deadline_at_the_end_of_a_day_is_that_of_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path / "home"))
    rig, output = tmp_path / "rig.toml", tmp_path / "file"
    readings = '\n[rules.readings]\nday_counting = "calendar-days"\n'
    rig.write_text(emulated_home_text() + readings, encoding="utf-8")
    assert run_cli(["run", str(rig), "--device", "00-DB-12-34-56-78-90-A4"]) == 0
    assert run_cli(["report", "last", "--format", "evidence", "--output", str(output)]) == 0
    told = bodies(output.read_bytes())
    (duty,) = of_kind(told, "duty")
    assert duty["deadline"].endswith("T23:59:59.999Z")
    assert reasons(verdict_of(forged(told))) == ""
    # An earlier version wrote the last microsecond of the day.
    duty["deadline"] = duty["deadline"].replace("999Z", "999999+00:00")
    assert reasons(verdict_of(forged(told))) == ""
    duty["deadline"] = duty["deadline"].replace("59.999999", "58.999999")
    assert "another clause or deadline" in reasons(verdict_of(forged(told)))


def test_checking_loads_no_database_no_server_and_no_transport(home: Path) -> None:
    code = (
        "import sys\n"
        "from keyrig.cli import run_cli\n"
        "assert run_cli(['verify-evidence', sys.argv[1]]) == 0\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "rooms = {'.'.join(name.split('.')[:2]) for name in sys.modules}\n"
        "assert not loaded & {'sqlalchemy', 'fastapi', 'starlette', 'zigpy', 'serial'}, loaded\n"
        "assert not rooms & {'keyrig.transports', 'keyrig.api', 'keyrig.page'}, rooms\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home / "esme")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_other_key_or_root_than_demanded_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(home / "esme")
    assert run_cli(["verify-evidence", file, "--key", "00" * 32]) == 3
    assert "the seal is by key" in capsys.readouterr().err
    assert run_cli(["verify-evidence", file, "--root", "00" * 32]) == 3
    assert "leads to no root" in capsys.readouterr().out


@pytest.mark.sweep
def test_every_octet_that_changes_is_found_and_its_line_named(home: Path) -> None:
    octets = (home / "hcalcs").read_bytes()
    lines = octets.splitlines(keepends=True)
    starts = [sum(map(len, lines[:index])) for index in range(len(lines) + 1)]
    for number, (start, end) in enumerate(itertools.pairwise(starts), 1):
        for position in range(start, end):
            spoiled = bytearray(octets)
            spoiled[position] ^= 0x01
            with pytest.raises(EvidenceBroken) as caught:
                read_evidence(bytes(spoiled), "e.jsonl")
            # A line that stays in form is known by the next one, which names its hash; the key
            # in the first line by the seal.
            allowed = {number, number + 1} if number > 1 else {1, 2, len(lines)}
            assert caught.value.line in allowed, (number, position - start)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda lines: lines[:5] + lines[6:], "it does not follow the line before"),
        (
            lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]],
            "it does not follow the line before",
        ),
        (lambda lines: lines[:-1], "it is not the seal: the tail is cut"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "it does not end: the tail is cut"),
        (lambda lines: [*lines, lines[-1]], "it does not follow the line before"),
        (lambda lines: [b"{}\n", *lines], "it is no line of evidence"),
        (lambda lines: [b"[" * 100_000 + b"\n", *lines], "nested deeper than"),
        (lambda _: [b"\n"], "it cannot be read: not JSON"),
        (lambda _: [], "it does not end"),
    ],
)
def test_lines_cannot_be_taken_away_moved_or_added(
    octets: bytes, spoil: Callable[[list[bytes]], list[bytes]], told: str
) -> None:
    spoiled = b"".join(spoil(octets.splitlines(keepends=True)))
    with pytest.raises(EvidenceBroken, match=re.escape(told)):
        read_evidence(spoiled, "e.jsonl")


def test_file_whose_line_ends_a_transfer_changed_is_the_same_evidence(octets: bytes) -> None:
    for came in (
        octets.replace(b"\n", b"\r\n"),
        octets.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + octets + b"\x1a",
        octets.decode().encode("utf-16"),
    ):
        assert as_written(came) == octets
    assert as_written(octets) is octets
    assert as_written(octets[:-1]) == octets[:-1]
    assert as_written(b"\xff" + octets) == b"\xff" + octets


def test_seal_of_another_key_is_found(octets: bytes, home: Path) -> None:
    other = (home / "hcalcs").read_bytes().splitlines(keepends=True)[-1]
    lines = octets.splitlines(keepends=True)
    seal = json.loads(lines[-1]) | {"body": json.loads(other)["body"]}
    text = json.dumps(seal, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(EvidenceBroken, match="the seal is not by the key"):
        read_evidence(b"".join(lines[:-1]) + text + b"\n", "e.jsonl")


def test_forged_file_is_known_by_another_key_and_still_checked(octets: bytes) -> None:
    unchanged = forged(bodies(octets))
    assert verdict_of(unchanged).holds
    assert read_evidence(unchanged, "e").key != read_evidence(octets, "e").key


def test_outcome_forged_to_done_is_found_by_replay_and_by_the_messages(octets: bytes) -> None:
    # Take the attempt at one duty away, and go on calling the duty done.
    told = bodies(octets)
    attempt = next(b for k, b in told if k == "attempt" and b["requirement"] == "R37c")
    attempt["outcome"] = "failed"
    verdict = verdict_of(forged(told))
    assert "R37c of 00-DB-12-34-56-78-90-A0 is called done, where" in reasons(verdict)
    # Keep the attempt, and take its messages away.
    told = [
        (kind, body)
        for kind, body in bodies(octets)
        if not (kind == "exchange" and body["attempt"] == attempt["id"])
    ]
    verdict = verdict_of(forged(told))
    assert not verdict.holds
    duty = duty_of(verdict, "R37c")
    assert duty.proof is Proof.NONE
    assert duty.reason == "the device gives no digitalSignature certificate back"


# A command ends with the signature and a MAC of 12 octets, its response with the signature.
@pytest.mark.parametrize(("field", "position"), [("command", -15), ("response", -3)])
def test_changed_message_is_found_by_its_signature(
    octets: bytes, field: str, position: int
) -> None:
    def change(body: dict[str, Any]) -> bool:
        if body[field] is None or b"\x00\x0a" not in base64.b64decode(body[field])[:60]:
            return False
        body[field] = flip(body[field], position)
        return True

    spoiled, line = changed(octets, "exchange", change)
    verdict = verdict_of(spoiled)
    assert verdict.findings[0].line == line
    assert "signature" in verdict.findings[0].reason


def test_responses_exchanged_between_commands_are_found(octets: bytes) -> None:
    told = bodies(octets)
    first, second = [body for kind, body in told if kind == "exchange"][:2]
    first["response"], second["response"] = second["response"], first["response"]
    assert reasons(verdict_of(forged(told))).count("does not answer") == 2


def test_repeated_counter_is_found(octets: bytes) -> None:
    told = bodies(octets)
    exchange = next((kind, dict(body)) for kind, body in told if kind == "exchange")
    told.append(exchange)
    found = reasons(verdict_of(forged(told)))
    assert "has the counter of line" in found
    assert re.search(r"exchange \d+ stands at line \d+ already", found)


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("rules", {"edition": "another"}, "the rules are others than"),
        ("rules", {"text": "{}"}, "no rule set"),
        ("fact", {"name": "colour"}, "'colour' is not a valid FactName"),
        ("fact", {"device": "meter"}, "not an Entity Identifier"),
        ("attempt", {"started_at": "2026-11-20T09:00:00"}, "an instant without its zone"),
        ("exchange", {"command": "###"}, "not base64"),
        ("certificate", {"der": "AAAA"}, "certificate"),
        ("duty", {"state": "done", "requirement": "R99"}, None),
        ("header", {"schema": 2}, "it is no header of schema 1"),
    ],
)
def test_line_that_cannot_be_read_is_named(
    octets: bytes, kind: str, change: dict[str, Any], told: str | None
) -> None:
    spoiled, line = changed(octets, kind, lambda body: not body.update(change))
    if told is None:
        assert f"R99 of {ESME} follows from no rule and fact" in reasons(verdict_of(spoiled))
        return
    with pytest.raises(EvidenceBroken) as caught:
        read_evidence(spoiled, "e.jsonl")
    assert told in str(caught.value)
    assert caught.value.line == line


def test_certificate_of_no_known_root_proves_nothing(octets: bytes) -> None:
    told = [
        (kind, body)
        for kind, body in bodies(octets)
        if kind != "certificate" or not is_root(base64.b64decode(body["der"]))
    ]
    verdict = verdict_of(forged(told))
    assert verdict.roots == ()
    assert any("leads to no root" in finding.reason for finding in verdict.findings)
    assert not any(duty.proof is Proof.SIGNED for duty in verdict.duties)


def is_root(der: bytes) -> bool:
    from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate  # noqa: PLC0415

    return GBCSCertificate.from_der(der).profile is CertificateProfile.ROOT


def test_fact_that_is_left_out_changes_what_is_proved(octets: bytes) -> None:
    told = [
        (kind, body)
        for kind, body in bodies(octets)
        if not (kind == "fact" and body["name"] == "lead_supplier")
    ]
    verdict = verdict_of(forged(told))
    duty = duty_of(verdict, "R37b")
    assert duty.proof is Proof.NONE
    assert "no fact names the supplier" in duty.reason


def private_keys(home: Path) -> list[ec.EllipticCurvePrivateKey]:
    """Give every private key that is kept: organisations', the rig's, and the devices'."""
    pems = [path.read_bytes() for path in home.rglob("*.key")]
    for path in (*home.glob("emulated/*/*.json"), *home.glob("factory/*.json")):
        state = json.loads(path.read_bytes())["device"]
        pems += [pem.encode() for pem in (*state["key_pairs"].values(), *state["pending"].values())]
    keys = [load_pem_private_key(pem, None) for pem in dict.fromkeys(pems)]
    return [key for key in keys if isinstance(key, ec.EllipticCurvePrivateKey)]


def test_no_private_key_is_in_it(home: Path) -> None:
    text = b"".join((home / name).read_bytes() for name in ("esme", "hcalcs"))
    decoded = b"".join(
        base64.b64decode(found) for found in re.findall(rb'"([A-Za-z0-9+/]{4,}={0,2})"', text)
        if len(found) % 4 == 0
    )  # fmt: skip
    keys = private_keys(home)
    # Seven organisations' and authorities' at least, the rig's, six devices' two, and two new ones.
    assert len(keys) > 7 + 1 + 6 * 2 + 2
    for key in keys:
        value = key.private_numbers().private_value
        scalar = value.to_bytes(32)
        forms = [scalar, scalar[::-1], scalar.hex().encode(), scalar.hex().upper().encode()]
        forms += [str(value).encode(), *in_base64(scalar)]
        for form in forms:
            assert form not in text
            assert form not in decoded
    assert b"PRIVATE" not in text
    assert b"PRIVATE" not in decoded


def in_base64(octets: bytes) -> list[bytes]:
    """Give what the base64 of anything with `octets` in it has in it, wherever they begin."""
    forms = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + octets)
        forms.append(encoded[-(-before * 4 // 3) : (before + len(octets)) * 4 // 3 - 1])
    return forms


def test_rigs_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "rigs"
    key = evidence_key(folder, "bench")
    path = folder / "bench.evidence.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert evidence_key(folder, "bench").public_der == key.public_der
    assert evidence_key(folder, "other").public_der != key.public_der
    assert len(fingerprint(key.public_der)) == 64
    path.chmod(0o640)
    with pytest.raises(KeyStoreError, match="others may read this private key"):
        evidence_key(folder, "bench")
    path.chmod(0o600)
    path.write_text("no key", encoding="ascii")
    with pytest.raises(KeyStoreError, match="no private key in PEM"):
        evidence_key(folder, "bench")
    assert path.read_text(encoding="ascii") == "no key"


def test_key_that_another_agent_makes_meanwhile_is_the_rigs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "rigs"
    generate = ec.generate_private_key
    theirs: list[bytes] = []

    def slow(curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
        monkeypatch.setattr(ec, "generate_private_key", generate)
        theirs.append(evidence_key(folder, "bench").public_der)
        return generate(curve)

    monkeypatch.setattr(ec, "generate_private_key", slow)
    assert [evidence_key(folder, "bench").public_der] == theirs
    assert [path.name for path in folder.iterdir()] == ["bench.evidence.key"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DELETE FROM run_contexts", "kept neither rules nor certificates with a run"),
        ("UPDATE runs SET finished_at = NULL, outcome = NULL", "has not ended"),
    ],
)
def test_run_that_cannot_be_proved_is_refused(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
    told: str,
) -> None:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path))
    shutil.copy(home / "ledger.sqlite", tmp_path)
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    with connection:
        connection.execute(change)
    connection.close()
    output = tmp_path / "evidence"
    arguments = ["report", "last", "--format", "evidence", "--output", str(output)]
    assert run_cli(arguments) == 4
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert told in captured
    assert not output.exists()


def test_file_that_is_none_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["verify-evidence", str(tmp_path / "none")]) == 2
    assert "cannot be read: No such file" in capsys.readouterr().err
    noise = tmp_path / "noise"
    noise.write_bytes(b"\x00\xff\n")
    assert run_cli(["verify-evidence", str(noise)]) == 2
    assert "no evidence file; name one that" in capsys.readouterr().err
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    assert run_cli(["report", "zz", "--format", "evidence"]) == 2
