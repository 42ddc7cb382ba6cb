"""A ZigBee radio as other threads use it: its event loop runs in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import queue
import threading
import time  # noqa: TID251 - the edge of the program, where time is read
from typing import TYPE_CHECKING, Any, Final, TypeVar

from keyrig.base.errors import LinkTimeout, RadioLost
from keyrig.transports.zigbee.radio_role import RadioState

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from keyrig.transports.zigbee.radio_role import RadioRole
    from keyrig.transports.zigbee.tunnel_session import Reached

LOGGER: Final = logging.getLogger(__name__)
POLL_S: Final = 0.2
"""The interval at which a receiver checks whether the radio is still there."""
STOP_TIMEOUT_S: Final = 10.0
Result = TypeVar("Result")


class Radio:
    """A radio of a rig; its methods may be called from any thread.

    Args:
        role: Its role; nothing else may use it.
    """

    def __init__(self, role: RadioRole) -> None:
        self.settings = role.settings
        self.role = role
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def state(self) -> RadioState:
        """Its state."""
        return self.role.state

    def start(self) -> None:
        """Start it, unless it is started.

        Raises:
            RadioUnusable: It does not start.
        """
        with self._lock:
            if self._loop is None:
                self._start()

    def session(self, eui64: int, *, name: str, sleeps: bool) -> Reached:
        """Return the session of a device, made on first use."""

        async def make() -> Reached:
            return self.role.session(eui64, name=name, sleeps=sleeps)

        return self.call(make())

    def reach(self, eui64: int, link_key: bytes, session: Reached, timeout_s: float) -> None:
        """Bring a device to where messages can be sent to it; as `RadioRole.reach`."""
        self.call(self.role.reach(eui64, link_key, session, timeout_s))

    def send(self, session: Reached, octets: bytes, timeout_s: float) -> None:
        """Send a message to a device; return once the device has it.

        Raises:
            LinkTimeout: It did not acknowledge it in time; it may still have it.
            NodeUnreachable: It could not be delivered.
            RadioLost: The radio went away and did not come back.
        """

        async def send() -> None:
            async with asyncio.timeout(timeout_s):
                await self.role.until_up()
                await session.send_message(octets)

        try:
            self.call(send())
        except TimeoutError:
            what = "the device to fetch a message" if session.sleeps else "an acknowledgement"
            raise LinkTimeout(timeout_s, where=session.name, what=what) from None

    def receive(self, session: Reached, timeout_s: float) -> bytes:
        """Return the next message from a device.

        Raises:
            LinkTimeout: None came in time.
            RadioLost: None waits, and the radio is gone for good.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            remaining_s = deadline - time.monotonic()
            try:
                return session.inbox.get(timeout=max(0.0, min(POLL_S, remaining_s)))
            except queue.Empty:
                if self.state in {RadioState.LOST, RadioState.CLOSED}:
                    raise RadioLost(self.role.where, self.role.reason) from None
                if time.monotonic() >= deadline:
                    raise LinkTimeout(timeout_s, where=session.name) from None

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the radio's thread, and wait for its result."""
        if self._loop is None:
            work.close()
            raise RadioLost(self.role.where, "not started")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise RadioLost(self.role.where, "stopped") from None
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Stop it; has no effect on one that is not started."""
        loop, self._loop = self._loop, None
        thread, self._thread = self._thread, None
        if loop is None or thread is None:
            return
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self.role.stop(), loop).result(STOP_TIMEOUT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOP_TIMEOUT_S)

    def _start(self) -> None:
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(started,), name=f"radio {self.settings.name}", daemon=True
        )
        self._thread.start()
        started.wait()
        try:
            self.call(self.role.start())
        except BaseException:
            self.stop()
            raise

    def _run(self, started: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        # Errors of bellows' own tasks when the port closes are reported as the port's closing.
        loop.set_exception_handler(lambda _, context: LOGGER.debug("%s", context))
        self._loop = loop
        started.set()
        try:
            loop.run_forever()
        finally:
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
