"""Patterns of local time: on which days, at which times of the day. What cron expressions and calendars become."""

from bisect import bisect_right
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from perdure.timekeeping.zones import first_instant_of, local_time, next_instant_of_each, zone_of

__all__ = ["DayRule", "LocalPattern"]

_LONGEST_SEARCH_YEARS: Final = 45
"""The 29th of February on a given weekday comes every 28 years, and 40 around a year 2100."""


class DayRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which days. Empty `days`, and empty `weekdays` with empty `nth_weekdays`, mean any.

    `days`: of the month, 1 to 31; from its end -1 (the last) to -31. `weekdays`: 0 (Monday) to 6. `nth_weekdays`:
    (weekday, n), the n-th of the month; n -1 is the last. `either`: a day of the month or a weekday is enough, as in
    cron. `exclusions` are never meant.
    """

    months: frozenset[int] = frozenset(range(1, 13))
    days: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    nth_weekdays: frozenset[tuple[int, int]] = frozenset()
    either: bool = False
    exclusions: frozenset[date] = frozenset()

    def includes(self, day: date) -> bool:
        """Whether the rule means this day."""
        if day.month not in self.months or day in self.exclusions:
            return False
        has_weekdays = bool(self.weekdays or self.nth_weekdays)
        if self.either and self.days and has_weekdays:
            return self._is_day(day) or self._is_weekday(day)
        return (not self.days or self._is_day(day)) and (not has_weekdays or self._is_weekday(day))

    def _is_day(self, day: date) -> bool:
        return day.day in self.days or day.day - _length(day) - 1 in self.days

    def _is_weekday(self, day: date) -> bool:
        weekday = day.weekday()
        return (
            weekday in self.weekdays
            or (weekday, (day.day + 6) // 7) in self.nth_weekdays
            or (day.day + 7 > _length(day) and (weekday, -1) in self.nth_weekdays)
        )


class LocalPattern(msgspec.Struct, frozen=True, kw_only=True):
    """Days and times in a zone. `times` are seconds of the day, sorted; `each` chooses the rule of `zones`."""

    rule: DayRule
    times: tuple[int, ...]
    zone: str
    each: bool = False

    def next_after(self, second: int) -> int | None:
        """Return the first instant of the pattern after `second`, or None if there is none in 45 years."""
        zone = zone_of(self.zone)
        if self.each:
            return next_instant_of_each(second, zone, self.next_match)
        match: datetime | None = local_time(second, zone)
        while match is not None and (match := self.next_match(match)) is not None:
            found = first_instant_of(match, zone)
            if found > second:
                return found
        return None

    def next_match(self, after: datetime) -> datetime | None:
        """Return the first local time of the pattern after `after`, both naive, whatever the clocks do."""
        day = after.date()
        place = bisect_right(self.times, after.hour * 3600 + after.minute * 60 + after.second)
        if place == len(self.times):
            day, place = _following(day, self.rule.months), 0
        last_year = min(after.year + _LONGEST_SEARCH_YEARS, date.max.year - 1)
        while day.year <= last_year:
            if self.rule.includes(day):
                return datetime(day.year, day.month, day.day) + timedelta(seconds=self.times[place])  # noqa: DTZ001
            day, place = _following(day, self.rule.months), 0
        return None


def _following(day: date, months: frozenset[int]) -> date:
    """Return the next day, or the first of the next month if no other day of this one can be meant."""
    if day.month in months:
        return day + timedelta(days=1)
    return day.replace(day=1) + timedelta(days=_length(day))


def _length(day: date) -> int:
    """Return how many days its month has."""
    in_next = day.replace(day=28) + timedelta(days=4)
    return 32 - in_next.day
