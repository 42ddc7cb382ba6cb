"""`keyrig pki requests`, `certified` and `void` as people and programs call them."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from agent.keys.certification.bench import (
    DEVICE,
    DS,
    KA,
    OTHER,
    CertificationBench,
    pem,
    private_pem,
)
from keyrig.cli import run_cli
from keyrig.config.places import ledger_path
from keyrig.domain.key_changes import KeyChangeState
from keyrig.keys.authority_by_hand import ByHandAuthority
from keyrig.ledger.ledger import Ledger
from meterstub.key_pair import generate_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="bench")
def fixture_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CertificationBench]:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path))
    with Ledger(ledger_path()) as ledger:
        yield CertificationBench(tmp_path, ledger)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def answer(bench: CertificationBench, name: str, *certificates: Any) -> str:
    path = bench.folder / name
    path.write_bytes(b"".join(map(pem, certificates)))
    return str(path)


def test_requests_are_listed_for_people_and_programs_and_written_elsewhere(
    bench: CertificationBench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.submitted(ByHandAuthority(bench.requests_folder), DS)
    request = bench.waiting(KA, OTHER)
    assert run_cli(["pki", "requests"]) == 0
    shown = capsys.readouterr().out
    assert "2 requests wait" in shown
    assert f"since {request.since:%Y-%m-%dT%H:%M:%SZ}: in a week" in shown
    to = bench.folder / "to" / "take"
    assert run_cli(["pki", "requests", "--to", str(to), "--json"]) == 0
    listed = lines(capsys)
    assert [each["kind"] for each in listed] == ["certification-request"] * 2
    assert {each["device"] for each in listed} == {str(DEVICE), str(OTHER)}
    assert {each["file"] for each in listed} == {str(each) for each in to.glob("*.pem")}


def test_without_a_ledger_no_request_waits_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path / "new"))
    assert run_cli(["pki", "requests"]) == 0
    assert capsys.readouterr().out == "no request waits\n"
    assert run_cli(["pki", "void", "00", "--reason", "x"]) == 4
    assert not (tmp_path / "new").exists()


def test_folder_that_cannot_be_written_is_a_matter_for_a_person(
    bench: CertificationBench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.waiting()
    (bench.folder / "file").touch()
    assert run_cli(["pki", "requests", "--to", str(bench.folder / "file" / "x")]) == 4
    assert "of certification requests" in capsys.readouterr().err


def test_exit_code_tells_taken_refused_and_unreadable_apart(
    bench: CertificationBench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.waiting(DS)
    bench.waiting(KA)
    right, wrong = bench.certified(DS), bench.certified(KA, entity_id=OTHER)
    both = answer(bench, "both.pem", wrong, right)
    assert run_cli(["pki", "certified", both, "--json"]) == 3
    refused, taken = lines(capsys)
    assert (refused["refused"], refused["rule"]) == (True, "wrong-entity")
    assert refused["source"] == f"{both}, block 1"
    assert (taken["taken"], taken["rule"]) == (True, None)
    assert run_cli(["pki", "certified", answer(bench, "ka.pem", bench.certified(KA))]) == 0
    assert "1 certificates taken, 0 refused; 0 requests wait" in capsys.readouterr().out
    assert run_cli(["pki", "certified", both, both]) == 3
    capsys.readouterr()
    assert run_cli(["pki", "certified", answer(bench, "ds.pem", right)]) == 0
    assert "taken before" in capsys.readouterr().out


def test_file_that_holds_none_is_named_and_nothing_of_the_call_is_taken(
    bench: CertificationBench, capsys: pytest.CaptureFixture[str]
) -> None:
    request = bench.waiting()
    right = answer(bench, "right.pem", bench.certified())
    bad = bench.folder / "bad.zip"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("key.pem", private_pem(generate_key()))
    for name in (str(bad), answer(bench, "empty.pem")):
        assert run_cli(["pki", "certified", right, name]) == 2
        said = capsys.readouterr().err
        assert name in said
        assert len(said.splitlines()) == 1
    assert bench.again(request.change).state is KeyChangeState.WAITING_FOR_AUTHORITY


@pytest.mark.parametrize("where", ["gone.pem", "."])
def test_file_that_is_not_there_is_wrong_usage(bench: CertificationBench, where: str) -> None:
    assert run_cli(["pki", "certified", str(bench.folder / where)]) == 2


def test_key_store_of_a_rig_is_used_where_it_is_named(
    bench: CertificationBench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.waiting()
    certificate = bench.certified()
    right = answer(bench, "right.pem", certificate)
    bench.keystore.rename(bench.folder / "others")
    rig = bench.folder / "rig.toml"
    rig.write_text(
        '[rig]\nname = "bench"\n[pki]\nkeystore = "others"\n'
        f'[[device]]\nentity_id = "{DEVICE}"\ntype = "ESME"\n'
        'link = { url = "/dev/ttyUSB0", framing = "hdlc" }\n',
        encoding="utf-8",
    )
    assert run_cli(["pki", "certified", right]) == 4
    assert run_cli(["pki", "certified", right, "--rig", str(rig), "--keystore", "x"]) == 2
    capsys.readouterr()
    assert run_cli(["pki", "certified", right, "--rig", str(rig)]) == 0
    assert "1 certificates taken" in capsys.readouterr().out
    kept = {path.read_bytes() for path in (bench.folder / "others").glob("*.pem")}
    assert pem(certificate) in kept


@pytest.mark.parametrize("form", ["{}", "{:>20}", "colons", "UPPER"])
def test_request_is_given_up_by_its_key_identifier_however_that_is_written(
    bench: CertificationBench, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    request = bench.waiting()
    identifier = request.order.key_identifier
    written = {"colons": identifier.hex(":"), "UPPER": identifier.hex(" ").upper()}.get(
        form, form.format(identifier.hex())
    )
    assert run_cli(["pki", "void", written, "--reason", "lost\x1b[2J", "--json"]) == 0
    (void,) = lines(capsys)
    assert (void["kind"], void["key_identifier"]) == (
        "certification-request-void",
        identifier.hex(),
    )
    moves = bench.ledger.key_changes.moves(request.change.id)
    assert moves[-1].state is KeyChangeState.ABANDONED
    assert moves[-1].detail.isprintable()
    assert run_cli(["pki", "void", written, "--reason", "again"]) == 2


def test_giving_up_needs_a_reason_and_a_request(
    bench: CertificationBench, capsys: pytest.CaptureFixture[str]
) -> None:
    identifier = bench.waiting().order.key_identifier.hex()
    assert run_cli(["pki", "void", identifier]) == 2
    assert run_cli(["pki", "void", identifier, "--reason", "  "]) == 2
    capsys.readouterr()
    assert run_cli(["pki", "void", "00\x1b[2J", "--reason", "x"]) == 2
    assert "\x1b" not in capsys.readouterr().err
    assert len(bench.ledger.key_changes.all_waiting()) == 1
