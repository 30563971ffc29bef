"""Tasks: claimed, given back, asked about. Functions of a connection, within the transaction that is open on it.

**Claims of a queue take turns** (`perdure.stores.postgres.task_lines`): so each sees all that nobody has. A claim is
short, and takes as many tasks as there is room for. It locks the runs that it tells something first, as everybody does
who writes to a run and its tasks, and **waits for nobody but other claims**: what a commit has locked, or a claim of an
older library, whose turn is another one, is passed over, what comes next taken in its stead, and the store looks again
soon. So a commit that takes long, or whose process is paused, holds up no tasks but those of its runs.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from perdure.kernel.identity import Operation, RunKey, RunRef, WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import Task, TaskClaim, labels_of
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Delivery, Outcome, Write
from perdure.logs import logger_named
from perdure.ports.tasks import (
    SKEW_MICROSECONDS,
    ClaimedTask,
    ServedTasks,
    ServerSummary,
    Serving,
    TaskCost,
    TaskQuery,
    TaskSummary,
    decode_serving,
    decode_task,
    encode_serving,
)
from perdure.stores.memory.tables import News
from perdure.stores.postgres.conditions import Conditions
from perdure.stores.postgres.connection import Connection, Record
from perdure.stores.postgres.rows import QUEUE_OF_TASK, TASK_COLUMNS
from perdure.stores.postgres.task_lines import WITH_MARKED, Key, TaskLines, take_turn
from perdure.stores.sql.chain import digest_of_task
from perdure.stores.task_messages import damage_told, start_told

if TYPE_CHECKING:
    from perdure.stores.postgres.sessions import SessionRow

__all__ = [
    "announce",
    "claim_tasks",
    "correct_costs",
    "free_tasks",
    "held_tasks",
    "list_servers",
    "list_tasks",
    "next_task_at",
    "return_tasks",
    "task_of",
]

_LOGGER: Final = logger_named("perdure.store")

Deliver = Callable[[Connection, Sequence[Write]], Awaitable[tuple[Sequence[Outcome], News]]]
"""Puts messages into inboxes within the transaction."""


class TakenTasks(NamedTuple):
    """Those that are `claimed`; whether others were passed over that somebody has locked; which runs were told of
    damaged ones."""

    claimed: list[ClaimedTask]
    has_passed: bool
    told: set[RunKey]


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
    costs: Sequence[TaskCost] = (),
) -> TakenTasks:
    """Take tasks that nobody has. Complexity: their number, and that of those who share their queues, plus those of
    other activities that are passed over."""
    await take_turn(connection, served, costs)
    lines = TaskLines(connection, served, owner=session.worker_id, now=now)
    await lines.read(costs)
    claimed: list[ClaimedTask] = []
    messages: list[Delivery] = []
    damaged: list[Delivery] = []
    has_passed = False
    for _ in range(_ROUNDS):
        chosen, reached = await lines.choose(limit=max(limit - len(claimed), 0))
        rows = [(choice.share, choice.task.row, task_of(choice.task.row)) for choice in chosen]
        taken, open_runs = await _take(connection, [row for _, row, _ in rows], session.worker_id)
        sound = {_key(row) for _, row, task in rows if task is not None}
        charged = lines.charge(reached, chosen, taken & sound)
        for share, row, task in rows:
            if _key(row) not in taken:
                has_passed = True
            elif task is None:
                damaged += await _drop(connection, row, open_runs, now=now)
            else:
                claimed.append(one := _claimed(row, task, share, charged.get(_key(row), 0.0)))
                messages += [start_told(one, session.name, now=now)] if task.tells_start else []
        if len(rows) == len(taken):
            break
    await lines.forget_idle()
    await lines.save()
    if messages or damaged:
        _, more = await deliver(connection, [*messages, *damaged])
        news.run_keys |= more.run_keys
        news.is_ready |= more.is_ready
        news.is_queued |= more.is_queued
    told = {told.target for told in damaged if not isinstance(told.target, RunRef)}
    return TakenTasks(claimed, has_passed=has_passed, told=told)


async def _take(connection: Connection, rows: Sequence[Record], owner: WorkerId) -> tuple[set[Key], dict[RunKey, int]]:
    """Take those of these tasks, and the runs that are told of it, that nobody has locked; return which, and the
    generations of those runs that are open."""
    told = {row["run_key"] for row in rows if (task := task_of(row)) is None or task.tells_start}
    locked, open_runs = await _lock(connection, told) if told else (set[RunKey](), {})
    wanted = [row for row in rows if row["run_key"] not in locked]
    if not wanted:
        return set(), open_runs
    keys = [(row["run_key"], row["operation"], row["attempt"], row["claims"]) for row in wanted]
    taken = await connection.fetch(_TAKE, *map(list, zip(*keys, strict=True)), owner)
    return {_key(row) for row in taken}, open_runs


async def _lock(connection: Connection, run_keys: Collection[RunKey]) -> tuple[set[RunKey], dict[RunKey, int]]:
    """Lock runs; return which of them somebody else has locked, and the generations of those that are open."""
    rows = await connection.fetch(_LOCK, list(run_keys))
    missing = set(run_keys).difference(row["run_key"] for row in rows)
    there = await connection.fetch(_THERE, list(missing)) if missing else []
    open_runs = {RunKey(row["run_key"]): row["generation"] for row in rows if row["closed_at"] is None}
    return {RunKey(row["run_key"]) for row in there}, open_runs


def _key(row: Record) -> Key:
    return (RunKey(row["run_key"]), Operation(row["operation"]))


def task_of(row: Record) -> Task | None:
    """Read a row; None for one that is not as it was written, or names a run of another namespace: a role that is bound
    to its own could have others' workers take that for theirs."""
    try:
        if row["digest"] != digest_of_task(row[name] for name in _FIELDS):
            return None
        task = decode_task(row["data"])
    except msgspec.DecodeError:
        return None
    return task if task.ref.namespace == row["namespace"] else None


