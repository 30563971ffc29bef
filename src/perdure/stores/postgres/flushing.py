"""What a decision has changed in a `Workset` is written back: a statement or two for each table."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from perdure.kernel.identity import RunKey
from perdure.kernel.locking import LockEntry
from perdure.stores.memory.tables import Entry, Run, TaskRow
from perdure.stores.postgres import statements
from perdure.stores.postgres.chains import Head, Heads, beginning_of, chained, head_of
from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.loading import Loaded
from perdure.stores.postgres.rows import parking_as_text
from perdure.stores.postgres.workset import FIRST_NEW_POSITION, Workset
from perdure.stores.sql.blocks import parts_of_rows, rows_of
from perdure.stores.sql.chain import digest_of_message, digest_of_task

__all__ = ["CollisionError", "flush"]

Row = tuple[Any, ...]  # Any: columns of all types


class CollisionError(Exception):
    """Another transaction has created a run meanwhile that this one would create: it is to be decided anew."""


async def flush(
    connection: Connection, loaded: Loaded, decided: Workset, *, heads: Heads, in_blocks: bool
) -> dict[RunKey, Head]:
    """Write what differs from what was loaded; return what the next event is linked to of each run that got any.

    `heads`: what is known of that from before. `in_blocks`: events of a run are one row (`perdure.stores.sql.blocks`).
    Raises CollisionError, and asyncpg's errors.
    """
    await _flush_runs(connection, loaded, decided)
    await _flush_labels(connection, loaded, decided)
    following = await _flush_events(connection, decided, heads, in_blocks=in_blocks)
    await _flush_inboxes(connection, loaded, decided)
    await _flush_requests(connection, loaded, decided)
    await _flush_locks(connection, loaded, decided)
    await _flush_tasks(connection, loaded, decided)
    return following


async def _execute(connection: Connection, statement: str, rows: Iterable[Row]) -> None:
    """Run a statement on rows, if there are any."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    if columns:
        await connection.execute(statement, *columns)


# --- runs ------------------------------------------------------------------------------------------------------------


async def _flush_runs(connection: Connection, loaded: Loaded, decided: Workset) -> None:
    changed = [run for run in decided.runs.values() if run != loaded.runs.get(run.run_key)]
    new = [run for run in changed if loaded.runs.get(run.run_key) is None]
    old = [run for run in changed if loaded.runs.get(run.run_key) is not None]
    await _execute(connection, statements.UPDATE_RUNS, map(_standing, old))
    if new:
        requests = {run_key: request_id for (_, request_id), run_key in decided.requests.items()}
        columns = zip(*(_whole(run, requests.get(run.run_key, "")) for run in new), strict=True)
        inserted = await connection.fetch(statements.INSERT_RUNS, *map(list, columns))
        if len(inserted) < len(new):
            raise CollisionError
    superseded = ((run.ref.namespace, run.ref.id, run.ref.generation - 1) for run in new if run.ref.generation > 1)
    await _execute(connection, statements.SUPERSEDE_RUNS, superseded)


def _standing(run: Run) -> Row:
    return (
        run.run_key,
        run.sequence,
        run.status,
        run.stage,
        run.progress,
        run.priority,
        run.started_at,
        run.updated_at,
        run.closed_at,
        run.owner,
        run.fencing_token,
        run.wake_at,
        run.end_at,
        run.is_recovered,
        parking_as_text(run.parked),
    )


def _whole(run: Run, request_id: str) -> Row:
    ref = run.ref
    return (
        *_standing(run),
        ref.namespace,
        ref.id,
        ref.generation,
        run.workflow,
        run.definition_version,
        run.tenant,
        run.parent_key,
        run.created_at,
        request_id,
    )


async def _flush_labels(connection: Connection, loaded: Loaded, decided: Workset) -> None:
    gone: list[Row] = []
    put: list[Row] = []
    for run in decided.runs.values():
        before = loaded.runs.get(run.run_key)
        labels = {} if before is None else before.labels
        if run.labels != labels:
            gone += [(run.run_key, name) for name in labels.keys() - run.labels.keys()]
            put += [
                (run.run_key, name, value, run.ref.namespace, run.created_at)
                for name, value in run.labels.items()
                if labels.get(name) != value
            ]
    await _execute(connection, statements.DELETE_LABELS, gone)
    await _execute(connection, statements.INSERT_LABELS, put)


# --- events ----------------------------------------------------------------------------------------------------------


