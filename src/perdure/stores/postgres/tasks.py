"""Tasks: claimed, given back, asked about. Functions of a connection, within the transaction that is open on it.

**Claims take turns**, by an advisory lock: so each sees all that nobody has, in their order, and two never meet on a
row. A claim is short, and takes as many tasks as there is room for. It locks the runs that it tells something first, as
everybody does who writes to a run and its tasks; what was withdrawn meanwhile is not claimed.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from perdure.kernel.identity import Operation, RunKey, RunRef, WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import Task, TaskClaim
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Delivery, Outcome, Write
from perdure.logs import logger_named
from perdure.ports.tasks import ClaimedTask, ServedTasks, TaskQuery, TaskSummary, decode_task
from perdure.stores.memory.tables import News
from perdure.stores.postgres.conditions import Conditions
from perdure.stores.postgres.connection import Connection, Record
from perdure.stores.sql.chain import digest_of_task
from perdure.stores.task_messages import damage_told, start_told

if TYPE_CHECKING:
    from perdure.stores.postgres.sessions import SessionRow

__all__ = ["claim_tasks", "free_tasks", "held_tasks", "list_tasks", "return_tasks", "task_of"]

_LOGGER: Final = logger_named("perdure.store")

Deliver = Callable[[Connection, Sequence[Write]], Awaitable[tuple[Sequence[Outcome], News]]]
"""Puts messages into inboxes within the transaction."""


# --- claims ----------------------------------------------------------------------------------------------------------


async def claim_tasks(
    connection: Connection,
    session: "SessionRow",
    news: News,
    deliver: Deliver,
    *,
    now: Timestamp,
    limit: int,
    served: ServedTasks,
) -> list[ClaimedTask]:
    """Take tasks that nobody has. Complexity: their number, plus those of other activities that are passed over."""
    await connection.execute(_TAKE_TURN)
    names = (sorted(served.queues), sorted(served.activities))
    rows = await connection.fetch(_CLAIMABLE, *names, max(limit, 0))
    found = [(row, task_of(row)) for row in rows]
    told = sorted(row["run_key"] for row, task in found if task is None or task.tells_start)
    generations = {row["run_key"]: row["generation"] for row in await connection.fetch(_LOCK, told)} if told else {}
    taken = await _take(connection, rows, session.worker_id)
    messages: list[Delivery] = []
    claimed: list[ClaimedTask] = []
    for row, task in found:
        if (row["run_key"], row["operation"]) not in taken:
            continue
        if task is None:
            messages += await _drop(connection, row, generations, now=now)
            continue
        one = _claimed(row, task)
        claimed.append(one)
        if task.tells_start:
            messages.append(start_told(one, session.name, now=now))
    if messages:
        _, more = await deliver(connection, messages)
        news.run_keys |= more.run_keys
        news.is_ready |= more.is_ready
    return claimed


async def _take(connection: Connection, rows: Sequence[Record], owner: WorkerId) -> set[tuple[RunKey, Operation]]:
    if not rows:
        return set()
    keys = [(row["run_key"], row["operation"], row["attempt"], row["claims"]) for row in rows]
    taken = await connection.fetch(_TAKE, *map(list, zip(*keys, strict=True)), owner)
    return {(RunKey(row["run_key"]), Operation(row["operation"])) for row in taken}


def task_of(row: Record) -> Task | None:
    """Read a row; None for one that is not as it was written."""
    try:
        return decode_task(row["data"]) if row["digest"] == digest_of_task(row[name] for name in _FIELDS) else None
    except msgspec.DecodeError:
        return None


def _claimed(row: Record, task: Task) -> ClaimedTask:
    claim = TaskClaim(
        run_key=RunKey(row["run_key"]),
        operation=Operation(row["operation"]),
        attempt=row["attempt"],
        number=row["claims"] + 1,
    )
    return ClaimedTask(claim=claim, task=task, recovered=row["recovering"])


async def _drop(
    connection: Connection, row: Record, generations: dict[RunKey, int], *, now: Timestamp
) -> list[Delivery]:
    """Take a damaged task out of its queue; return what its run is told, if there is one by this key."""
    run_key, operation = RunKey(row["run_key"]), Operation(row["operation"])
    await connection.execute(_DELETE, run_key, operation)
    _LOGGER.error("the task of operation %s of run key %s is damaged, and leaves its queue", operation, run_key)
    if run_key not in generations:
        return []
    return [damage_told(run_key, generations[run_key], operation, row["attempt"], now=now)]


async def return_tasks(
    connection: Connection, session: "SessionRow", news: News, *, claims: Iterable[TaskClaim], begun: bool
) -> None:
    """Let others claim what a session has."""
    columns = _columns(claims)
    for row in await connection.fetch(_RETURN, *columns, session.worker_id, begun):
        news.run_keys.add(RunKey(row["run_key"]))
        news.is_ready = True


async def free_tasks(connection: Connection, workers: Sequence[int], news: News) -> None:
    """Let others claim what sessions have, and may have begun."""
    freed = await connection.fetch(_FREE, list(workers))
    news.run_keys.update(RunKey(row["run_key"]) for row in freed)
    news.is_ready = news.is_ready or bool(freed)


# --- questions -------------------------------------------------------------------------------------------------------


async def held_tasks(connection: Connection, session: "SessionRow") -> set[TaskClaim]:
    """Return what a session has."""
    return {_claim_of(row) for row in await connection.fetch(_HELD, session.worker_id)}


def _claim_of(row: Record) -> TaskClaim:
    return TaskClaim(
        run_key=RunKey(row["run_key"]),
        operation=Operation(row["operation"]),
        attempt=row["attempt"],
        number=row["claims"],
    )


def _columns(claims: Iterable[TaskClaim]) -> list[list[Any]]:
    rows = [(claim.run_key, claim.operation, claim.attempt, claim.number) for claim in claims]
    return [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]


async def list_tasks(connection: Connection, query: TaskQuery) -> list[TaskSummary]:
    """Return one page of tasks."""
    conditions = Conditions()
    conditions.demand("tasks.namespace = {}", query.namespace)
    if query.queue is not None:
        conditions.demand("queue = {}", query.queue)
    if query.run_key is not None:
        conditions.demand("run_key = {}", query.run_key)
    if query.after is not None:
        conditions.demand("(tasks.priority, queued_at, run_key, operation) > ({}, {}, {}, {})", *query.after)
    text = (
        "SELECT tasks.*, runs.namespace AS of_run, runs.id, runs.generation "  # noqa: S608 - texts of ours
        f"FROM tasks JOIN runs USING (run_key) {conditions.where} "
        f"ORDER BY tasks.priority, queued_at, run_key, operation LIMIT {conditions.bind(max(query.limit, 0))}"
    )
    return [_summary(row) for row in await connection.fetch(text, *conditions.parameters)]


def _summary(row: Record) -> TaskSummary:
    return TaskSummary(
        run_key=RunKey(row["run_key"]),
        run=RunRef(namespace=row["of_run"], id=row["id"], generation=row["generation"]),
        operation=Operation(row["operation"]),
        attempt=row["attempt"],
        queue=row["queue"],
        activity=row["activity"],
        priority=Priority(row["priority"]),
        queued_at=Timestamp(row["queued_at"]),
        owner=None if row["owner"] is None else WorkerId(row["owner"]),
        claims=row["claims"],
    )


_FIELDS: Final = (
    "run_key", "operation", "attempt", "namespace", "queue", "activity", "priority", "queued_at", "data",
)  # fmt: skip
"""What never changes of a row, in the order in which it is hashed."""

_TAKE_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('perdure tasks', 0))"

# queues, activities, limit; one class of one queue at a time: only so an index gives the order
_CLAIMABLE: Final = """
SELECT tasks.* FROM (
    SELECT found.* FROM generate_series(0, 4) AS classes (priority) CROSS JOIN unnest($1::varchar[]) AS queues (queue)
    CROSS JOIN LATERAL (
        SELECT run_key, operation, tasks.priority, queued_at FROM tasks
        WHERE tasks.queue = queues.queue AND tasks.priority = classes.priority AND owner IS NULL
            AND activity = ANY ($2::varchar[])
        ORDER BY queued_at, run_key, operation LIMIT $3
    ) AS found
    ORDER BY found.priority, queued_at, run_key, operation LIMIT $3
) AS first JOIN tasks USING (run_key, operation)
ORDER BY tasks.priority, tasks.queued_at, run_key, operation
"""

# run keys; of those that are open
_LOCK: Final = """
SELECT run_key, generation FROM runs WHERE run_key = ANY ($1::bigint[]) AND closed_at IS NULL
ORDER BY run_key FOR NO KEY UPDATE
"""

# run keys, operations, attempts, counts of claims, owner
_TAKE: Final = """
UPDATE tasks SET owner = $5, claims = tasks.claims + 1
FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[]) AS n (run_key, operation, attempt, claims)
WHERE tasks.run_key = n.run_key AND tasks.operation = n.operation AND tasks.attempt = n.attempt
    AND tasks.claims = n.claims AND tasks.owner IS NULL
