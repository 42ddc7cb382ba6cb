"""Metrics for Prometheus."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from keyrig.ledger.event_queue import UpstreamStanding
    from keyrig.ledger.ledger import Ledger


class Figures:
    """The metrics of one server, in a registry of their own."""

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
            "Duties still to be done whose deadline has passed.",
            registry=self._registry,
        )
        self._next = Gauge(
            "keyrig_duties_next_deadline_timestamp_seconds",
            "The nearest deadline that has not passed; 0 where there is none.",
            registry=self._registry,
        )
        self._instructions = Gauge(
            "keyrig_status_instructions_waiting",
            "SMI Statuses that the inventory has not been seen to hold yet.",
            registry=self._registry,
        )
        self._requests_waiting = Gauge(
            "keyrig_certification_requests_waiting",
            "Certification requests of devices that wait for an authority.",
            registry=self._registry,
        )
        self._longest = Gauge(
            "keyrig_certification_requests_oldest_waiting_timestamp_seconds",
            "Since when the longest waiting request waits; 0 where none does.",
            registry=self._registry,
        )
        self._not_begun = Gauge(
            "keyrig_duties_not_begun",
            "Duties still to be done that the last run held back, by whose matter it is.",
            ["cause"],
            registry=self._registry,
        )
        self._waiting = Gauge(
            "keyrig_outbox_waiting",
            "Events that an upstream was not told, parked ones among them.",
            ["upstream"],
            registry=self._registry,
        )
        self._parked = Gauge(
            "keyrig_outbox_parked",
            "Events that an upstream refused.",
            ["upstream"],
            registry=self._registry,
        )
        self._stopped = Gauge(
            "keyrig_outbox_stopped",
            "1 where a person must set an upstream right.",
            ["upstream"],
            registry=self._registry,
        )
        self._oldest = Gauge(
            "keyrig_outbox_oldest_waiting_timestamp_seconds",
            "The instant of the first event that waits; 0 where none does.",
            ["upstream"],
            registry=self._registry,
        )
        Gauge("keyrig_build_info", "The version.", ["version"], registry=self._registry).labels(
            version("keyrig")
        ).set(1)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a response."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def token_refused(self, reason: str) -> None:
        """Count a refused token."""
        self._refused.labels(reason).inc()

    def operation_ended(self, result: str) -> None:
        """Count a run that ended."""
        self._ended.labels(result).inc()

    def text(
        self,
        ledger: Ledger,
        now: datetime,
        *,
        running: int,
        streams: int,
        upstreams: Iterable[UpstreamStanding],
    ) -> bytes:
        """Return the metrics in Prometheus' text format, with what the ledger holds now.

        Args:
            ledger: The ledger.
            now: The present instant.
            running: How many runs are under way.
            streams: How many streams of events are open.
            upstreams: The state of each upstream of the settings.
        """
        self._running.set(running)
        self._streams.set(streams)
        self._open.set(ledger.open_duties.count())
        deadlines = ledger.open_duties.deadline_counts(now)
        self._overdue.set(deadlines.overdue)
        self._next.set(deadlines.next_deadline.timestamp() if deadlines.next_deadline else 0)
        self._instructions.set(len(ledger.status_instructions.waiting()))
        requests = ledger.key_changes.all_waiting()
        self._requests_waiting.set(len(requests))
        self._longest.set(requests[0].changed_at.timestamp() if requests else 0)
        for cause, count in ledger.facts.held_back_counts().items():
            self._not_begun.labels(cause.value).set(count)
        for standing in upstreams:
            name, oldest = standing.upstream.name, standing.oldest_waiting_at
            self._waiting.labels(name).set(standing.waiting)
            self._parked.labels(name).set(standing.parked)
            self._stopped.labels(name).set(standing.upstream.stopped)
            self._oldest.labels(name).set(oldest.timestamp() if oldest else 0)
        return generate_latest(self._registry)
