"""Samples: values of every record that is written, made from its annotations, so that a new one needs no entry here."""

import types
import typing
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Any, Final

import msgspec

from perdure.kernel.payload import Payload
from perdure.kernel.retry import Retry
from perdure.timekeeping.specs import Calendar, Cron, Every

__all__ = ["kinds_of", "samples"]


def kinds_of(union: Any) -> tuple[type[msgspec.Struct], ...]:  # noqa: ANN401 - a union of records
    """Return the records of a union."""
    return typing.get_args(union) or (union,)


def samples(kind: type[msgspec.Struct]) -> list[msgspec.Struct]:
    """Return a record of this kind with every field, and one with those only that have no default."""
    hints = typing.get_type_hints(kind)
    fields = msgspec.structs.fields(kind)
    every = {field.name: _value(hints[field.name], depth=0) for field in fields}
    needed = {field.name: every[field.name] for field in fields if field.required}
    return [kind(**every), kind(**needed)]


def _value(hint: Any, *, depth: int) -> Any:  # noqa: ANN401 - whatever the annotation says
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if isinstance(hint, typing.NewType):
        return _value(hint.__supertype__, depth=depth)
    if origin in {typing.Union, types.UnionType}:
        return None if depth > _DEEPEST and type(None) in arguments else _value(arguments[0], depth=depth + 1)
    if origin is typing.Literal:
        return arguments[0]
    if origin is tuple:
        return (_value(arguments[0], depth=depth + 1),) if arguments[-1] is ... else _each(arguments, depth=depth)
    if origin in {frozenset, list, set}:
        return origin([_value(arguments[0], depth=depth + 1)])
    if origin is dict:
        return {_value(arguments[0], depth=depth + 1): _value(arguments[1], depth=depth + 1)}
    return _instance(hint, depth=depth)


def _each(hints: tuple[Any, ...], *, depth: int) -> tuple[Any, ...]:
    return tuple(_value(hint, depth=depth + 1) for hint in hints)


def _instance(kind: Any, *, depth: int) -> Any:  # noqa: ANN401 - as above
    if issubclass(kind, Enum):
        return next(iter(kind))
    if issubclass(kind, msgspec.Struct):
        if kind in _CHECKED:
            return _CHECKED[kind]()
        hints = typing.get_type_hints(kind)
        return kind(**{name: _value(hints[name], depth=depth + 1) for name in kind.__struct_fields__})
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hint, depth=depth + 1) for name, hint in hints.items()})


_PLAIN: Final[dict[Any, Any]] = {
    Payload: Payload(b'{"order":["a\\u0000\xc3\xa9",1.5,null]}'),
    str: "a text\n\u202e \U0001f600",
    int: 7,
    float: 0.25,
    bool: True,
    bytes: b"\x00\xff",
    type(None): None,
    Any: {"any": [1]},
    datetime: datetime(2026, 11, 26, tzinfo=UTC),
    timedelta: timedelta(seconds=7),
}
_CHECKED: Final[dict[type[msgspec.Struct], Callable[[], msgspec.Struct]]] = {
    Calendar: lambda: Calendar(times=[time(9, 30)], weekdays=["mon"], exclusions=[date(2026, 12, 25)]),
    Cron: lambda: Cron("*/5 3 1,15 * mon-fri", tz="Europe/Berlin"),
    Every: lambda: Every(timedelta(minutes=15), offset=timedelta(seconds=7)),
    Retry: lambda: Retry(attempts=3),
}
"""Records that refuse what they do not mean, and how to make one of them."""
_DEEPEST: Final = 2
