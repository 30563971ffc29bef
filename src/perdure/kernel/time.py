"""Instants and durations as the kernel knows them: integers, so that they are exact, cheap and ordered."""

from datetime import UTC, datetime, timedelta
from typing import NewType

__all__ = [
    "MICROSECONDS_PER_SECOND",
    "Timestamp",
    "duration_microseconds",
    "timestamp_from_datetime",
    "timestamp_to_datetime",
]

Timestamp = NewType("Timestamp", int)
"""Microseconds since the Unix epoch, UTC."""

MICROSECONDS_PER_SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def timestamp_from_datetime(moment: datetime) -> Timestamp:
    """Return the instant of an aware datetime. Raises ValueError for a naive one, whose instant is unknown."""
    if moment.tzinfo is None:
        message = f"the datetime {moment.isoformat()} has no time zone; pass an aware one, e.g. with tzinfo=UTC"
        raise ValueError(message)
    return Timestamp((moment - _EPOCH) // _MICROSECOND)


def timestamp_to_datetime(instant: Timestamp) -> datetime:
    """Return an instant as an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=instant)


def duration_microseconds(duration: timedelta) -> int:
    """Return a duration in whole microseconds (exact: timedelta has no finer unit)."""
    return duration // _MICROSECOND
