"""Values on their way to JSON: made regular, and searched for the part that cannot be recorded.

msgspec writes almost every value of Python exactly and fast. A few it would write differently from run to run, or
lose something of: these are caught here.

- A set has no order: it becomes a list in a fixed order (numbers and texts by value, others by their JSON text), so
  that replay, in another process with another hash seed, gives the same bytes.
- NaN and the infinities would become ``null``: an error.
- An offset from UTC with seconds (local mean times before 1900) would be cut to minutes: an error.
- Keys of a mapping that have the same JSON text (``1`` and ``"1"``) would become one: an error.

The order of a dict is kept: it is part of the value in Python.
"""

# Values of any class are taken apart here, so what a container holds is unknown to a checker.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

import copy
import dataclasses
import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import NoneType
from typing import Any, Final
from uuid import UUID

import msgspec

from perdure.authoring.pydantic_models import (
    ASTERISKS,
    dump_model,
    is_model,
    is_secret,
    load_model,
    model_fields,
    set_field,
)

__all__ = ["NO_JSON_FORM", "IrregularValueError", "encode_json", "find_fault", "make_regular", "read_foreign"]

NO_JSON_FORM: Final = "has no JSON form"
"""How the TypeError ends that says that a value's class cannot be recorded."""

_PLAIN: Final = frozenset({str, int, bool, NoneType, bytes, Decimal, UUID, date, timedelta})
"""Classes whose values are always written exactly. A subclass is looked at more closely."""

_PLAIN_FORMS: Final[Mapping[type, Callable[[Any], object]]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: bytes,
    Decimal: Decimal,
    datetime: lambda moment: datetime.combine(date(moment.year, moment.month, moment.day), moment.timetz()),
    date: lambda day: date(day.year, day.month, day.day),
}
"""How a value of a subclass (a text with methods, a float of NumPy, a Timestamp of pandas) becomes a plain value."""

_FEW: Final = 8
"""Up to so many items, looking at each is faster than looking at their classes first."""

_TEXT: Final = frozenset({str})
_EXACT_IF_FINITE: Final = _PLAIN | {float}


class IrregularValueError(ValueError):
    """A value that JSON would change. The text says which and what to do."""


def make_regular(value: object) -> object:
    """Return `value` itself, or a copy in which every set is a list in a fixed order.

    Raises IrregularValueError for a value that JSON would change, RecursionError for one nested too deep.
    """
    if type(value) in _PLAIN:
        return value
    match value:
        case dict():
            return _regular_mapping(value)
        case list() | tuple():
            return _regular_items(value)
        case set() | frozenset():
            return _ordered(value)
        case Enum():
            return value
        case float():
            return _finite(value)
        case datetime() | time():
            return _whole_minutes(value)
        case _:
            return _regular_record(value)


def encode_json(value: object) -> bytes:
    """Write a regular value as JSON. Raises what msgspec or the value's own serializer raises."""
    return _ENCODER.encode(value)


def read_foreign(cls: type, value: object) -> object:
    """Make an instance of `cls`, one of the types msgspec does not know, from the builtins of its JSON."""
    if cls is object:
        return value
    if issubclass(cls, PurePath):
        if not isinstance(value, str):
            raise ValueError(f"expected str, got {type(value).__name__}")  # noqa: TRY004 - msgspec adds the path to a ValueError
        return cls(value)
    return load_model(cls, _ENCODER.encode(value))


def find_fault(value: object, check: Callable[[object], object]) -> tuple[str, object, Exception] | None:
    """Find the innermost part of `value` that `check` refuses: its path (``.items[2]``), itself, and the error."""
    try:
        check(value)
    except Exception as error:  # noqa: BLE001 - whatever the value's own code raises is the finding
        for step, part in _parts(value):
            fault = find_fault(part, check)
            if fault is not None:
                return step + fault[0], fault[1], fault[2]
        return "", value, error
    return None


def _write_foreign(value: Any) -> object:  # noqa: ANN401 - a value of any class that msgspec does not know
    if isinstance(value, PurePath):
        return str(value)
    if is_secret(value):
        raise IrregularValueError("a secret is not recorded; pass its name, and let the activity look it up")
    if is_model(value):
        encoded = dump_model(make_regular(value))
        if ASTERISKS in encoded:
            _refuse_secrets(value)
        return msgspec.Raw(encoded)
    for plain, convert in _PLAIN_FORMS.items():
        if isinstance(value, plain) and not isinstance(value, bool):  # a bool comes here as a key only
            return convert(value)
    raise TypeError(f"{type(value).__name__} {NO_JSON_FORM}")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_write_foreign)


