"""The links to one device over a line: by HDLC, or by GFI text lines."""

from __future__ import annotations

import time  # noqa: TID251 - the edge of the program, where time is read
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from keyrig.transports.line.pumped_link import CLOSE_TIMEOUT_S, SEND_TIMEOUT_S, PumpedLink
from keyrig.transports.line.serial_port import Port
from meterlink.gfi_connection import GFIConnection
from meterlink.hdlc import HDLCAddress, LinkParameters, LinkState, PrimaryStation, Timers
from meterlink.hdlc.hdlc_connection import WIDE_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT_SAP: Final = 0x10
"""The client's default address: the public client."""
SERVER_LOGICAL: Final = 1
"""The device's default logical address: the management logical device."""


class HDLCLink(PumpedLink[PrimaryStation]):
    """A link as the primary station of an HDLC connection.

    `send` returns once the device has acknowledged the whole message.

    Args:
        url: A device path or a pyserial URL.
        baud: Bits per second.
        name: The link's name in errors and reports; the URL by default.
        client: The client's address.
        server: The device's address.
        parameters: The largest sizes to offer.
        timers: Times and retries; the time of an octet is taken from the port.
        clock: Returns monotonic seconds.
        send_timeout_s: Longest wait for one message to be acknowledged.
    """

    def __init__(  # noqa: PLR0913 - all but the URL are keywords with defaults
        self,
        url: str,
        *,
        baud: int = 9600,
        name: str = "",
        client: HDLCAddress | None = None,
        server: HDLCAddress | None = None,
        parameters: LinkParameters = WIDE_PARAMETERS,
        timers: Timers | None = None,
        clock: Callable[[], float] = time.monotonic,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        port = Port(url, baud=baud)
        super().__init__(port, name=name or url, clock=clock, send_timeout_s=send_timeout_s)
        self._client = client or HDLCAddress.client(CLIENT_SAP)
        self._server = server or HDLCAddress.server(SERVER_LOGICAL)
        self._parameters = parameters
        self._timers = replace(timers or Timers(), octet_time_s=port.octet_time_s)

    def _make_connection(self) -> PrimaryStation:
        return PrimaryStation(
            own=self._client,
            peer=self._server,
            parameters=self._parameters,
            timers=self._timers,
        )

    def _begin(self, connection: PrimaryStation) -> None:
        connection.connect()

    def _end(self, connection: PrimaryStation) -> bool:
        connection.disconnect()
        return connection.state is not LinkState.DISCONNECTED

    def _close_timeout_s(self) -> float:
        return CLOSE_TIMEOUT_S


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
