"""Where payloads stand in records (events, messages), found once per class from its annotations.

So a new event needs no entry here: a field declared as `Payload` is one, alone, in a mapping, or within other records.
Texts of failures, which may say what a payload says, are given to a function of their own.
"""

import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from perdure.kernel.failure import Failure
from perdure.kernel.payload import Payload

__all__ = ["transform"]

Record = TypeVar("Record", bound=msgspec.Struct)

OnPayload = Callable[[Payload], Payload]
OnText = Callable[[str], str]

# Any: a field's value, whose type its annotation says.
Walk = Callable[[Any, OnPayload, OnText], Any]
"""Returns a field's value with its payloads and texts replaced; the same object where nothing was."""


def transform(record: Record, on_payload: OnPayload, on_text: OnText) -> Record:
    """Return a record with every payload, and every text of a failure, replaced by what the functions return.

    Returns the record itself when they return what they were given. The order of the calls is always the same.
    """
    changes: dict[str, object] = {}
    for name, walk in _walks(type(record)):
        value = getattr(record, name)
        if value is not None:
            new = walk(value, on_payload, on_text)
            if new is not value:
                changes[name] = new
    return msgspec.structs.replace(record, **changes) if changes else record


@cache
def _walks(kind: type[msgspec.Struct]) -> tuple[tuple[str, Walk], ...]:
    if kind is Failure:
        return (("message", _text), ("traceback", _text), ("cause", transform))
    hints = typing.get_type_hints(kind)
    found = ((name, _walk(hints[name])) for name in kind.__struct_fields__)
    return tuple((name, walk) for name, walk in found if walk is not None)


def _walk(hint: object) -> Walk | None:
    if hint is Payload:
        return _payload
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return transform if _walks(hint) else None
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNIONS:
        walks = [walk for walk in map(_walk, arguments) if walk is not None]
        return walks[0] if walks else None
    if origin is dict and _walk(arguments[1]) is not None:
        return _mapping(_walk(arguments[1]))
    if origin is tuple and _walk(arguments[0]) is not None:
        return _sequence(_walk(arguments[0]))
    return None


_UNIONS: Final = frozenset({typing.Union, types.UnionType})


def _payload(value: Payload, on_payload: OnPayload, _on_text: OnText) -> Payload:
    return on_payload(value)


def _text(value: str, _on_payload: OnPayload, on_text: OnText) -> str:
    return on_text(value)


def _mapping(walk: Walk | None) -> Walk:
    assert walk is not None

    def over_values(given: Mapping[str, Any], on_payload: OnPayload, on_text: OnText) -> Mapping[str, Any]:
        replaced = {key: walk(value, on_payload, on_text) for key, value in given.items()}
        return replaced if any(replaced[key] is not value for key, value in given.items()) else given

    return over_values


def _sequence(walk: Walk | None) -> Walk:
    assert walk is not None

    def over_items(given: tuple[Any, ...], on_payload: OnPayload, on_text: OnText) -> tuple[Any, ...]:
        replaced = tuple(walk(value, on_payload, on_text) for value in given)
        return replaced if any(new is not old for new, old in zip(replaced, given, strict=True)) else given

    return over_items
