"""Runs as wholes: read, brought in, removed. Functions of a connection, within the transaction that is open on it."""

from collections.abc import Collection, Sequence
from typing import Final

from perdure.kernel.identity import RunKey
from perdure.kernel.transition import Applied, Outcome
from perdure.ports.keeping import FOREIGN_KEYS, ClosedQuery, WholeRun
from perdure.ports.store import LockQuery, RunSummary
from perdure.stores.memory import keeping as memory
from perdure.stores.memory.tables import News, summarise
from perdure.stores.postgres import reading
from perdure.stores.postgres.chains import Heads
from perdure.stores.postgres.conditions import Conditions
from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.flushing import flush
from perdure.stores.postgres.loading import load_whole
from perdure.stores.postgres.rows import QUEUE_OF_TASK, RUN_COLUMNS, run_of

__all__ = ["KEYS_PER_SESSION_BITS", "bring_in", "list_closed", "origins_of", "read_whole", "remove"]

KEYS_PER_SESSION_BITS: Final = 36
"""A run's key is the number of the session that gave it out, and below it a count of so many bits."""


async def read_whole(connection: Connection, run_key: RunKey) -> WholeRun | None:
    """Return everything of a run as it stands at one moment. Raises HistoryError."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(_WHOLE, run_key)
        if row is None:
            return None
        run = run_of(row)
        ref = run.ref
        requests = await connection.fetch(_REQUESTS, ref.namespace, ref.id, run_key)
        query = LockQuery(namespace=ref.namespace, run_key=run_key, limit=_ALL)
        return WholeRun(
            summary=summarise(run),
            request_id=row["request_id"],
            end_at=run.end_at,
            recovered=run.is_recovered,
            history=tuple(await reading.read_history(connection, run_key, after=0, limit=_ALL)),
            inbox=tuple(await reading.read_inbox(connection, run_key, after=0, limit=_ALL)),
            requests=tuple(request["request_id"] for request in requests),
            locks=tuple(await reading.list_locks(connection, query)),
            queues=tuple(row["queue"] for row in await connection.fetch(_QUEUES, run_key)),
        )


_ALL: Final = 2**31 - 2


async def bring_in(connection: Connection, run: WholeRun, news: News, *, in_blocks: bool) -> Outcome:
    """Insert a run whole, unless another is in the way. `in_blocks`: see `flush`."""
    prepared = memory.prepare_whole(run)
    await connection.execute(_LET_STAND)
    await connection.fetch(_LET_LAST)
    loaded = await load_whole(connection, run)
    decided = loaded.workset()
    outcome = memory.bring_in(decided, run, prepared, news)
    if isinstance(outcome, Applied):
        await flush(connection, loaded, decided, heads=Heads(), in_blocks=in_blocks)
        await connection.execute(_MARK_LATEST, run.summary.ref.namespace, run.summary.ref.id)
    return outcome


_LET_STAND: Final = "SET LOCAL idle_in_transaction_session_timeout = '5min'"
"""For what is computed of a long history meanwhile; nobody waits for what this transaction locks."""
_LET_LAST: Final = "SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout'"
"""Where the server has it."""


async def list_closed(connection: Connection, query: ClosedQuery) -> list[RunSummary]:
    """Return one page of closed runs that nothing open needs."""
    conditions = Conditions()
    conditions.demand("runs.closed_at <= {}", query.closed_until)
    conditions.demand(_IS_NOT_NEEDED)
    if query.after is not None:
        conditions.demand("(runs.closed_at, runs.run_key) > ({}, {})", *query.after)
    if query.namespace is not None:
        conditions.demand("runs.namespace = {}", query.namespace)
    for column, values in (("status", query.statuses), ("workflow", query.workflows)):
        if values:
            conditions.demand(f"runs.{column} = ANY ({{}})", sorted(values))
    text = (
        f"SELECT {RUN_COLUMNS} FROM runs {conditions.where} "  # noqa: S608 - texts of ours
        f"ORDER BY runs.closed_at, runs.run_key LIMIT {conditions.bind(max(query.limit, 0))}"
    )
    return [summarise(run_of(row)) for row in await connection.fetch(text, *conditions.parameters)]


async def remove(connection: Connection, run_keys: Sequence[RunKey], news: News) -> list[RunKey]:
    """Remove closed runs that nothing open needs, with all their rows; return which were removed."""
    removed: list[RunKey] = []
    await connection.fetch(_LOCK, sorted(set(run_keys)))
    for run_key in run_keys:
        row = await connection.fetchrow(_REMOVE, run_key)
        if row is None:
            continue
        removed.append(run_key)
        name, request_id = (row["namespace"], row["id"]), row["request_id"]
        heir = await connection.fetchval(_HEIR, *name)
        if heir is None:
            await connection.execute(_DELETE_REQUESTS, *name)
            continue
        await connection.execute(_ADOPT_REQUESTS, heir, *name, run_key)
        if request_id:
            await connection.execute(_KEEP_REQUEST, *name, request_id, heir)
    news.run_keys.update(removed)
    return removed


async def origins_of(connection: Connection, run_keys: Collection[RunKey]) -> dict[RunKey, int]:
    """Return where keys were given out, of those that this database has given out."""
    own = [key for key in run_keys if 0 < key < FOREIGN_KEYS]
    sessions = sorted({key >> KEYS_PER_SESSION_BITS for key in own})
    origins = {row["worker_id"]: row["origin"] for row in await connection.fetch(_ORIGINS, sessions)}
    found = ((key, origins.get(key >> KEYS_PER_SESSION_BITS)) for key in own)
    return {key: origin for key, origin in found if origin is not None}


# run_key
_WHOLE: Final = f"SELECT runs.request_id, {RUN_COLUMNS} FROM runs WHERE run_key = $1"  # noqa: S608 - texts of ours

# namespace, id, run_key
_REQUESTS: Final = """
SELECT request_id FROM message_requests WHERE namespace = $1::varchar AND id = $2::varchar AND run_key = $3
ORDER BY request_id
"""

# run_key
_QUEUES: Final = f"SELECT DISTINCT {QUEUE_OF_TASK} AS queue FROM tasks WHERE run_key = $1 ORDER BY queue"  # noqa: S608 - texts of ours

# namespace, id
_MARK_LATEST: Final = """
UPDATE runs SET latest = newest.generation = runs.generation
FROM (SELECT max(generation) AS generation FROM runs WHERE namespace = $1::varchar AND id = $2::varchar) AS newest
WHERE namespace = $1::varchar AND id = $2::varchar AND latest <> (newest.generation = runs.generation)
"""

# no open child, no lock, no open fork that was copied from it, or in which its calls go on
_IS_NOT_NEEDED: Final = """
NOT EXISTS (SELECT FROM runs AS child WHERE child.parent_key = runs.run_key AND child.closed_at IS NULL)
AND NOT EXISTS (SELECT FROM locks WHERE locks.run_key = runs.run_key)
AND NOT EXISTS (
    SELECT FROM history JOIN runs AS fork USING (run_key) WHERE history.type = 'run_forked' AND fork.closed_at IS NULL
        AND runs.run_key IN (
            (history.data::jsonb ->> 'origin_key')::bigint, (history.data::jsonb ->> 'caller_key')::bigint
        )
)
"""

# run keys
_LOCK: Final = "SELECT FROM runs WHERE run_key = ANY ($1::bigint[]) ORDER BY run_key FOR UPDATE"

_TABLES_OF_RUNS: Final = ("run_labels", "history", "inbox", "tasks")
"""Those whose rows go with their run."""

# run_key; all in one statement, which sees the run until it ends: with row-level security (`row_security`) what belongs
# to a run that is gone is seen by nobody who could delete it
_REMOVE: Final = f"""
WITH removed AS (
    DELETE FROM runs WHERE run_key = $1 AND closed_at IS NOT NULL AND {_IS_NOT_NEEDED} AND NOT EXISTS (
        SELECT FROM runs AS earlier WHERE earlier.namespace = runs.namespace AND earlier.id = runs.id
            AND earlier.generation = runs.generation - 1
    )
    RETURNING namespace, id, request_id
),
{
    ", ".join(
        f"of_{table} AS (DELETE FROM {table} WHERE run_key = $1 AND EXISTS (SELECT FROM removed))"
        for table in _TABLES_OF_RUNS
    )
}
SELECT * FROM removed
"""  # noqa: S608 - texts of ours

# namespace, id
_HEIR: Final = "SELECT run_key FROM runs WHERE namespace = $1::varchar AND id = $2::varchar ORDER BY generation LIMIT 1"
_DELETE_REQUESTS: Final = "DELETE FROM message_requests WHERE namespace = $1::varchar AND id = $2::varchar"

# new run_key, namespace, id, run_key
_ADOPT_REQUESTS: Final = """
UPDATE message_requests SET run_key = $1 WHERE namespace = $2::varchar AND id = $3::varchar AND run_key = $4
"""

# namespace, id, request_id, run_key
_KEEP_REQUEST: Final = """
INSERT INTO message_requests (namespace, id, request_id, run_key) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""

# numbers of sessions
_ORIGINS: Final = "SELECT worker_id, origin FROM key_origins WHERE worker_id = ANY ($1::bigint[])"
