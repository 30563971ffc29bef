"""What the store is asked: functions of a connection, outside of transactions that write.

What many ask at the same moment (`perdure.stores.postgres.together`) is answered by rows, in the order of the
questions; each who has asked reads its own, and meets what is wrong with these alone.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from perdure.errors import HistoryError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.history import RecordedEvent
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
from perdure.stores.postgres.rows import (
    EVENT_COLUMNS,
    LOCK_COLUMNS,
    RUN_COLUMNS,
    agenda_entry_of,
    lock_entry_of,
    run_of,
)
from perdure.stores.sql.blocks import MOST_EVENTS, events_of_row
from perdure.stores.sql.chain import digest_of_message
from perdure.stores.sql.checking import ChainCheck

__all__ = [
    "Page",
    "events_of",
    "find_agenda",
    "find_by_request",
    "latest_runs",
    "list_agenda",
    "list_locks",
    "messages_of",
    "next_agenda_at",
    "pages_of_histories",
    "pages_of_inboxes",
    "read_history",
    "read_inbox",
    "read_rest_of_inbox",
    "run_of_generation",
    "runs_of_keys",
    "summary_of",
]


# --- runs ------------------------------------------------------------------------------------------------------------


async def runs_of_keys(connection: Connection, run_keys: Sequence[RunKey]) -> list[Record | None]:
    """Return the rows of runs by their keys, None for one that is not there."""
    rows = {row["run_key"]: row for row in await connection.fetch(_RUNS_OF_KEYS, list(run_keys))}
    return [rows.get(run_key) for run_key in run_keys]


async def latest_runs(connection: Connection, refs: Sequence[RunRef]) -> list[Record | None]:
    """Return the rows of the latest generations of ids, None for one that is not there."""
    names = ([ref.namespace for ref in refs], [ref.id for ref in refs])
    rows = {(row["namespace"], row["id"]): row for row in await connection.fetch(_LATEST_OF_IDS, *names)}
    return [rows.get((ref.namespace, ref.id)) for ref in refs]


async def run_of_generation(connection: Connection, ref: RunRef) -> RunSummary | None:
    """Return the row of a run of this very generation."""
    return summary_of(await connection.fetchrow(_GENERATION_OF_ID, ref.namespace, ref.id, ref.generation))


async def find_by_request(connection: Connection, namespace: str, request_id: str) -> RunSummary | None:
    """Return the row of the run that was created with a request id."""
    return summary_of(await connection.fetchrow(_RUN_OF_REQUEST, namespace, request_id))


def summary_of(row: Record | None) -> RunSummary | None:
    """Read the row of a run, if there is one."""
    return None if row is None else summarise(run_of(row))


_RUN: Final = f"SELECT {RUN_COLUMNS} FROM runs WHERE"  # noqa: S608 - texts of ours

# run keys
_RUNS_OF_KEYS: Final = f"{_RUN} run_key = ANY ($1::bigint[])"

# namespaces, ids
_LATEST_OF_IDS: Final = f"""
SELECT found.* FROM unnest($1::varchar[], $2::varchar[]) AS wanted (namespace, id) CROSS JOIN LATERAL (
    {_RUN} runs.namespace = wanted.namespace AND runs.id = wanted.id AND latest LIMIT 1
) AS found
"""  # noqa: S608 - texts of ours

# namespace, id, generation
_GENERATION_OF_ID: Final = f"{_RUN} namespace = $1::varchar AND id = $2::varchar AND generation = $3"

# namespace, request_id
_RUN_OF_REQUEST: Final = f"{_RUN} namespace = $1::varchar AND request_id = $2::varchar AND request_id <> ''"


# --- histories and inboxes -------------------------------------------------------------------------------------------


class Page(NamedTuple):
    """At most `limit` events of a history, or messages of an inbox, behind `after`."""

    run_key: RunKey
    after: int
    limit: int


async def read_history(connection: Connection, run_key: RunKey, *, after: int, limit: int) -> list[RecordedEvent]:
    """Return the events after `after`, at most `limit`, each checked; none of a run that does not exist.

    Raises HistoryError.
    """
    page = Page(run_key, after, limit)
    [rows] = await pages_of_histories(connection, [page])
    return events_of(page, rows)[0]


async def pages_of_histories(connection: Connection, pages: Sequence[Page]) -> list[list[Record]]:
    """Return the rows of events, and before them that of their run; nothing of a run that does not exist.

    What is before the first of them is there, too, if there is something: nothing else tells what that is linked to.
    """
    asked = ((page.run_key, max(page.after, 0), _most(page)) for page in pages)
    return await _rows_of(connection, _COUNTED_EVENTS, asked, len(pages))


def events_of(page: Page, rows: Sequence[Record]) -> tuple[list[RecordedEvent], Head | None]:
    """Read the rows of a page; return beside the events what the next one is linked to, if they go to the end.

    Raises HistoryError.
    """
    if not rows or page.limit <= 0:
        return [], None
    run, *events = rows
    ref = RunRef(namespace=run["namespace"], id=run["id"], generation=run["generation"])
    stored = [event[_BESIDE_EVENTS:] for event in events]
    check = ChainCheck(ref, after=stored[0][0] if stored and stored[0][0] <= page.after else 0)
    found: list[RecordedEvent] = []
    for row in stored:
        if len(found) >= page.limit:  # what is behind may be damaged
            break
        if check.take(row):
            found += [event for event in events_of_row(row) if event.sequence > page.after]
    head: Head | None = None
    if len(found) < page.limit and page.after <= run["counted"]:  # from behind its end on nothing is demanded
        check.demand_end(run["counted"])
        head = None if check.digest is None else Head(check.genesis, check.sequence, check.digest)
    return found[: page.limit], head


async def read_inbox(connection: Connection, run_key: RunKey, *, after: int, limit: int) -> list[InboxEntry]:
    """Return the oldest messages behind a position. Raises HistoryError."""
    [rows] = await pages_of_inboxes(connection, [Page(run_key, after, limit)])
    return messages_of(run_key, rows)


async def read_rest_of_inbox(connection: Connection, run_key: RunKey) -> list[InboxEntry]:
    """Return the messages that are as they were written."""
    rest: list[InboxEntry] = []
    [rows] = await pages_of_inboxes(connection, [Page(run_key, _FIRST, _MOST)])
    for row in rows:
        with suppress(HistoryError):
            rest.append(_message_of(run_key, row))
    return rest


async def pages_of_inboxes(connection: Connection, pages: Sequence[Page]) -> list[list[Record]]:
    """Return the rows of the oldest messages."""
    asked = ((page.run_key, page.after, _most(page)) for page in pages)
    return await _rows_of(connection, _INBOXES, asked, len(pages))


def messages_of(run_key: RunKey, rows: Sequence[Record]) -> list[InboxEntry]:
    """Read the rows of messages. Raises HistoryError."""
    return [_message_of(run_key, row) for row in rows]


def _most(page: Page) -> int:
    return min(max(page.limit, 0), _MOST)


async def _rows_of(
    connection: Connection, statement: str, asked: Iterable[tuple[int, ...]], count: int
) -> list[list[Record]]:
    """Return the rows for each of so many questions, of which each row tells the number."""
    rows = await connection.fetch(statement, *map(list, zip(*asked, strict=True)))
    found = {number: list(of_number) for number, of_number in groupby(rows, itemgetter("question"))}
    return [found.get(number, []) for number in range(1, count + 1)]


def _message_of(run_key: RunKey, row: Record) -> InboxEntry:
    position, message_id, data, at, digest = row[:-1]
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


_MOST: Final = 2**31 - 2
_FIRST: Final = -(2**63)

# run keys, sequences of the events before the first, limits. One statement, and one moment: the run's row comes first,
# and what it counts is what there was.
_COUNTED_EVENTS: Final = f"""
SELECT question, found.* FROM unnest($1::bigint[], $2::integer[], $3::integer[])
    WITH ORDINALITY AS asked (run_key, after, most, question)
