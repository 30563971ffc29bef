"""What a transition does to the lines of locks: once for all stores, on the few steps that a `LockLines` offers.

What the lines mean is said in `perdure.kernel.locking`. All of it happens within the transaction of the transition.
"""

from collections.abc import Sequence
from typing import Protocol

from perdure.kernel.deadlocks import find_deadlock
from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.locking import LockChange, LockEntry, LockRequest, LockWait, may_hold
from perdure.kernel.messages import LockDeniedMessage, LockGrantedMessage, Message, lock_answer_id
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

    def waits_within(self, line: LockEntry) -> Sequence[LockEntry]:
        """Return the entries, of any key, that wait within the locks of those that hold this one's key."""
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
    elif cycle := _closed_by(lines, entry):
        _refuse(lines, entry, cycle, told, at=at)


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
    if lines.tell(entry, message, message_id=lock_answer_id(entry.run.generation, entry.operation), at=at):
        told.append(entry.run_key)


def _closed_by(lines: LockLines, asked: LockEntry) -> tuple[LockWait, ...]:
    """Return the circle of waits that an entry at the end of its line closes, if it does.

    Whole lines are read only where something that it waits for waits for it. To know that, their holders are enough:
    who waits before it in its line waits for the same.
    Complexity: O(holders of the keys it waits for, directly and through others, and waits within their locks).
    """
    if not asked.holding:
        return ()  # nobody waits for it
    last_waits = {asked.key: asked}
    is_waited_for = False
    reached = [asked]
    for line in reached:
        for waits in lines.waits_within(line):
            is_waited_for |= waits.position == asked.position
            known = last_waits.get(waits.key)
            if known is None:
                reached.append(waits)
            if known is None or known.position < waits.position:
                last_waits[waits.key] = waits
    if not is_waited_for:
        return ()
    blockers = (entry for waits in last_waits.values() for entry in (*lines.before(waits), waits))
    return find_deadlock(asked, blockers)
