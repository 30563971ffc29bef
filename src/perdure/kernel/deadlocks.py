"""The search for a deadlock among the entries of lines; what one is: `perdure.kernel.locking`.

First all are taken away that some course of things lets go on, one after the other. Who asked and is left waits for
ever; then the shortest circle is looked for among those that are left. The reduction is that of Coffman, Elphick,
Shoshani: System Deadlocks, Computing Surveys 3 (1971), section 3.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.locking import LockEntry, LockWait, may_hold

__all__ = ["find_deadlock"]


def find_deadlock(asked: LockEntry, entries: Iterable[LockEntry]) -> tuple[LockWait, ...]:
    """Return the shortest circle of waits that a new entry has closed, beginning with its own; empty: it closed none.

    `entries` are those that it waits for, directly or through others, and itself, each once.
    Complexity: O(n log n), n being the entries and the locks within which they wait.
    """
    waits = _Waits(entries)
    waits.reduce()
    return waits.shortest_circle(asked) if waits.has(asked) else ()


_Request = tuple[RunKey, Operation]


class _Line:
    """The line of one key: who holds it, by position, and who waits, in order."""

    def __init__(self) -> None:
        self.held: dict[int, LockEntry] = {}
        self.waiting: deque[LockEntry] = deque()
        self._limits: list[tuple[int, int]] = []

    def add(self, entry: LockEntry) -> None:
        if not entry.is_held:
            self.waiting.append(entry)
            return
        self.held[entry.position] = entry
        if entry.limit is not None:
            heappush(self._limits, (entry.limit, entry.position))

    def has_room(self, entry: LockEntry) -> bool:
        """Whether an entry may hold the key beside those that do."""
        while self._limits and self._limits[0][1] not in self.held:
            heappop(self._limits)
        least = self._limits[0][0] if self._limits else None
        return may_hold(entry.limit, holders=len(self.held), least=least)


class _Waits:
    """Entries of lines, and which waits are within which locks."""

    def __init__(self, entries: Iterable[LockEntry]) -> None:
        self._lines: defaultdict[str, _Line] = defaultdict(_Line)
        self._held: dict[_Request, LockEntry] = {}
        self._within: defaultdict[_Request, dict[int, LockEntry]] = defaultdict(dict)
        for entry in sorted(entries, key=lambda entry: entry.position):
            self._lines[entry.key].add(entry)
            if entry.is_held:
                self._held[_request(entry)] = entry
            for request in _around(entry):
                self._within[request][entry.position] = entry

    def has(self, wait: LockEntry) -> bool:
        """Whether a wait is still here."""
        waiting = self._lines[wait.key].waiting
        return bool(waiting) and waiting[0].position <= wait.position

    def reduce(self) -> None:
        """Take away who goes on: holders whose code waits for nothing here, and those next in line while there is
        room, until none is left that can."""
        going = [entry for request, entry in self._held.items() if not self._within[request]]
        for line in self._lines.values():
            going += self._let_in(line)
        for holder in going:  # it grows by those that wait for nothing any more
            line = self._lines[holder.key]
            del line.held[holder.position]
            going += self._let_in(line)

    def _let_in(self, line: _Line) -> Iterator[LockEntry]:
        """Let those that come next have the key and give it back; yield the holders whose last wait that was."""
        while line.waiting and line.has_room(line.waiting[0]):
            entry = line.waiting.popleft()
            for request in _around(entry):
                waits = self._within[request]
                del waits[entry.position]
                if not waits and request in self._held:
                    yield self._held[request]

    def shortest_circle(self, asked: LockEntry) -> tuple[LockWait, ...]:
        """Return the shortest way from wait to wait back to a new one.

        A wait waits for those before it in its line and, where the holders leave it no room, for the waits within
        their locks. Each line is gone through once: what is reached again was reached by a way no longer.
        """
        holders = {key: tuple(line.held.values()) for key, line in self._lines.items()}
        came_from: dict[int, LockEntry] = {}
        reached = [asked]
        for wait in reached:
            line = self._lines[wait.key]
            blockers: list[LockEntry] = []
            if not line.has_room(wait):
                for holder in holders.pop(wait.key, ()):
                    blockers += self._within[_request(holder)].values()
            while line.waiting[0].position < wait.position:
                blockers.append(line.waiting.popleft())
            for blocker in blockers:
                if blocker.position == asked.position:
                    return _way(asked, wait, came_from)
                if blocker.position not in came_from:
                    came_from[blocker.position] = wait
                    reached.append(blocker)
        return ()


def _request(entry: LockEntry) -> _Request:
    return entry.run_key, entry.operation


def _around(entry: LockEntry) -> Iterator[_Request]:
    """Yield the locks within which an entry waits."""
    if not entry.is_held:
        for operation in entry.holding:
            yield entry.run_key, operation


def _way(asked: LockEntry, last: LockEntry, came_from: dict[int, LockEntry]) -> tuple[LockWait, ...]:
    way = [last]
    while way[-1].position != asked.position:
        way.append(came_from[way[-1].position])
    return tuple(LockWait(run=wait.run, key=wait.key) for wait in reversed(way))
