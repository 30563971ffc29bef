"""What a limit must answer: the interface of everything that keeps an item from starting although a slot is free."""

from collections.abc import Hashable
from typing import Protocol

from perdure.kernel.time import Timestamp
from perdure.scheduling.item import Item

__all__ = ["Limit"]


class Limit(Protocol):
    """One limit as it concerns one group of items, which all ask it for the same.

    `key` names what it shares with the limits of other groups; the items that one of them lets go may make room for
    those of another. Its `Admission` asks `refuses` of all limits of a group and then tells `take` to all or to none;
    `give` follows each `take` when the item has ended.
    """

    @property
    def key(self) -> Hashable:
        """What the limit limits: groups with the same key wait for each other."""
        ...

    def refuses(self, item: Item, now: Timestamp, /) -> bool:
        """Whether an item may not start now. A limit may note that it waits."""
        ...

    def opens_at(self, now: Timestamp, /) -> Timestamp | None:
        """Return when an item that was refused may start by the passing of time; None: when another one has ended."""
        ...

    def take(self, item: Item, now: Timestamp, /) -> bool:
        """Learn that an item starts. Return whether those that wait at this key may have become able to start."""
        ...

    def give(self, item: Item, now: Timestamp, /) -> bool:
        """Learn that an item has ended. Return as `take` does."""
        ...

    def stand_aside(self) -> bool:
        """Learn that the group does not wait here (any more). Return as `take` does."""
        ...

    def sentence(self, now: Timestamp, /) -> str:
        """Say in words why an item does not start, with the numbers."""
        ...
