"""Requests on their way to an authority, whatever it answers and whoever comes between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyrig.base.errors import (
    AuthorityError,
    AuthorityMistaken,
    AuthorityRefused,
    AuthorityUnavailable,
    KeyStoreError,
    LedgerRefused,
)
from keyrig.domain.key_changes import KeyChangeState
from keyrig.domain.states import EventType
from keyrig.keys.authority_by_hand import LIST_FILE, ByHandAuthority
from keyrig.keys.certification_order import Later
from keyrig.run.certification_requests import record_issued, submit, void
from keyrig.run.waiting_requests import waiting_requests
from keyrig.upstream.event_data import CertificationRequestData

from .bench import DEVICE, DS, KA, LATER, NOW, OTHER, Answer, Saying, given

if TYPE_CHECKING:
    from pathlib import Path

    from .bench import CertificationBench

WAITING, ISSUED = KeyChangeState.WAITING_FOR_AUTHORITY, KeyChangeState.CERTIFICATE_ISSUED
NO = AuthorityRefused("the authority", "says no", "ask it why")
BROKEN = AuthorityUnavailable("the authority", "certify ends with 1", "mend it")


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_certificate_at_once_is_recorded_and_kept_and_nothing_is_told_of_a_wait(
    bench: CertificationBench,
) -> None:
    change = bench.received()
    certificate = bench.certified()
    done = submit(bench.ledger, change, Saying(given(certificate)), bench.issued, lambda: NOW)
    assert (done.state, done.certificate) == (ISSUED, certificate.der)
    assert bench.events() == []
    assert any(certificate.der == each.der for each in bench.issued._store.certificates())


def test_waits_from_its_first_later_on_and_shows_what_was_said_last(
    bench: CertificationBench,
) -> None:
    first = bench.waiting()
    submit(bench.ledger, first.change, Saying(Later("tomorrow")), bench.issued, lambda: LATER)
    (request,) = waiting_requests(bench.ledger, LATER)
    assert request.since == NOW
    assert request.answer == "tomorrow"
    assert [event["state"] for event in bench.events()] == ["waiting"]


@pytest.mark.parametrize("error", [NO, BROKEN])
def test_request_that_an_authority_does_not_take_waits_with_the_reason(
    bench: CertificationBench, error: AuthorityError
) -> None:
    """It can be listed, certified in another way, given up, and asked again without a visit."""
    with pytest.raises(type(error)):
        bench.submitted(Saying(error))
    (request,) = waiting_requests(bench.ledger, NOW)
    assert request.answer == f"the authority: {error.reason}"
    assert [event["state"] for event in bench.events()] == ["waiting"]
    with pytest.raises(type(error)):
        submit(bench.ledger, request.change, Saying(error), bench.issued, lambda: LATER)
    assert [event["state"] for event in bench.events()] == ["waiting"]
    void(bench.ledger, request, "another authority", LATER)
    assert waiting_requests(bench.ledger, LATER) == ()


def test_both_requests_of_a_device_wait_where_the_first_is_not_taken(
    bench: CertificationBench,
) -> None:
    """The step asks no further after the first; one later visit is to store both."""
    bench.received(KA)
    other = bench.received(KA, OTHER)
    with pytest.raises(AuthorityUnavailable):
        bench.submitted(Saying(BROKEN), DS)
    assert {(r.order.device, r.order.key_usage) for r in waiting_requests(bench.ledger, NOW)} == {
        (DEVICE, DS),
        (DEVICE, KA),
    }
    assert bench.again(other).state is KeyChangeState.CSR_RECEIVED


def test_wrong_certificate_is_not_kept_and_the_request_waits(bench: CertificationBench) -> None:
    change = bench.received()
    wrong = bench.certified(entity_id=OTHER)
    with pytest.raises(AuthorityMistaken, match="wrong-entity"):
        submit(bench.ledger, change, Saying(given(wrong)), bench.issued, lambda: NOW)
    after = bench.again(change)
    assert (after.state, after.certificate) == (WAITING, None)
    assert not any(wrong.der == each.der for each in bench.issued._store.certificates())


def test_change_that_was_certified_since_the_run_looked_is_not_asked_for(
    bench: CertificationBench,
) -> None:
    change = bench.received()
    by_hand = bench.certified()
    record_issued(bench.ledger, change, by_hand, bench.issued, NOW, authority="by hand")
    authority = Saying(NO)
    done = submit(bench.ledger, change, authority, bench.issued, lambda: NOW)
    assert (done.state, done.certificate) == (ISSUED, by_hand.der)
    assert authority.asked == []


@pytest.mark.parametrize("answer", ["later", "certificate", "no"])
def test_certificate_that_comes_during_the_call_stays_whatever_the_program_answers(
    bench: CertificationBench, answer: str
) -> None:
    request = bench.waiting()
    by_hand = bench.certified()
    answers: dict[str, Answer] = {
        "later": Later("x"),
        "certificate": given(bench.certified()),
        "no": NO,
    }

    def come() -> None:
        record_issued(bench.ledger, request.change, by_hand, bench.issued, NOW, authority="by hand")

    done = submit(
        bench.ledger, request.change, Saying(answers[answer], come), bench.issued, lambda: LATER
    )
    assert (done.state, done.certificate) == (ISSUED, by_hand.der)
    assert [event["state"] for event in bench.events()] == ["waiting", "certified"]


@pytest.mark.parametrize("answer", ["later", "certificate", "no"])
def test_request_that_is_given_up_during_the_call_stays_so(
    bench: CertificationBench, answer: str
) -> None:
    request = bench.waiting()
    answers: dict[str, Answer] = {
        "later": Later("x"),
        "certificate": given(bench.certified()),
        "no": NO,
    }
    authority = Saying(
        answers[answer], lambda: void(bench.ledger, request, "another authority", NOW)
    )
    with pytest.raises(AuthorityUnavailable, match="was given up"):
        submit(bench.ledger, request.change, authority, bench.issued, lambda: LATER)
    assert bench.again(request.change).state is KeyChangeState.ABANDONED
    assert [event["state"] for event in bench.events()] == ["waiting", "void"]
    with pytest.raises(AuthorityUnavailable, match="was given up"):
        submit(bench.ledger, request.change, authority, bench.issued, lambda: LATER)
    assert len(authority.asked) == 1


def test_files_of_a_request_that_is_given_up_while_they_are_written_do_not_stay(
    bench: CertificationBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = bench.waiting()
    authority = ByHandAuthority(bench.requests_folder)
    write = authority.certify

    def slow(*arguments: object) -> object:
        answer = write(*arguments)  # type: ignore[arg-type] # as it was called
        void(bench.ledger, request, "too slow", NOW)
        return answer

    monkeypatch.setattr(authority, "certify", slow)
    with pytest.raises(AuthorityUnavailable, match="was given up"):
        submit(bench.ledger, request.change, authority, bench.issued, lambda: NOW)
    assert files(bench.requests_folder) == {LIST_FILE}


@pytest.mark.parametrize(
    "state", [ISSUED, KeyChangeState.STORING, KeyChangeState.STORED, KeyChangeState.CONFIRMED]
)
def test_request_whose_certificate_came_meanwhile_cannot_be_given_up(
    bench: CertificationBench, state: KeyChangeState
) -> None:
    """What a person saw waiting may be in the device by now."""
    request = bench.waiting()
    changes, number = bench.ledger.key_changes, request.change.id
    changes.certificate_issued(number, bench.certified().der, NOW)
    for go_on in (changes.storing, changes.stored, changes.confirmed):
        if changes.change(number).state is not state:
            go_on(number, NOW)
    with pytest.raises(LedgerRefused, match="waits no more"):
        void(bench.ledger, request, "a mistake", LATER)
    assert changes.change(number).state is state
    assert [event["state"] for event in bench.events()] == ["waiting"]


def test_files_go_once_the_certificate_is_there(bench: CertificationBench) -> None:
    authority = ByHandAuthority(bench.requests_folder)
    bench.submitted(authority, KA)
    change = bench.submitted(authority, DS)
    assert len(files(bench.requests_folder)) == 5
    record_issued(bench.ledger, change, bench.certified(), bench.issued, NOW, authority="by hand")
    assert len(files(bench.requests_folder)) == 3
    (request,) = waiting_requests(bench.ledger, NOW)
    void(bench.ledger, request, "lost", NOW)
    assert files(bench.requests_folder) == {LIST_FILE}


@pytest.mark.parametrize("answer", ["later", "certificate"])
def test_files_go_where_the_rig_changes_from_by_hand_to_a_program(
    bench: CertificationBench, answer: str
) -> None:
    change = bench.submitted(ByHandAuthority(bench.requests_folder))
    answers: dict[str, Answer] = {"later": Later("x"), "certificate": given(bench.certified())}
    submit(bench.ledger, change, Saying(answers[answer]), bench.issued, lambda: LATER)
    assert files(bench.requests_folder) == {LIST_FILE}


def test_files_stay_where_the_program_says_no_until_the_request_is_given_up(
    bench: CertificationBench,
) -> None:
    """It can still be certified by hand."""
    change = bench.submitted(ByHandAuthority(bench.requests_folder))
    with pytest.raises(AuthorityRefused):
        submit(bench.ledger, change, Saying(NO), bench.issued, lambda: LATER)
    assert len(files(bench.requests_folder)) == 3
    void(bench.ledger, waiting_requests(bench.ledger, LATER)[0], "no", LATER)
    assert files(bench.requests_folder) == {LIST_FILE}


def test_files_are_written_where_the_rig_changes_from_a_program_to_by_hand(
    bench: CertificationBench,
) -> None:
    request = bench.waiting()
    submit(
        bench.ledger,
        request.change,
        ByHandAuthority(bench.requests_folder),
        bench.issued,
        lambda: LATER,
    )
    assert len(files(bench.requests_folder)) == 3
    (moved,) = waiting_requests(bench.ledger, LATER)
    assert moved.since == NOW
    assert moved.folder == str(bench.requests_folder)


def test_files_that_a_crash_left_go_with_the_devices_next_request(
    bench: CertificationBench,
) -> None:
    authority = ByHandAuthority(bench.requests_folder)
    change = bench.submitted(authority)
    # As where the process ended between the ledger and the files.
    bench.ledger.key_changes.abandoned(change.id, NOW, detail="void: lost")
    assert len(files(bench.requests_folder)) == 3
    bench.submitted(authority)
    (request,) = waiting_requests(bench.ledger, NOW)
    assert files(bench.requests_folder) == {
        f"{request.order.stem}.csr.pem",
        f"{request.order.stem}.csr.der",
        LIST_FILE,
    }


def test_key_store_that_keeps_nothing_leaves_the_request_waiting(
    bench: CertificationBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = bench.waiting()
    issued = bench.issued

    def full(_certificate: object) -> None:
        raise KeyStoreError("the key store", "No space left on device", "make room")

    monkeypatch.setattr(issued, "keep", full)
    with pytest.raises(KeyStoreError):
        submit(
            bench.ledger, request.change, Saying(given(bench.certified())), issued, lambda: LATER
        )
    assert bench.again(request.change).state is WAITING


def test_what_is_told_upstream_is_as_its_schema_says(bench: CertificationBench) -> None:
    first, second = bench.waiting(DS), bench.waiting(KA)
    record_issued(
        bench.ledger, first.change, bench.certified(), bench.issued, LATER, authority="by hand"
    )
    void(bench.ledger, second, "lost", LATER)
    events = bench.ledger.outbox.all()
    assert {event.type for event in events} == {EventType.CERTIFICATION_REQUEST}
    bodies = [CertificationRequestData.model_validate(dict(event.body)) for event in events]
    assert [body.state for body in bodies] == ["waiting", "waiting", "certified", "void"]
    assert bodies[3].reason == "lost"
