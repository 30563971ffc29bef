"""The lines of locks in memory. Complexity: linear in all locks."""

import msgspec

from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.locking import LockEntry, LockRequest
from perdure.kernel.messages import Message, encode_message
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Transition
from perdure.ports.store import LockQuery
from perdure.stores.locking import change_locks
from perdure.stores.memory.inboxes import put, wake_for
from perdure.stores.memory.tables import Entry, MemoryDatabase, News

__all__ = ["change_locks_of", "list_locks"]


def change_locks_of(database: MemoryDatabase, write: Transition, news: News) -> tuple[RunKey, ...]:
    """Do what a transition does to the lines; return the runs that were told of it."""
    return change_locks(_MemoryLockLines(database, news), write.run_key, write.locks, at=write.row.updated_at)


def list_locks(database: MemoryDatabase, query: LockQuery) -> list[LockEntry]:
    """Return one page of entries."""
    found = [entry for _, entry in sorted(database.locks.items()) if _matches(entry, query)]
    return found[: max(query.limit, 0)]


class _MemoryLockLines:
    """The lines of a database: `perdure.stores.locking.LockLines`."""

    def __init__(self, database: MemoryDatabase, news: News) -> None:
        self._database = database
        self._news = news

    def add(self, run_key: RunKey, request: LockRequest, *, at: Timestamp) -> LockEntry:
        entry = LockEntry(
            position=self._database.next_lock(),
            key=request.key,
            run_key=run_key,
            run=self._database.runs[run_key].ref,
            operation=request.operation,
            limit=request.limit,
            holding=request.holding,
            requested_at=at,
            granted_at=None,
        )
        self._database.locks[entry.position] = entry
        return entry

    def remove(self, run_key: RunKey, operation: Operation) -> LockEntry | None:
        entries = self._database.locks.values()
        entry = next((one for one in entries if (one.run_key, one.operation) == (run_key, operation)), None)
        return None if entry is None else self._database.locks.pop(entry.position)

    def grant(self, entry: LockEntry, *, at: Timestamp) -> None:
        self._database.locks[entry.position] = msgspec.structs.replace(entry, granted_at=at)

    def first_waiting(self, line: LockEntry) -> LockEntry | None:
        return next((entry for entry in self._line(line) if not entry.is_held), None)

    def holders(self, line: LockEntry) -> tuple[int, int | None]:
        limits = [entry.limit for entry in self._line(line) if entry.is_held]
        return len(limits), min((limit for limit in limits if limit is not None), default=None)

    def before(self, entry: LockEntry) -> list[LockEntry]:
        return [other for other in self._line(entry) if other.position < entry.position]

    def waits_within(self, line: LockEntry) -> list[LockEntry]:
        held = {(entry.run_key, entry.operation) for entry in self._line(line) if entry.is_held}
        waiting = (entry for entry in self._database.locks.values() if not entry.is_held)
        return [entry for entry in waiting if any((entry.run_key, one) in held for one in entry.holding)]

    def tell(self, entry: LockEntry, message: Message, *, message_id: str, at: Timestamp) -> bool:
        run = self._database.runs[entry.run_key]
        if run.status.is_closed:
            return False
        put(self._database, run, Entry(data=encode_message(message), message_id=message_id, at=at))
        wake_for(self._database, run, message, at, self._news)
        return True

    def _line(self, line: LockEntry) -> list[LockEntry]:
        return self._database.line(line.run.namespace, line.key)


def _matches(entry: LockEntry, query: LockQuery) -> bool:
    return (
        entry.run.namespace == query.namespace
        and query.key in (None, entry.key)
        and query.run_key in (None, entry.run_key)
        and entry.position > query.after
    )
