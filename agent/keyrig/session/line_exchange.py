"""The line to one device: octets sent as they are given, and what comes sorted and kept.

Duties and delivered commands send and receive by this alone. What makes an answer or an alert
believed is for whoever asks; the order of writing is not: a command is published and transcribed
before it leaves, and whatever comes is transcribed before anything is made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbcs.message import CRAFlag, Message
from gbcs.protection import describe
from gbcs.protocol_errors import DecodeError, RemoteProtocolError
from keyrig.base.errors import LinkTimeout, WrongDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gbcs.message import Header
    from keyrig.base.events import CommandSent
    from keyrig.session.device_messages import DeviceRecord
    from keyrig.session.link import Link


class LineExchange:
    """Sends to one device over one link, and sorts what comes from it.

    Args:
        link: Carries the messages; opened and closed by the caller.
        record: Records what goes to the device and what comes.
        timeout_s: How long one sending of a command is waited for, in seconds.
        take_alert: Called with each alert of the device; verifies and records it.
    """

    def __init__(
        self,
        link: Link,
        record: DeviceRecord,
        *,
        timeout_s: float,
        take_alert: Callable[[Message], None],
    ) -> None:
        self.timeout_s = timeout_s
        self._link = link
        self._record = record
        self._take_alert = take_alert

    def send(self, octets: bytes, told: CommandSent) -> None:
        """Send a command once, after publishing and transcribing it.

        Raises:
            LinkError: The link does not carry it; the device may still have it.
            LocalProtocolError: The link does not take it; it never left.
        """
        self._record.surroundings.observe(told)
        self._record.transcribe("command", octets, verified=True)
        self._link.send(octets)

    def answers(self, is_awaited: Callable[[Header], bool]) -> Iterator[Message]:
        """Yield each response that is awaited, as it comes, until the time is over.

        Args:
            is_awaited: True if a response with that header answers something that was sent; any
                other is set aside.

        Raises:
            WrongDevice: Another device answers.
            LinkError: The link is lost.
        """
        monotonic = self._record.surroundings.monotonic
        deadline = monotonic() + self.timeout_s
        while (remaining_s := deadline - monotonic()) > 0:
            try:
                octets = self._link.receive(remaining_s)
            except LinkTimeout:
                return
            except RemoteProtocolError as error:
                self._record.noise(str(error))
                continue
            answer = self._sorted(octets, is_awaited)
            if answer is not None:
                yield answer

    def unasked(
        self, wait_s: float, is_awaited: Callable[[Header], bool]
    ) -> Iterator[Message | None]:
        """Yield a response that is awaited, or None, for each message that has come meanwhile.

        Args:
            wait_s: How long to wait for the first; what comes with it is taken too.
            is_awaited: As for `answers`.

        Raises:
            WrongDevice: Another device answers.
            LinkError: The link is lost.
        """
        while True:
            try:
                octets = self._link.receive(wait_s)
            except (LinkTimeout, RemoteProtocolError):
                return
            yield self._sorted(octets, is_awaited)
            wait_s = 0

    def _sorted(self, octets: bytes, is_awaited: Callable[[Header], bool]) -> Message | None:
        """Return what came if it is awaited; deal with everything else."""
        record = self._record
        try:
            message = Message.parse(octets)
        except DecodeError as error:
            record.transcribe("response", octets, verified=False)
            record.noise(str(error))
            return None
        header = message.header
        if header.originator != record.device:
            record.transcribe("response", octets, verified=False)
            raise WrongDevice(
                self._link.name, expected=str(record.device), found=str(header.originator)
            )
        if header.cra_flag is CRAFlag.ALERT:
            self._take_alert(message)
            return None
        if header.cra_flag is CRAFlag.COMMAND or not is_awaited(header):
            record.transcribe("response", octets, verified=False)
            record.noise(f"{describe(header)} answers nothing that is awaited; set aside")
            return None
        return message
