"""When: the values by which a program says at which nominal times a schedule acts."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.timekeeping.cron import parse_cron
from perdure.timekeeping.patterns import DayRule, LocalPattern
from perdure.timekeeping.zones import zone_of

__all__ = ["Calendar", "Cron", "Every", "When", "next_after"]

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MICROSECOND: Final = timedelta(microseconds=1)


class Cron(msgspec.Struct, frozen=True, tag="cron", omit_defaults=True):
    """A cron expression in a time zone: ``Cron("0 3 * * *", tz="Europe/Berlin")``; `perdure.timekeeping.cron` has the
    syntax.

    Where clocks change: with an hour field that begins with ``*`` every occurrence of a local time counts (twice when
    the hour is repeated, not at all when it is skipped). With named hours each local time counts once: one that is
    skipped at the end of the gap, one that is repeated the first time. Times that fall together give one run.

    >>> Cron("@daily").tz
    'UTC'
    """

    expression: str
    tz: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what cannot be read. Raises InvalidArgumentError."""
        if not isinstance(self.expression, str):
            raise InvalidArgumentError(f"Cron: {self.expression!r:.60} is no text")
        zone_of(self.tz)
        parse_cron(self.expression, self.tz)


class Every(msgspec.Struct, frozen=True, tag="every", omit_defaults=True):
    """Each multiple of a duration since 1970-01-01T00:00Z, plus `offset`: ``Every(timedelta(minutes=15))``.

    So the times do not depend on when the schedule was made. At least a second.

    >>> Every(timedelta(hours=6), offset=timedelta(minutes=30)).offset
    datetime.timedelta(seconds=1800)
    """

    every: timedelta
    offset: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        """Refuse what is too short. Raises InvalidArgumentError."""
        for name, value in (("every", self.every), ("offset", self.offset)):
            if not isinstance(value, timedelta):
                raise InvalidArgumentError(f"Every: {name} is {value!r:.60}; it must be a timedelta")
        if self.every < timedelta(seconds=1):
            raise InvalidArgumentError(f"Every: every is {self.every}; it must be at least a second")


class Calendar(msgspec.Struct, frozen=True, kw_only=True, tag="calendar", omit_defaults=True):
    """Days and times of the day in a time zone; every condition given must hold.

    `times`: of the day. `months`: 1 to 12. `days`: of the month, negative ones from its end (-1 the last).
    `weekdays`: ``"mon"`` to ``"sun"``. `exclusions`: dates that are left out, such as holidays.
    Where clocks change each time counts once, as with named hours in `Cron`.

    >>> Calendar(times=[time(9)], weekdays=["mon"], tz="Europe/Berlin").weekdays
    ['mon']
    """

    times: list[time]
    months: list[int] = []
    days: list[int] = []
    weekdays: list[str] = []
    exclusions: list[date] = []
    tz: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what means no time. Raises InvalidArgumentError."""
        zone_of(self.tz)
        _demand("times", self.times, lambda value: isinstance(value, time) and value.tzinfo is None, "naive times")
        _demand("months", self.months, lambda value: value in range(1, 13), "1 to 12")
        _demand("days", self.days, lambda value: value in range(-31, 32) and value != 0, "1 to 31 or -1 to -31")
        _demand("weekdays", self.weekdays, lambda value: value in _WEEKDAYS, ", ".join(_WEEKDAYS))
        _demand("exclusions", self.exclusions, lambda value: type(value) is date, "dates")
        if not self.times:
            raise InvalidArgumentError("Calendar: times is empty; name at least one, such as time(9, 30)")


When = Cron | Every | Calendar
"""Everything that gives nominal times."""


def next_after(when: When, instant: Timestamp) -> Timestamp | None:
    """Return the first nominal time after `instant`; None if there is none (in 45 years)."""
    if isinstance(when, Every):
        every, offset = when.every // _MICROSECOND, when.offset // _MICROSECOND
        return Timestamp((instant - offset) // every * every + every + offset)
    pattern = parse_cron(when.expression, when.tz) if isinstance(when, Cron) else _calendar(msgspec.json.encode(when))
    found = pattern.next_after(instant // MICROSECONDS_PER_SECOND)
    return None if found is None else Timestamp(found * MICROSECONDS_PER_SECOND)


@lru_cache(maxsize=256)
def _calendar(encoded: bytes) -> LocalPattern:
    when = msgspec.json.decode(encoded, type=Calendar)
    midnight = datetime(1970, 1, 1)  # noqa: DTZ001 - the difference of two naive times of one day
    return LocalPattern(
        rule=DayRule(
            months=frozenset(when.months or range(1, 13)),
            days=frozenset(when.days),
            weekdays=frozenset(_WEEKDAYS.index(name) for name in when.weekdays),
            exclusions=frozenset(when.exclusions),
        ),
        times=tuple(sorted({(datetime.combine(midnight, at) - midnight) // timedelta(seconds=1) for at in when.times})),
        zone=when.tz,
    )


def _demand(name: str, values: object, is_allowed: Callable[[object], bool], allowed: str) -> None:
    given = values if isinstance(values, list | tuple) else [values]
    for value in given:
        if not isinstance(values, list | tuple) or not is_allowed(value):
            raise InvalidArgumentError(f"Calendar: {name} has {value!r:.60}; it must be a list of {allowed}")
