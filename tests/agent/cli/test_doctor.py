"""`keyrig doctor`: ports as a run opens them, and devices asked who they are."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tty
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from keyrig.base.device_locks import holding
from keyrig.base.errors import RigBusy
from keyrig.cli import run_cli
from keyrig.config.places import places_of
from keyrig.config.rig_file import emulated_home_text, load_rig, parse_rig
from keyrig.domain.run_results import RunResult
from keyrig.duties.plan import DutyState
from keyrig.ledger.ledger import Ledger
from keyrig.run.asking import ask
from keyrig.run.hosting import emulated_rig
from keyrig.run.outlook import outlook_of
from keyrig.run.rig_locks import held, is_driven
from keyrig.run.rig_run import run
from keyrig.run.wiring import assembled
from keyrig.transports.line.pumped_link import PumpedLink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.run.asking import Asked

CHF = "00-DB-12-34-56-78-90-A2"
ESME = "00-DB-12-34-56-78-90-A0"
GSME = "00-DB-12-34-56-78-90-A1"
PPMID = "00-DB-12-34-56-78-90-A5"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LINES = """
[rig]
name = "lines"

[home.electricity]
supplier = "90-B3-D5-1F-30-01-00-00"
network_operator = "90-B3-D5-1F-30-02-00-00"
"""
LINE = """
[[device]]
entity_id = "{}"
type = "ESME"
commissioned_at = 2026-11-23T09:00:00Z
link = {{ url = "{}", framing = "gfi", timeout_s = 0.3 }}
"""
SERVICE = """
[[device]]
entity_id = "00-DB-12-34-56-78-90-A7"
type = "ESME"
commissioned_at = 2026-11-23T09:00:00Z
link = { service = "dcc-boxed" }
"""
HOLDING = """
import fcntl, os, sys, termios
port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
fcntl.flock(port, fcntl.LOCK_EX)
fcntl.ioctl(port, termios.TIOCEXCL)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(name="home", autouse=True)
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    return home


@pytest.fixture(name="hosted")
def fixture_hosted(home: Path) -> Iterator[str]:
    """The emulated home's devices on ptys; gives the text of a rig file that reaches them."""
    assert not home.exists()
    rig = load_rig(None)
    with emulated_rig(rig) as devices:
        text = rig.with_urls(devices.urls, devices.commissioned_at)
        yield text.replace("[device.link]", "[device.link]\ntimeout_s = 0.3")


@pytest.fixture(name="pty")
def fixture_pty() -> Iterator[str]:
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


def lines_rig(folder: Path, *urls: str, more: str = "") -> str:
    """Write a rig of one line per URL; the first is the emulated home's ESME's."""
    entities = [ESME, *(f"00-DB-12-34-56-78-91-{number:02X}" for number in range(len(urls)))]
    path = folder / "lines.toml"
    text = LINES + "".join(LINE.format(*each) for each in zip(entities, urls, strict=False)) + more
    path.write_text(text, encoding="utf-8")
    return str(path)


