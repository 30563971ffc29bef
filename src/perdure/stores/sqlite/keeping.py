"""Runs as wholes in SQLite: functions of the connection, on the reader's thread or in the writer's transaction."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import apsw
import msgspec

from perdure.kernel.identity import RunKey, WorkerId
from perdure.kernel.messages import encode_message
from perdure.kernel.transition import Applied, Creation, Exists, Outcome, RunRow
from perdure.ports.keeping import FOREIGN_KEYS, REMOVED_BYTES, REMOVED_ROWS, ClosedQuery, WholeRun
from perdure.ports.store import LockQuery, RunSummary
from perdure.stores.sql import keeping as statements
from perdure.stores.sql.histories import INSERT_HISTORY
from perdure.stores.sql.inboxes import INSERT_MESSAGES
from perdure.stores.sql.passing import NONE_PASSED, Passing
from perdure.stores.sql.statements import INSERT_LABELS, RUN_OF_REQUEST
from perdure.stores.sqlite.encoding import Column, EncodedCreation, encode_write
from perdure.stores.sqlite.histories import read_history
from perdure.stores.sqlite.inboxes import message_row
from perdure.stores.sqlite.lock_lines import list_locks
from perdure.stores.sqlite.pieces import execute_in_pieces
from perdure.stores.sqlite.reads import read_inbox
from perdure.stores.sqlite.rows import summary_of
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.sessions import KEYS_PER_SESSION_BITS
from perdure.stores.sqlite.unreadable import demanding_sound

__all__ = ["bringing_in", "list_closed", "origins_of", "read_whole", "remove", "sweep"]


def read_whole(connection: apsw.Connection, run_key: RunKey) -> WholeRun | None:
    """Return everything of a run as it stands at one moment. Raises HistoryError."""
    connection.execute("BEGIN")
    try:
        return _read_whole(connection, run_key)
    finally:
        connection.execute("ROLLBACK")


def _read_whole(connection: apsw.Connection, run_key: RunKey) -> WholeRun | None:
    row = connection.execute(statements.WHOLE_RUN, (run_key,)).get
    if row is None:
        return None
    request_id, end_at, *columns = row
    summary = summary_of(columns)
    ref = summary.ref
    requests = connection.execute(statements.REQUESTS_OF_RUN, (ref.namespace, ref.id, run_key))
    locks = list_locks(connection, LockQuery(namespace=ref.namespace, run_key=run_key, limit=_ALL))
    return WholeRun(
        summary=summary,
        request_id=request_id,
        end_at=end_at,
        recovered=bool(columns[-1]),
        history=tuple(read_history(connection, run_key, after=0, limit=_ALL)),
        inbox=tuple(read_inbox(connection, run_key, after=0, limit=_ALL)),
        requests=tuple(request for (request,) in requests),
        locks=tuple(locks),
        queues=tuple(queue for (queue,) in connection.execute(statements.QUEUES_OF_RUN, (run_key,))),
    )


_ALL: Final = 2**62


def list_closed(
    connection: apsw.Connection, query: ClosedQuery, *, passing: Passing = NONE_PASSED, unread: Passing = NONE_PASSED
) -> list[RunSummary]:
    """Return one page of closed runs that are not `passing`, and that nothing open needs, nor any that is `unread`."""
    named = _named_by_forks(connection, unread)
    found: list[RunSummary] = []
    while len(found) < query.limit:
        page = [summary_of(row) for row in connection.execute(*statements.listing_closed(query, passing, unread))]
        found += [summary for summary in page if summary.run_key not in named]
        if len(page) < query.limit:
            break
        query = msgspec.structs.replace(query, after=(page[-1].closed_at or 0, page[-1].run_key))
    return found[: query.limit]


def _named_by_forks(connection: apsw.Connection, unread: Passing) -> set[int]:
    return {key for keys in connection.execute(statements.naming_by_forks(unread)) for key in keys if key is not None}


def origins_of(connection: apsw.Connection, run_keys: Collection[RunKey]) -> dict[RunKey, int]:
    """Return where keys were given out, of those that this database has given out."""
    sessions = sorted({key >> KEYS_PER_SESSION_BITS for key in run_keys if 0 < key < FOREIGN_KEYS})
    origins = dict(connection.execute(statements.ORIGINS, (msgspec.json.encode(sessions).decode(),)))
    found = ((key, origins.get(key >> KEYS_PER_SESSION_BITS)) for key in run_keys if key < FOREIGN_KEYS)
    return {key: origin for key, origin in found if origin is not None}


# --- to bring in -----------------------------------------------------------------------------------------------------


def bringing_in(run: WholeRun) -> Callable[[apsw.Connection, News], Outcome]:
    """Return what inserts a run, encoded now, on the caller's thread.

    That raises UnsoundRowsError where the run would come to a damaged page, or has left rows on one.
    """
    summary = run.summary
    ref = summary.ref
    encoded = encode_write(_as_creation(run), owner=WorkerId(0))
    assert isinstance(encoded, EncodedCreation)
    labels: list[Column] = [
        column
        for name, value in summary.labels.items()
        for column in (summary.run_key, name, value, ref.namespace, summary.created_at)
    ]
    messages: list[Column] = [
        column
        for entry in run.inbox
        for column in message_row(summary.run_key, entry.message_id, encode_message(entry.message).decode(), entry.at)
    ]

    @demanding_sound([summary.run_key])
    def apply(connection: apsw.Connection, news: News) -> Outcome:
        in_the_way = _in_the_way(connection, run)
        if in_the_way is not None:
            return Exists(in_the_way)
        _sweep_whole(connection, summary.run_key)
        name = (ref.namespace, ref.id, ref.generation)
        is_latest = connection.execute(statements.NEXT_OF_ID, name).get is None
        connection.execute(statements.SUPERSEDE_BEFORE, name)
        connection.execute(statements.BRING_IN_RUN, _row(run, is_latest=is_latest))
        execute_in_pieces(connection, INSERT_LABELS, labels, is_counted=False)
        execute_in_pieces(connection, INSERT_HISTORY, encoded.history, is_counted=False)
        execute_in_pieces(connection, INSERT_MESSAGES, messages, is_counted=False)
        for request_id in run.requests:
            connection.execute(statements.BRING_IN_REQUEST, (ref.namespace, ref.id, request_id, summary.run_key))
        news.run_keys.add(summary.run_key)
        news.is_ready = True
        return Applied(summary.run_key)

    return apply


def _as_creation(run: WholeRun) -> Creation:
    """Return a run as the creation that has all of its history, for the sake of its encoding."""
    summary = run.summary
    return Creation(
        run_key=summary.run_key,
        ref=summary.ref,
        workflow=summary.workflow,
        definition_version=summary.definition_version,
        priority=summary.priority,
        tenant=summary.tenant,
        labels=summary.labels,
        parent_key=summary.parent_key,
        created=run.history[0],
        wake_at=summary.created_at,
        copied=run.history[1:],
        row=RunRow(
            sequence=summary.sequence,
            status=summary.status,
            stage=summary.stage,
            progress=summary.progress,
            priority=summary.priority,
            updated_at=summary.updated_at,
        ),
    )


def _in_the_way(connection: apsw.Connection, run: WholeRun) -> RunKey | None:
    """Return the run that keeps another from being brought in: see `RunStore.bring_in`."""
    summary = run.summary
    ref = summary.ref
    name = (ref.namespace, ref.id, ref.generation)
    taken = connection.execute(statements.RUN_OF_GENERATION, name).get
    if taken is None:
        taken = connection.execute(statements.HAS_RUN, (summary.run_key,)).get
    if taken is None:
        taken, _ = connection.execute(RUN_OF_REQUEST, (ref.namespace, run.request_id)).get or (None, None)
    if taken is not None:
        return RunKey(taken)
    before, ended_at = connection.execute(statements.PREVIOUS_OF_ID, name).get or (None, None)
    if before is not None and (ended_at is None or ended_at > summary.created_at):
        return RunKey(before)
    after, begun_at = connection.execute(statements.NEXT_OF_ID, name).get or (None, None)
    if after is not None and begun_at is not None and (summary.closed_at is None or summary.closed_at > begun_at):
        return RunKey(after)
    return None


def _row(run: WholeRun, *, is_latest: bool) -> tuple[Column, ...]:
    """Return the columns of a run's row; one that has ended is never due, whatever a file says."""
    summary = run.summary
    ref = summary.ref
    is_open = summary.closed_at is None
    return (
        summary.run_key,
        ref.namespace,
        ref.id,
        ref.generation,
        int(is_latest),
        summary.workflow,
        summary.definition_version,
        summary.status,
        summary.stage,
        summary.progress,
        summary.priority,
        summary.tenant,
        summary.parent_key,
        summary.created_at,
        summary.started_at,
        summary.updated_at,
        summary.closed_at,
        summary.sequence,
        summary.fencing_token,
        summary.wake_at if is_open else None,
        int(run.recovered),
        run.request_id,
        None if summary.parked is None else msgspec.json.encode(summary.parked).decode(),
        run.end_at if is_open else None,
    )


