"""What the stand-in answers to an HTTP request, before any socket is involved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

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
