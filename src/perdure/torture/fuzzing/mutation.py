"""Changes by chance: of bytes, and of the values in JSON."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

__all__ = ["mutated"]


def mutated(corpus: Sequence[bytes], chance: random.Random) -> bytes:
    """Return an entry of the corpus with some changes; now and then as it is."""
    data = chance.choice(corpus)
    if chance.random() < _JSON_SHARE:
        data = _with_another_value(data, chance)
    for _ in range(chance.choice(_CHANGES)):
        data = chance.choice(_MUTATIONS)(data, corpus, chance)
    return data[:_LONGEST_BYTES]


def _flip(data: bytes, _corpus: Sequence[bytes], chance: random.Random) -> bytes:
    place, changed = _place(data, chance), bytearray(data or b"\0")
    changed[min(place, len(changed) - 1)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, _corpus: Sequence[bytes], chance: random.Random) -> bytes:
    place, word = _place(data, chance), chance.choice(_WORDS)
    return data[:place] + word + data[place + len(word) :]


def _insert(data: bytes, _corpus: Sequence[bytes], chance: random.Random) -> bytes:
    place = _place(data, chance)
    return data[:place] + chance.choice(_WORDS) + data[place:]


def _remove(data: bytes, _corpus: Sequence[bytes], chance: random.Random) -> bytes:
    place = _place(data, chance)
    return data[:place] + data[place + chance.randrange(1, 20) :]


def _cut_off(data: bytes, _corpus: Sequence[bytes], chance: random.Random) -> bytes:
    return data[: _place(data, chance)]


def _repeat(data: bytes, _corpus: Sequence[bytes], chance: random.Random) -> bytes:
    place = _place(data, chance)
    return data[:place] + data[place : place + 40] * chance.choice(_REPETITIONS) + data[place:]


def _splice(data: bytes, corpus: Sequence[bytes], chance: random.Random) -> bytes:
    other = chance.choice(corpus)
    return data[: _place(data, chance)] + other[_place(other, chance) :]


def _nest(data: bytes, _corpus: Sequence[bytes], chance: random.Random) -> bytes:
    place, (opening, closing) = _place(data, chance), chance.choice(_BRACKETS)
    depth = chance.choice(_DEPTHS)
    return data[:place] + opening * depth + data[place:] + closing * (depth if chance.random() < 1 / 2 else 0)


def _place(data: bytes, chance: random.Random) -> int:
    return chance.randrange(len(data) + 1)


def _with_another_value(data: bytes, chance: random.Random) -> bytes:
    """Return JSON with another value in one place; what is no JSON as it is."""
    try:
        value = msgspec.json.decode(data)
        return msgspec.json.encode(_replaced(value, chance))
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError):
        return data


def _replaced(value: Any, chance: random.Random) -> object:  # noqa: ANN401 - any value of JSON
    if isinstance(value, dict) and value and chance.random() < _DEEPER_SHARE:
        key = chance.choice(list(value))
        return {**value, key: _replaced(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < _DEEPER_SHARE:
        place = chance.randrange(len(value))
        return [*value[:place], _replaced(value[place], chance), *value[place + 1 :]]
    return chance.choice(_VALUES)


_MUTATIONS: Final[tuple[Callable[[bytes, Sequence[bytes], random.Random], bytes], ...]] = (
    _flip, _overwrite, _insert, _remove, _cut_off, _repeat, _splice, _nest,
)  # fmt: skip
_CHANGES: Final = (0, 1, 1, 1, 2, 3, 8)
_JSON_SHARE: Final = 0.4
_DEEPER_SHARE: Final = 0.9
_REPETITIONS: Final = (1, 2, 40, 2_000)
_DEPTHS: Final = (1, 5, 63, 64, 65, 1_000, 100_000)
_BRACKETS: Final = (
    (b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b'{"cause":', b"}"), (b"\x91", b""), (b"-", b""), (b"not ", b""),
)  # fmt: skip
_LONGEST_BYTES: Final = 4 * 2**20
_WORDS: Final = (
    b"null", b"true", b"-1", b"0", b"1e400", b"-0.0", b"NaN", b"9" * 25, b"9" * 5_000, b"18446744073709551616",
    b"9223372036854775808", b"-9223372036854775809", b'"', b"\\", b'"\\ud800"', b"\\u0000", b"\0", b"\xff", b"\xc0\x80",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\n", b"\r", b"\x1b[2J", "\u202e".encode(), "\uff11".encode(), b"[", b"]",
    b"{", b"}", b",", b":", b".", b"/", b"../", b"%00", b"%2e%2e%2f", b"#", b"*", b"*/", b"-", b"_", b" ", b"@", b"=",
    b"e", b"L", b"T", b"Z", b"$", b'{"$perdure":', b'"type":', b'"\\u202e"', b"A" * 300, b"\xff\xff\xff\xff", b"\0" * 4,
    b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59.999999-23:59", b"lambda: 0", b"def f():\n", b"'''", b"\\N{",
)  # fmt: skip
_VALUES: Final[tuple[object, ...]] = (
    None, True, 0, -1, 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 0.5, 1e308, -0.0, "", "\0",
    "\x1b[2J",
    "\u202e", "x" * 5_000, "../../etc/passwd", "1970-01-01T00:00:00Z", "0", [], {}, [[]], {"": None}, [None] * 500,
    {"$perdure": 1}, {"type": "x", "message": "y"},
)  # fmt: skip
