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
semaphores a circle is no deadlock while some other holder can go on: what is looked for is whether anybody can
(`perdure.kernel.deadlocks`).

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
since what is not an event is not replayed.
"""

import msgspec

from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.time import Timestamp

__all__ = ["LockChange", "LockEntry", "LockRelease", "LockRequest", "LockWait", "may_hold"]


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