def _claimed(row: Record, task: Task, share: str, charged: float) -> ClaimedTask:
    claim = TaskClaim(
        run_key=RunKey(row["run_key"]),
        operation=Operation(row["operation"]),
        attempt=row["attempt"],
        number=row["claims"] + 1,
    )
    return ClaimedTask(claim=claim, task=task, recovered=row["recovering"], share=share, charged=charged)


async def _drop(connection: Connection, row: Record, open_runs: dict[RunKey, int], *, now: Timestamp) -> list[Delivery]:
    """Take a damaged task out of its queue; return what its run is told, if there is one by this key."""
    run_key, operation = RunKey(row["run_key"]), Operation(row["operation"])
    await connection.execute(_DELETE, run_key, operation)
    _LOGGER.error("the task of operation %s of run key %s is damaged, and leaves its queue", operation, run_key)
    if run_key not in open_runs:
        return []
    return [damage_told(run_key, open_runs[run_key], operation, now=now)]


async def return_tasks(
    connection: Connection, session: "SessionRow", news: News, *, claims: Iterable[TaskClaim], begun: bool
) -> None:
    """Let others claim what a session has."""
    columns = _columns(claims)
    for row in await connection.fetch(_RETURN, *columns, session.worker_id, begun):
        news.run_keys.add(RunKey(row["run_key"]))
        news.is_queued = True


async def correct_costs(
    connection: Connection, session: "SessionRow", *, costs: Sequence[TaskCost], now: Timestamp
) -> None:
    """Correct what was charged before."""
    served = ServedTasks(queues=frozenset(), activities=frozenset())
    await take_turn(connection, served, costs)
    lines = TaskLines(connection, served, owner=session.worker_id, now=now)
    await lines.read(costs)
    await lines.save()


async def free_tasks(connection: Connection, workers: Sequence[int], news: News) -> None:
    """Let others claim what sessions have, and may have begun, and what is kept for these."""
    freed = await connection.fetch(_FREE, list(workers))
    news.run_keys.update(RunKey(row["run_key"]) for row in freed)
    news.is_queued = news.is_queued or bool(freed)


async def next_task_at(
    connection: Connection, session: "SessionRow", *, now: Timestamp, served: ServedTasks
) -> Timestamp | None:
    """Return when a task is kept for another session no longer."""
    found = await connection.fetchval(_NEXT, sorted(served.queues), now, session.worker_id)
    return None if found is None else Timestamp(found)


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


async def announce(connection: Connection, session: "SessionRow", *, serving: Serving) -> None:
    """Note what a session serves, and as whom it sees rows, if policies hide some from it."""
    announced = msgspec.structs.replace(serving, seen_as=await connection.fetchval(_SEEN_AS))
    await connection.execute(_ANNOUNCE, session.worker_id, encode_serving(announced).decode())


async def list_servers(connection: Connection) -> list[ServerSummary]:
    """Return the sessions that have announced something."""
    return [
        ServerSummary(
            worker=WorkerId(row["worker_id"]),
            name=row["name"],
            serving=serving,
            lease_until=Timestamp(row["lease_until"]),
        )
        for row in await connection.fetch(_SERVERS)
        if (serving := decode_serving(row["serves"])) is not None
    ]