async def _flush_events(
    connection: Connection, decided: Workset, heads: Heads, *, in_blocks: bool
) -> dict[RunKey, Head]:
    """Add events; return what the next one of each run is linked to."""
    added = {run_key: events for run_key, events in decided.events.items() if events}
    following: dict[RunKey, Head] = {}
    wanted: list[tuple[RunKey, int]] = []
    for run_key, events in added.items():
        last = events[0][0] - 1
        head = heads.at(run_key, last)
        following[run_key] = beginning_of(decided.runs[run_key].ref) if head is None else head
        if last and head is None:
            wanted.append((run_key, last))
    if wanted:
        columns = map(list, zip(*wanted, strict=True))
        for row in await connection.fetch(statements.DIGESTS_OF_EVENTS, *columns):
            run_key, last = RunKey(row["run_key"]), row["sequence"]
            following[run_key] = head_of(decided.runs[run_key].ref, last, row["digest"])
    rows: list[Row] = []
    for run_key, events in added.items():
        blocks = rows_of(parts_of_rows(events), in_blocks=in_blocks)
        following[run_key] = chained(run_key, blocks, following[run_key], rows)
    await _execute(connection, statements.INSERT_EVENTS, rows)
    return following


# --- inboxes ---------------------------------------------------------------------------------------------------------


async def _flush_inboxes(connection: Connection, loaded: Loaded, decided: Workset) -> None:
    before = {position: run_key for run_key, inbox in loaded.inboxes.items() for position in inbox}
    await _execute(connection, statements.DELETE_MESSAGES, decided.consumed)
    placed = sorted(_placed(decided), key=_position)
    moved = (
        (position, run_key, _digest(run_key, entry))
        for position, run_key, entry in placed
        if position < FIRST_NEW_POSITION and before.get(position) != run_key
    )
    await _execute(connection, statements.MOVE_MESSAGES, moved)
    new = (
        (run_key, entry.message_id, entry.data.decode(), entry.at, _digest(run_key, entry))
        for position, run_key, entry in placed
        if position >= FIRST_NEW_POSITION
    )
    await _execute(connection, statements.INSERT_MESSAGES, new)


def _placed(decided: Workset) -> Iterator[tuple[int, RunKey, Entry]]:
    for inboxes in (decided.inboxes, decided.inboxes.fresh):
        for run_key, inbox in inboxes.items():
            for position, entry in inbox.items():
                yield position, run_key, entry


def _position(placed: tuple[int, RunKey, Entry]) -> int:
    return placed[0]


def _digest(run_key: RunKey, entry: Entry) -> bytes:
    return digest_of_message(run_key, entry.message_id, entry.at, entry.data.decode())


# --- requests and locks ----------------------------------------------------------------------------------------------


async def _flush_requests(connection: Connection, loaded: Loaded, decided: Workset) -> None:
    made = (
        (*request, run_key)
        for request, run_key in decided.message_requests.items()
        if loaded.message_requests.get(request) != run_key
    )
    await _execute(connection, statements.PUT_REQUESTS, made)


async def _flush_locks(connection: Connection, loaded: Loaded, decided: Workset) -> None:
    gone = [position for position in loaded.locks if position not in decided.locks]
    if gone:
        await connection.execute(statements.DELETE_LOCKS, gone)
    of_both: Callable[[int], bool] = loaded.locks.__contains__
    granted = (
        (position, entry.granted_at)
        for position, entry in decided.locks.items()
        if of_both(position) and entry != loaded.locks[position]
    )
    await _execute(connection, statements.GRANT_LOCKS, granted)
    for position, entry in decided.locks.items():
        if not of_both(position):
            await connection.execute(statements.INSERT_LOCKS, *_lock_row(position, entry))


def _lock_row(position: int, entry: LockEntry) -> Row:
    return (
        position,
        entry.run.namespace,
        entry.key,
        entry.run_key,
        entry.operation,
        entry.limit,
        list(entry.holding),
        entry.requested_at,
        entry.granted_at,
    )


# --- tasks -----------------------------------------------------------------------------------------------------------


async def _flush_tasks(connection: Connection, loaded: Loaded, decided: Workset) -> None:
    tasks = decided.tasks
    await _execute(
        connection, statements.DELETE_TASKS, tasks.absent - {key for key, row in loaded.tasks.items() if row is None}
    )
    new = (_task_row(row) for key, row in tasks.items() if loaded.tasks.get(key) != row)
    await _execute(connection, statements.INSERT_TASKS, new)


def _task_row(row: TaskRow) -> Row:
    fields = (
        row.run_key,
        row.operation,
        row.attempt,
        row.namespace,
        row.queue,
        row.activity,
        row.priority,
        row.queued_at,
        row.data.decode(),
        row.labels,
    )
    return (*fields, digest_of_task(fields), row.sticky_to, row.sticky_until, row.share, row.cost)
