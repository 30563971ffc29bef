"""Sessions and claims: who owns which run. Functions of a connection, within the transaction that is open on it.

**No run is left to a session that is gone.** Whoever gives back all that a session owns counts up the epoch of its
lanes first (`perdure.stores.postgres.lanes`): that waits for what is about to be committed, the server's own end of a
COMMIT whose client has died included, and has all fail that comes later. What an owner without a session still gets, as
one that is only cut off may, is freed at the next look.
"""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from perdure.kernel.identity import FencingToken, RunKey, WorkerId, WorkflowVersion
from perdure.kernel.time import Timestamp
from perdure.ports.store import ClaimedRun
from perdure.stores.memory.tables import News, summarise
from perdure.stores.postgres.connection import Connection, Record
from perdure.stores.postgres.rows import RUN_COLUMNS, run_of
from perdure.stores.postgres.set_back import TIMES, hasten_hidden, heed_clock, heed_noted, note_time
from perdure.stores.postgres.tasks import free_tasks

__all__ = [
    "Freed",
    "SessionRow",
    "Surroundings",
    "begin_session",
    "claim",
    "end_session",
    "free_expired",
    "give_back_all",
    "next_wake_at",
    "renew",
]


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """This process's session."""

    worker_id: WorkerId
    name: str
    host: str
    pid: int
    process: str
    started_at: Timestamp
    lease_microseconds: int


class Freed(msgspec.Struct, frozen=True):
    """How many runs were given back, and how many sessions were forgotten since they are dead."""

    runs: int
    dead: int


class Surroundings(msgspec.Struct, frozen=True):
    """What a session knows of the others: `known_time`, the latest time that is noted; `read_blocks`, whether all of
    them read rows of several events (`perdure.stores.sql.blocks`), as those of older libraries do not."""

    known_time: Timestamp
    read_blocks: bool


async def begin_session(connection: Connection, session: SessionRow, *, lanes: int, origin: int) -> Surroundings:
    """Insert the session's row, and those of its lanes."""
    await _put_session(connection, session, now=session.started_at)
    for lane in range(lanes):
        await connection.execute(_PUT_LANE, session.worker_id, lane)
    await connection.execute(_NOTE_ORIGIN, session.worker_id, origin)
    await hasten_hidden(connection, now=session.started_at)
    return await _surroundings(connection, now=session.started_at)


async def _surroundings(connection: Connection, *, now: Timestamp) -> Surroundings:
    return Surroundings(
        known_time=await note_time(connection, now), read_blocks=await connection.fetchval(_READ_BLOCKS)
    )


async def _put_session(connection: Connection, session: SessionRow, *, now: Timestamp) -> None:
    await connection.execute(
        _PUT_SESSION,
        session.worker_id,
        session.name,
        session.host,
        session.pid,
        session.process,
        session.started_at,
        now + session.lease_microseconds,
        session.lease_microseconds,
    )


# --- claims ----------------------------------------------------------------------------------------------------------


