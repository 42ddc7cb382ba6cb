"""Instants in requests."""

from __future__ import annotations

from datetime import UTC, datetime

from keyrig.api.api_responses import invalid


def utc_of(instant: datetime | None, where: str) -> datetime | None:
    """Return an instant converted to UTC.

    Raises:
        RequestRefused: It is outside the years that can be represented.
    """
    try:
        return None if instant is None else instant.astimezone(UTC)
    except OverflowError:
        raise invalid(where, "no such year") from None
