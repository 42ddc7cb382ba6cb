"""Instants that requests hold."""

from __future__ import annotations

from datetime import UTC, datetime

from keyrig.api.api_responses import invalid


def utc_of(instant: datetime | None, where: str) -> datetime | None:
    """Give an instant in UTC.

    Raises:
        RequestRefused: It lies outside of the years that can be written.
    """
    try:
        return None if instant is None else instant.astimezone(UTC)
    except OverflowError:
        raise invalid(where, "no such year") from None
