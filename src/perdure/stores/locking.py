"""What a transition does to the lines of locks: once for all stores, on the few steps that a `LockLines` offers.

What the lines mean is said in `perdure.kernel.locking`. All of it happens within the transaction of the transition.
"""

from collections.abc import Sequence
from typing import Protocol

from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.locking import LockChange, LockEntry, LockRequest, LockWait, find_deadlock, may_hold
from perdure.kernel.messages import LockDeniedMessage, LockGrantedMessage, Message
from perdure.kernel.time import Timestamp

__all__ = ["LockLines", "change_locks"]


class LockLines(Protocol):
    """The lines of all keys in the transaction that is under way. The keys of each namespace are its own."""

    def add(self, run_key: RunKey, request: LockRequest, *, at: Timestamp) -> LockEntry:
        """Put a waiting entry at the end of its line."""
        ...

    def remove(self, run_key: RunKey, operation: Operation) -> LockEntry | None:
        """Take an entry out of its line; None if it is in none."""
        ...

    def grant(self, entry: LockEntry, *, at: Timestamp) -> None:
        """Note that an entry holds its key from now on."""
        ...

    def first_waiting(self, line: LockEntry) -> LockEntry | None:
        """Return the first entry that waits in the line of this one's key."""
        ...

    def holders(self, line: LockEntry) -> tuple[int, int | None]:
        """Return how many entries hold this one's key, and the least limit of theirs (None: no limit)."""
        ...

    def before(self, entry: LockEntry) -> Sequence[LockEntry]:
        """Return the entries of the same key that came earlier."""
        ...

    def waiting_of(self, run_key: RunKey) -> Sequence[LockEntry]:
        """Return the entries of a run that wait."""
        ...

    def tell(self, entry: LockEntry, message: Message, *, message_id: str, at: Timestamp) -> bool:
        """Put a message into the inbox of an entry's run, and wake it unless it is parked; False if it has ended."""
        ...


def change_locks(
    lines: LockLines, run_key: RunKey, changes: Sequence[LockChange], *, at: Timestamp
) -> tuple[RunKey, ...]:
    """Apply the changes of one run in their order; return the runs that were told of it, in the order they were."""
    told: list[RunKey] = []
    for change in changes:
        if isinstance(change, LockRequest):
            _request(lines, run_key, change, told, at=at)
        elif (left := lines.remove(run_key, change.operation)) is not None:
            _let_in(lines, left, told, at=at)
    return tuple(told)


def _request(lines: LockLines, run_key: RunKey, request: LockRequest, told: list[RunKey], *, at: Timestamp) -> None:
    entry = lines.add(run_key, request, at=at)
    if entry.position in _let_in(lines, entry, told, at=at):
        return
    if not request.waits:
        _refuse(lines, entry, (), told, at=at)
    elif request.holding and (cycle := find_deadlock(entry, _blockers_of(lines, entry))):
        _refuse(lines, entry, cycle, told, at=at)  # who waits holding nothing is waited for by nobody


def _refuse(
    lines: LockLines, entry: LockEntry, cycle: tuple[LockWait, ...], told: list[RunKey], *, at: Timestamp
) -> None:
    """Take the last of a line out of it again."""
    lines.remove(entry.run_key, entry.operation)
    denied = LockDeniedMessage(operation=entry.operation, generation=entry.run.generation, cycle=cycle)
    _tell(lines, entry, denied, told, at=at)


def _let_in(lines: LockLines, line: LockEntry, told: list[RunKey], *, at: Timestamp) -> set[int]:
    """Grant the key to those who come next in its line, as far as there is room; return their positions."""
    granted: set[int] = set()
    while (first := lines.first_waiting(line)) is not None:
        holders, least = lines.holders(line)
        if not may_hold(first.limit, holders=holders, least=least):
            break
        lines.grant(first, at=at)
        granted.add(first.position)
        message = LockGrantedMessage(operation=first.operation, generation=first.run.generation, token=first.position)
        _tell(lines, first, message, told, at=at)
    return granted


def _tell(lines: LockLines, entry: LockEntry, message: Message, told: list[RunKey], *, at: Timestamp) -> None:
    if lines.tell(entry, message, message_id=f"lock:{entry.position}", at=at):
        told.append(entry.run_key)


def _blockers_of(lines: LockLines, asked: LockEntry) -> list[LockEntry]:
    """Return what an entry waits for, directly and through others, and itself.

    Complexity: O(entries of all lines reached).
    """
    found = {asked.position: asked}
    reached = [asked]
    for waits in reached:  # an entry before it in its line waits for nobody else there
        for other in lines.before(waits):
            if other.position in found:
                continue
            found[other.position] = other
            within = lines.waiting_of(other.run_key) if other.is_held else ()
            for inner in within:
                if other.operation in inner.holding and inner.position not in found:
                    found[inner.position] = inner
                    reached.append(inner)
    return list(found.values())
