"""Damage of the file: bits that flip, sectors and pages that are zeros, garbage, another's or old; a file cut off."""

import random
from collections.abc import Callable
from typing import Final

__all__ = ["damaged_file"]


def damaged_file(data: bytes, earlier: bytes, chance: random.Random) -> tuple[bytes, str]:
    """Return a file with some damage, and what that is. `earlier` is the same file at an earlier time.

    What leaves all bytes as they were, such as zeros where there were zeros, is none, and is drawn again.
    """
    while True:
        name, damage = chance.choice(_DAMAGES)
        file = bytearray(data)
        where = damage(file, earlier, chance)
        if file != data:
            return bytes(file), f"{name} {where}"


def _flip(file: bytearray, _earlier: bytes, chance: random.Random) -> str:
    bits = sorted(chance.randrange(len(file) * 8) for _ in range(chance.choice((1, 1, 1, 2, 3))))
    for bit in bits:
        file[bit // 8] ^= 1 << bit % 8
    return ", ".join(f"{bit % 8} of byte {bit // 8}" for bit in bits)


def _flip_by_kind(file: bytearray, _earlier: bytes, chance: random.Random) -> str:
    """Flip a bit of a page of some kind: of a root that leads on, of which there are few, as often as of a leaf."""
    kinds: dict[int, list[int]] = {}
    for place in range(0, len(file), _PAGE):
        kinds.setdefault(file[place or _HEADER], []).append(place)
    kind = chance.choice(sorted(kinds))
    bit = chance.choice(kinds[kind]) * 8 + chance.randrange(_PAGE * 8)
    if bit // 8 < len(file):
        file[bit // 8] ^= 1 << bit % 8
    return f"of a page of kind {kind}: {bit % 8} of byte {bit // 8}"


def _replace(size: int, of: Callable[[bytes, bytes, int, random.Random], bytes]) -> "_Damage":
    def damage(file: bytearray, earlier: bytes, chance: random.Random) -> str:
        place = chance.randrange(len(file) // size) * size
        file[place : place + size] = of(bytes(file), earlier, place, chance)[:size].ljust(size, b"\0")
        return f"at byte {place}"

    return damage


def _cut(file: bytearray, _earlier: bytes, chance: random.Random) -> str:
    size = chance.choice((chance.randrange(len(file)), chance.randrange(1, len(file) // _PAGE) * _PAGE))
    del file[size:]
    return f"after byte {size}"


def _zeros(_file: bytes, _earlier: bytes, _place: int, _chance: random.Random) -> bytes:
    return b""


def _garbage(_file: bytes, _earlier: bytes, _place: int, chance: random.Random) -> bytes:
    return chance.randbytes(_PAGE)


def _stale(_file: bytes, earlier: bytes, place: int, _chance: random.Random) -> bytes:
    return earlier[place : place + _PAGE]


def _of_another(file: bytes, _earlier: bytes, _place: int, chance: random.Random) -> bytes:
    other = chance.randrange(len(file) // _PAGE) * _PAGE
    return file[other : other + _PAGE]


_Damage = Callable[[bytearray, bytes, random.Random], str]
_PAGE: Final = 4_096
_SECTOR: Final = 512
_HEADER: Final = 100
"""Where the first page of a file begins to be one as others."""
_DAMAGES: Final[tuple[tuple[str, _Damage], ...]] = (
    ("flipped: bits", _flip),
    ("flipped: a bit", _flip_by_kind),
    ("a sector of zeros", _replace(_SECTOR, _zeros)),
    ("a sector of garbage", _replace(_SECTOR, _garbage)),
    ("an old sector", _replace(_SECTOR, _stale)),
    ("a page of zeros", _replace(_PAGE, _zeros)),
    ("a page of garbage", _replace(_PAGE, _garbage)),
    ("an old page", _replace(_PAGE, _stale)),
    ("a copy of another page", _replace(_PAGE, _of_another)),
    ("cut off", _cut),
)
