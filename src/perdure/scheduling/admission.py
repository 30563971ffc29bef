"""Admission: which of the items that are under limits may stand for a slot.

**Promise.** An item starts only when all its limits let it, and takes of all of them in the same step. Whoever is
refused leaves the line at once, so that it holds up nobody, and comes back when the limit that refused it may have
opened: at its exact time, or when another item has ended. Nothing is polled, and no decision touches the items that are
parked.

**How.** Items with the same limits are one *group*: what one of them may, each may. A group keeps its items in a
scheduling tree of its own and sends one of them, its *candidate*, into the line (the tree of an executor), where it
competes with all others by class, tenant and age. When the line selects the candidate, the limits are asked:

    waiting ──► candidate, offered to its line ──► admitted (and the next one becomes the candidate)
                    ▲                       └────► blocked at the limit that refused
                    └─ the limit may have opened ◄─┘

What joins a group and goes before the candidate, by class, deadline and arrival, has the choice made anew. When a limit
opens, the groups that are blocked there are tried again, the best first: by class, deadline, arrival.

**Cost.** As of a tree, once for the group and once for the line. An end tries again one item of each group that is
blocked at a limit it has taken from: groups, not items, so a backlog of any length costs nothing. Memory: the groups
that have something waiting or running.

**Limits.** Tenants share by cost within a group and within a line; between groups that wait at one limit while there
are free slots the order is class, deadline, arrival.

**Rejected.** Taking the limits before the wait for a slot (they would be held without use, and starts would bunch
behind a full line); selecting, refusing and selecting again (a blocked head costs each decision); waking all that wait.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

import msgspec

from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.scheduling.explanation import Explanation, Parked, Standing, Waiting
from perdure.scheduling.item import Item
from perdure.scheduling.keyed import deadline_then_arrival
from perdure.scheduling.limit import Limit
from perdure.scheduling.tree import SchedulingTree, default_tree

__all__ = ["Admission", "Group"]

Line = TypeVar("Line", bound=Hashable)
"""How the lines are named."""


class Group(Generic[Line]):
    """The items with the same limits in one line. Made by `Admission.group`; its fields are for reading."""

    __slots__ = ("blocked_by", "candidate", "key", "limits", "line", "opens_at", "waiting")

    def __init__(self, key: Hashable, line: Line, limits: Sequence[Limit]) -> None:
        self.key = key
        self.line = line
        self.limits = limits
        self.waiting: SchedulingTree = default_tree()
        self.candidate: Item | None = None
        self.blocked_by: Limit | None = None
        self.opens_at: Timestamp | None = None


class Admission(Generic[Line]):
    """The groups, and what they wait for. Whoever calls it serves the lines; see `offer_opened`."""

    __slots__ = ("_blocked", "_groups", "_lines", "_opened", "_timed", "_timed_live", "_turns")

    def __init__(self, lines: Mapping[Line, SchedulingTree]) -> None:
        """Send candidates into `lines`, by the name of the line."""
        self._lines = lines
        self._groups: dict[Hashable, Group[Line]] = {}
        self._blocked: dict[Hashable, dict[Group[Line], None]] = {}
        self._opened: dict[Hashable, None] = {}
        self._timed: list[tuple[Timestamp, int, Group[Line]]] = []  # a heap; entries of groups that moved on are void
        self._timed_live = 0
        self._turns = count()

    def group(self, key: Hashable, line: Line, limits: Callable[[], Sequence[Limit]]) -> Group[Line]:
        """Return the group of a key, made with `limits()` if there is none."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, line, limits())
        return group

    def add(self, group: Group[Line], item: Item, now: Timestamp) -> None:
        """Let an item wait in a group; it may stand in the line when this returns."""
        group.waiting.enqueue(item, now)
        candidate = group.candidate
        if candidate is not None and _turn(item) < _turn(candidate):
            self._call_back(group, candidate, now)
            group.waiting.enqueue(candidate, now)
        if group.candidate is None:
            self._send_next(group, now)

    def admit(self, group: Group[Line], item: Item, now: Timestamp) -> Limit | None:
        """Decide about the candidate that its line has just selected: None means that it starts.

        Otherwise the limit that refused it; it is out of the line and stays the candidate.
        """
        refusing = next((limit for limit in group.limits if limit.refuses(item, now)), None)
        if refusing is not None:
            self._lines[group.line].complete(item, 0.0, now)
            self._block(group, refusing, now)
            return refusing
        for limit in group.limits:
            if limit.take(item, now):
                self._opened[limit.key] = None
        group.candidate = None
        self._send_next(group, now)
        return None

    def release(self, group: Group[Line], item: Item, seconds: float, now: Timestamp) -> None:
        """Take note that an admitted item has ended after `seconds`."""
        group.waiting.complete(item, seconds, now)
        for limit in group.limits:
            if limit.give(item, now):
                self._opened[limit.key] = None
        self._drop_if_empty(group)

    def remove(self, group: Group[Line], item: Item, now: Timestamp) -> None:
        """Forget an item that waits in a group."""
        self._take_out(group, item, now)
        self._drop_if_empty(group)

    def reprioritise(self, group: Group[Line], item: Item, priority: Priority, now: Timestamp) -> Item:
        """Move an item that waits to another class at its age; return its new record."""
        moved = msgspec.structs.replace(item, priority=priority)
        self._take_out(group, item, now)
        self.add(group, moved, now)
        return moved

    def reopen(self, key: Hashable) -> None:
        """Have those that are blocked at a key tried again: something else than an end has opened it."""
        self._opened[key] = None

    def reopen_all(self) -> None:
        """Have all that are blocked tried again: the clock was set, and their times do not come when they should."""
        self._opened.update(dict.fromkeys(self._blocked))

    def opened(self, now: Timestamp) -> list[Group[Line]]:
        """Return the groups that are to be tried again, in the order of service, and forget that they are.

        The caller passes each to `offer` and then serves its line, and asks again until the list is empty.
        """
        groups = [group for key in self._opened for group in self._blocked.get(key, ())]
        self._opened.clear()
        while self._timed and (self._timed[0][0] <= now or not self._is_live(self._timed[0])):
            entry = heappop(self._timed)
            if self._is_live(entry):
                groups.append(entry[2])
        return sorted(dict.fromkeys(groups), key=_turn_of_candidate)

    @property
    def has_opened(self) -> bool:
        """Whether `opened` has something new to say by what happened since; time alone does not count."""
        return any(key in self._blocked for key in self._opened)

    def offer(self, group: Group[Line], now: Timestamp) -> None:
        """Let the candidate of a blocked group stand in its line again."""
        if group.blocked_by is not None and group.candidate is not None:
            self._unblock(group)
            self._lines[group.line].enqueue(group.candidate, now)

    @property
    def next_opening_at(self) -> Timestamp | None:
        """When the next group is to be tried again by the passing of time."""
        while self._timed and not self._is_live(self._timed[0]):
            heappop(self._timed)
        return self._timed[0][0] if self._timed else None

    def explain(self, group: Group[Line], item: Item, now: Timestamp) -> Explanation:
        """Say why an item does not run yet: its limits, or who goes before it in its group or line."""
        candidate, limit = group.candidate, group.blocked_by
        if item is candidate and limit is None:
            return self._lines[group.line].explain(item)
        if item is candidate and limit is not None:
            return Parked(key=item.key, limit=limit.sentence(now), opens_at=group.opens_at)
        standing = group.waiting.explain(item)
        if not isinstance(standing, Waiting) or candidate is None:
            return standing
        first = Standing(
            node="limits",
            child=str(item.key),
            ahead=1,
            first=(str(candidate.key),),
            rule="of items with the same limits one stands for a slot",
        )
        standings = (*standing.standings, first)
        if limit is None:
            return Waiting(key=item.key, standings=standings)
        return Parked(key=item.key, limit=limit.sentence(now), opens_at=group.opens_at, standings=standings)

    def __len__(self) -> int:
        """Return how many groups there are."""
        return len(self._groups)

    def _take_out(self, group: Group[Line], item: Item, now: Timestamp) -> None:
        if item is not group.candidate:
            group.waiting.remove(item, now)
            return
        self._call_back(group, item, now)
        self._send_next(group, now)

    def _send_next(self, group: Group[Line], now: Timestamp) -> None:
        group.candidate = item = group.waiting.select(now)
        if item is not None:
            self._lines[group.line].enqueue(item, now)

    def _call_back(self, group: Group[Line], candidate: Item, now: Timestamp) -> None:
        """Take the candidate out of its line, or out of the place where it is blocked: the group has none."""
        if group.blocked_by is None:
            self._lines[group.line].remove(candidate, now)
        else:
            self._unblock(group)
        for limit in group.limits:
            if limit.stand_aside():
                self._opened[limit.key] = None
        group.candidate = None
        group.waiting.complete(candidate, 0.0, now)

    def _block(self, group: Group[Line], refusing: Limit, now: Timestamp) -> None:
        group.blocked_by = refusing
        self._blocked.setdefault(refusing.key, {})[group] = None
        group.opens_at = opens_at = refusing.opens_at(now)
        if opens_at is not None:
            heappush(self._timed, (opens_at, next(self._turns), group))
            self._timed_live += 1
            self._sweep_timed()
        for limit in group.limits:
            if limit is not refusing and limit.stand_aside():
                self._opened[limit.key] = None

    def _unblock(self, group: Group[Line]) -> None:
        assert group.blocked_by is not None, "only a blocked group is unblocked"
        key = group.blocked_by.key
        blocked = self._blocked[key]
        del blocked[group]
        if not blocked:
            del self._blocked[key]
        if group.opens_at is not None:
            self._timed_live -= 1
        group.blocked_by = group.opens_at = None

    def _is_live(self, entry: tuple[Timestamp, int, Group[Line]]) -> bool:
        return entry[0] == entry[2].opens_at

    def _sweep_timed(self) -> None:
        if len(self._timed) > 2 * self._timed_live + _SMALL:
            self._timed = [entry for entry in self._timed if self._is_live(entry)]
            heapify(self._timed)

    def _drop_if_empty(self, group: Group[Line]) -> None:
        if not (len(group.waiting) or group.waiting.running):
            self._groups.pop(group.key, None)


_SMALL = 16
"""Below this many void entries sweeping is not worth its pass."""


def _turn(item: Item) -> tuple[int, int]:
    return (item.priority, deadline_then_arrival(item))


def _turn_of_candidate(group: Group[Line]) -> tuple[int, int]:
    assert group.candidate is not None, "a group is blocked with its candidate"
    return _turn(group.candidate)
