"""What rests on what: whose keys are here, whose signatures are known, and what is for later."""

from __future__ import annotations

import socket
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from authorities import Authorities
from dccstub.stand_in_options import FutureDatedAlertForm
from gbcs.use_cases import MessageCode
from homes.boxed_home import ESME, HCALCS, NOW, BoxedHome
from keyrig.base import events
from keyrig.base.errors import RigFileInvalid, SettingsError
from keyrig.config.rig_file import parse_rig
from keyrig.domain.states import ExchangeOutcome
from keyrig.evidence.evidence_check import Proof, check
from keyrig.evidence.evidence_file import read_evidence
from keyrig.evidence.evidence_key import evidence_key
from keyrig.evidence.evidence_writer import evidence
from keyrig.keys.folder_store import write_certificate
from keyrig.ledger.run_record import gather
from keyrig.run.bench import RunResult
from keyrig.transports.dcc.dcc_inbox import Inbox

if TYPE_CHECKING:
    from pathlib import Path


def test_without_the_dccs_keys_everything_is_done_and_what_was_not_checked_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        for path in (tmp_path / "pki").glob("90b3d51f3000000*.key"):
            path.unlink()
        assert home.run(run_id="1" * 32) is RunResult.DONE
        for exchange in home.exchanges():
            is_question = exchange.message_code == MessageCode.PROVIDE_CREDENTIALS
            assert ("whose key is not here" in exchange.detail) is is_question
        with home.ledger() as ledger:
            record = gather(ledger, "1" * 32)
        file = read_evidence(evidence(record, evidence_key(tmp_path, "boxed"), NOW), "evidence")
        verdict = check(file)
        assert verdict.holds
        assert verdict.count(Proof.MACED) == 3
        assert verdict.count(Proof.SIGNED) == 2


def foreign_response_certificates(home: Path) -> None:
    folder = home / "answers"
    folder.mkdir()
    write_certificate(folder, "somebody", Authorities().organisation())


def test_answers_signed_by_nobody_known_end_the_run_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = 'response_certificates = "answers"'
    foreign_response_certificates(tmp_path)
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME], more_settings=more) as home:
        assert home.run() is RunResult.NEEDS_PERSON
        (told,) = home.told.of(events.PersonNeeded)
        assert "response_certificates" in told.reason
        assert not home.told.of(events.DutyStarted)


def test_answers_can_rest_on_the_line_and_are_kept_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = 'response_certificates = "answers"\nunverified_responses = "accept"'
    foreign_response_certificates(tmp_path)
    with BoxedHome(tmp_path, monkeypatch, entities=[HCALCS], more_settings=more) as home:
        assert home.run() is RunResult.DONE
        for exchange in home.exchanges():
            received = [each for each in home.documents(exchange) if not each.is_sent]
            assert received
            assert {each.signer for each in received} == {""}
            assert "rests on the line" in exchange.detail


@pytest.mark.parametrize("form", FutureDatedAlertForm)
def test_replacement_for_later_is_settled_by_the_alert_that_comes_through_the_dcc(
    form: FutureDatedAlertForm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"future_dated_alert": form}
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME], options=options) as home:
        later = NOW + timedelta(hours=1)
        assert home.run(execute_at=later) is RunResult.DONE
        (scheduled,) = [e for e in home.told.of(events.DutyFinished) if e.outcome == "scheduled"]
        assert scheduled.requirement == "R37d"
        home.told.all.clear()
        home.now = later + timedelta(minutes=5)
        assert home.run() is RunResult.DONE
        (done,) = home.told.of(events.DutyFinished)
        assert (done.requirement, done.outcome) == ("R37d", "done")
        assert home.told.of(events.Alert)[0].verified
        with home.ledger() as ledger:
            assert ledger.scheduled.waiting(ESME) == ()
            assert len(ledger.exchanges.alerts_of(ESME)) == 1


