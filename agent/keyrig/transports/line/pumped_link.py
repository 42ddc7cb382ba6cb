"""A link that drives a message connection over a port, in one thread.

Theory of operation. The framing (`MessageConnection`) does no input or output and knows no time; it
is told octets, instants and messages, and answers with octets, events and its next deadline. One
thread, `_run`, is the only one that reads or writes the port. It repeats one turn: let due
deadlines act, write what the connection has to send, then wait for octets until the next deadline.

`_changed` guards the connection and everything noted from its events. It is not held while the port
is read or written, which may block; `write` therefore delays this thread only. A caller that gives
the connection something to do holds `_changed` and wakes the port. A wake-up is kept until the next
read, so that one between `data_to_send` and `read` is not lost.

`_sending` admits one sender at a time, so the next acknowledgement is that of its message. A
message that is not acknowledged in time closes the link: the connection would go on repeating it,
and it must not be delivered after its sender was told that it failed. Whether the device has it is
not known then, and the sender finds out at the level of commands.

An error is kept in `_failure`, the connection's end in `_ended`; either makes the link unusable,
and is raised to whoever uses it next. Messages received before are still returned. `open` starts
anew.
"""

from __future__ import annotations

import abc
import threading
import time  # noqa: TID251 - the edge of the program, where time is read
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

