"""Points: the moments at which a process may die, numbered in their order, and who dies where.

A *commit point* is the moment before a transaction is applied (nothing of it is in the store) and the moment after it
(all of it is, and the caller does not know). An *effect point* is the moment before the function of an activity is
called and the moment after it has returned (its effect has happened, and nothing of it is recorded).
"""

from collections.abc import Callable, Hashable
from typing import Final

import msgspec

__all__ = ["Point", "Points", "crash_at", "march", "undisturbed"]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A moment that was passed: `number` counts from 1, `key` is the same when it is passed again after a crash."""

    number: int
    name: str
    key: Hashable


Strikes = Callable[[Point], bool]
"""Whether the process dies at a point."""


class Points:
    """The points of one pass, as they are passed."""

    def __init__(self, strikes: Strikes, *, spares_at_most_once: bool = False) -> None:
        """Have the process die where `strikes` says so; with `spares_at_most_once` not while such an attempt runs."""
        self._strikes: Final = strikes
        self.spares_at_most_once: Final = spares_at_most_once
        self.passed: Final[list[Point]] = []
        self.struck: Final[list[Point]] = []

    def passes(self, name: str, key: Hashable) -> bool:
        """Pass a point; return False if the process dies there."""
        point = Point(number=len(self.passed) + 1, name=name, key=key)
        self.passed.append(point)
        if not self._strikes(point):
            return True
        self.struck.append(point)
        return False


def undisturbed(_point: Point) -> bool:
    """Strike nowhere."""
    return False


def crash_at(number: int) -> Strikes:
    """Strike at one point."""
    return lambda point: point.number == number


def march(most: int) -> Strikes:
    """Strike at every point once, at `most` so many: each is passed when it is reached again."""
    known: set[Hashable] = set()

    def strikes(point: Point) -> bool:
        is_new = point.key not in known and len(known) < most
        known.add(point.key)
        return is_new

    return strikes
