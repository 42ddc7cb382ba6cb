"""COSEM date-time, the twelve octets that a Grouping Header may carry.

Source: IEC 62056-6-2, 4.1.6.1; value `07DF0101FF000000008000FF` as in RTDS 4.5.0.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from gbcs.message_headers import DATE_TIME_OCTETS
from gbcs.protocol_errors import DecodeError, LocalProtocolError

_LAYER: Final = "COSEM date-time"
_NOT_SPECIFIED: Final = 0xFF
_DEVIATION_NOT_SPECIFIED: Final = 0x8000
_DEVIATION_MAXIMUM_MINUTES: Final = 720


def encode_date_time(moment: datetime) -> bytes:
    """Encode an aware moment as UTC; day of week, deviation and status not specified.

    Raises:
        LocalProtocolError: The moment is naive.
    """
    if moment.tzinfo is None:
        raise LocalProtocolError(f"{moment.isoformat()} names no time zone")
    utc = moment.astimezone(UTC)
    return (
        utc.year.to_bytes(2)
        + bytes((utc.month, utc.day, _NOT_SPECIFIED, utc.hour, utc.minute, utc.second, 0))
        + _DEVIATION_NOT_SPECIFIED.to_bytes(2)
        + bytes((_NOT_SPECIFIED,))
    )


def decode_date_time(octets: bytes) -> datetime:
    """Decode twelve octets to UTC, whole seconds.

    The deviation is what UTC has more than the local time, in minutes; where it is not
    specified the time is UTC.

    Raises:
        DecodeError: They name no moment.
    """
    if len(octets) != DATE_TIME_OCTETS:
        raise DecodeError(
            f"{len(octets)} octets, where {DATE_TIME_OCTETS} belong", layer=_LAYER, excerpt=octets
        )
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
        return moment + timedelta(minutes=_deviation_minutes(octets[9:11]))
    except (ValueError, OverflowError):
        raise DecodeError("names no moment", layer=_LAYER, excerpt=octets) from None


def _deviation_minutes(octets: bytes) -> int:
    if int.from_bytes(octets) == _DEVIATION_NOT_SPECIFIED:
        return 0
    minutes = int.from_bytes(octets, signed=True)
    if abs(minutes) > _DEVIATION_MAXIMUM_MINUTES:
        raise ValueError(minutes)
    return minutes
