"""The three DUIS web services, which command variants each takes, and what HTTP replies hold.

Source: DCC Boxed's public client nodes (paths); DUIS parser (command variants).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from duis.service_references import CommandVariant

if TYPE_CHECKING:
    from collections.abc import Mapping


class WebService(enum.Enum):
    """A web service; the value is its path."""

    TRANSFORM = "/api/v1/serviceT"
    SEND_COMMAND = "/api/v1/serviceS"
    NON_DEVICE = "/api/v1/serviceD"


SERVICE_OF: Final[Mapping[CommandVariant, WebService]] = {
    CommandVariant.SEND: WebService.SEND_COMMAND,
    CommandVariant.LOCAL: WebService.NON_DEVICE,
    CommandVariant.TRANSFORM: WebService.TRANSFORM,
    CommandVariant.SEND_SIGNED: WebService.SEND_COMMAND,
    CommandVariant.LOCAL_SIGNED: WebService.NON_DEVICE,
    CommandVariant.NON_DEVICE: WebService.NON_DEVICE,
}
"""DCC Boxed's own client refuses the variants that do both, 3 and 7; so does the stand-in."""

LOCAL: Final = frozenset({CommandVariant.LOCAL, CommandVariant.LOCAL_SIGNED})

XML: Final = "application/xml"
ZIP: Final = "application/zip"
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class HTTPReply:
    """An answer.

    Args:
        status: The HTTP status.
        content_type: Of the body; "" without one.
        body: The body.
        delay_s: How long it is held back.
        is_lost: Whether the connection is closed in its place.
    """

    status: int
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    delay_s: float = 0.0
    is_lost: bool = False
