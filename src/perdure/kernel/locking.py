"""Durable locks: keys that several runs hold against one another, each in its turn.

**Promise.** A lock belongs to a run, and to one operation of it, not to a process: a run keeps it while it sleeps, is
suspended or parked, leaves memory, or is taken over after a crash. It is given in the order in which it was asked for,
once, and given back once: when the ``async with`` ends, or in the transition that ends the run, however that ends.

**One rule.** Whoever asks says how many may hold the key at a time: one (a lock), any number (a shared lock), or `n` (a
semaphore). An entry may hold while no holder's limit, nor its own, is exceeded, and nobody who came earlier waits. So a
lock, a shared lock and a semaphore of one key exclude each other as they must, and there is one line per key.

**How.** Asking and giving back are events of the run (`LockRequested`, `LockReleased`), whose transition carries them
to the store as `LockChange`s. The store keeps one line of entries per key and changes it within that transaction: who
is let in by it gets a message into its inbox in the same transaction (`LockGrantedMessage`), and the entry is gone with
the event that gives it back. The position in the line is the fencing token: it grows from holder to holder of a key.

**Deadlock.** A request may complete a circle: it is made within locks that its run holds, for which others wait that
hold what it waits for. The store looks for that when it lets such a request wait, and only then, since no other change
makes anybody wait. The request that closes the circle is refused (`LockDeniedMessage`, with the circle) and leaves the
line; the others go on when the refused run gives back what it holds. "Within" is judged by where the code asks: by
task and ``async with``, not by run; so a run that takes two locks in two independent tasks is no false alarm. With
semaphores a circle is no deadlock while some other holder can go on: what is looked for is whether anybody can.

**Refused too early** is a request that closes a circle which something else would open: a time-out, a cancellation, or
a block that ends while a task that was made in it still waits. What code will do next is in no history. Such a task
counts as within the block until that ends, since most are awaited there (`asyncio.gather`, a `TaskGroup`), and a circle
through them that nobody sees would be waited for without end; an error is caught, or tried again.

**Not seen**: waits that are no locks. A run that holds a lock and waits for a child run, or a signal, of a run that
asks for the lock waits until something gives way: a time-out, a cancellation.

**On a store whose transactions run side by side** (PostgreSQL) a transition that changes lines first takes a lock of
the database on each of its keys, in one order, so that positions of a key grow in the order of commits; one that has to
wait within locks takes one for all such, so that no two close a circle at the same time. Nothing else changes.

**Rejected**: to lease locks by time, since a run outlives every process and ends in a transition that can give back;
to poll; to let a run find out by itself whether it is its turn, since two could; to give the lock without a message,
since what is not an event is not replayed. After Coffman, Elphick, Shoshani: System Deadlocks, Computing Surveys 3
(1971), whose reduction of a graph of holders and waiters `find_deadlock` is.
"""

from collections.abc import Iterable

import msgspec

from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.time import Timestamp

__all__ = ["LockChange", "LockEntry", "LockRelease", "LockRequest", "LockWait", "find_deadlock", "may_hold"]


class LockRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Get into the line of a key. `limit`: how many may hold it at a time with this entry (None: any number).

    `holding` are the operations of the run's own locks within which the code asks: as long as it holds them they count
    as kept until it has this one, too. `waits`: else it is refused unless there is room at once.
    """

    operation: Operation
    key: str
    limit: int | None
    holding: tuple[Operation, ...] = ()
    waits: bool = True


class LockRelease(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Get out of the line that `operation` got into: it held the key, or waits no longer."""

    operation: Operation


LockChange = LockRequest | LockRelease
"""What a transition does to the lines of locks."""


class LockEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry in the line of a key: it holds the key since `granted_at`, or waits (None). Times in microseconds, UTC.

    `position` grows from entry to entry of a key and is the fencing token of one that holds; `run` says whose it is,
    `operation` which of that run's requests. `limit` and `holding` are the request's.
    """

    position: int
    key: str
    run_key: RunKey
    run: RunRef
    operation: Operation
    limit: int | None
    holding: tuple[Operation, ...]
    requested_at: Timestamp
    granted_at: Timestamp | None

    @property
    def is_held(self) -> bool:
        """Whether it holds the key; else it waits."""
        return self.granted_at is not None


class LockWait(msgspec.Struct, frozen=True, kw_only=True):
    """A run that waits for a key, as part of a circle: for the next one in it, the last for the first."""

    run: RunRef
    key: str


def may_hold(limit: int | None, *, holders: int, least: int | None) -> bool:
    """Whether one more may hold a key beside `holders` others, the strictest of which allows `least` at a time."""
    return (limit is None or holders < limit) and (least is None or holders < least)


def find_deadlock(asked: LockEntry, entries: Iterable[LockEntry]) -> tuple[LockWait, ...]:
    """Return the shortest circle of waits that a new entry has closed, beginning with its own; empty: it closed none.

    `entries` are those that it waits for, directly or through others, and itself.
    Complexity: O(entries) for each holder among them, and for each wait of the circle.
    """
    stuck = _stuck(entries)
    if asked.position not in stuck:
        return ()
    before: dict[int, LockEntry] = {}
    reached = [asked]
    for entry in reached:
        for blocker in _blockers(entry, stuck):
            if blocker is asked:
                return _way(asked, entry, before)
            if blocker.position not in before:
                before[blocker.position] = entry
                reached.append(blocker)
    return ()


def _stuck(entries: Iterable[LockEntry]) -> dict[int, LockEntry]:
    """Return the entries that no course of things lets go on: take away all that can, until none is left that can."""
    left = {entry.position: entry for entry in sorted(entries, key=lambda entry: entry.position)}
    while gone := _free(left):
        for position in gone:
            del left[position]
    return left


def _free(left: dict[int, LockEntry]) -> list[int]:
    """Return who goes on next: holders whose code waits for nothing here, and those next in line while there is room.

    Complexity: O(entries). Each round but the last takes a holder away, or all that were in its way.
    """
    waited_within = {
        (entry.run_key, operation) for entry in left.values() if not entry.is_held for operation in entry.holding
    }
    holders = _holders(left.values())
    full: set[str] = set()
    gone: list[int] = []
    for entry in left.values():
        if entry.is_held:
            goes_on = (entry.run_key, entry.operation) not in waited_within
        else:
            goes_on = entry.key not in full and _has_room(entry, holders)
            if not goes_on:
                full.add(entry.key)
        if goes_on:
            gone.append(entry.position)
    return gone


_Holders = dict[str, tuple[int, int | None]]
"""How many hold a key, and the least limit of theirs."""


def _holders(entries: Iterable[LockEntry]) -> _Holders:
    found: _Holders = {}
    for entry in entries:
        if entry.is_held:
            count, least = found.get(entry.key, (0, None))
            limits = [limit for limit in (least, entry.limit) if limit is not None]
            found[entry.key] = (count + 1, min(limits, default=None))
    return found


def _has_room(entry: LockEntry, holders: _Holders) -> bool:
    count, least = holders.get(entry.key, (0, None))
    return may_hold(entry.limit, holders=count, least=least)


def _blockers(entry: LockEntry, stuck: dict[int, LockEntry]) -> Iterable[LockEntry]:
    """Yield the waits for which a wait waits: those before it in line, and those within the locks of the key's holders
    where they leave no room."""
    is_full = not _has_room(entry, _holders(stuck.values()))
    for other in stuck.values():
        if other.key == entry.key and other.is_held and is_full:
            yield from (
                inner
                for inner in stuck.values()
                if not inner.is_held and inner.run_key == other.run_key and other.operation in inner.holding
            )
        elif other.key == entry.key and not other.is_held and other.position < entry.position:
            yield other


def _way(asked: LockEntry, last: LockEntry, before: dict[int, LockEntry]) -> tuple[LockWait, ...]:
    way = [last]
    while way[-1] is not asked:
        way.append(before[way[-1].position])
    return tuple(LockWait(run=entry.run, key=entry.key) for entry in reversed(way))