# --- to remove -------------------------------------------------------------------------------------------------------


def remove(
    connection: apsw.Connection,
    news: News,
    run_keys: Sequence[RunKey],
    *,
    passing: Passing = NONE_PASSED,
    unread: Passing = NONE_PASSED,
) -> list[RunKey]:
    """Remove the rows of runs, but for their histories and inboxes, which `sweep` does; return which were removed: none
    that is `passing`, or that something open needs, or one that is `unread`.

    Raises UnsoundRowsError for a run whose rows lie on a damaged page, or beside one.
    """
    staying = _named_by_forks(connection, unread) | passing
    delete = statements.deleting_run(unread)
    removed: list[RunKey] = []
    for run_key in run_keys:
        with demanding_sound([run_key]):
            if run_key not in staying and _remove(connection, run_key, delete):
                removed.append(run_key)
    news.run_keys.update(removed)
    return removed


def _remove(connection: apsw.Connection, run_key: RunKey, delete: str) -> bool:
    removed = connection.execute(delete, (run_key,)).get
    if removed is None:
        return False
    *name, request_id = removed
    heir = connection.execute(statements.LATER_GENERATION, name).get
    if heir is None:
        connection.execute(statements.DELETE_REQUESTS, name)
    else:
        connection.execute(statements.ADOPT_REQUESTS, (heir, *name, run_key))
        if request_id:
            connection.execute(statements.KEEP_REQUEST, (*name, request_id, heir))
    connection.execute(statements.DELETE_LABELS, (run_key,))
    connection.execute(statements.DELETE_TASKS, (run_key,))
    connection.execute(statements.NOTE_REMOVAL, (run_key,))
    return True