def diagnosis(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run_cli(["doctor", "--json", *arguments]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    return found


def of(found: dict[str, Any], what: str) -> list[tuple[str, str]]:
    return [(each["health"], each["detail"]) for each in found["findings"] if each["what"] == what]


def rows(home: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(home / "ledger.sqlite")) as ledger:
        return ledger.execute(query).fetchall()


@contextmanager
def held_by_another(path: str) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.communicate()


# Ports.


def test_port_that_a_run_would_open_is_opened_and_given_back(
    pty: str, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
        found = diagnosis(capsys, lines_rig(tmp_path, pty, url), code=4)
        client, _ = listener.accept()
        with client:
            assert client.recv(1) == b""
    assert [health for health, _ in of(found, "port")] == ["good", "good"]
    assert of(found, "port")[0][1] == f"{ESME}: {pty} opens (GFI, 9600 baud)"
    descriptor = os.open(pty, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    assert not home.exists()


def test_port_that_a_run_cannot_open_is_told_in_the_words_of_the_run(
    hosted: str, pty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del hosted
    with ExitStack() as stack:
        stack.enter_context(held_by_another(pty))
        taken = stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))
        closed = f"socket://127.0.0.1:{taken.getsockname()[1]}"
        for url, said in (
            (pty, "in use by another program"),
            ("/dev/null", "is not a serial port"),
            (str(tmp_path), "but a folder"),
            (str(tmp_path / "none"), "no such file"),
            (closed, "nothing listens at 127.0.0.1:"),
            ("socket://no-such-host.invalid:1", "no-such-host.invalid"),
        ):
            rig = lines_rig(tmp_path, url)
            ((health, detail),) = of(diagnosis(capsys, rig, code=4), "port")
            assert health == "bad"
            assert said in detail
            assert run_cli(["run", rig, "--json"]) == 4
            told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
            (reason,) = (each["reason"] for each in told if each["type"] == "person-needed")
            assert detail == f"{ESME}: {reason}"


def test_url_that_can_name_no_port_is_the_rig_files_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["doctor", lines_rig(tmp_path, "socket://bridge")]) == 2
    assert "it names no port; write socket://HOST:PORT" in capsys.readouterr().err


def test_one_adapter_that_fails_leaves_the_other_devices_to_be_done(
    hosted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import termios  # noqa: PLC0415 - patched here

    rig = tmp_path / "rig.toml"
    rig.write_text(hosted, encoding="utf-8")
    (first, *_) = parse_rig(hosted, "rig").device
    genuine = termios.tcsetattr
    failed: list[int] = []

    def fail_once(fd: int, *rest: Any) -> None:
        if not failed:
            failed.append(fd)
            raise termios.error(5, "Input/output error")
        genuine(fd, *rest)

    monkeypatch.setattr(termios, "tcsetattr", fail_once)
    assert run_cli(["run", str(rig), "--json"]) == 4
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (needed,) = (each for each in told if each["type"] == "person-needed")
    assert needed["device"] == str(first.entity_id)
    assert "does not take its settings" in needed["reason"]
    done = {each["device"] for each in told if each["type"] == "duty-finished"}
    assert len(done) == 5


def test_rig_that_an_agent_drives_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
        rig = lines_rig(tmp_path, url)
        places = places_of(load_rig(Path(rig)))
        with held(places.lock, places):
            ((health, detail),) = of(diagnosis(capsys, rig, code=4), "port")
        assert (health, detail) == (
            "note",
            f"{ESME}: {url} not opened, for an agent drives the rig",
        )
        with holding(places.data_folder, [EntityIdentifier.parse(ESME)], wait_s=0, holder="x"):
            ((health, detail),) = of(diagnosis(capsys, rig, code=4), "port")
        assert health == "note"
        assert "another run holds the device" in detail
        with pytest.raises(BlockingIOError):
            listener.accept()
        ((health, _),) = of(diagnosis(capsys, rig, code=4), "port")
        assert health == "good"


def test_rig_is_held_while_its_ports_are_open(
    pty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = lines_rig(tmp_path, pty)
    places = places_of(load_rig(Path(rig)))
    with held(places.lock, places):
        pass
    seen: list[bool] = []
    genuine = PumpedLink.try_port

    def watched(link: PumpedLink[Any]) -> None:
        seen.append(is_driven(places))
        genuine(link)

    monkeypatch.setattr(PumpedLink, "try_port", watched)
    diagnosis(capsys, rig, code=4)
    assert seen == [True]
    assert not is_driven(places)


@pytest.mark.parametrize("which", ["rig", "device"])
def test_lock_that_cannot_be_looked_at_is_told_in_one_line(
    pty: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    rig = lines_rig(tmp_path, pty)
    stem = EntityIdentifier.parse(ESME).stem
    lock = home / ("rigs/lines.lock" if which == "rig" else f"devices/{stem}.lock")
    lock.mkdir(parents=True)
    assert run_cli(["doctor", rig]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"keyrig: {lock}: the lock cannot be used")


def test_text_of_a_rig_file_does_not_act_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["doctor", lines_rig(tmp_path, "/dev/\\u001b[2Jnone")]) == 4
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[2Jnone: no such file" in " ".join(out.split())


def test_ports_of_the_named_devices_alone_are_opened(
    pty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = lines_rig(tmp_path, "/dev/null", pty)
    found = diagnosis(capsys, rig, "--device", "00-DB-12-34-56-78-91-00", code=4)
    assert [health for health, _ in of(found, "port")] == ["good"]
    assert run_cli(["doctor", rig, "--device", CHF]) == 2
    assert "not on the rig" in capsys.readouterr().err


# Asking.


def test_every_device_of_the_emulated_home_tells_which_cells_it_holds(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = diagnosis(capsys, "--ask")
    assert [each["device_type"] for each in found["asked"]] == [
        "CHF", "GPF", "ESME", "GSME", "HCALCS", "PPMID",
    ]  # fmt: skip
    for each in found["asked"]:
        assert each["answered"]
        assert each["problem"] is None
        assert each["took_s"] > 0
        assert len(each["counters"]) == 1
        assert each["link"]["baud"] == 9600
    esme = next(each for each in found["asked"] if each["device"] == ESME)
    assert esme["link"]["framing"] == "gfi"
    cells = {(each["role"], each["key_usage"], each["cell_usage"]): each for each in esme["cells"]}
    assert len(cells) == 9
    prepayment = cells["supplier", "keyAgreement", "prePaymentTopUp"]
    assert prepayment["certificate"]["role"] == "accessControlBroker"
    assert cells["root", "keyCertSign", "management"]["certificate"]["role"] == "root"
    assert all(len(each["key_identifier"]) == 16 for each in cells.values())
    assert rows(home, "SELECT count(*), count(DISTINCT counter) FROM exchanges") == [(6, 6)]
    used = {counter for each in found["asked"] for counter in each["counters"]}
    assert {counter for (counter,) in rows(home, "SELECT counter FROM exchanges")} == used


def test_what_is_asked_is_on_record_as_nobodys_duty(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["run", "--device", PPMID, "--json"]) == 0
    ((duties_run,),) = rows(home, "SELECT id FROM runs")
    rig = load_rig(None)
    now = datetime.now(UTC)
    before = outlook_of(places_of(rig), now=now)
    diagnosis(capsys, "--ask")
    after = outlook_of(places_of(rig), now=now)
    assert after.plan == before.plan
    assert after.statuses == before.statuses
    assert [each.facts for each in after.records.values()] == [
        each.facts for each in before.records.values()
    ]
    ((asked_run, outcome),) = rows(home, f"SELECT id, outcome FROM runs WHERE id != '{duties_run}'")
    assert outcome == "done"
    counted = f"SELECT count(*) FROM {{}} WHERE run_id = '{asked_run}'"
    assert rows(home, counted.format("attempts")) == [(0,)]
    assert rows(home, counted.format("exchanges")) == [(6,)]
    assert rows(home, counted.format("cell_snapshots"))[0][0] > 30
    capsys.readouterr()
    for name, run_id in (("last", duties_run), (asked_run, asked_run)):
        assert run_cli(["report", name, "--format", "json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert run_id in json.dumps(report["run"])
    for name in (asked_run, "last"):
        evidence = home / f"{name}.evidence"
        assert run_cli(["report", name, "--format", "evidence", "--output", str(evidence)]) == 0
        assert run_cli(["verify-evidence", str(evidence)]) == 0


def test_notice_comes_before_anything_is_sent_and_apart_from_the_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_cli(["doctor", "--ask", "--device", PPMID]) == 0
    out = capsys.readouterr().out
    said = " ".join(out.split())
    assert said.count("one originator counter of 90-B3-D5-1F-30-00-00-02 per device") == 1
    assert "No key, certificate or setting is changed on any device" in said
    assert out.index("originator counter") < out.index("making an emulated")
    assert f"{PPMID} (PPMID) on /dev/pts/" in said
    assert "answered in" in said
    assert run_cli(["doctor", "--ask", "--json", "--device", PPMID]) == 0
    captured = capsys.readouterr()
    assert "originator counter" in captured.err
    (asked,) = json.loads(captured.out)["asked"]
    assert asked["device"] == PPMID


@pytest.mark.parametrize("columns", ["80", "60"])
def test_lines_fit_the_terminal_and_identifiers_stay_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert run_cli(["doctor", "--ask", "--device", ESME]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if "/" not in line and "making" not in line]
    assert max(map(len, told)) <= int(columns)
    assert sum("90-B3-D5-1F-30-00-00-02" in line for line in lines) >= 6


def test_run_after_it_does_every_duty(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diagnosis(capsys, "--ask")
    assert run_cli(["run", "--json"]) == 0
    assert rows(home, "SELECT count(*) FROM attempts WHERE outcome != 'done'") == [(0,)]
    assert rows(home, "SELECT count(*) FROM attempts") == [(19,)]


def test_device_whose_certificate_is_missing_is_named_and_the_others_go_on(
    hosted: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = tmp_path / "rig.toml"
    rig.write_text(hosted, encoding="utf-8")
    stem = EntityIdentifier.parse(GSME).stem
    (missing,) = (home / "pki").glob(f"*{stem}*ka*.pem")
    missing.unlink()
    found = diagnosis(capsys, str(rig), "--ask", code=4)
    by_device = {each["device"]: each for each in found["asked"]}
    lacking = by_device.pop(GSME)
    assert not lacking["answered"]
    assert lacking["counters"] == []
    assert GSME in lacking["problem"]
    assert "certificate" in lacking["problem"]
    assert all(each["answered"] for each in by_device.values())
    capsys.readouterr()
    assert run_cli(["doctor", str(rig), "--ask", "--device", GSME]) == 4
    assert "was not asked" in capsys.readouterr().out


def test_ports_and_their_troubles_are_told_by_the_asking_alone(
    hosted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = next(
        device.link.url  # type: ignore[union-attr]
        for device in parse_rig(hosted, "rig").device
        if str(device.entity_id) == ESME
    )
    rig = tmp_path / "rig.toml"
    rig.write_text(hosted.replace(url, "/dev/null"), encoding="utf-8")
    found = diagnosis(capsys, str(rig), "--ask", code=4)
    assert of(found, "port") == []
    (bad,) = (each for each in found["asked"] if not each["answered"])
    assert bad["problem"] == "/dev/null: is not a serial port; correct the rig file's url"
    assert sum(each["answered"] for each in found["asked"]) == 5


def test_device_that_does_not_answer_is_told_with_the_counters_that_were_used(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = emulated_home_text().replace('" }', '", timeout_s = 0.3 }')
    marker = f'entity_id = "{ESME}"\n'
    rig = tmp_path / "silent.toml"
    rig.write_text(text.replace(marker, f'{marker}faults = ["drop-responses=9"]\n'))
    found = diagnosis(capsys, str(rig), "--ask", "--device", ESME, code=4)
    (asked,) = found["asked"]
    assert (asked["answered"], asked["took_s"], asked["cells"]) == (False, None, [])
    assert len(asked["counters"]) == 2
    assert "no other device is on this line" in asked["problem"]
    assert rows(home, "SELECT outcome FROM runs") == [("needs-person",)]


def test_other_device_on_a_line_is_told(
    hosted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = {
        str(device.entity_id): device.link.url  # type: ignore[union-attr]
        for device in parse_rig(hosted, "rig").device
    }
    swapped = (
        hosted.replace(urls[CHF], "@").replace(urls[PPMID], urls[CHF]).replace("@", urls[PPMID])
    )
    rig = tmp_path / "rig.toml"
    rig.write_text(swapped, encoding="utf-8")
    found = diagnosis(capsys, str(rig), "--ask", "--device", CHF, "--device", PPMID, code=4)
    assert [each["answered"] for each in found["asked"]] == [False, False]
    assert all(each["problem"] for each in found["asked"])


def test_device_of_service_requests_is_told_as_not_asked(
    hosted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = tmp_path / "rig.toml"
    rig.write_text(hosted.replace("[[device]]", f"{SERVICE}\n[[device]]", 1), encoding="utf-8")
    found = diagnosis(capsys, str(rig), "--ask", code=4)
    ((health, detail),) = of(found, "ask")
    assert health == "note"
    assert detail.startswith("00-DB-12-34-56-78-90-A7: not asked")
    assert len(found["asked"]) == 6
    found = diagnosis(capsys, str(rig), "--ask", "--device", "00-DB-12-34-56-78-90-A7", code=4)
    assert found["asked"] == []


def test_rig_that_another_agent_keeps_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> Any:
        raise RigBusy("emulated-home")

    monkeypatch.setattr("keyrig.run.asking.assembled", busy)
    found = diagnosis(capsys, "--ask", code=4)
    assert found["asked"] == []
    ((health, detail),) = of(found, "ask")
    assert health == "bad"
    assert "another agent drives it" in detail


def test_alert_that_comes_meanwhile_settles_the_replacement_that_it_tells_of(home: Path) -> None:
    rig, hub = load_rig(None), EntityIdentifier.parse(CHF)
    now = NOON

    def clock() -> datetime:
        nonlocal now
        now += timedelta(milliseconds=1)
        return now

    at = NOON + timedelta(days=1)
    with assembled(rig, clock=clock, only=[hub], execute_at=at) as ready:
        assert run(ready.bench, ready.devices, run_id="0" * 32) is RunResult.DONE
    now = at + timedelta(hours=1)
    told: list[Asked] = []
    ask(rig, only=[hub], told=told.append, clock=clock)
    assert [each.is_good for each in told] == [True]
    with Ledger(home / "ledger.sqlite", create=False) as ledger:
        assert ledger.scheduled.waiting(hub) == ()
    made = outlook_of(places_of(rig), now=clock(), only=[hub]).plan
    (duty,) = (each for each in made.duties if each.requirement == "R33b")
    assert duty.state is DutyState.DONE


def test_key_of_somebody_else_than_the_cell_names_is_told() -> None:
    from keyrig.domain.trust_anchor import Cell  # noqa: PLC0415 - as above
    from keyrig.run.asking import HeldCell  # noqa: PLC0415 - beside what it shows

    class Known:
        entity_id = EntityIdentifier.parse(PPMID)

    cell = Cell(
        role=RemotePartyRole.SUPPLIER,
        key_usage=KeyUsage.KEY_AGREEMENT,
        cell_usage=CellUsage.MANAGEMENT,
        entity_id=EntityIdentifier.parse(ESME),
        subject_key_identifier=bytes(8),
    )
    known: Any = Known()
    assert HeldCell(cell=cell, certificate=known).is_by_another
    assert not HeldCell(cell=cell, certificate=None).is_by_another


def test_key_store_without_an_authority_or_a_recovery_certificate_is_enough_to_ask(
    hosted: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = tmp_path / "rig.toml"
    rig.write_text(hosted, encoding="utf-8")
    kept = {"90b3d51f30000002", *(each.entity_id.stem for each in parse_rig(hosted, "rig").device)}
    removed = [
        path
        for path in (home / "pki").iterdir()
        if path.suffix in {".pem", ".key"} and path.name.split("-")[0] not in kept
    ]
    assert removed
    for path in removed:
        path.unlink()
    found = diagnosis(capsys, str(rig), "--ask", code=4)
    assert [each["problem"] for each in found["asked"]] == [None] * 6
    esme = next(each for each in found["asked"] if each["device"] == ESME)
    roots = [each for each in esme["cells"] if each["role"] == "root"]
    assert [each["certificate"] for each in roots] == [None]


def test_folder_of_requests_is_not_made_by_looking(
    hosted: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = tmp_path / "rig.toml"
    by_hand = hosted.replace('by = "test"', 'by = "by-hand"')
    assert by_hand != hosted
    rig.write_text(by_hand, encoding="utf-8")
    found = diagnosis(capsys, str(rig))
    assert [health for health, _ in of(found, "authority")] == ["good"]
    assert not (home / "requests").exists()


@pytest.mark.parametrize("command", ["run", "doctor"])
@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_recovery_certificate_whose_file_is_none_is_the_rig_files_fault(
    command: str,
    content: bytes | None,
    hosted: str,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rig = tmp_path / "rig.toml"
    named = hosted.replace("[pki]\n", '[pki]\nrecovery_certificate = "recovery.pem"\n')
    assert named != hosted
    rig.write_text(named, encoding="utf-8")
    if content is not None:
        (home / "recovery.pem").write_bytes(content)
    assert run_cli([command, str(rig)]) == 2
    assert "recovery_certificate of [pki]" in capsys.readouterr().err
    assert not (home / "ledger.sqlite").exists() or not rows(home, "SELECT * FROM exchanges")
