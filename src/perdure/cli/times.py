"""Times and durations as people write and read them on a command line."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from perdure.errors import InvalidArgumentError
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp, timestamp_to_datetime

__all__ = ["iso", "parse_duration", "parse_moment", "read_moment", "show_duration", "show_moment"]

_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_LONGEST_CHARACTERS: Final = 100
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def parse_duration(text: str) -> timedelta:
    """Read ``90s``, ``15m``, ``1h30m``, ``7d``. Raises InvalidArgumentError.

    >>> parse_duration("1h30m")
    datetime.timedelta(seconds=5400)
    """
    parts = _PART.findall(text) if len(text) <= _LONGEST_CHARACTERS else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        message = f"{text!r:.60} is no duration; write for example 90s, 15m, 1h30m or 7d (ms, s, m, h, d, w)"
        raise InvalidArgumentError(message)
    try:
        return sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta(0))
    except OverflowError:
        message = f"the duration {text!r} is too long"
        raise InvalidArgumentError(message) from None


def parse_moment(text: str, *, now: Timestamp) -> datetime:
    """Read a date or time in ISO 8601 (local unless it says otherwise), or a duration back from `now`.

    Raises InvalidArgumentError.
    """
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).astimezone(UTC)
    with suppress(ValueError, OverflowError):
        return timestamp_to_datetime(now) - parse_duration(text)
    message = f"{text!r:.60} is no time; write for example 2h or 7d (ago), 2026-03-01 or 2026-03-01T14:30+01:00"
    raise InvalidArgumentError(message)


def read_moment(text: str, subject: str) -> datetime:
    """Read a date and time in ISO 8601, local unless it says otherwise. Raises InvalidArgumentError.

    >>> read_moment("2026-03-01T14:30+01:00", "--at").isoformat()
    '2026-03-01T13:30:00+00:00'
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{subject}: {text!r:.60} is no time; write for example 2026-03-01 or 2026-03-01T14:30+01:00"
        raise InvalidArgumentError(message) from None


def iso(moment: Timestamp | None) -> str | None:
    """Return an instant in ISO 8601 with UTC and microseconds, for programs."""
    if moment is None:
        return None
    return timestamp_to_datetime(moment).isoformat(timespec="microseconds").replace("+00:00", "Z")


def show_moment(moment: Timestamp, *, now: Timestamp) -> str:
    """Return an instant for people: the local time, with the date unless it is today."""
    local = timestamp_to_datetime(moment).astimezone()
    today = timestamp_to_datetime(now).astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M:%S")


def show_duration(microseconds: int) -> str:
    """Return a duration for people, in its two largest units.

    >>> [show_duration(n) for n in (250, 12_400, 3_200_000, 75_000_000, 93_784_000_000)]
    ['0 ms', '12 ms', '3.2 s', '1 min 15 s', '1 d 2 h']
    """
    seconds = microseconds / MICROSECONDS_PER_SECOND
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
