"""Values of users: payloads read by declared types, and the arguments of functions."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, Final
from uuid import UUID

from perdure.authoring.payloads import decode_value, encode_value
from perdure.authoring.signature import Signature
from perdure.errors import PayloadError
from perdure.kernel.payload import Payload
from perdure.torture.fuzzing.target import Target, demand_equal

__all__ = ["VALUED"]


class _Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class _Item:
    name: str
    price: Decimal
    colours: frozenset[_Colour] = frozenset()
    parts: "tuple[_Item, ...]" = ()


@dataclass(frozen=True)
class _Order:
    id: UUID
    at: datetime
    took: timedelta
    items: list[_Item]
    notes: dict[int, str | None] = field(default_factory=dict)
    path: PurePosixPath | None = None
    blob: bytes = b""
    more: Any = None


_SAMPLE: Final = _Order(
    UUID(int=7),
    datetime.fromisoformat("2026-11-26T10:00:00.5+05:30"),
    timedelta(days=1, microseconds=3),
    [_Item("ö\n\u202e", Decimal("1E+5"), frozenset(_Colour), (_Item("part", Decimal("-0.10")),))],
    {1: None, -(2**70): "x"},
    PurePosixPath("a/b"),
    b"\0\xff",
    [{"a": [1, 2.5, None, True]}],
)
_TYPES: Final = (Any, _Order, list[_Item], dict[str, Any], float, str, datetime, tuple[int, str])


def _payloads() -> list[bytes]:
    values: tuple[object, ...] = (
        {"a": [1, "b", None]}, _SAMPLE, _SAMPLE.items, {"k": _SAMPLE.more}, 1e300, "\U0001f600\0", _SAMPLE.at, (1, "x"),
    )  # fmt: skip
    return [
        bytes((number,)) + bytes(encode_value(value, declared))
        for number, (value, declared) in enumerate(zip(values, _TYPES, strict=True))
    ]


def _read_payload(data: bytes) -> None:
    declared = _TYPES[(data or b"\0")[0] % len(_TYPES)]
    found = decode_value(Payload(data[1:]), declared)
    encoded = encode_value(found, declared)
    demand_equal(bytes(encode_value(decode_value(encoded, declared), declared)), bytes(encoded))


def _place_order(order: _Order, *more: int, count: int = 1, **named: str) -> None: ...


_FUNCTION: Final = Signature.of(_place_order)


def _arguments() -> list[bytes]:
    calls = [((_SAMPLE,), {}), ((_SAMPLE, 1, 2), {"count": 3, "x": "y"})]
    return [bytes(_FUNCTION.encode_arguments(*call)) for call in calls]


def _read_arguments(data: bytes) -> None:
    args, kwargs = _FUNCTION.decode_arguments(Payload(data))
    encoded = _FUNCTION.encode_arguments(args, kwargs)
    demand_equal(_FUNCTION.decode_arguments(encoded), (args, kwargs))


VALUED: Final = (
    Target(name="payload", corpus=_payloads, read=_read_payload, expected=(PayloadError,)),
    Target(name="arguments", corpus=_arguments, read=_read_arguments, expected=(PayloadError,)),
)