from gbcs.protocol_errors import KeyrigError, RemoteProtocolError
from keyrig.base.errors import LinkClosed, LinkTimeout
from keyrig.session.link import LinkStatistics
from meterlink.link_events import (
    NEED_DATA,
    Connected,
    Disconnected,
    DisconnectReason,
    Event,
    MessageAcknowledged,
    MessageConnection,
    MessageReceived,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyrig.transports.line.serial_port import Port

SEND_TIMEOUT_S: Final = 60.0
"""Longest wait for one message to be acknowledged, however the device puts it off."""
CLOSE_TIMEOUT_S: Final = 1.0
"""Longest wait for the device to confirm the end of a connection."""

C = TypeVar("C", bound=MessageConnection)


class PumpedLink(abc.ABC, Generic[C]):
    """A link over a port; its framing is the connection that a subclass makes.

    Any thread may send and receive; messages of concurrent senders are not mixed.

    Args:
        port: The port, not yet open.
        name: The link's name in errors and reports.
        clock: Returns monotonic seconds.
        send_timeout_s: Longest wait for one message to be acknowledged.
    """

    def __init__(
        self,
        port: Port,
        *,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        self._port = port
        self._name = name
        self._clock = clock
        self._send_timeout_s = send_timeout_s
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._connection: C | None = None
        self._thread: threading.Thread | None = None
        self._messages: deque[bytes] = deque()
        self._given = 0
        self._acknowledged = 0
        self._is_connected = False
        self._stopping = False
        self._failure: BaseException | None = None
        self._ended: DisconnectReason | None = None

    @property
    def name(self) -> str:
        """The link's name in errors and reports."""
        return self._name

    @property
    def statistics(self) -> LinkStatistics:
        """Counts since the link was opened; they stay readable after it is closed."""
        if self._connection is None:
            return LinkStatistics()
        counts = self._connection.statistics
        return LinkStatistics(
            counts.frames_sent + counts.frames_received, counts.retransmissions, counts.damaged
        )

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Open the port and, where the framing has connections, connect.

        Raises:
            RigError: The port is missing, busy or unusable.
            LinkTimeout: The device does not answer.
            LinkClosed: The device refuses, or the port went away.
        """
        if self._thread is not None:
            if self._failure is None and self._ended is None:
                return
            self.close()
        self._port.open()
        self._connection = self._make_connection()
        self._messages.clear()
        self._given = self._acknowledged = 0
        self._is_connected = self._stopping = False
        self._failure = self._ended = None
        self._begin(self._connection)
        self._thread = threading.Thread(target=self._run, name=f"link {self._name}", daemon=True)
        self._thread.start()
        try:
            self._await_connection()
        except BaseException:
            self.close()
            raise

    def try_port(self) -> None:
        """Open the port as `open` does, and close it; nothing is sent to the device.

        Raises:
            RigError: As by `open`.
        """
        self._port.open()
        self._port.close()

    def close(self) -> None:
        """End the connection and close the port; has no effect on a link that is not open."""
        thread, connection = self._thread, self._connection
        if thread is None or connection is None:
            return
        with self._changed:
            if self._failure is None and self._ended is None and self._end(connection):
                self._port.wake()
                self._wait(lambda: self._ended is not None, self._close_timeout_s())
            self._stopping = True
            self._port.wake()
        thread.join()
        self._port.close()
        self._thread = None
        with self._changed:
            self._changed.notify_all()

    def send(self, message: bytes) -> None:
        """Send one message; returns when the device has it, where the framing can tell.

        Raises:
            LinkTimeout: The device did not acknowledge it; the link is closed, so that the
                message cannot go out later, though the device may have it already.
            LinkClosed: The link is not open any more; the device may still have the message.
            LocalProtocolError: The message is empty or too long.
        """
        with self._sending, self._changed:
            began = self._clock()
            connection = self._require_open()
            connection.send_message(message)
            self._given += 1
            awaited = self._given
            self._port.wake()
            if self._wait(lambda: self._acknowledged >= awaited, self._send_timeout_s):
                return
            reason = self._ended
            failed = self._failure
        self.close()
        waited_s = self._clock() - began
        if failed is None and reason in {None, DisconnectReason.NO_RESPONSE}:
            raise LinkTimeout(waited_s, where=self._name, what="an acknowledgement")
        raise self._closed() from failed

    def receive(self, timeout_s: float) -> bytes:
        """Return the next message from the device, in the order of arrival.

        Raises:
            LinkTimeout: None came in time.
            LinkClosed: None waits, and the link is not open any more.
        """
        with self._changed:
            began = self._clock()
            self._wait(lambda: bool(self._messages), timeout_s)
            if self._messages:
                return self._messages.popleft()
            if self._thread is None or self._stopping or self._is_over():
                raise self._closed() from self._failure
            raise LinkTimeout(self._clock() - began, where=self._name)

    @abc.abstractmethod
    def _make_connection(self) -> C:
        """Return a new connection of this framing."""

    @abc.abstractmethod
    def _begin(self, connection: C) -> None:
        """Request a connection, where the framing has any, or mark the link as connected."""

    @abc.abstractmethod
    def _end(self, connection: C) -> bool:
        """Request the connection's end; return True if there is one to wait for."""

    @abc.abstractmethod
    def _close_timeout_s(self) -> float:
        """Return the longest wait for the connection's end."""

    def _await_connection(self) -> None:
        began = self._clock()
        with self._changed:
            self._wait(lambda: self._is_connected, self._send_timeout_s)
            if self._is_connected:
                return
            if self._failure is None and self._ended in {None, DisconnectReason.NO_RESPONSE}:
                raise LinkTimeout(
                    self._clock() - began, where=self._name, what="the device to answer"
                )
            raise self._closed() from self._failure

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait, with the lock held, until `condition` holds, the link is over or time is up."""
        deadline = self._clock() + timeout_s
        while not condition():
            remaining_s = deadline - self._clock()
            if remaining_s <= 0 or self._is_over() or self._thread is None or self._stopping:
                return condition()
            self._changed.wait(remaining_s)
        return True

    def _is_over(self) -> bool:
        return self._failure is not None or self._ended is not None

    def _require_open(self) -> C:
        if self._thread is None or self._stopping or self._is_over() or self._connection is None:
            raise self._closed() from self._failure
        return self._connection

    def _closed(self) -> LinkClosed:
        if isinstance(self._failure, LinkClosed):
            return LinkClosed(self._name, self._failure.reason)
        if isinstance(self._failure, KeyrigError):
            return LinkClosed(self._name, self._failure.finding)
        if self._failure is not None:
            return LinkClosed(self._name, f"unexpected {type(self._failure).__name__}")
        return LinkClosed(self._name, self._ended.value if self._ended else "closed")

    def _run(self) -> None:
        """Read, let the connection act and write, until stopped."""
        try:
            while self._turn():
                pass
        except BaseException as error:  # noqa: BLE001 - kept and raised to whoever uses the link
            with self._changed:
                self._failure = error
        with self._changed:
            self._changed.notify_all()

    def _turn(self) -> bool:
        connection = self._connection
        assert connection is not None
        with self._changed:
            if self._stopping:
                return False
            now = self._clock()
            connection.handle_deadline(now)
            self._drain(connection)
            octets = connection.data_to_send(now)
            deadline = connection.next_deadline()
        if octets:
            self._port.write(octets)
            with self._changed:
                self._drain(connection)
        wait_s = None if deadline is None else max(0.0, deadline - self._clock())
        data = self._port.read(wait_s)
        if data:
            with self._changed:
                connection.receive_data(data, self._clock())
                self._drain(connection)
        return True

    def _drain(self, connection: C) -> None:
        changed = False
        while True:
            try:
                event = connection.next_event()
            except RemoteProtocolError as error:
                self._failure = error
                changed = True
                continue
            if event is NEED_DATA:
                break
            changed = True
            self._note(event)
        if changed:
            self._changed.notify_all()

    def _note(self, event: Event) -> None:
        match event:
            case MessageReceived(octets=octets):
                self._messages.append(octets)
            case MessageAcknowledged():
                self._acknowledged += 1
            case Connected():
                self._is_connected = True
            case Disconnected(reason=reason):
                self._ended = reason
            case _:
                pass