def _refuse_secrets(value: object) -> None:
    """Raise IrregularValueError for a secret that its serializer has written as asterisks, which nobody could read."""
    if is_secret(value):
        _write_foreign(value)
    for _, part in _parts(value):
        _refuse_secrets(part)


def _regular_mapping(mapping: dict[object, object]) -> object:
    if not _TEXT.issuperset(map(type, mapping)):
        _check_keys(mapping)
    if _are_exact(mapping.values()):
        return mapping
    changed = {key: make_regular(value) for key, value in mapping.items()}
    return mapping if _are_same(changed.values(), mapping.values()) else changed


def _check_keys(mapping: Mapping[object, object]) -> None:
    for key in mapping:
        make_regular(key)
    if len(set(map(type, mapping))) > 1 and len(msgspec.json.decode(_ENCODER.encode(dict.fromkeys(mapping)))) < len(
        mapping
    ):
        raise IrregularValueError("two keys of a mapping have the same JSON text; use keys of one type")


def _regular_items(items: Sequence[object]) -> object:
    if len(items) > _FEW and _are_exact(items):
        return items
    changed = [item if type(item) in _PLAIN else make_regular(item) for item in items]
    return items if _are_same(changed, items) else changed


def _ordered(items: AbstractSet[object]) -> object:
    if len(items) < 2:  # noqa: PLR2004 - one element is always in order
        return _same_or_list(items)
    kinds = set(map(type, items))
    if kinds in ({int}, {str}):
        return sorted(items)  # type: ignore[type-var] # just checked: all int, or all str
    return sorted((make_regular(item) for item in items), key=_ENCODER.encode)


def _same_or_list(items: AbstractSet[object]) -> object:
    changed = [make_regular(item) for item in items]
    return items if _are_same(changed, items) else changed


def _are_exact(values: Collection[object]) -> bool:
    if _PLAIN.issuperset(map(type, values)):
        return True
    return _EXACT_IF_FINITE.issuperset(map(type, values)) and all(
        math.isfinite(value) for value in values if isinstance(value, float)
    )


def _are_same(changed: Iterable[object], original: Iterable[object]) -> bool:
    return all(map(operator.is_, changed, original))


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise IrregularValueError(f"{number} {NO_JSON_FORM}; use None, Decimal or a text")
    return number


def _whole_minutes(moment: datetime | time) -> object:
    offset = moment.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):
        raise IrregularValueError(f"a UTC offset of {offset} would lose its seconds; convert to UTC first")
    return moment


def _regular_record(record: object) -> object:
    changed = {
        name: regular for name, value in _fields(record).items() if (regular := make_regular(value)) is not value
    }
    if not changed:
        return record
    # A private copy, which only the encoder sees, may hold lists where the class declares sets.
    twin = copy.copy(record)
    for name, value in changed.items():
        if isinstance(twin, msgspec.Struct):
            msgspec.structs.force_setattr(twin, name, value)
        elif is_model(twin):
            set_field(twin, name, value)
        else:
            object.__setattr__(twin, name, value)
    return twin


def _fields(record: object) -> dict[str, object]:
    """Give the fields of a Struct, dataclass, attrs class or pydantic model; nothing for any other value."""
    if isinstance(record, msgspec.Struct):
        names: Iterable[str] = record.__struct_fields__
    elif dataclasses.is_dataclass(record):
        names = (field.name for field in dataclasses.fields(record))
    elif is_model(record):
        return model_fields(record)
    else:
        names = (attribute.name for attribute in getattr(type(record), "__attrs_attrs__", ()))
    return {name: getattr(record, name) for name in names}


def _parts(value: object) -> list[tuple[str, object]]:
    match value:
        case dict():
            return [(f"[{key!r}]", part) for key, part in value.items()]
        case list() | tuple():
            return [(f"[{index}]", part) for index, part in enumerate(value)]
        case set() | frozenset():
            return [("[...]", part) for part in value]
        case _:
            return [(f".{name}", part) for name, part in _fields(value).items()]