RETURNING tasks.run_key, tasks.operation
"""

# run_key, operation
_DELETE: Final = "DELETE FROM tasks WHERE run_key = $1 AND operation = $2"

# workers; rows are locked in the order in which runs lock those that they withdraw
_FREE: Final = """
UPDATE tasks SET owner = NULL, recovering = true
FROM (
    SELECT run_key, operation FROM tasks WHERE owner = ANY ($1::bigint[]) ORDER BY run_key, operation FOR NO KEY UPDATE
) AS n
WHERE tasks.run_key = n.run_key AND tasks.operation = n.operation RETURNING tasks.run_key
"""

# run keys, operations, attempts, numbers of claims, owner, whether they may have been begun; rows locked in order
_RETURN: Final = """
UPDATE tasks SET owner = NULL, recovering = tasks.recovering OR $6
FROM (
    SELECT run_key, operation FROM tasks
    JOIN unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[]) AS n (run_key, operation, attempt, claims)
        USING (run_key, operation, attempt, claims)
    WHERE tasks.owner = $5 ORDER BY run_key, operation FOR NO KEY UPDATE OF tasks
) AS n
WHERE tasks.run_key = n.run_key AND tasks.operation = n.operation RETURNING tasks.run_key
"""

# owner
_HELD: Final = "SELECT run_key, operation, attempt, claims FROM tasks WHERE owner = $1"
