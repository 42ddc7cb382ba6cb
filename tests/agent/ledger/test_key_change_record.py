from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage
from keyrig.base.errors import LedgerRefused
from keyrig.domain.key_changes import KEY_CHANGE_MOVES, KeyChangeState
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyrig.ledger.key_change_record import KeyChanges

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
METER = EntityIdentifier.parse("00db1234567890a0")
DS, KA = KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT
S = KeyChangeState

MOVES: dict[KeyChangeState, Callable[[KeyChanges, int], object]] = {
    S.CSR_RECEIVED: lambda c, i: c.csr_received(i, b"csr", NOON),
    S.WAITING_FOR_AUTHORITY: lambda c, i: c.waiting_for_authority(
        i, NOON, authority="by hand", answer="later", folder=None
    ),
    S.CERTIFICATE_ISSUED: lambda c, i: c.certificate_issued(i, b"new", NOON),
    S.STORING: lambda c, i: c.storing(i, NOON),
    S.STORED: lambda c, i: c.stored(i, NOON),
    S.CONFIRMED: lambda c, i: c.confirmed(i, NOON),
    S.ABANDONED: lambda c, i: c.abandoned(i, NOON, detail="given up"),
}
WAY = [
    S.REQUESTED,
    S.CSR_RECEIVED,
    S.WAITING_FOR_AUTHORITY,
    S.CERTIFICATE_ISSUED,
    S.STORING,
    S.STORED,
    S.CONFIRMED,
]


def changed_to(changes: KeyChanges, state: KeyChangeState, usage: KeyUsage = DS) -> int:
    change_id = changes.request(METER, usage, None, NOON).id
    way = WAY[1 : WAY.index(state) + 1] if state in WAY else [S.ABANDONED]
    for step in way:
        MOVES[step](changes, change_id)
    return change_id


def in_use(changes: KeyChanges, usage: KeyUsage = DS) -> list[bytes]:
    return [candidate.certificate for candidate in changes.candidates(METER, usage)]


def test_change_goes_its_way_and_keeps_what_each_step_brought(ledger: Ledger) -> None:
    change_id = changed_to(ledger.key_changes, S.CONFIRMED)
    change = ledger.key_changes.change(change_id)
    assert (change.state, change.csr, change.certificate) == (S.CONFIRMED, b"csr", b"new")
    assert [move.state for move in ledger.key_changes.moves(change_id)] == WAY
    assert ledger.key_changes.open(METER, DS) is None
    assert [c.id for c in ledger.key_changes.history(METER, DS)] == [change_id]


@pytest.mark.parametrize(("state", "to"), list(itertools.product(S, MOVES)))
def test_every_move_from_every_state_is_made_or_refused(
    ledger: Ledger, state: KeyChangeState, to: KeyChangeState
) -> None:
    changes = ledger.key_changes
    change_id = changed_to(changes, state)
    legal = to in KEY_CHANGE_MOVES[state] and (state, to) != (S.STORING, S.CERTIFICATE_ISSUED)
    # Asked again, an authority may say once more that it is later.
    legal = legal or state is to is S.WAITING_FOR_AUTHORITY
    if legal:
        MOVES[to](changes, change_id)
        assert changes.change(change_id).state is to
    else:
        before = changes.change(change_id), changes.certificates(METER, DS)
        with pytest.raises(LedgerRefused, match=f"from {state.value} to {to.value}"):
            MOVES[to](changes, change_id)
        assert (changes.change(change_id), changes.certificates(METER, DS)) == before


def test_one_change_is_open_per_device_and_usage(ledger: Ledger) -> None:
    first = ledger.key_changes.request(METER, DS, None, NOON)
    ledger.key_changes.request(METER, KA, None, NOON)
    with pytest.raises(LedgerRefused, match="being changed already"):
        ledger.key_changes.request(METER, DS, None, NOON)
    ledger.key_changes.abandoned(first.id, NOON, detail="no CSR came")
    assert ledger.key_changes.request(METER, DS, None, NOON).id != first.id
    assert ledger.key_changes.moves(first.id)[-1].detail == "no CSR came"


