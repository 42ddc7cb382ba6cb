"""The link by GFI text lines to one device."""

from __future__ import annotations

import time  # noqa: TID251 - the edge of the program, where time is read
from typing import TYPE_CHECKING

from keyrig.transports.line.pumped_link import SEND_TIMEOUT_S, PumpedLink
from keyrig.transports.line.serial_port import Port
from meterlink.gfi_connection import GFIConnection

if TYPE_CHECKING:
    from collections.abc import Callable


class GFILink(PumpedLink[GFIConnection]):
    """A link by GFI text lines.

    The format has no acknowledgement: `send` returns once the line was passed to the port's
    thread, and the sender does not learn of a line that was damaged on the way. One that was
    damaged on its way here is counted in `statistics.damaged`.

    Args:
        url: A device path or a pyserial URL.
        baud: Bits per second.
        name: The link's name in errors and reports; the URL by default.
        number: The `<n>` that sent lines carry.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        baud: int = 115_200,
        name: str = "",
        number: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        port = Port(url, baud=baud)
        super().__init__(port, name=name or url, clock=clock, send_timeout_s=SEND_TIMEOUT_S)
        self._number = number

    def _make_connection(self) -> GFIConnection:
        return GFIConnection(number=self._number)

    def _begin(self, connection: GFIConnection) -> None:
        del connection
        self._is_connected = True

    def _end(self, connection: GFIConnection) -> bool:
        del connection
        return False

    def _close_timeout_s(self) -> float:
        return 0.0
