from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dccstub import Fault
from gbcs.use_cases import MessageCode
from homes.boxed_home import ESME, HCALCS, BoxedHome
from keyrig.base import events
from keyrig.domain.device_facts import Outcome
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import EventType, ExchangeOutcome, ServiceDocumentKind
from keyrig.run.bench import RunResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyrig.base.events import CommandSent
    from keyrig.ledger.service_documents import ServiceDocument


def at(what: str, act: Callable[[], object]) -> Callable[[CommandSent], None]:
    """Do something before the first request for a command leaves."""
    done: list[str] = []

    def sent(event: CommandSent) -> None:
        if what in event.what and not done:
            done.append(what)
            act()

    return sent


def test_pre_command_that_differs_is_never_signed_and_no_failure_of_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        home.when_sent = at("CS02c", lambda: home.faults.inject(Fault.DIFFERENT_PRE_COMMAND))
        assert home.run() is RunResult.NEEDS_PERSON
        (refused,) = [each for each in home.exchanges() if each.outcome is ExchangeOutcome.REJECTED]
        assert "its payload is another" in refused.detail
        kinds = [(each.kind, each.service) for each in home.documents(refused)]
        assert kinds == [
            (ServiceDocumentKind.REQUEST, "serviceT"),
            (ServiceDocumentKind.ANSWER, "serviceT"),
        ]
        with home.ledger() as ledger:
            incidents = [
                event
                for event in ledger.outbox.all(ESME)
                if event.type is EventType.SECURITY_INCIDENT
            ]
            assert len(incidents) == 1
            assert ledger.smi_statuses.current(ESME) is SMIStatus.COMMISSIONED
            outcomes = {each.outcome for each in ledger.runs.attempts_on(ESME)}
            assert Outcome.FAILED not in outcomes
        assert home.run() is RunResult.DONE


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        ("CS02d", Fault.LOST_REPLY),
        ("CS02b", Fault.HTTP_ERROR),
    ],
)
def test_lost_http_answers_change_nothing(
    what: str, fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        home.when_sent = at(what, lambda: home.faults.inject(fault))
        assert home.run() is RunResult.DONE
        assert home.told.of(events.Noise)
        assert {each.outcome for each in home.exchanges()} == {ExchangeOutcome.VERIFIED}


def test_send_whose_answer_is_lost_is_posted_again_as_the_same_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[HCALCS]) as home:
        posted: list[bytes] = []
        receive = home.boxed.receive

        def seen(service: Any, octets: bytes) -> Any:
            posted.append(octets)
            return receive(service, octets)

        monkeypatch.setattr(home.boxed, "receive", seen)
        home.when_sent = at("CS02b", lambda: home.faults.inject(Fault.LOST_REPLY))
        assert home.run() is RunResult.DONE
        assert len(posted) - len(set(posted)) == 1
        assert len(home.exchanges()) == len(set(posted))


@pytest.mark.parametrize("fault", [Fault.LOST_RESPONSE, Fault.UNANSWERED, Fault.WRONG_COUNTER])
def test_question_without_an_answer_is_asked_anew(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[HCALCS], response_timeout_s=2) as home:
        home.faults.inject(fault)
        assert home.run() is RunResult.DONE
        first, second, *_ = home.exchanges()
        assert first.outcome is ExchangeOutcome.NO_RESPONSE
        assert ("E21" in first.detail) is (fault is Fault.UNANSWERED)
        assert second.outcome is ExchangeOutcome.VERIFIED
        assert second.counter > first.counter


def test_certificate_whose_answer_is_lost_is_never_stored_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME], response_timeout_s=2) as home:
        home.when_sent = at("CS02d", lambda: home.faults.inject(Fault.LOST_RESPONSE))
        assert home.run() is RunResult.DONE
        stored = [
            each
            for each in home.exchanges()
            if each.message_code == MessageCode.UPDATE_DEVICE_CERTIFICATE
        ]
        assert [each.outcome for each in stored] == [
            ExchangeOutcome.NO_RESPONSE,
            ExchangeOutcome.VERIFIED,
        ]
        assert len({each.command for each in stored}) == 2


def responses(home: BoxedHome) -> list[ServiceDocument]:
    with home.ledger() as ledger:
        return [
            each
            for run in ledger.runs.runs()
            for each in ledger.service_documents.of_run(run.id)
            if each.kind is ServiceDocumentKind.RESPONSE
        ]


def test_response_that_comes_twice_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[HCALCS]) as home:
        home.faults.inject(Fault.DUPLICATE_RESPONSE, times=4)
        assert home.run() is RunResult.DONE
        assert len(responses(home)) == len(home.exchanges()) == 4


def test_response_that_nobody_awaits_any_more_is_kept_and_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[HCALCS], response_timeout_s=2) as home:
        home.faults.delay_s = 2.2
        home.faults.inject(Fault.LATE_RESPONSE)
        # Asked anew once the first is given up; what is late has come before anything else is.
        home.when_sent = at("(supplier)", home.running.wait_delivered)
        assert home.run() is RunResult.DONE
        first, *others = home.exchanges()
        assert first.outcome is ExchangeOutcome.NO_RESPONSE
        (late,) = [each for each in responses(home) if each.detail]
        assert late.exchange_id == first.id
        assert "set aside" in late.detail
        assert len(responses(home)) == 1 + len(others)


def test_refusal_for_the_smi_status_names_the_trap_and_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        home.when_sent = at("CS02c", lambda: home.faults.inject(Fault.STATUS_INCOMPATIBLE))
        assert home.run() is RunResult.NEEDS_PERSON
        (told,) = home.told.of(events.PersonNeeded)
        assert "E5" in told.reason
        assert "H5.34(b)" in told.reason
        assert "H5.38(b)" in told.reason
        (refused,) = [each for each in home.exchanges() if each.outcome is ExchangeOutcome.NOT_SENT]
        assert "E5" in refused.detail
        with home.ledger() as ledger:
            assert ledger.smi_statuses.current(ESME) is SMIStatus.COMMISSIONED
        assert home.run() is RunResult.DONE


def test_answer_altered_on_the_way_is_an_incident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[HCALCS]) as home:
        home.when_sent = at("CS02b", lambda: home.faults.inject(Fault.ALTERED_PAYLOAD))
        assert home.run() is RunResult.FAILED
        (incident,) = home.told.of(events.SecurityIncident)
        assert "signature" in incident.reason


def test_answer_that_the_dcc_did_not_sign_is_refused_and_said_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[HCALCS]) as home:
        home.faults.inject(Fault.WRONG_SIGNATURE)
        assert home.run() is RunResult.NEEDS_PERSON
        (told,) = home.told.of(events.PersonNeeded)
        assert "dcc_boxed.response_certificates" in told.reason
        assert home.exchanges()[0].outcome is ExchangeOutcome.INTERRUPTED