def test_usage_that_no_device_key_has_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerRefused, match="keyCertSign"):
        ledger.key_changes.request(METER, KeyUsage.KEY_CERT_SIGN, None, NOON)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (S.REQUESTED, [b"old"]),
        (S.CSR_RECEIVED, [b"old"]),
        (S.CERTIFICATE_ISSUED, [b"old"]),
        (S.STORING, [b"new", b"old"]),
        (S.STORED, [b"new", b"old"]),
        (S.CONFIRMED, [b"new"]),
        (S.ABANDONED, [b"old"]),
    ],
)
def test_candidates_are_what_the_device_may_use_newest_first(
    path: Path, state: KeyChangeState, expected: list[bytes]
) -> None:
    with Ledger(path) as ledger:
        ledger.key_changes.record_in_use(METER, DS, b"old", NOON)
        ledger.key_changes.record_in_use(METER, KA, b"other usage", NOON)
        changed_to(ledger.key_changes, state)
    with Ledger(path) as ledger:
        assert in_use(ledger.key_changes) == expected
        assert in_use(ledger.key_changes, KA) == [b"other usage"]


def test_certificate_whose_storing_is_unknown_stays_a_candidate_when_given_up(
    ledger: Ledger,
) -> None:
    changes = ledger.key_changes
    changes.record_in_use(METER, DS, b"old", NOON)
    changes.abandoned(changed_to(changes, S.STORING), NOON, detail="device replaced its radio")
    assert in_use(changes) == [b"new", b"old"]
    assert [c.certain for c in changes.candidates(METER, DS)] == [False, True]


def test_certificate_that_the_device_refused_is_no_candidate_until_sent_again(
    ledger: Ledger,
) -> None:
    changes = ledger.key_changes
    changes.record_in_use(METER, DS, b"old", NOON)
    change_id = changed_to(changes, S.STORING)
    refused = changes.refused_by_device(change_id, NOON, detail="invalidCertificate")
    assert refused.state is S.CERTIFICATE_ISSUED
    assert in_use(changes) == [b"old"]
    changes.storing(change_id, NOON)
    assert in_use(changes) == [b"new", b"old"]


def test_answer_lost_after_storing_is_made_good_by_reading_back(ledger: Ledger) -> None:
    changes = ledger.key_changes
    changes.record_in_use(METER, DS, b"old", NOON)
    changes.confirmed(changed_to(changes, S.STORING), NOON + timedelta(hours=1))
    assert in_use(changes) == [b"new"]
    old = changes.certificates(METER, DS)[0]
    assert (old.certificate, old.until) == (b"old", NOON + timedelta(hours=1))


def test_refusal_is_only_for_a_certificate_on_its_way(ledger: Ledger) -> None:
    change_id = changed_to(ledger.key_changes, S.CSR_RECEIVED)
    with pytest.raises(LedgerRefused):
        ledger.key_changes.refused_by_device(change_id, NOON, detail="")


def test_certificate_known_already_is_not_recorded_twice(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.key_changes.record_in_use(METER, DS, b"old", NOON)
    assert in_use(ledger.key_changes) == [b"old"]


def test_confirmed_usages_are_those_confirmed_since_and_not_begun_anew(ledger: Ledger) -> None:
    changes = ledger.key_changes
    assert changes.confirmed_usages(METER, NOON) == frozenset()
    changed_to(changes, S.CONFIRMED, DS)
    changed_to(changes, S.STORED, KA)
    assert changes.confirmed_usages(METER, NOON) == {DS}
    assert changes.confirmed_usages(METER, None) == {DS}
    assert changes.confirmed_usages(METER, NOON + timedelta(seconds=1)) == frozenset()
    changes.request(METER, DS, None, NOON)
    assert changes.confirmed_usages(METER, NOON) == frozenset()