CROSS JOIN LATERAL (
    SELECT namespace, id, generation, sequence AS counted,
        NULL::integer AS sequence, NULL AS type, NULL::smallint AS version, NULL::bigint AS at, NULL AS data,
        NULL::bytea AS digest, NULL::smallint AS events
    FROM runs WHERE runs.run_key = asked.run_key
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, before.* FROM (
        SELECT sequence, NULL, NULL::smallint, NULL::bigint, NULL, digest, NULL::smallint
        FROM history WHERE history.run_key = asked.run_key AND sequence <= asked.after AND asked.after > 0
            AND EXISTS (SELECT FROM runs WHERE runs.run_key = asked.run_key)
        ORDER BY sequence DESC LIMIT 1
    ) AS before
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, behind.* FROM (
        SELECT {EVENT_COLUMNS} FROM history WHERE history.run_key = asked.run_key AND sequence > asked.after
            AND sequence < asked.after::bigint + asked.most + {MOST_EVENTS}
            AND EXISTS (SELECT FROM runs WHERE runs.run_key = asked.run_key)
        ORDER BY sequence LIMIT asked.most
    ) AS behind
) AS found
ORDER BY question, found.sequence NULLS FIRST
"""  # noqa: S608 - a number of ours
_BESIDE_EVENTS: Final = 5

# run keys, positions, limits
_INBOXES: Final = """
SELECT found.*, question FROM unnest($1::bigint[], $2::bigint[], $3::integer[])
    WITH ORDINALITY AS asked (run_key, first, most, question)
CROSS JOIN LATERAL (
    SELECT position, message_id, data, at, digest FROM inbox
    WHERE inbox.run_key = asked.run_key AND position > asked.first ORDER BY position LIMIT asked.most
) AS found
ORDER BY question, position
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
