"""Cron expressions, as crontab(5) of Vixie's cron has them, with seconds, `L` and `#`.

Five fields: minute, hour, day of the month, month, weekday; with six the first is the second. A field is a list of
values, ranges and steps (``*``, ``5``, ``1-5``, ``*/15``, ``1-31/2``, ``10/5``); months and weekdays have names
(``jan``, ``mon``; Sunday is 0 and 7). Day of the month: ``L`` is the last, ``L-2`` two days before it. Weekday:
``fri#2`` is the second Friday, ``friL`` the last. Days as in cron: if both day fields are restricted, either is enough;
a field that begins with ``*`` restricts nothing for this rule.

Own code instead of a library: calendars share its patterns and its rule for clock changes, and a library would bring
a second one.
"""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, TypeVar

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.timekeeping.patterns import DayRule, LocalPattern

__all__ = ["parse_cron"]

T = TypeVar("T")

_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class _Field(msgspec.Struct, frozen=True):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.low
        if not text.isascii() or not text.isdigit() or not self.low <= int(text) <= self.high:
            allowed = f"{self.low} to {self.high}" + (f" or {self.names[0]} to {self.names[-1]}" if self.names else "")
            raise _MisfitError(f"{text!r} is no {self.name}: allowed is {allowed}")
        return int(text)


_SECOND: Final = _Field("second", 0, 59)
_MINUTE: Final = _Field("minute", 0, 59)
_HOUR: Final = _Field("hour", 0, 23)
_DAY: Final = _Field("day of the month", 1, 31)
_MONTH: Final = _Field(
    "month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
)
_WEEKDAY: Final = _Field("weekday", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
_FIELDS_WITH_SECONDS: Final = 6
_MOST_WEEKS: Final = 5


class _MisfitError(Exception):
    """What cannot be read, and where in the expression its field stands."""

    place: range = range(0)


@lru_cache(maxsize=256)
def parse_cron(expression: str, zone: str) -> LocalPattern:
    """Return the pattern of an expression in a time zone. Raises InvalidArgumentError that names the field.

    Clock changes: with an hour field that begins with ``*`` every occurrence of a time counts; with hours that are
    named each time happens once (`perdure.timekeeping.zones`).

    >>> parse_cron("*/30 9 * * mon-fri", "UTC").times
    (32400, 34200)
    """
    if len(expression) > _LONGEST_READ:
        raise InvalidArgumentError(
            f"a cron expression of {len(expression):,} characters; the limit is {_LONGEST_READ:,}"
        )
    try:
        return _pattern(_MACROS.get(expression.strip().lower(), expression), zone)
    except _MisfitError as misfit:
        message = f"the cron expression {expression!r:.80} cannot be read: {misfit}"
        if misfit.place and expression.isprintable() and len(expression) <= _LONGEST_SHOWN:
            message += f"\n  {expression}\n  {' ' * misfit.place.start}{'^' * len(misfit.place)}"
        raise InvalidArgumentError(message) from None


_LONGEST_READ: Final = 1_000
_LONGEST_SHOWN: Final = 80


def _pattern(expression: str, zone: str) -> LocalPattern:
    fields = [(found[0], range(*found.span())) for found in re.finditer(r"\S+", expression.lower())]
    if len(fields) == _FIELDS_WITH_SECONDS - 1:
        fields = [("0", range(0)), *fields]
    if len(fields) != _FIELDS_WITH_SECONDS:
        raise _MisfitError(
            f"it has {len(fields)} fields; write minute hour day month weekday, or these after the second, or one of "
            f"{', '.join(_MACROS)}"
        )
    seconds, minutes, hours, days, months, weekdays = fields
    plain, nth = _read(_weekdays, weekdays)
    rule = DayRule(
        months=_read(partial(_values, _MONTH), months),
        days=_read(_days, days),
        weekdays=plain,
        nth_weekdays=nth,
        either=not days[0].startswith(("*", "?")) and not weekdays[0].startswith(("*", "?")),
    )
    times = sorted(
        hour * 3600 + minute * 60 + second
        for hour in _read(partial(_values, _HOUR), hours)
        for minute in _read(partial(_values, _MINUTE), minutes)
        for second in _read(partial(_values, _SECOND), seconds)
    )
    return LocalPattern(rule=rule, times=tuple(times), zone=zone, each=hours[0].startswith("*"))


def _read(reader: Callable[[str], T], field: tuple[str, range]) -> T:
    """Read a field. Raises _MisfitError that knows its place."""
    text, place = field
    try:
        return reader(text)
    except _MisfitError as misfit:
        misfit.place = place
        raise


def _values(field: _Field, text: str) -> frozenset[int]:
    return frozenset().union(*(_range(field, part) for part in text.split(",")))


def _range(field: _Field, part: str) -> range:
    bounds, slash, step_text = part.partition("/")
    if slash and (not step_text.isascii() or not step_text.isdigit() or int(step_text) == 0):
        raise _MisfitError(f"the step {step_text!r} of the {field.name} must be a number from 1")
    step = int(step_text) if slash else 1
    if bounds in ("*", "?"):
        return range(field.low, min(field.high, _LAST.get(field.name, field.high)) + 1, step)
    first, dash, last = bounds.partition("-")
    low = field.number(first)
    high = field.number(last) if dash else field.high if slash else low
    if dash and field is _WEEKDAY and high == 0 < low:
        high = 7
    if low > high:
        raise _MisfitError(f"the range {bounds!r} of the {field.name} goes backwards")
    return range(low, high + 1, step)


_LAST: Final = {"weekday": 6}
"""The last value that ``*`` means, where the field allows one more name for its first."""


def _days(text: str) -> frozenset[int]:
    if text in ("*", "?"):
        return frozenset()
    found: set[int] = set()
    for part in text.split(","):
        matched = re.fullmatch(r"l(?:-(\d{1,2}))?", part)
        if matched is None:
            found.update(_range(_DAY, part))
            continue
        back = int(matched[1] or 0)
        if back >= _DAY.high:
            raise _MisfitError(f"{part!r} is before the first day of every month")
        found.add(-1 - back)
    return frozenset(found)


def _weekdays(text: str) -> tuple[frozenset[int], frozenset[tuple[int, int]]]:
    if text in ("*", "?"):
        return frozenset(), frozenset()
    plain: set[int] = set()
    nth: set[tuple[int, int]] = set()
    for part in text.split(","):
        matched = re.fullmatch(r"(\w{1,3}?)(?:#(\d)|(l))", part)
        if matched is None:
            plain.update(_monday_first(number) for number in _range(_WEEKDAY, part))
            continue
        place = -1 if matched[3] else int(matched[2])
        if place == 0 or place > _MOST_WEEKS:
            raise _MisfitError(f"{part!r} means no weekday of a month: allowed is #1 to #5")
        nth.add((_monday_first(_WEEKDAY.number(matched[1])), place))
    return frozenset(plain), frozenset(nth)


def _monday_first(number: int) -> int:
    return (number + 6) % 7
