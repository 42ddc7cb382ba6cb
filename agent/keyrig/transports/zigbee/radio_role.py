"""The life cycle of a rig's radio in either role: start, loss, reconnection, and its state.

Everything here runs in the event loop of the radio's thread.
"""

from __future__ import annotations

import abc
import asyncio
import enum
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import zigpy.exceptions
from bellows.ash import AshException, NcpFailure
from bellows.exception import EzspError
from zigpy.exceptions import ZigbeeException

from gbcs.entity_identifier import EntityIdentifier
from keyrig.base import events
from keyrig.base.errors import RadioError, RadioLost, RadioUnusable
from keyrig.base.observing import Observer, unobserved

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from keyrig.transports.zigbee.tunnel_session import Reached

RECONNECT_DELAYS_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""The delay before each attempt to reconnect a lost radio; then it is given up."""
FAULTS: Final = (
    ZigbeeException,
    EzspError,
    AshException,
    OSError,
    TimeoutError,
    AssertionError,
    RuntimeError,
)
"""The exceptions of zigpy and bellows where a radio does not do what is asked."""

for _name in ("zigpy", "bellows"):
    # They warn of what is reported here too; a handler of one's own shows theirs.
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False


class RadioState(enum.Enum):
    """The state of a radio."""

    CLOSED = "closed"
    STARTING = "starting"
    UP = "up"
    RECONNECTING = "lost, being reconnected"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSettings:
    """The port of a radio, and the network that it forms or joins.

    Args:
        name: The radio's name in errors and reports.
        url: Its port.
        baud: Bits per second.
        flow_control: "hardware", "software" or None.
        channel: The channel of a network that is formed, 11..26.
        database: zigpy's database of the devices that it knows, or None for none.
        reconnect_delays_s: The delay before each attempt to reconnect.
    """

    name: str
    url: str
    baud: int = 115_200
    flow_control: str | None = None
    channel: int = 15
    database: Path | None = None
    reconnect_delays_s: tuple[float, ...] = RECONNECT_DELAYS_S


class RadioRole(abc.ABC):
    """A radio in one of its roles.

    Args:
        settings: The radio.
        observe: Called with each event.
    """

    def __init__(self, settings: RoleSettings, observe: Observer = unobserved) -> None:
        self.settings = settings
        self.state = RadioState.CLOSED
        self.reason = ""
        self._observe = observe
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Condition()
        self._sequence = 0

    @property
    def where(self) -> str:
        """The radio's name in errors."""
        return f"radio {self.settings.name} on {self.settings.url}"

    async def start(self) -> None:
        """Start the radio.

        Raises:
            RadioUnusable: It does not start.
        """
        await self._set(RadioState.STARTING, "")
        try:
            await self._connect()
        except FAULTS as error:
            await self._set(RadioState.CLOSED, reason_of(error))
            raise RadioUnusable(self.where, reason_of(error)) from error
        except BaseException:
            await self._set(RadioState.CLOSED, "not started")
            raise
        await self._set(RadioState.UP, "")

    async def stop(self) -> None:
        """Stop the radio; devices stay in the network."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._forget()
        await self._set(RadioState.CLOSED, "")
        await self._disconnect()

    async def until_up(self) -> None:
        """Wait while the radio is being reconnected.

        Raises:
            RadioLost: It did not come back, or was never started.
        """
        async with self._changed:
            while self.state in {RadioState.RECONNECTING, RadioState.STARTING}:
                await self._changed.wait()
        if self.state is not RadioState.UP:
            raise RadioLost(self.where, self.reason or "not started")

    def radio_lost(self, reason: str) -> None:
        """Note that the radio is lost, or restarted by itself, and start to reconnect."""
        if self.state is RadioState.UP:
            self.state, self.reason = RadioState.RECONNECTING, reason
            self._lost()
            self._spawn(self._reconnect(reason))

    async def _reconnect(self, reason: str) -> None:
        self._tell_radio(RadioState.RECONNECTING, reason)
        await self._disconnect()
        for delay_s in self.settings.reconnect_delays_s:
            await asyncio.sleep(delay_s)
            try:
                await self._connect()
            except (*FAULTS, RadioError) as error:
                self._observe(
                    events.RadioStillLost(radio=self.settings.name, reason=reason_of(error))
                )
                continue
            await self._set(RadioState.UP, "")
            self._back()
            return
        await self._set(RadioState.LOST, reason)
        self._given_up(RadioLost(self.where, reason))

    async def _set(self, state: RadioState, reason: str) -> None:
        is_new = state is not self.state
        self.state, self.reason = state, reason
        if is_new:
            self._tell_radio(state, reason)
        async with self._changed:
            self._changed.notify_all()

    # What each role implements.

    @abc.abstractmethod
    def session(self, eui64: int, *, name: str, sleeps: bool) -> Reached:
        """Return the session of a device, made on first use."""

    @abc.abstractmethod
    async def reach(self, eui64: int, link_key: bytes, session: Reached, timeout_s: float) -> None:
        """Bring a device to where messages can be sent to it.

        Args:
            eui64: The device.
            link_key: The key that its install code yields.
            session: Its session.
            timeout_s: The longest time in all, in seconds.

        Raises:
            NodeUnreachable: It is not there; the reason says how far it came.
            RadioLost: The radio went away.
            RadioLacksSmartEnergy: The radio cannot establish keys.
        """

    @abc.abstractmethod
    async def _connect(self) -> None:
        """Open the port and bring up the network; close the port where that fails."""

    @abc.abstractmethod
    async def _disconnect(self) -> None:
        """Close the port."""

    @abc.abstractmethod
    def _lost(self) -> None:
        """Handle the loss of the radio."""

    @abc.abstractmethod
    def _back(self) -> None:
        """Handle the return of the radio."""

    @abc.abstractmethod
    def _given_up(self, error: RadioLost) -> None:
        """Handle the failure to reconnect."""

    @abc.abstractmethod
    def _forget(self) -> None:
        """Forget every device; called when the radio is stopped."""

    # What roles share.

    def _tell_radio(self, state: RadioState, reason: str) -> None:
        self._observe(events.Radio(radio=self.settings.name, state=state.value, reason=reason))

    def _tell_state(self, eui64: int, state: str) -> None:
        self._observe(events.NodeState(radio=self.settings.name, device=dashed(eui64), state=state))

    def _next_sequence(self) -> int:
        self._sequence = (self._sequence + 1) & 0xFF
        return self._sequence

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observe(events.Fault(link=self.where, reason=f"{type(error).__name__}: {error}"))


def reason_of(error: BaseException) -> str:
    """Return an error's text, or its class's name where it has none."""
    if isinstance(error, zigpy.exceptions.NetworkNotFormed):
        return "it is not the coordinator of a network"
    if isinstance(error, NcpFailure):
        return f"its firmware started anew ({error.code})"
    return str(error) or type(error).__name__


def dashed(eui64: int) -> str:
    """Return an EUI-64 in the form of Entity Identifiers."""
    return str(EntityIdentifier(eui64.to_bytes(8, "big")))
