"""The lines of locks in SQLite: functions of the connection, within the transaction that is open on it."""

from typing import Any, Final

import apsw
import msgspec

from perdure.errors import HistoryError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.locking import LockEntry, LockRequest
from perdure.kernel.messages import Message, encode_message
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Transition
from perdure.ports.store import LockQuery
from perdure.stores.locking import change_locks
from perdure.stores.sql import locks as statements
from perdure.stores.sql.chain import digest_of_message
from perdure.stores.sqlite.rows import ref_of

__all__ = ["apply_lock_changes", "list_locks", "lock_entry_of"]


def apply_lock_changes(connection: apsw.Connection, write: Transition) -> tuple[tuple[RunKey, ...], bool]:
    """Do what a transition does to the lines; return the runs that were told, and whether one may be claimed."""
    lines = _SqliteLockLines(connection)
    told = change_locks(lines, write.run_key, write.locks, at=write.row.updated_at)
    return told, lines.has_woken


def list_locks(connection: apsw.Connection, query: LockQuery) -> list[LockEntry]:
    """Return one page of entries."""
    return [lock_entry_of(row) for row in connection.execute(*statements.listing_locks(query))]


class _SqliteLockLines:
    """`perdure.stores.locking.LockLines` on a connection. `has_woken`: whether it has made a run due."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.has_woken = False

    def add(self, run_key: RunKey, request: LockRequest, *, at: Timestamp) -> LockEntry:
        holding = msgspec.json.encode(request.holding).decode()
        row = (request.key, request.operation, request.limit, holding, at, run_key)
        self._connection.execute(statements.ADD_LOCK, row)
        return self._find(run_key, request.operation)

    def remove(self, run_key: RunKey, operation: Operation) -> LockEntry | None:
        row = self._connection.execute(statements.FIND_LOCK, (run_key, operation)).get
        if row is None:
            return None
        entry = lock_entry_of(row)
        self._connection.execute(statements.REMOVE_LOCK, (entry.position,))
        return entry

    def grant(self, entry: LockEntry, *, at: Timestamp) -> None:
        self._connection.execute(statements.GRANT_LOCK, (at, entry.position))

    def first_waiting(self, line: LockEntry) -> LockEntry | None:
        row = self._connection.execute(statements.FIRST_WAITING_LOCK, (line.run.namespace, line.key)).get
        return None if row is None else lock_entry_of(row)

    def holders(self, line: LockEntry) -> tuple[int, int | None]:
        [(count, least)] = self._connection.execute(statements.HELD_LOCKS, (line.run.namespace, line.key))
        return count, least

    def before(self, entry: LockEntry) -> list[LockEntry]:
        place = (entry.run.namespace, entry.key, entry.position)
        return [lock_entry_of(row) for row in self._connection.execute(statements.EARLIER_LOCKS, place)]

    def waits_within(self, line: LockEntry) -> list[LockEntry]:
        place = (line.run.namespace, line.key)
        return [lock_entry_of(row) for row in self._connection.execute(statements.WAITS_WITHIN_HELD_LOCKS, place)]

    def tell(self, entry: LockEntry, message: Message, *, message_id: str, at: Timestamp) -> bool:
        data = encode_message(message).decode()
        digest = digest_of_message(entry.run_key, message_id, at, data)
        row = (message_id, data, at, digest, entry.run_key)
        self._connection.execute(statements.TELL_RUN, row)
        if not self._connection.changes():
            return False
        self._connection.execute(statements.WAKE_TOLD_RUN, (at, at, entry.run_key))
        self.has_woken |= self._connection.changes() > 0
        return True

    def _find(self, run_key: RunKey, operation: Operation) -> LockEntry:
        return lock_entry_of(self._connection.execute(statements.FIND_LOCK, (run_key, operation)).get)


def lock_entry_of(row: tuple[Any, ...]) -> LockEntry:  # Any: what SQLite found, which the record gives its types
    """Read a row. Raises HistoryError for one that cannot be read."""
    position, key, run_key, namespace, run_id, generation, operation, most, holding, requested_at, granted_at = row
    try:
        held = _HOLDING.decode(holding)
    except UNDECODABLE as error:
        raise HistoryError(f"entry {position} of the locks, of run {run_key}, cannot be read: {error}") from error
    return LockEntry(
        position=position,
        key=key,
        run_key=RunKey(run_key),
        run=ref_of(namespace, run_id, generation),
        operation=Operation(operation),
        limit=most,
        holding=held,
        requested_at=Timestamp(requested_at),
        granted_at=None if granted_at is None else Timestamp(granted_at),
    )


_HOLDING: Final[msgspec.json.Decoder[tuple[Operation, ...]]] = msgspec.json.Decoder(tuple[Operation, ...])
