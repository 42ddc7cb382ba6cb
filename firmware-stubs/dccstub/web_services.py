"""The three DUIS web services, and which command variants each takes.

Source: DCC Boxed's public client nodes (paths); DUIS parser (command variants).
"""

from __future__ import annotations

import enum
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