def test_alert_that_is_due_is_waited_for_through_the_dcc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        later = NOW + timedelta(hours=1)
        assert home.run(execute_at=later) is RunResult.DONE
        put, wait = home.boxed.deliveries.put, Inbox.wait_for_any
        held: list[tuple[Any, ...]] = []

        def hold_alerts(*delivery: Any) -> None:
            if b">6.24.1<" in delivery[0]:
                put(*delivery)
            else:
                held.append(delivery)

        def give_alerts(inbox: Inbox, timeout_s: float) -> None:
            while held:
                put(*held.pop())
            wait(inbox, timeout_s)

        monkeypatch.setattr(home.boxed.deliveries, "put", hold_alerts)
        monkeypatch.setattr(Inbox, "wait_for_any", give_alerts)
        home.told.all.clear()
        home.now = later + timedelta(minutes=5)
        assert home.run() is RunResult.DONE
        assert [each.outcome for each in home.told.of(events.DutyFinished)] == ["done"]


def test_replacement_for_later_is_taken_back_through_the_dcc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        assert home.run(execute_at=NOW + timedelta(hours=1)) is RunResult.DONE
        assert home.run(cancel=True) is RunResult.DONE
        (cancelled,) = home.told.of(events.Cancellation)
        assert cancelled.detail == "cancelled; due again"
        home.now += timedelta(hours=2)
        assert home.run() is RunResult.DONE
        assert home.told.of(events.Alert) == []


def test_another_suppliers_credentials_are_replaced_by_a_change_of_supplier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[HCALCS]) as home:
        assert home.run() is RunResult.DONE
        # A home of the new supplier's, which knows nothing of what was done before.
        for path in tmp_path.glob("ledger.sqlite*"):
            path.unlink()
        home.supplier = "90-B3-D5-1F-30-03-00-00"
        home.now += timedelta(hours=1)
        home.told.all.clear()
        assert home.run() is RunResult.NEEDS_PERSON
        assert "mpxn" in home.told.of(events.PersonNeeded)[0].reason
        home.link = '{ service = "dcc-boxed", mpxn = "1312345678333" }'
        assert home.run() is RunResult.DONE
        assert "6.23" in {each.service_request for each in home.told.of(events.CommandSent)}
        (done,) = [each for each in home.told.of(events.DutyFinished) if each.outcome == "done"]
        assert "90-B3-D5-1F-30-03-00-00" in done.detail


def test_settings_without_dcc_boxed_say_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        (tmp_path / "keyrig.toml").unlink()
        with pytest.raises(SettingsError, match=r"\[dcc_boxed\] address"):
            home.run()


def test_box_that_is_off_needs_a_person_and_nothing_is_said_of_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        settings = tmp_path / "keyrig.toml"
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = taken.getsockname()[1]
        text = settings.read_text().replace("duis_port = ", f"duis_port = {port} # ")
        settings.write_text(text)
        assert home.run() is RunResult.NEEDS_PERSON
        (exchange,) = home.exchanges()
        assert exchange.outcome is ExchangeOutcome.NOT_SENT
        assert "[dcc_boxed]" in home.told.of(events.PersonNeeded)[0].reason


HUB = """
[rig]
name = "hub"
parties = {parties}

[[device]]
entity_id = "00-DB-12-34-56-78-90-A2"
type = "CHF"
link = {{ service = "dcc-boxed"{more} }}
"""


def test_hub_is_reached_by_no_service_request_where_its_duties_are_ours() -> None:
    with pytest.raises(RigFileInvalid, match=r"line 9: .*the DCC's own.*leave 'dcc' out"):
        parse_rig(HUB.format(parties='["dcc", "lead-supplier"]', more=""), "rig.toml")
    rig = parse_rig(HUB.format(parties='["lead-supplier"]', more=""), "rig.toml")
    assert rig.has_service_devices
    assert not rig.has_emulated_devices


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (', servce = "x"', "service"),
        (", timeout_s = 0", "greater than 0"),
        (', mpxn = "12A"', "mpxn"),
    ],
)
def test_unknown_and_unfit_keys_of_such_a_link_are_refused(more: str, match: str) -> None:
    with pytest.raises(RigFileInvalid, match=match):
        parse_rig(HUB.format(parties='["lead-supplier"]', more=more), "rig.toml")


def test_unknown_service_is_refused() -> None:
    text = HUB.format(parties='["lead-supplier"]', more="").replace("dcc-boxed", "dcc")
    with pytest.raises(RigFileInvalid, match="dcc-boxed"):
        parse_rig(text, "rig.toml")
