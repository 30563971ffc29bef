"""What the store is asked: functions of a connection, outside of transactions that write."""

from contextlib import suppress
from typing import Final

from perdure.errors import HistoryError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.history import RecordedEvent, decode_event
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.locking import LockEntry
from perdure.kernel.messages import decode_message
from perdure.kernel.time import Timestamp
from perdure.ports.agenda import AgendaEntry, AgendaKey, AgendaQuery
from perdure.ports.store import InboxEntry, LockQuery, RunSummary
from perdure.stores.memory.tables import summarise
from perdure.stores.postgres.chains import Head
from perdure.stores.postgres.conditions import Conditions
from perdure.stores.postgres.connection import Connection, Record
from perdure.stores.postgres.rows import LOCK_COLUMNS, RUN_COLUMNS, agenda_entry_of, lock_entry_of, run_of
from perdure.stores.sql.chain import digest_of_message
from perdure.stores.sql.checking import ChainCheck

__all__ = [
    "find",
    "find_agenda",
    "find_by_request",
    "list_agenda",
    "list_locks",
    "next_agenda_at",
    "read_history",
    "read_history_and_head",
    "read_inbox",
    "read_rest_of_inbox",
]


async def find(connection: Connection, ref: RunRef | RunKey, *, latest: bool) -> RunSummary | None:
    """Return a run's row: by key, by id (latest generation) or by generation."""
    if not isinstance(ref, RunRef):
        row = await connection.fetchrow(_RUN_BY_KEY, ref)
    elif latest:
        row = await connection.fetchrow(_LATEST_OF_ID, ref.namespace, ref.id)
    else:
        row = await connection.fetchrow(_GENERATION_OF_ID, ref.namespace, ref.id, ref.generation)
    return None if row is None else summarise(run_of(row))


async def find_by_request(connection: Connection, namespace: str, request_id: str) -> RunSummary | None:
    """Return the row of the run that was created with a request id."""
    row = await connection.fetchrow(_RUN_OF_REQUEST, namespace, request_id)
    return None if row is None else summarise(run_of(row))


_RUN: Final = f"SELECT {RUN_COLUMNS} FROM runs WHERE"  # noqa: S608 - texts of ours

# run_key
_RUN_BY_KEY: Final = f"{_RUN} run_key = $1"

# namespace, id
_LATEST_OF_ID: Final = f"{_RUN} namespace = $1::varchar AND id = $2::varchar AND latest"

# namespace, id, generation
_GENERATION_OF_ID: Final = f"{_RUN} namespace = $1::varchar AND id = $2::varchar AND generation = $3"

# namespace, request_id
_RUN_OF_REQUEST: Final = f"{_RUN} namespace = $1::varchar AND request_id = $2::varchar AND request_id <> ''"


# --- histories and inboxes -------------------------------------------------------------------------------------------


async def read_history(connection: Connection, run_key: RunKey, *, after: int, limit: int) -> list[RecordedEvent]:
    """Return the events after `after`, at most `limit`, each checked; none of a run that does not exist.

    Raises HistoryError.
    """
    events, _ = await read_history_and_head(connection, run_key, after=after, limit=limit)
    return events


async def read_history_and_head(
    connection: Connection, run_key: RunKey, *, after: int, limit: int
) -> tuple[list[RecordedEvent], Head | None]:
    """Return beside the events what the next one is linked to, if they go to the end. Raises HistoryError."""
    if limit <= 0:
        return [], None
    before = max(after, 0)
    rows = await connection.fetch(_COUNTED_EVENTS, run_key, before, min(limit, _MOST) + min(before, 1))
    if not rows:
        return [], None
    run, *events = rows
    check = ChainCheck(RunRef(namespace=run["namespace"], id=run["id"], generation=run["generation"]), after=before)
    sound = [row for row in (event[_BESIDE_EVENTS:] for event in events) if check.take(row)]
    head: Head | None = None
    if len(sound) < limit:
        check.demand_end(run["counted"])
        head = None if check.digest is None else Head(check.genesis, check.sequence, check.digest)
    return [decode_event(*row[:-1]) for row in sound], head


async def read_inbox(connection: Connection, run_key: RunKey, *, after: int, limit: int) -> list[InboxEntry]:
    """Return the oldest messages behind a position. Raises HistoryError."""
    rows = await connection.fetch(_INBOX, run_key, after, min(max(limit, 0), _MOST))
    return [_message_of(run_key, row) for row in rows]


async def read_rest_of_inbox(connection: Connection, run_key: RunKey) -> list[InboxEntry]:
    """Return the messages that are as they were written."""
    rest: list[InboxEntry] = []
    for row in await connection.fetch(_INBOX, run_key, _FIRST, _MOST):
        with suppress(HistoryError):
            rest.append(_message_of(run_key, row))
    return rest


