"""Telling upstreams for a bounded time, while somebody waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyrig.base.clock import monotonic, utc_now
from keyrig.documents.outbox_document import UpstreamStandingPart
from keyrig.ledger.ledger import Ledger
from keyrig.upstream.publisher import Courier

if TYPE_CHECKING:
    from pathlib import Path

    from keyrig.base.observing import Observer
    from keyrig.config.settings import Settings

PROGRESS_EVERY_S: Final = 1.0


def report_upstream(
    ledger_path: Path,
    settings: Settings,
    within_s: float,
    *,
    observe: Observer,
    only: frozenset[str] | None = None,
    insist: bool = False,
) -> bool:
    """Tell upstreams what they were not told yet, and tell `observe` how far that came.

    Args:
        ledger_path: The ledger's file.
        settings: The settings, with the upstreams.
        within_s: For how long at most.
        observe: Is told of each upstream: `upstream-waiting` as it goes, `upstream-standing`
            at the end.
        only: The upstreams to tell; all where None.
        insist: Try also those that asked to be left alone for longer.

    Returns:
        Whether nothing is left that one of them was not told.
    """
    names = [name for name in settings.upstream if only is None or name in only]
    if not names:
        return True
    _make_due(ledger_path, names, insist=insist)
    until = monotonic() + within_s
    with Courier(ledger_path, settings, only=frozenset(names), until=until) as courier:
        settled = within_s <= 0
        while not settled and monotonic() < until:
            for name, standing in courier.standing().items():
                if standing.waiting:
                    observe("upstream-waiting", upstream=name, waiting=standing.waiting)
            settled = courier.wait_until_settled(until, monotonic() + PROGRESS_EVERY_S)
        standings = courier.standing()
        for name, standing in standings.items():
            observe(
                "upstream-standing", upstream=name, **UpstreamStandingPart.of(standing).fields()
            )
    return not any(standing.waiting for standing in standings.values())


def _make_due(ledger_path: Path, names: list[str], *, insist: bool) -> None:
    """End waits of our own choice: somebody is here, and the network may be."""
    with Ledger(ledger_path, create=False) as ledger:
        ledger.upstreams.register(names, utc_now())
        for name in names:
            upstream = ledger.upstreams.get(name)
            if upstream.retry_at is not None and (insist or not upstream.retry_asked):
                ledger.upstreams.make_due(name)