async def list_tasks(connection: Connection, query: TaskQuery) -> list[TaskSummary]:
    """Return one page of tasks."""
    conditions = Conditions()
    conditions.demand("tasks.namespace = {}", query.namespace)
    if query.queue is not None:
        conditions.demand(f"{QUEUE_OF_TASK} = {{}}::varchar", query.queue)
    if query.run_key is not None:
        conditions.demand("run_key = {}", query.run_key)
    if query.after is not None:
        conditions.demand("(tasks.priority, queued_at, run_key, operation) > ({}, {}, {}, {})", *query.after)
    text = (
        f"SELECT {TASK_COLUMNS}, runs.namespace AS of_run, runs.id, runs.generation, "  # noqa: S608 - texts of ours
        "coalesce(sessions.name, '') AS worker "
        f"FROM tasks JOIN runs USING (run_key) LEFT JOIN sessions ON worker_id = tasks.owner {conditions.where} "
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
        worker=row["worker"],
        claims=row["claims"],
        labels=labels_of(row["labels"]),
        sticky_to=None if row["sticky_to"] is None else WorkerId(row["sticky_to"]),
        sticky_until=None if row["sticky_until"] is None else Timestamp(row["sticky_until"]),
    )


_FIELDS: Final = (
    "run_key", "operation", "attempt", "namespace", "queue", "activity", "priority", "queued_at", "data", "labels",
)  # fmt: skip
"""What never changes of a row, in the order in which it is hashed."""

# queues, now, the session
_NEXT: Final = f"""
SELECT min(found.sticky_until) FROM ({WITH_MARKED}) AS queues CROSS JOIN LATERAL (
    SELECT sticky_until FROM tasks
    WHERE tasks.queue = queues.kept_under AND sticky_to IS NOT NULL AND sticky_until > $2::bigint AND sticky_to <> $3
        AND owner IS NULL AND queued_at <= $2 + {SKEW_MICROSECONDS}
    ORDER BY sticky_until LIMIT 1
) AS found
"""  # noqa: S608 - a text of ours

# run keys
_LOCK: Final = """
SELECT run_key, generation, closed_at FROM runs WHERE run_key = ANY ($1::bigint[]) FOR NO KEY UPDATE SKIP LOCKED
"""

# run keys
_THERE: Final = "SELECT run_key FROM runs WHERE run_key = ANY ($1::bigint[])"

# run keys, operations, attempts, counts of claims, owner
_TAKE: Final = """
UPDATE tasks SET owner = $5, claims = tasks.claims + 1, sticky_to = NULL, sticky_until = NULL
FROM (
    SELECT run_key, operation FROM tasks
    JOIN unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[]) AS n (run_key, operation, attempt, claims)
        USING (run_key, operation, attempt, claims)
    WHERE tasks.owner IS NULL FOR NO KEY UPDATE OF tasks SKIP LOCKED
) AS n
WHERE tasks.run_key = n.run_key AND tasks.operation = n.operation RETURNING tasks.run_key, tasks.operation
"""

# run_key, operation
_DELETE: Final = "DELETE FROM tasks WHERE run_key = $1 AND operation = $2"

# workers; rows are locked in the order in which runs lock those that they withdraw, those under way and those that are
# kept alike: in two statements they would not be
_FREE: Final = """
UPDATE tasks SET
    recovering = recovering OR coalesce(owner = ANY ($1), false),
    owner = CASE WHEN owner = ANY ($1) THEN NULL ELSE owner END,
    sticky_to = CASE WHEN sticky_to = ANY ($1) THEN NULL ELSE sticky_to END,
    sticky_until = CASE WHEN sticky_to = ANY ($1) THEN NULL ELSE sticky_until END
FROM (
    SELECT run_key, operation FROM tasks
    WHERE owner = ANY ($1::bigint[]) OR sticky_to = ANY ($1::bigint[])
    ORDER BY run_key, operation FOR NO KEY UPDATE
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

# worker_id, what it serves
_SEEN_AS: Final = "SELECT CASE WHEN row_security_active('runs') THEN current_user::text ELSE '' END"

_ANNOUNCE: Final = "UPDATE sessions SET serves = $2 WHERE worker_id = $1"

_SERVERS: Final = "SELECT worker_id, name, serves, lease_until FROM sessions WHERE serves <> '' ORDER BY worker_id"

# owner
_HELD: Final = "SELECT run_key, operation, attempt, claims FROM tasks WHERE owner = $1"

_ROUNDS: Final = 5
"""How often a claim looks for others in the stead of those that it has passed over."""
