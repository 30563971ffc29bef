"""Local times as instants: the one meaning of a local time that does not exist, or exists twice.

Two rules, since people mean two things by a local time:

* *once* (03:00): the first instant at which the local clock shows this time or a later one. A time inside a gap is the
  gap's end; a time that exists twice is the first of the two.
* *each* (every full hour): every instant at which the local clock shows the time. Inside a gap there is none; a time
  that exists twice counts twice.

Instants are whole seconds since the epoch. Assumes at most one change of offset within a day.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from perdure.errors import InvalidArgumentError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["EPOCH", "first_instant_of", "local_time", "next_instant_of_each", "zone_of"]

EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose: local times are counted from it
_SECOND: Final = timedelta(seconds=1)
_DAY_SECONDS: Final = 86_400


@lru_cache(maxsize=256)
def zone_of(name: str) -> "ZoneInfo":
    """Return the time zone called `name`. Raises InvalidArgumentError.

    >>> zone_of("Europe/Berlin").key
    'Europe/Berlin'
    """
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only those with schedules pay for it

    try:
        if len(name) <= _LONGEST_NAME:
            return ZoneInfo(name)
        message = f"there is no time zone with a name of {len(name):,} characters"
    except (OSError, ValueError, KeyError, TypeError):
        message = f"there is no time zone {name!r:.60}; use a name such as 'Europe/Berlin' (on Windows install tzdata)"
    raise InvalidArgumentError(message)


_LONGEST_NAME: Final = 100


def local_time(second: int, zone: "ZoneInfo") -> datetime:
    """Return what the local clock shows at an instant, as a naive datetime."""
    return EPOCH + timedelta(seconds=second + _offset(second, zone))


def first_instant_of(moment: datetime, zone: "ZoneInfo") -> int:
    """Return the first instant at which the local clock shows `moment` (naive) or later. It grows with `moment`."""
    before = _whole_seconds(moment.replace(tzinfo=zone, fold=0).utcoffset())
    after = _whole_seconds(moment.replace(tzinfo=zone, fold=1).utcoffset())
    shown = (moment - EPOCH) // _SECOND
    if before >= after:  # an ordinary time, or the first of two
        return shown - before
    return _change_between(shown - after, shown - before, zone)


def next_instant_of_each(
    second: int, zone: "ZoneInfo", next_match: Callable[[datetime], datetime | None]
) -> int | None:
    """Return the first instant after `second` whose local time matches.

    `next_match` gives the first matching naive time after a naive time. Goes from change of offset to change of offset;
    further away than a day from both ends of a stretch without matches, changes of offset cannot matter.
    """
    offset = _offset(second, zone)
    while True:
        match = next_match(EPOCH + timedelta(seconds=second + offset))
        if match is None:
            return None
        candidate = (match - EPOCH) // _SECOND - offset
        horizon = min(candidate, second + _DAY_SECONDS)
        if _offset(horizon, zone) != offset:
            second = _change_between(second, horizon, zone) - 1
            offset = _offset(second + 1, zone)
        elif candidate == horizon:
            return candidate
        else:
            second = max(horizon, candidate - _DAY_SECONDS)
            offset = _offset(second, zone)


def _change_between(low: int, high: int, zone: "ZoneInfo") -> int:
    """Return the first instant with the offset of `high`, which that of `low` is not. Complexity: logarithmic."""
    new = _offset(high, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle, zone) == new:
            high = middle
        else:
            low = middle
    return high


def _offset(second: int, zone: "ZoneInfo") -> int:
    return _whole_seconds((_EPOCH_UTC + timedelta(seconds=second)).astimezone(zone).utcoffset())


_EPOCH_UTC: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _whole_seconds(offset: timedelta | None) -> int:
    assert offset is not None
    return offset // _SECOND
