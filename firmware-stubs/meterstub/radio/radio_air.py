"""The radio channel between emulated nodes: one frame at a time, with its time, losses and range.

Every node in range hears every other; relaying between routers is not emulated. Frames carry
values rather than octets, and say how many octets they would have.

Source: IEEE 802.15.4-2015 for times and retries on the 2.4 GHz O-QPSK channel.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

BIT_RATE: Final = 250_000
SYMBOL_S: Final = 16e-6
PHY_HEADER_OCTETS: Final = 6
MAC_OCTETS: Final = 11
"""Frame control, sequence, short addresses, PAN and FCS of a data frame within one PAN."""
ACKNOWLEDGEMENT_OCTETS: Final = 5
TURNAROUND_S: Final = 12 * SYMBOL_S
BACKOFF_S: Final = 3.5 * 20 * SYMBOL_S + 8 * SYMBOL_S
"""The mean of the first backoff (minimum exponent 3) and the clear channel assessment."""
FRAME_SPACING_S: Final = 40 * SYMBOL_S
ACKNOWLEDGEMENT_WAIT_S: Final = 54 * SYMBOL_S
TRANSMISSIONS: Final = 4
"""A unicast frame and its retries (macMaxFrameRetries 3)."""
SEEN_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class AirFrame:
    """One frame on the air.

    Args:
        source: The sender's EUI-64, as an integer.
        destination: The receiver's, or None for everybody.
        content: What it carries.
        octets: How long it is behind the MAC header.
    """

    source: int
    destination: int | None
    content: object
    octets: int


class Listener(Protocol):
    """A node's antenna."""

    @property
    def eui64(self) -> int:
        """Its address."""
        ...

    @property
    def is_listening(self) -> bool:
        """Whether its receiver is on."""
        ...

    @property
    def channel(self) -> int | None:
        """The channel that its receiver is tuned to, or None for any."""
        ...

    def receive_frame(self, frame: AirFrame, now: float) -> None:
        """Process a frame that was for it or for everybody."""
        ...


@dataclass(slots=True)
class Conditions:
    """What the air does to frames; may be changed at any time.

    Attributes:
        bit_rate: Bits per second, or None for an air that takes no time.
        loss: The share of transmissions that nobody hears, 0..1.
        duplication: The share of frames that are heard twice, 0..1.
        delay_s: Seconds from the end of a frame until its receiver acts on it.
        out_of_range: EUI-64 of nodes that hear nobody and are heard by nobody.
    """

    bit_rate: int | None = BIT_RATE
    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.0
    out_of_range: set[int] = field(default_factory=set)

    def duration_s(self, octets: int, *, wants_acknowledgement: bool) -> float:
        """Return how long one transmission holds the channel, in seconds."""
        if self.bit_rate is None:
            return 0.0
        octet_s = 8 / self.bit_rate
        duration = BACKOFF_S + (octets + MAC_OCTETS + PHY_HEADER_OCTETS) * octet_s
        if wants_acknowledgement:
            duration += TURNAROUND_S + (ACKNOWLEDGEMENT_OCTETS + PHY_HEADER_OCTETS) * octet_s
        return duration + FRAME_SPACING_S


@dataclass(order=True, slots=True)
class Timer:
    """Something that will happen; `cancel` lets it not."""

    at: float
    number: int
    action: Callable[[float], None] | None = field(compare=False)

    def cancel(self) -> None:
        """Cancel it."""
        self.action = None


@dataclass(slots=True)
class _Transmission:
    frame: AirFrame
    on_done: Callable[[bool, float], None]
    number: int
    attempts: int = 0


