"""Arguments: what callers pass is checked where they pass it.

A text that is no text, or cannot be encoded, would otherwise be found when the history is written, or when it is read
again and its run can be recovered no more.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, TypeVar, cast

from perdure.errors import InvalidArgumentError
from perdure.kernel.time import Timestamp, duration_microseconds, timestamp_from_datetime

__all__ = [
    "require_choice",
    "require_count",
    "require_duration",
    "require_integer",
    "require_moment",
    "require_text",
    "require_texts",
]

_LARGEST_COUNT: Final = 2**31 - 1
"""More than anybody has of anything, and what every database can keep."""

E = TypeVar("E", bound=Enum)


def require_text(value: object, subject: str) -> str:
    """Return a text that can be recorded. Raises InvalidArgumentError that names `subject`.

    >>> require_text("late", "the reason")
    'late'
    """
    if not isinstance(value, str):
        message = f"{subject} is {value!r:.60} ({type(value).__name__}); it must be a text"
        raise InvalidArgumentError(message)
    try:
        value.encode()
    except UnicodeEncodeError:
        message = f"{subject} is {value!r:.60}; text with half of a surrogate pair cannot be recorded"
        raise InvalidArgumentError(message) from None
    return value


def require_count(value: int | None, subject: str) -> int | None:
    """Return a number from 1, or None. Raises InvalidArgumentError that names `subject`.

    >>> require_count(2, "max_concurrent")
    2
    """
    if value is not None and (type(value) is not int or value < 1):
        message = f"{subject} is {value!r:.60}; it must be an integer from 1, or None for no limit"
        raise InvalidArgumentError(message)
    return value


def require_integer(value: object, subject: str, *, least: int = 1, most: int = _LARGEST_COUNT) -> int:
    """Return an integer of a range. Raises InvalidArgumentError that names `subject`.

    >>> require_integer(2, "limit")
    2
    """
    if type(value) is not int or not least <= value <= most:  # a bool is an int, too
        message = f"{subject} is {value!r:.60}; it must be an integer from {least} to {most}"
        raise InvalidArgumentError(message)
    return value


def require_texts(values: object, subject: str, *, may_be_none: bool = False) -> dict[str, Any]:
    """Return a dict of texts by texts (or None, where that is allowed). Raises InvalidArgumentError."""
    if not isinstance(values, Mapping):
        message = f"{subject} is {values!r:.60}; it must be a dict of texts"
        raise InvalidArgumentError(message)
    given = dict(cast("Mapping[object, object]", values))
    return {
        require_text(name, f"a name in {subject}"): None
        if value is None and may_be_none
        else require_text(value, f"{subject}[{name!r}]")
        for name, value in given.items()
    }


def require_choice(value: object, choices: type[E], subject: str) -> E:
    """Return a member of an enumeration, given as that or by its value. Raises InvalidArgumentError.

    >>> from perdure.kernel.priority import Priority
    >>> require_choice(1, Priority, "priority") is Priority(1)
    True
    """
    try:
        return choices(value)
    except ValueError:
        allowed = ", ".join(str(choice.value) for choice in choices)
        message = f"{subject} is {value!r:.60}; allowed are {allowed}"
        raise InvalidArgumentError(message) from None


def require_duration(value: object, subject: str, *, may_be_zero: bool = False) -> int:
    """Return the microseconds of a timedelta above zero (or of zero). Raises InvalidArgumentError."""
    if not isinstance(value, timedelta) or value < timedelta(0) or not (value or may_be_zero):
        lowest = "from" if may_be_zero else "above"
        message = f"{subject} is {value!r:.60}; it must be a timedelta {lowest} zero, e.g. timedelta(seconds=5)"
        raise InvalidArgumentError(message)
    return duration_microseconds(value)


def require_moment(value: object, subject: str) -> Timestamp:
    """Return the instant of an aware datetime. Raises InvalidArgumentError."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        message = f"{subject} is {value!r:.60}; it must be a datetime with a time zone, e.g. datetime.now(UTC)"
        raise InvalidArgumentError(message)
    return timestamp_from_datetime(value)