async def claim(
    connection: Connection,
    session: SessionRow,
    news: News,
    *,
    now: Timestamp,
    limit: int,
    workflows: frozenset[WorkflowVersion],
    code: str | None,
) -> list[ClaimedRun]:
    """Take runs that nobody owns, in the order of `RunStore.claim`.

    Runs that another transaction has locked are passed over: it takes them, or changes what they wait for.
    """
    names = sorted(workflows)
    asked = (now, max(limit, 0), [name.name for name in names], [name.version for name in names], code)
    rows = await connection.fetch(_CLAIMABLE, *asked)
    noted = {row["kind"]: row["value"] for row in rows if row["kind"] in TIMES}
    lease = session.lease_microseconds
    if await heed_noted(connection, news, noted, lease_microseconds=lease, now=now, known_time=None):
        rows = await connection.fetch(_CLAIMABLE, *asked)
    by_kind: dict[str, list[RunKey]] = {"end": [], "due": [], "parked": []}
    for row in rows:
        by_kind.get(row["kind"], []).append(RunKey(row["value"]))
    ends, due = by_kind["end"], by_kind["due"]
    chosen = list(dict.fromkeys([*ends[: (limit + 1) // 2], *due, *ends, *by_kind["parked"]]))[: max(limit, 0)]
    if not chosen:
        return []
    found = {RunKey(row["run_key"]): row for row in await connection.fetch(_TAKE, chosen, session.worker_id)}
    return [_claimed(found[key], owner=session.worker_id) for key in chosen]


def _claimed(row: Record, *, owner: WorkerId) -> ClaimedRun:
    run = run_of(row)
    is_recovered, parked, due_at = run.is_recovered, run.parked, run.wake_at
    run.owner, run.fencing_token = owner, FencingToken(run.fencing_token + 1)
    run.is_recovered, run.parked, run.wake_at = False, None, None
    return ClaimedRun(
        summary=summarise(run),
        recovered=is_recovered,
        parked=parked,
        due_at=due_at,
        inbox_position=row["inbox_position"],
    )


async def next_wake_at(connection: Connection, workflows: frozenset[WorkflowVersion]) -> Timestamp | None:
    """Return the earliest time at which a run that nobody owns comes due."""
    names = sorted(workflows)
    columns = ([name.name for name in names], [name.version for name in names])
    moment = await connection.fetchval(_NEXT_WAKE, *columns)
    return None if moment is None else Timestamp(moment)


# --- leases ----------------------------------------------------------------------------------------------------------


async def renew(
    connection: Connection, session: SessionRow, news: News, *, now: Timestamp, known_time: Timestamp
) -> tuple[bool, Surroundings]:
    """Extend the lease. If it had passed, give back what the session still owned, and begin a new one.

    `known_time`: see `perdure.stores.clock.heed`. Return whether the lease was kept.
    """
    lease = session.lease_microseconds
    await heed_clock(connection, news, lease_microseconds=lease, now=now, known_time=known_time)
    surroundings = await _surroundings(connection, now=now)
    extended = await connection.fetchval(_EXTEND_LEASE, session.worker_id, now, now + session.lease_microseconds)
    if extended is None:
        await _free(connection, [session.worker_id], news, now=now)
        await _put_session(connection, session, now=now)
    return extended is not None, surroundings


async def free_expired(
    connection: Connection, session: SessionRow, news: News, *, now: Timestamp, dead: Collection[WorkerId]
) -> Freed:
    """Give back the runs of sessions that are dead, and forget these, of those whose lease has passed, and of those
    that are forgotten."""
    gone = [row["worker_id"] for row in await connection.fetch(_GONE_SESSIONS, now, sorted(dead))]
    if gone:
        await connection.execute(_FENCE_OTHERS, gone, session.worker_id)
    forgotten = [row["owner"] for row in await connection.fetch(_FORGOTTEN_OWNERS)]
    runs = await _free(connection, [*gone, *forgotten], news, now=now) if gone or forgotten else 0
    buried = [worker for worker in gone if worker in dead]
    if buried:
        await connection.execute(_END_SESSIONS, buried)
    return Freed(runs=runs, dead=len(buried))


async def give_back_all(connection: Connection, session: SessionRow, news: News) -> None:
    """Give back the session's runs in good order, and have all its transactions fail that have not ended yet."""
    await connection.execute(_FENCE, session.worker_id)
    if await connection.fetch(_GIVE_BACK, session.worker_id):
        news.is_ready = True
    await free_tasks(connection, [session.worker_id], news)


async def end_session(connection: Connection, session: SessionRow, *, is_unused: bool) -> None:
    """Remove the session's rows; `is_unused`: it has given out no keys."""
    await connection.execute(_END_SESSIONS, [session.worker_id])
    await connection.execute(_END_LANES, session.worker_id)
    if is_unused:
        await connection.execute(_FORGET_ORIGIN, session.worker_id)


async def _free(connection: Connection, workers: Sequence[int], news: News, *, now: Timestamp) -> int:
    freed = await connection.fetch(_FREE, list(workers), now)
    news.is_ready = news.is_ready or bool(freed)
    await free_tasks(connection, workers, news)
    return len(freed)


# worker_id, lane
_PUT_LANE: Final = "INSERT INTO lanes (worker_id, lane, epoch, last_commit, applied) VALUES ($1, $2, 0, 0, '{}')"

# worker_id, origin
_NOTE_ORIGIN: Final = "INSERT INTO key_origins (worker_id, origin) VALUES ($1, $2)"

# worker_id; of a session that has given out no keys
_FORGET_ORIGIN: Final = "DELETE FROM key_origins WHERE worker_id = $1"

# worker_id, name, host, pid, process, started_at, lease_until, lease_microseconds
_PUT_SESSION: Final = """
INSERT INTO sessions (worker_id, name, host, pid, process, started_at, lease_until, lease_microseconds, reads_blocks)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, true)
ON CONFLICT (worker_id) DO UPDATE SET
    lease_until = excluded.lease_until, lease_microseconds = excluded.lease_microseconds
"""

_READ_BLOCKS: Final = "SELECT NOT EXISTS (SELECT FROM sessions WHERE NOT reads_blocks)"

# worker_id, now, new lease_until
_EXTEND_LEASE: Final = """
UPDATE sessions SET lease_until = $3 WHERE worker_id = $1 AND lease_until > $2 RETURNING worker_id
"""

# now, worker_ids of the dead; locked, so that no renewal comes between this and what follows from it, and so that of
# those who find somebody dead at once one alone does that
_GONE_SESSIONS: Final = """
SELECT worker_id FROM sessions WHERE lease_until <= $1 OR worker_id = ANY ($2::bigint[]) ORDER BY worker_id FOR UPDATE
"""

# worker_id
_FENCE: Final = "UPDATE lanes SET epoch = epoch + 1 WHERE worker_id = $1"

# worker_ids, and who asks, on a lane of its own
_FENCE_OTHERS: Final = "UPDATE lanes SET epoch = epoch + 1 WHERE worker_id = ANY ($1::bigint[]) AND worker_id <> $2"

# From owner to owner by the index, whatever they own. A session has its row before it owns anything.
_FORGOTTEN_OWNERS: Final = """
WITH RECURSIVE owners (owner) AS (
    SELECT least((SELECT min(owner) FROM runs), (SELECT min(owner) FROM tasks))
    UNION ALL
    SELECT least(
        (SELECT min(runs.owner) FROM runs WHERE runs.owner > owners.owner),
        (SELECT min(tasks.owner) FROM tasks WHERE tasks.owner > owners.owner)
    )
    FROM owners WHERE owners.owner IS NOT NULL
)
SELECT owner FROM owners
WHERE owner IS NOT NULL AND NOT EXISTS (SELECT FROM sessions WHERE worker_id = owners.owner)
"""

# worker_ids; their lanes stay: one that is only cut off asks them what became of its last commits
_END_SESSIONS: Final = "DELETE FROM sessions WHERE worker_id = ANY ($1::bigint[])"

# worker_id
_END_LANES: Final = "DELETE FROM lanes WHERE worker_id = $1"

# now, limit, names and versions of workflows, code; beside the keys of runs the times that are noted. One class after
# the other, as a LATERAL is executed for each row before it: only so an index gives the order, nothing is read that is
# not due, and no run of a class is locked once there are enough of those before it.
_CLAIMABLE: Final = """
SELECT kind, value FROM (
    SELECT 'end' AS kind, 0 AS class, end_at AS at, run_key AS value FROM (
        SELECT run_key, end_at FROM runs WHERE owner IS NULL AND end_at <= $1
        ORDER BY end_at, run_key LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
    ) AS ends
    UNION ALL
    SELECT 'due', class, wake_at, run_key FROM (
        SELECT * FROM generate_series(0, 4) AS class, LATERAL (
            SELECT run_key, wake_at FROM runs
            WHERE owner IS NULL AND priority = class AND wake_at <= $1
                AND (workflow, definition_version) IN (SELECT * FROM unnest($3::varchar[], $4::varchar[]))
            ORDER BY wake_at, run_key LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
        ) AS of_class LIMIT $2
    ) AS due
    UNION ALL
    SELECT 'parked', priority, 0, run_key FROM (
        SELECT run_key, priority FROM runs
        WHERE parked IS NOT NULL AND owner IS NULL AND $5::text IS NOT NULL
            AND (workflow, definition_version) IN (SELECT * FROM unnest($3::varchar[], $4::varchar[]))
            AND NOT (parked::jsonb -> 'tried') ? $5
        ORDER BY priority, run_key LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
    ) AS untried
    UNION ALL
    SELECT name, 0, 0, value FROM store_meta WHERE name IN ('latest_time', 'set_back_at')
) AS found ORDER BY kind, class, at, value
"""

_CLASSES: Final = range(5)

# run keys, owner. What is returned is as it was before: they are locked, and a statement's own changes it does not see.
_TAKE: Final = f"""
WITH taken AS (
    UPDATE runs SET owner = $2, fencing_token = fencing_token + 1, wake_at = NULL, parked = NULL, recovering = false
    WHERE run_key = ANY ($1::bigint[])
)
SELECT {RUN_COLUMNS},
    (SELECT coalesce(max(position), 0) FROM inbox WHERE inbox.run_key = runs.run_key) AS inbox_position
FROM runs WHERE run_key = ANY ($1::bigint[])
"""  # noqa: S608 - texts of ours

# names and versions of workflows. Of each class the earliest, by the index: the least of all would read all that wait.
_NEXT_WAKE_FRAME: Final = """
WITH named (workflow, version) AS (SELECT * FROM unnest($1::varchar[], $2::varchar[]))
SELECT least({classes}, (SELECT min(end_at) FROM runs WHERE owner IS NULL AND end_at IS NOT NULL))
"""
_NEXT_WAKE_OF_CLASS: Final = """(
    SELECT wake_at FROM runs
    WHERE owner IS NULL AND priority = {priority} AND wake_at IS NOT NULL
        AND (workflow, definition_version) IN (SELECT * FROM named)
    ORDER BY wake_at, run_key LIMIT 1
)"""
_NEXT_WAKE: Final = _NEXT_WAKE_FRAME.replace(
    "{classes}", ", ".join(_NEXT_WAKE_OF_CLASS.replace("{priority}", str(priority)) for priority in _CLASSES)
)

# workers, now; whose sessions are dead or too late. Whose a run is is asked where it is locked, here and below, and not
# again: by statistics of a moment at which nobody owned anything the server would compare each with each.
_FREE: Final = """
UPDATE runs SET owner = NULL, wake_at = $2, recovering = true
FROM (
    SELECT run_key FROM runs WHERE owner = ANY ($1::bigint[]) ORDER BY run_key FOR NO KEY UPDATE
) AS theirs
WHERE runs.run_key = theirs.run_key RETURNING runs.run_key
"""

# worker; what nobody owns is due since it was last written, or since the clock was looked at, which may be earlier
_GIVE_BACK: Final = """
UPDATE runs SET owner = NULL, wake_at = least(
    updated_at, coalesce((SELECT value FROM store_meta WHERE name = 'latest_time'), updated_at)
)
FROM (SELECT run_key FROM runs WHERE owner = $1 ORDER BY run_key FOR NO KEY UPDATE) AS its
WHERE runs.run_key = its.run_key RETURNING runs.run_key
"""
