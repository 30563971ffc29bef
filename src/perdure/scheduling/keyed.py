"""The leaf of the scheduling tree: waiting items in the order of a static key.

**How.** Most items arrive in the order of their key (they arrive by time), so they stand in a plain list and cost one
slot of it; only one that must go before the end of that line goes into a heap. The next item is the smaller of the two
heads. Items with equal keys leave in the order they came: one in the heap always came later than an equal one in the
line, for the line takes only keys that are not below its last, and forgets that last only when the leaf is empty.

A removed item stays where it is, marked dead, and is skipped when it surfaces; when the dead outnumber the living the
leaf is rebuilt. An item record that is enqueued again while its dead entry lingers is revived in its old place: its
key, being static, is the same.

**Cost.** Enqueue and take: O(1) amortised for items that arrive in order, O(log n) for others. Removal: O(1) amortised.
"""

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush, nsmallest
from operator import attrgetter
from typing import Final

from perdure.kernel.time import Timestamp
from perdure.scheduling.explanation import Standing
from perdure.scheduling.item import Item

__all__ = ["ARRIVAL", "Keyed", "deadline_then_arrival"]

ARRIVAL: Callable[[Item], int] = attrgetter("enqueued_at")
"""First in, first out."""


def deadline_then_arrival(item: Item) -> int:
    """Order items with a deadline by it, before all without; equals, and those without, by arrival.

    Earliest deadline first meets all deadlines wherever that can be done at all with one server and preemption.
    """
    # One integer, deadline above arrival, is smaller and compared faster than a pair.
    return ((_NEVER if item.deadline is None else item.deadline) << 64) + item.enqueued_at


_NEVER = 1 << 63
"""Later than any instant."""


class Keyed:
    """Serves the item with the smallest `order` first, first come first served among equals. See the module for costs.

    `order` is a static property of an item: the same whenever it is asked. `rule` says it in words, for explanations.
    `pending` counts the items that wait. `running` is always 0: a leaf keeps nothing about items that run.
    """

    __slots__ = ("_dead", "_early", "_early_turns", "_last", "_line", "_next", "_order", "_rule", "pending")

    running: Final = 0

    def __init__(self, order: Callable[[Item], int], *, rule: str = "the smallest key is served first") -> None:
        self._order: Callable[[Item], int] = order
        self._rule = rule
        self._line: list[Item] = []
        self._next = 0  # where the line begins; what stands before has been taken
        self._last: int | None = None  # the largest key the line has taken since the leaf was empty
        # A tree has as many leaves as tenants with work, so what a leaf may never need is made when it is needed.
        self._early: list[tuple[int, int, Item]] | None = None  # a heap by (key, turn)
        self._early_turns = 0
        self._dead: set[int] | None = None  # identities; the entries keep those objects alive, so none is used again
        self.pending = 0

    def add(self, item: Item, _now: Timestamp) -> None:
        """Let an item wait here."""
        self.pending += 1
        if self._dead and id(item) in self._dead:
            self._dead.discard(id(item))
            return
        key = self._order(item)
        if self._last is None or key >= self._last:
            self._last = key
            self._line.append(item)
        else:
            self._early_turns += 1
            if self._early is None:
                self._early = []
            heappush(self._early, (key, self._early_turns, item))

    def take(self, _now: Timestamp) -> Item | None:
        """Remove and return the item that is first, None where nothing waits."""
        if not self.pending:
            return None
        if self._dead:
            self._skip_dead(self._dead)
        early = self._early
        item = heappop(early)[2] if early and self._goes_before_line(early[0][0]) else self._take_from_line()
        self.pending -= 1
        if not self.pending:
            self._forget_all()
        return item

    def discard(self, item: Item, _now: Timestamp) -> None:
        """Forget an item that waits here."""
        self.pending -= 1
        if not self.pending:
            self._forget_all()
            return
        if self._dead is None:
            self._dead = set()
        self._dead.add(id(item))
        if len(self._dead) > self.pending:
            self._bury(self._dead)

    def settle(self, item: Item, actual_cost: float, now: Timestamp) -> None:
        """Nothing to learn: cost does not change the order."""

    def standings(self, item: Item, names_limit: int) -> tuple[Standing, ...]:
        """Name the items before `item`, which waits here. O(n)."""
        places = list(self._places())
        own = next(place for place, other in places if other is item)
        ahead = [entry for entry in places if entry[0] < own]
        return (
            Standing(
                node="order",
                child=str(item.key),
                ahead=len(ahead),
                first=tuple(str(other.key) for _, other in nsmallest(names_limit, ahead, key=lambda entry: entry[0])),
                rule=self._rule,
            ),
        )

    def _forget_all(self) -> None:
        self._line.clear()
        self._next = 0
        self._last = self._early = self._dead = None

    def _goes_before_line(self, key: int) -> bool:
        return self._next == len(self._line) or key < self._order(self._line[self._next])

    def _take_from_line(self) -> Item:
        item = self._line[self._next]
        self._next += 1
        if self._next > _SMALL and 2 * self._next > len(self._line):
            del self._line[: self._next]
            self._next = 0
        return item

    def _skip_dead(self, dead: set[int]) -> None:
        early, line = self._early, self._line
        while early and id(early[0][2]) in dead:
            dead.discard(id(heappop(early)[2]))
        while self._next < len(line) and id(line[self._next]) in dead:
            dead.discard(id(line[self._next]))
            self._next += 1

    def _bury(self, dead: set[int]) -> None:
        self._line = [item for item in self._line[self._next :] if id(item) not in dead]
        self._next = 0
        if self._early is not None:
            self._early = [entry for entry in self._early if id(entry[2]) not in dead]
            heapify(self._early)
        self._dead = None

    def _places(self) -> Iterator[tuple[tuple[int, int, int], Item]]:
        """Yield each living item with its place in the order of service, in no order."""
        dead = self._dead or ()
        for position in range(self._next, len(self._line)):
            item = self._line[position]
            if id(item) not in dead:
                yield (self._order(item), 0, position), item
        for key, turn, item in self._early or ():
            if id(item) not in dead:
                yield (key, 1, turn), item


_SMALL = 16
"""Below this many taken items, moving the line up is not worth its pass."""
