"""COSEM date-time, the twelve octets that a Grouping Header may carry.

Source: IEC 62056-6-2, 4.1.6.1; value `07DF0101FF000000008000FF` as in RTDS 4.5.0.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from gbcs.errors import DecodeError

_NOT_SPECIFIED: Final = 0xFF
_DEVIATION_NOT_SPECIFIED: Final = 0x8000


def encode_date_time(moment: datetime) -> bytes:
    """Encode an aware moment as UTC; day of week, deviation and status not specified."""
    utc = moment.astimezone(UTC)
    return (
        utc.year.to_bytes(2)
        + bytes((utc.month, utc.day, _NOT_SPECIFIED, utc.hour, utc.minute, utc.second, 0))
        + _DEVIATION_NOT_SPECIFIED.to_bytes(2)
        + bytes((_NOT_SPECIFIED,))
    )


def decode_date_time(octets: bytes) -> datetime:
    """Decode twelve octets to UTC, whole seconds; a deviation that is not specified is UTC.

    Raises:
        DecodeError: They name no moment.
    """
    try:
        moment = datetime(
            int.from_bytes(octets[:2]),
            octets[2],
            octets[3],
            octets[5],
            octets[6],
            octets[7],
            tzinfo=UTC,
        )
    except (ValueError, IndexError):
        raise DecodeError("names no moment", layer="COSEM date-time", excerpt=octets) from None
    if len(octets) != 12:
        raise DecodeError(f"{len(octets)} octets, where 12 belong", layer="COSEM date-time")
    return moment
