"""The measurements of `keyrig serve`, on a small scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import serve_bench

if TYPE_CHECKING:
    import pytest


def test_figures_are_given_for_every_number_of_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_bench, "CLIENTS", (1, 2))
    monkeypatch.setattr(serve_bench, "READ_SECONDS", 0.1)
    figures = serve_bench.serve_figures()
    reads = figures["status_reads_per_second"]
    assert {clients: set(each) for clients, each in reads.items()} == {
        1: {"plan", "devices"},
        2: {"plan", "devices"},
    }
    assert all(count > 0 for each in reads.values() for count in each.values())
    for each in figures["run_to_first_event_s"].values():
        assert 0 < each["median"] <= each["longest"]
        assert each["median"] <= each["run_started_median"]