def _message_of(run_key: RunKey, row: Record) -> InboxEntry:
    position, message_id, data, at, digest = row
    if digest != digest_of_message(run_key, message_id, at, data):
        raise HistoryError(
            f"the message at position {position} of the inbox of run {run_key} is not the one that was put there: its "
            f"digest differs"
        )
    try:
        message = decode_message(data)
    except UNDECODABLE as error:
        raise HistoryError(f"the inbox of run {run_key} holds what is no message: {error}") from error
    return InboxEntry(position=position, message=message, message_id=message_id, at=Timestamp(at))


_MOST: Final = 2**31 - 1
_FIRST: Final = -(2**63)

# run_key, sequence of the first, limit. One statement, and one moment: the run's row comes first, and what it counts
# is what there was.
_COUNTED_EVENTS: Final = """
SELECT namespace, id, generation, sequence AS counted,
    NULL::integer AS sequence, NULL AS type, NULL::smallint AS version, NULL::bigint AS at, NULL AS data,
    NULL::bytea AS digest
FROM runs WHERE run_key = $1
UNION ALL
SELECT * FROM (
    SELECT NULL::varchar, NULL::varchar, NULL::integer, NULL::integer, sequence, type, version, at, data, digest
    FROM history WHERE run_key = $1 AND sequence >= $2 AND EXISTS (SELECT FROM runs WHERE run_key = $1)
    ORDER BY sequence LIMIT $3
) AS events
ORDER BY sequence NULLS FIRST
"""
_BESIDE_EVENTS: Final = 4

# run_key, position, limit
_INBOX: Final = """
SELECT position, message_id, data, at, digest FROM inbox WHERE run_key = $1 AND position > $2
ORDER BY position LIMIT $3
"""


# --- the agenda ------------------------------------------------------------------------------------------------------


async def find_agenda(connection: Connection, key: AgendaKey) -> AgendaEntry | None:
    """Return an entry."""
    row = await connection.fetchrow(_AGENDA_ENTRY, key.namespace, key.kind, key.id)
    return None if row is None else agenda_entry_of(row)


async def list_agenda(connection: Connection, query: AgendaQuery) -> list[AgendaEntry]:
    """Return one page."""
    conditions = Conditions()
    if query.kind is not None:
        conditions.demand("kind = {}", query.kind)
    if query.namespace is not None:
        conditions.demand("namespace = {}", query.namespace)
    if query.due_by is not None:
        conditions.demand("due_at <= {}", query.due_by)
    if query.waits:
        conditions.demand("waits")
    if query.after is not None:
        conditions.demand(
            "(namespace, kind, id) > ({}, {}, {})", query.after.namespace, query.after.kind, query.after.id
        )
    text = f"{_AGENDA} {conditions.where} ORDER BY namespace, kind, id LIMIT {conditions.bind(max(query.limit, 0))}"
    return [agenda_entry_of(row) for row in await connection.fetch(text, *conditions.parameters)]


async def next_agenda_at(connection: Connection, *, after: Timestamp | None) -> Timestamp | None:
    """Return the earliest time at which an entry is due, later than `after`."""
    found = await connection.fetchval(_NEXT_AGENDA, _FIRST if after is None else after)
    return None if found is None else Timestamp(found)


_AGENDA: Final = "SELECT namespace, kind, id, version, due_at, waits, data, inputs, digest FROM agenda"

# namespace, kind, id
_AGENDA_ENTRY: Final = f"{_AGENDA} WHERE namespace = $1::varchar AND kind = $2::varchar AND id = $3::varchar"

# after
_NEXT_AGENDA: Final = "SELECT min(due_at) FROM agenda WHERE due_at > $1"


# --- locks -----------------------------------------------------------------------------------------------------------


async def list_locks(connection: Connection, query: LockQuery) -> list[LockEntry]:
    """Return one page of entries."""
    conditions = Conditions()
    conditions.demand("locks.namespace = {}", query.namespace)
    conditions.demand("locks.position > {}", query.after)
    if query.run_key is not None:
        conditions.demand("locks.run_key = {}", query.run_key)
    if query.key is not None:
        conditions.demand("locks.key = {}", query.key)
    limit = conditions.bind(min(max(query.limit, 0), _MOST))
    text = f"{_LOCKS} {conditions.where} ORDER BY position LIMIT {limit}"
    return [lock_entry_of(row) for row in await connection.fetch(text, *conditions.parameters)]


_LOCKS: Final = f"SELECT {LOCK_COLUMNS} FROM locks JOIN runs USING (run_key)"  # noqa: S608 - texts of ours
