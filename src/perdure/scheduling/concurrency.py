"""Concurrency limits: at most so many of one kind run at once. O(1) per step; memory for the kinds that run."""

from collections.abc import Hashable

from perdure.kernel.time import Timestamp
from perdure.scheduling.item import Item

__all__ = ["ConcurrencyLimit"]


class ConcurrencyLimit:
    """At most `most` items that count under `key` run at once; see `Limit`.

    `running` counts what runs, by key; limits that share it know of each other. `what` names the kind, for people.
    """

    __slots__ = ("_most", "_running", "_what", "key")

    def __init__(self, running: dict[Hashable, int], key: Hashable, most: int, *, what: str) -> None:
        self._running = running
        self.key = key
        self._most = most
        self._what = what

    def refuses(self, _item: Item, _now: Timestamp) -> bool:
        """Whether as many run as may."""
        return self._running.get(self.key, 0) >= self._most

    def opens_at(self, _now: Timestamp) -> None:
        """Return None: only an end makes room."""

    def take(self, _item: Item, _now: Timestamp) -> bool:
        """Count one more."""
        self._running[self.key] = self._running.get(self.key, 0) + 1
        return False

    def give(self, _item: Item, _now: Timestamp) -> bool:
        """Count one less."""
        left = self._running[self.key] - 1
        if left:
            self._running[self.key] = left
        else:
            del self._running[self.key]
        return True

    def stand_aside(self) -> bool:
        """Nothing was noted."""
        return False

    def sentence(self, _now: Timestamp) -> str:
        """Say how many run."""
        return f"concurrency of {self._what}: {self._running.get(self.key, 0)} run, at most {self._most} may"