class Air:
    """The channel, and the time that passes on it.

    Actions run in the order of their time and are given that time, so that what is measured on
    the air does not depend on when `run` is called.

    Args:
        conditions: What it does to frames.
        dice: Returns 0..1 for each chance; `random.Random(seed).random` makes runs repeatable.
            Without one nothing is lost or doubled.
    """

    def __init__(
        self, *, conditions: Conditions | None = None, dice: Callable[[], float] | None = None
    ) -> None:
        self.conditions = conditions or Conditions()
        self.frames = 0
        self.lost = 0
        self.busy_s = 0.0
        self._dice = dice or _sixes
        self._listeners: dict[int, Listener] = {}
        self._timers: list[Timer] = []
        self._numbers = itertools.count()
        self._free_at = 0.0
        self._seen: dict[int, list[tuple[int, int]]] = {}

    def attach(self, listener: Listener) -> None:
        """Add a node, which hears and is heard."""
        self._listeners[listener.eui64] = listener

    def detach(self, eui64: int) -> None:
        """Remove a node from the air."""
        self._listeners.pop(eui64, None)

    def call_at(self, at: float, action: Callable[[float], None]) -> Timer:
        """Schedule `action` for a time; it is called with that time."""
        timer = Timer(at, next(self._numbers), action)
        heapq.heappush(self._timers, timer)
        return timer

    def send(
        self, frame: AirFrame, now: float, on_done: Callable[[bool, float], None] | None = None
    ) -> None:
        """Send a frame; `on_done` is told whether its receiver acknowledged it, and when."""
        transmission = _Transmission(
            frame, _ignored if on_done is None else on_done, next(self._numbers)
        )
        self._transmit(transmission, now)

    def next_deadline(self) -> float | None:
        """Return the time at which `run` is due, or None."""
        while self._timers and self._timers[0].action is None:
            heapq.heappop(self._timers)
        return self._timers[0].at if self._timers else None

    def run(self, now: float) -> None:
        """Run everything that is due at `now`."""
        while self._timers and self._timers[0].at <= now:
            timer = heapq.heappop(self._timers)
            if timer.action is not None:
                timer.action(timer.at)

    def _transmit(self, transmission: _Transmission, now: float) -> None:
        frame = transmission.frame
        is_unicast = frame.destination is not None
        duration = self.conditions.duration_s(frame.octets, wants_acknowledgement=is_unicast)
        ends = max(now, self._free_at) + duration
        self._free_at = ends
        self.busy_s += duration
        self.frames += 1
        transmission.attempts += 1
        self.call_at(ends, lambda at: self._finish(transmission, at))

    def _finish(self, transmission: _Transmission, now: float) -> None:
        frame = transmission.frame
        if frame.destination is None:
            for listener in list(self._listeners.values()):
                if listener.eui64 != frame.source and self._is_heard(frame, listener):
                    self._deliver(listener, transmission, now)
            transmission.on_done(True, now)
            return
        receiver = self._listeners.get(frame.destination)
        is_heard = receiver is not None and self._is_heard(frame, receiver)
        if is_heard and receiver is not None:
            self._deliver(receiver, transmission, now)
            if not self._is_lost():
                transmission.on_done(True, now)
                return
        if transmission.attempts < TRANSMISSIONS:
            self._transmit(transmission, now + ACKNOWLEDGEMENT_WAIT_S)
        else:
            transmission.on_done(False, now)

    def _is_heard(self, frame: AirFrame, listener: Listener) -> bool:
        sender = self._listeners.get(frame.source)
        unreachable = self.conditions.out_of_range
        if sender is None or not listener.is_listening:
            return False
        if frame.source in unreachable or listener.eui64 in unreachable:
            return False
        if None not in (sender.channel, listener.channel) and sender.channel != listener.channel:
            return False
        return not self._is_lost()

    def _is_lost(self) -> bool:
        is_lost = self._dice() < self.conditions.loss
        self.lost += is_lost
        return is_lost

    def _deliver(self, listener: Listener, transmission: _Transmission, now: float) -> None:
        """Deliver a frame, once for all its retransmissions, unless the air doubles it."""
        seen = self._seen.setdefault(listener.eui64, [])
        key = (transmission.frame.source, transmission.number)
        if key in seen:
            return
        seen.append(key)
        del seen[:-SEEN_LIMIT]
        times = 1 + (self._dice() < self.conditions.duplication)
        for _ in range(times):
            self.call_at(
                now + self.conditions.delay_s,
                lambda at: listener.receive_frame(transmission.frame, at),
            )


def _sixes() -> float:
    return 1.0


def _ignored(is_acknowledged: bool, now: float) -> None:  # noqa: FBT001 - the callback's form
    del is_acknowledged, now
