"""Losses of power in a life: at each moment, in each way, what is left must be what was there since the last answer."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from perdure.torture.disks.judgement import UnreadableError, contents_of, open_with_store
from perdure.torture.disks.operations import Grow, LostSync, Operation, Sync, SyncFolder
from perdure.torture.disks.platter import Image, Platter

__all__ = ["LossOfPower", "lose_power"]


class LossOfPower:
    """One loss: when, how, and what is wrong with what it left; None if nothing is."""

    def __init__(self, moment: str, left: str, wrong: str | None) -> None:
        self.moment, self.left, self.wrong = moment, left, wrong

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.moment}, {self.left}: {self.wrong}"


def lose_power(
    operations: list[Operation],
    answered: list[int],
    folder: Path,
    chance: random.Random,
    *,
    share: float,
    draws: int,
    begins: int = 0,
    is_of_a_store: bool = True,
) -> Iterator[LossOfPower]:
    """Lose power before the first operations from number `begins` on, and before a `share` of the others.

    Each time in all the ways that are extremes, and in `draws` drawn ones. What is left of a store is opened with the
    store, too, now and then.
    """
    platter, answers = Platter(), set(answered)
    contents, first_allowed = [contents_of({}, folder)], 0
    for number, operation in enumerate(operations):
        if number in answers:
            first_allowed = len(contents) - 1
        if begins <= number and (number < begins + _SURELY or chance.random() < share):
            moment = f"before operation {number} ({type(operation).__name__} {operation.file})"
            for left, image in platter.left_by_a_loss_of_power(chance, draws=draws):
                opens = is_of_a_store and chance.random() < _STORE_SHARE
                yield LossOfPower(moment, left, _wrong(image, folder, contents, first_allowed, opens=opens))
        platter.take(operation)
        if not isinstance(operation, Sync | SyncFolder | LostSync | Grow):
            try:
                found = contents_of(platter.kept_by_the_kernel(), folder)
            except UnreadableError as error:
                yield LossOfPower(f"after operation {number}", "all is there", f"unreadable: {error}")
                return
            if found != contents[-1]:
                contents.append(found)


def _wrong(image: Image, folder: Path, contents: list[bytes], first_allowed: int, *, opens: bool) -> str | None:
    try:
        found = contents_of(image, folder)
        if opens:
            open_with_store(image, folder)
    except UnreadableError as error:
        return f"unreadable: {error}"
    if found in contents[first_allowed:]:
        return None
    if found in contents:
        return "lost: what was answered is not there"
    return "torn: it holds what was there at no moment"


_STORE_SHARE: Final = 0.01
_SURELY: Final = 6