def sweep(connection: apsw.Connection, *, passing: Passing = NONE_PASSED) -> bool:
    """Delete some of the rows that removed runs have left, but for `passing`; return whether there may be more.

    Raises UnsoundRowsError for a run whose rows lie on a damaged page, or beside one.
    """
    room = _Room(rows=REMOVED_ROWS, size_bytes=REMOVED_BYTES)
    for (run_key,) in list(connection.execute(statements.REMOVALS)):
        if run_key in passing:
            continue
        with demanding_sound([run_key]):
            _delete_left(connection, run_key, room)
        if room.is_full:
            return True
        connection.execute(statements.FORGET_REMOVAL, (run_key,))
    return False


def _sweep_whole(connection: apsw.Connection, run_key: RunKey) -> None:
    """Delete what a run of this key has left that was removed and now comes back."""
    _delete_left(connection, run_key, _Room(rows=_ALL, size_bytes=_ALL))
    connection.execute(statements.FORGET_REMOVAL, (run_key,))


@dataclass
class _Room:
    """How much may still be deleted in a transaction."""

    rows: int
    size_bytes: int

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be."""
        return self.rows <= 0 or self.size_bytes <= 0

    def takes(self, size_bytes: int) -> bool:
        """Whether there is room for one more row; then that is taken."""
        if self.is_full:
            return False
        self.rows -= 1
        self.size_bytes -= size_bytes
        return True


_LEFT: Final = (
    (statements.LEFT_EVENTS, statements.DELETE_LEFT_EVENTS),
    (statements.LEFT_MESSAGES, statements.DELETE_LEFT_MESSAGES),
)


def _delete_left(connection: apsw.Connection, run_key: RunKey, room: _Room) -> None:
    for left, delete in _LEFT:
        rows = connection.execute(left, (run_key, max(room.rows, 0)))
        positions = [position for position, size_bytes in rows if room.takes(size_bytes)]
        connection.execute(delete, (msgspec.json.encode(positions).decode(),))
