"""Resources: dimensions with a capacity, of which each running item holds its part.

**Promise.** What runs never holds more of a dimension than there is. An item takes all it asks for or nothing. What
does not fit does not hold up what does, up to a bound: a demand that waits here and has been *passed* `passes` times
gets a *reservation*: nothing that asks for one of its dimensions starts before it, except what is of a better priority
class (as everywhere), and reservations that began to wait earlier. So, with d demands waiting when it begins to wait,
it is passed at most `passes` + d - 1 times by items of its class or a lower one: of the others with a reservation each
goes at most once.

A pass is the start of an item that is not of a better class and takes from a dimension that the waiting demand asks
for. A reservation counts only while its group waits here: one that has what it needs and waits for its rate, say, keeps
nobody from what it does not use, and remembers how often it was passed.

**How.** All items of a group ask for the same, so the pool knows one demand per group, and the group's own order says
whose turn it is within. **Cost.** O(w) per start for w demands that wait here.

**Source.** The reservation for the head of a queue is EASY backfilling (Lifka, JSSPP 1995) with a count of passes in
the place of run time estimates, which are not known here.
"""

from collections.abc import Mapping
from typing import Final

from perdure.kernel.time import Timestamp
from perdure.scheduling.item import Item

__all__ = ["ResourceDemand", "ResourcePool"]


class ResourcePool:
    """What there is, what is free, and who waits for it. `passes`: see the module."""

    __slots__ = ("capacity", "free", "passes", "waiting")

    def __init__(self, capacity: Mapping[str, int], *, passes: int) -> None:
        self.capacity: Mapping[str, int] = dict(capacity)
        self.free: dict[str, int] = dict(capacity)
        self.passes = passes
        self.waiting: dict[ResourceDemand, None] = {}

    def excess(self, amounts: Mapping[str, int]) -> str:
        """Say what nobody can ever get from this pool: ``gpu: 2 asked for, 1 there``; empty: everything is possible."""
        return "; ".join(
            f"{dimension}: {amount} asked for, {self.capacity.get(dimension, 0)} there"
            for dimension, amount in amounts.items()
            if amount > self.capacity.get(dimension, 0)
        )


class ResourceDemand:
    """What each item of a group asks of a pool; see the module and `Limit`. `amounts` fit the pool's capacity."""

    __slots__ = ("_pool", "amounts", "passed", "priority")

    key: Final = "resources"

    def __init__(self, pool: ResourcePool, amounts: Mapping[str, int]) -> None:
        self._pool = pool
        self.amounts: Mapping[str, int] = dict(amounts)
        self.priority = 0  # of the item that waits, while one does
        self.passed = 0

    def refuses(self, item: Item, _now: Timestamp) -> bool:
        """Whether something is not free, or is kept for another demand. One that is refused waits from then on."""
        free = self._pool.free
        if all(free[dimension] >= amount for dimension, amount in self.amounts.items()) and not self._is_kept(item):
            return False
        self.priority = item.priority
        self._pool.waiting.setdefault(self)
        return True

    def opens_at(self, _now: Timestamp) -> None:
        """Return None: only an end makes room."""

    def take(self, item: Item, _now: Timestamp) -> bool:
        """Take all amounts, and let those that wait for any of them count the pass."""
        pool = self._pool
        had_reservation = self.has_reservation
        for dimension, amount in self.amounts.items():
            pool.free[dimension] -= amount
        pool.waiting.pop(self, None)
        self.passed = 0
        for other in pool.waiting:
            if item.priority >= other.priority and self._competes_with(other):
                other.passed += 1
        return had_reservation

    def give(self, _item: Item, _now: Timestamp) -> bool:
        """Give all amounts back."""
        for dimension, amount in self.amounts.items():
            self._pool.free[dimension] += amount
        return True

    def stand_aside(self) -> bool:
        """Wait no more; others may have what was kept."""
        had_reservation = self.has_reservation
        self._pool.waiting.pop(self, None)
        return had_reservation

    def sentence(self, _now: Timestamp) -> str:
        """Say what is asked for and what is free."""
        pool = self._pool
        needs = ", ".join(
            f"{dimension} {amount} ({pool.free[dimension]} of {pool.capacity[dimension]} free)"
            for dimension, amount in self.amounts.items()
        )
        passed = f"passed {self.passed} of at most {pool.passes} times" if self in pool.waiting else "about to be tried"
        kept = "; what becomes free is kept for it" if self.has_reservation else ""
        return f"resources: needs {needs}; {passed}{kept}"

    @property
    def has_reservation(self) -> bool:
        """Whether it waits here and has been passed as often as may be."""
        return self.passed >= self._pool.passes and self in self._pool.waiting

    def _is_kept(self, item: Item) -> bool:
        for other in self._pool.waiting:
            if other is self:
                return False
            if other.has_reservation and item.priority >= other.priority and self._competes_with(other):
                return True
        return False

    def _competes_with(self, other: "ResourceDemand") -> bool:
        return not self.amounts.keys().isdisjoint(other.amounts)
