"""Figures for Prometheus."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from datetime import datetime

    from keyrig.ledger.ledger import Ledger

_NEXT: Final = 1000
"""How many of the duties due next are looked at for those that are overdue."""


class Figures:
    """Counts what the server does; one for each server, none for the process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "keyrig_http_requests",
            "Requests by route, method and status.",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "keyrig_http_request_seconds",
            "Time to an answer's head.",
            ["route"],
            registry=self._registry,
        )
        self._refused = Counter(
            "keyrig_tokens_refused",
            "Requests whose token did not hold.",
            ["reason"],
            registry=self._registry,
        )
        self._ended = Counter(
            "keyrig_operations_ended", "Runs that ended.", ["result"], registry=self._registry
        )
        self._running = Gauge(
            "keyrig_operations_running", "Runs under way.", registry=self._registry
        )
        self._streams = Gauge(
            "keyrig_event_streams", "Streams of events that are open.", registry=self._registry
        )
        self._open = Gauge(
            "keyrig_duties_open", "Duties still to be done.", registry=self._registry
        )
        self._overdue = Gauge(
            "keyrig_duties_overdue",
            f"Duties whose deadline has passed, of the {_NEXT} due next.",
            registry=self._registry,
        )
        self._next = Gauge(
            "keyrig_duties_next_deadline_timestamp_seconds",
            "The nearest deadline that has not passed; 0 where there is none.",
            registry=self._registry,
        )
        Gauge("keyrig_build_info", "The version.", ["version"], registry=self._registry).labels(
            version("keyrig")
        ).set(1)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def token_refused(self, reason: str) -> None:
        """Count a token that did not hold."""
        self._refused.labels(reason).inc()

    def operation_ended(self, result: str) -> None:
        """Count a run that ended."""
        self._ended.labels(result).inc()

    def text(self, ledger: Ledger, now: datetime, *, running: int, streams: int) -> bytes:
        """Write the figures in Prometheus' text format, with what the ledger holds now."""
        self._running.set(running)
        self._streams.set(streams)
        self._open.set(ledger.open_duties.count())
        deadlines = [duty.due_by for duty in ledger.open_duties.next_due(now, _NEXT) if duty.due_by]
        self._overdue.set(sum(now > deadline for deadline in deadlines))
        ahead = [deadline for deadline in deadlines if now <= deadline]
        self._next.set(ahead[0].timestamp() if ahead else 0)
        return generate_latest(self._registry)
