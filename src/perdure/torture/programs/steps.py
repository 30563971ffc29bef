"""Programs: what to do, in words that mean the same on every store."""

from collections.abc import Sequence
from itertools import islice, repeat
from random import Random
from typing import Final, TypeVar

import msgspec

__all__ = ["Draws", "Step", "program"]

T = TypeVar("T")


class Step(msgspec.Struct, frozen=True):
    """One step: `verb` names a method of `World`, `draws` decide everything about it."""

    verb: str
    draws: tuple[int, ...]


class Draws:
    """Choices, in order, from a step's numbers; 0 (the simplest choice) when they are used up."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = iter(numbers)

    def below(self, bound: int) -> int:
        """Return a number from 0 to below `bound`."""
        return next(self._numbers, 0) % bound

    def of(self, options: Sequence[T]) -> T:
        """Return one of `options`."""
        return options[self.below(len(options))]

    def is_rare(self) -> bool:
        """Whether to do what is rarely done."""
        return self.below(_RARITY) == _RARITY - 1


def program(seed: int, *, length: int = 40) -> list[Step]:
    """Return the program of a seed."""
    random = Random(seed)
    draws = filter(_BOUND.__gt__, map(random.getrandbits, repeat(_BOUND.bit_length())))  # as `randrange` would
    return [Step(random.choice(_VERBS), tuple(islice(draws, _DRAWS))) for _ in range(length)]


_VERBS: Final = (
    *["commit"] * 22,
    *["claim"] * 6,
    *["take_tasks"] * 4,
    *["tell_tasks"] * 4,
    *["pass_time"] * 3,
    "renew",
    "renew",
    "free",
    "kill",
    "close",
    "query",
    "wake",
    *["agenda"] * 3,
    "remove",
    "remove",
    "bring_back",
    "bring_back",
)
_BOUND: Final = 2**16
_DRAWS: Final = 150
_RARITY: Final = 6
