"""Reading Retry-After."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_s(value: str | None, date: str | None, now: datetime) -> float | None:
    """Give for how many seconds a server asks to be left alone; None where it does not say.

    Args:
        value: The field Retry-After: seconds, or an HTTP-date.
        date: The field Date of the same answer; an HTTP-date counts from it, since the two
            clocks may differ.
        now: The present instant, for an answer without a Date.

    Source: RFC 9110, 10.2.3.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    until = _instant(text)
    if until is None:
        return None
    since = (_instant(date.strip()) if date else None) or now
    return max(0.0, (until - since).total_seconds())


def _instant(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
