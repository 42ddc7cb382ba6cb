"""The measurements of `keyrig conformance`, on a small scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import conformance_bench
from authorities import REFERENCE_KEYSTORE, REFERENCE_MESSAGES, needs
from keyrig.keys.store_opening import open_keystore
from keyrig.session.conformance import Summary, Verifier, check_file, message_files

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.reference, needs(REFERENCE_MESSAGES)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance_bench, "ROUNDS", 1)
    monkeypatch.setattr(conformance_bench, "STORE_SIZES", (30, 40))


def test_the_mix_has_the_set_s_proportions_and_every_protection_in_it_verifies(
    tmp_path: Path,
) -> None:
    (tmp_path / "one.HEX").write_bytes(message_files(REFERENCE_MESSAGES)[0].read_bytes())
    store = open_keystore(REFERENCE_KEYSTORE)
    with conformance_bench.reference_mix(tmp_path, store) as (folder, is_whole):
        assert not is_whole
        verifier, summary = Verifier(store), Summary()
        for path in message_files(folder):
            summary.add(check_file(path, verifier))
    counts = summary.counts()
    assert counts["signatures_valid"] == conformance_bench.SIGNED
    assert counts["macs_valid"] == conformance_bench.MACED
    assert counts["payloads_reencoded"] == conformance_bench.DECODED
    assert not counts["not_checkable"] + counts["unreadable"]


def test_shares_and_growth_are_measured_on_what_is_there() -> None:
    store = open_keystore(REFERENCE_KEYSTORE)
    found = conformance_bench.shares(REFERENCE_MESSAGES, store)
    assert 0 < found["command"] < found["verified"]
    verifying, opening = conformance_bench.growth(REFERENCE_MESSAGES, REFERENCE_KEYSTORE)
    assert set(verifying) == set(opening) == {30, 40}
    assert all(each > 0 for each in (*verifying.values(), *opening.values()))
