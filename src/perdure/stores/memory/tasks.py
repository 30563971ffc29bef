"""Tasks in memory: put into their queues and taken out, claimed, given back."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from perdure.errors import HistoryError
from perdure.kernel.identity import Operation, RunKey, WorkerId
from perdure.kernel.messages import encode_message
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import TaskClaim, labels_of
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Delivery, Transition
from perdure.ports.tasks import (
    SKEW_MICROSECONDS,
    ClaimedTask,
    ServedTasks,
    ServerSummary,
    TaskCost,
    TaskQuery,
    TaskSummary,
    decode_task,
    encode_task,
    has_labels,
)
from perdure.stores.memory.inboxes import put, wake_for
from perdure.stores.memory.tables import Entry, MemoryDatabase, News, Session, TaskRow
from perdure.stores.task_messages import start_told
from perdure.stores.task_shares import (
    Choice,
    Line,
    Place,
    Shares,
    Waiting,
    charge,
    choose,
    corrected,
    left_behind,
    without,
)

__all__ = [
    "change_tasks",
    "claim_tasks",
    "correct_costs",
    "encoded_tasks",
    "free_tasks",
    "held_tasks",
    "list_servers",
    "list_tasks",
    "next_task_at",
    "return_tasks",
    "take_task",
]


# --- in the transactions of runs -------------------------------------------------------------------------------------


def encoded_tasks(write: Transition) -> list[TaskRow]:
    """Return the rows of what a transition puts into queues."""
    return [
        TaskRow(
            run_key=write.run_key,
            operation=task.operation,
            attempt=task.attempt,
            namespace=task.ref.namespace,
            queue=task.queue,
            activity=task.activity,
            priority=task.priority,
            queued_at=task.queued_at,
            data=encode_task(task),
            labels=task.labels,
            share=task.share,
            cost=task.expected_seconds,
            sticky_to=task.sticky_to,
            sticky_until=task.sticky_until,
        )
        for task in write.queued
    ]


def change_tasks(database: MemoryDatabase, write: Transition, rows: Sequence[TaskRow], news: News) -> None:
    """Take a transition's tasks out of their queues, and put others in."""
    for operation in write.withdrawn:
        database.tasks.pop((write.run_key, operation), None)
    for row in rows:
        database.tasks[row.run_key, row.operation] = msgspec.structs.replace(row)
        news.is_queued = True


def take_task(database: MemoryDatabase, session: Session, claim: TaskClaim, *, ends: bool) -> bool:
    """Whether the task of which a message tells is still the session's; it is gone then if the message ends it."""
    key = (claim.run_key, claim.operation)
    if not _is_of(database.tasks.get(key), claim, session.worker):
        return False
    if ends:
        database.tasks.pop(key, None)
    return True


def _is_of(row: TaskRow | None, claim: TaskClaim, worker: WorkerId) -> bool:
    return row is not None and (row.attempt, row.claims, row.owner) == (claim.attempt, claim.number, worker)


# --- claims ----------------------------------------------------------------------------------------------------------


def correct_costs(database: MemoryDatabase, costs: Sequence[TaskCost], *, now: Timestamp) -> None:
    """Correct what was charged before."""
    for cost in costs:
        line = Line(cost.queue, cost.priority, {}, database.task_shares.get((cost.queue, cost.priority), Shares()))
        _keep(database, line, corrected(line, cost, now=now))


def claim_tasks(
    database: MemoryDatabase,
    session: Session,
    news: News,
    *,
    now: Timestamp,
    limit: int,
    served: ServedTasks,
    costs: Sequence[TaskCost] = (),
) -> list[ClaimedTask]:
    """Take tasks that nobody has. Complexity: linear in all tasks."""
    waiting = _waiting(database, session, served, now=now)
    lines: dict[tuple[str, Priority], Line] = {}
    for queue, priority in sorted(waiting.keys() | {(cost.queue, cost.priority) for cost in costs}):
        firsts = {share: tasks[0].place for share, tasks in waiting.get((queue, priority), {}).items()}
        line = Line(queue, priority, firsts, database.task_shares.get((queue, priority), Shares()))
        for cost in costs:
            if (cost.queue, cost.priority) == (queue, priority):
                line = line._replace(shares=corrected(line, cost, now=now))
        lines[queue, priority] = line
        _keep(database, line, line.shares)

    def of_class(priority: Priority) -> list[Line]:
        return [line for line in lines.values() if line.priority == priority and line.firsts]

    def tasks(line: Line, share: str) -> Iterator[Waiting]:
        return (task for task in waiting[line.queue, line.priority][share] if task.row is not None)

    chosen, reached = choose(of_class, tasks, limit=limit)
    charged: dict[int, float] = {}
    for line in reached:
        taken = [choice for choice in chosen if choice.line is line]
        shares = charge(line, taken, now=now)
        _keep(database, line, without(shares, _idle(shares, taken, waiting[line.queue, line.priority])))
        charged.update({id(choice.task): choice.task.cost for choice in taken if choice.share in shares.tags})
    return [
        _claim(database, session, choice.task.row, news, now=now, charged=charged.get(id(choice.task), 0.0))
        for choice in chosen
    ]


def _idle(shares: Shares, taken: Sequence[Choice], waiting: Mapping[str, Sequence[Waiting]]) -> set[str]:
    """Return who was left behind, and without a task."""
    places = {choice.task.place for choice in taken}
    return {who for who in left_behind(shares, taken) if places.issuperset(task.place for task in waiting[who])}


def _keep(database: MemoryDatabase, line: Line, shares: Shares) -> None:
    database.task_shares.pop((line.queue, line.priority), None)
    if shares.tags:
        database.task_shares[line.queue, line.priority] = shares


def _waiting(
    database: MemoryDatabase, session: Session, served: ServedTasks, *, now: Timestamp
) -> dict[tuple[str, Priority], dict[str, list[Waiting]]]:
    """Return what waits in the queues that a session serves, by line and share; without the rows of what it may not
    take."""
    waiting: dict[tuple[str, Priority], dict[str, list[Waiting]]] = {}
    for row in sorted(database.tasks.values(), key=_place):
        if row.owner is None and row.queue in served.queues and has_labels(row.labels, served):
            is_kept = row.sticky_to in database.sessions and _is_kept(row, session.worker, now)
            may_be_taken = row.activity in served.activities and not is_kept
            place = Place(row.queued_at, row.run_key, row.operation)
            task = Waiting(place, row.cost, row if may_be_taken else None)
            waiting.setdefault((row.queue, row.priority), {}).setdefault(row.share, []).append(task)
    return waiting


def _is_kept(row: TaskRow, worker: WorkerId, now: Timestamp) -> bool:
    """Whether a task is kept for another; not one that was queued later than now, before a clock was set back."""
    is_of_now = row.queued_at <= now + SKEW_MICROSECONDS
    return row.sticky_to not in (None, worker) and is_of_now and now < (row.sticky_until or 0)


def next_task_at(
    database: MemoryDatabase, session: Session, *, now: Timestamp, served: ServedTasks
) -> Timestamp | None:
    """Return when a task is kept for another no longer. Complexity: linear in all tasks."""
    kept = [
        row.sticky_until
        for row in database.tasks.values()
        if row.queue in served.queues and row.owner is None and _is_kept(row, session.worker, now)
    ]
    return min((until for until in kept if until is not None), default=None)


def _place(row: TaskRow) -> tuple[Priority, Timestamp, RunKey, Operation]:
    return (row.priority, row.queued_at, row.run_key, row.operation)


def _claim(
    database: MemoryDatabase, session: Session, row: TaskRow, news: News, *, now: Timestamp, charged: float
) -> ClaimedTask:
    try:
        task = decode_task(row.data)
    except msgspec.DecodeError as error:
        raise HistoryError(f"task {row.operation} of run {row.run_key} cannot be read: {error}") from error
    row.owner, row.claims = session.worker, row.claims + 1
    row.sticky_to = row.sticky_until = None
    claimed = ClaimedTask(claim=_claim_of(row), task=task, recovered=row.is_recovered, share=row.share, charged=charged)
    if task.tells_start:
        _tell(database, row.run_key, start_told(claimed, session.name, now=now), news)
    return claimed


def _tell(database: MemoryDatabase, run_key: RunKey, told: Delivery, news: News) -> None:
    run = database.runs.get(run_key)
    if run is None or run.status.is_closed:
        return
    if put(database, run, Entry(data=encode_message(told.message), message_id=told.message_id, at=told.at)):
        wake_for(database, run, told.message, told.at, news)


def return_tasks(
    database: MemoryDatabase, session: Session, claims: Iterable[TaskClaim], news: News, *, begun: bool
) -> None:
    """Let others claim what this session has."""
    for claim in claims:
        row = database.tasks.get((claim.run_key, claim.operation))
        if row is not None and _is_of(row, claim, session.worker):
            row.owner, row.is_recovered = None, row.is_recovered or begun
            _is_free(row, news)


def free_tasks(database: MemoryDatabase, workers: Collection[WorkerId], news: News) -> None:
    """Let others claim what sessions have, and may have begun, and what is kept for them."""
    for row in database.tasks.values():
        if row.owner in workers:
            row.owner, row.is_recovered = None, True
            _is_free(row, news)
        if row.sticky_to in workers:
            row.sticky_to = row.sticky_until = None
            _is_free(row, news)


def _is_free(row: TaskRow, news: News) -> None:
    news.run_keys.add(row.run_key)
    news.is_queued = True


# --- questions -------------------------------------------------------------------------------------------------------


def held_tasks(database: MemoryDatabase, session: Session) -> set[TaskClaim]:
    """Return what is the session's. Complexity: linear in all tasks."""
    return {_claim_of(row) for row in database.tasks.values() if row.owner == session.worker}


def _claim_of(row: TaskRow) -> TaskClaim:
    return TaskClaim(run_key=row.run_key, operation=row.operation, attempt=row.attempt, number=row.claims)


def list_servers(database: MemoryDatabase) -> list[ServerSummary]:
    """Return the sessions that have announced something."""
    return [
        ServerSummary(
            worker=worker,
            name=session.name,
            serving=session.serving,
            lease_until=_EVER if session.lease_until is None else session.lease_until,
        )
        for worker, session in sorted(database.sessions.items())
        if session.serving is not None
    ]


_EVER: Final = Timestamp(2**62)
"""When the lease of a session ends that nobody has told the time yet."""


def list_tasks(database: MemoryDatabase, query: TaskQuery) -> list[TaskSummary]:
    """Return one page of tasks. Complexity: linear in all tasks."""
    found = [
        row
        for row in database.tasks.values()
        if row.namespace == query.namespace
        and query.queue in (None, row.queue)
        and query.run_key in (None, row.run_key)
        and (query.after is None or _place(row) > query.after)
    ]
    found.sort(key=_place)
    return [_summary(database, row) for row in found[: max(query.limit, 0)]]


def _summary(database: MemoryDatabase, row: TaskRow) -> TaskSummary:
    owner = None if row.owner is None else database.sessions.get(row.owner)
    return TaskSummary(
        run_key=row.run_key,
        run=database.runs[row.run_key].ref,
        operation=row.operation,
        attempt=row.attempt,
        queue=row.queue,
        activity=row.activity,
        priority=row.priority,
        queued_at=row.queued_at,
        owner=row.owner,
        worker="" if owner is None else owner.name,
        claims=row.claims,
        labels=labels_of(row.labels),
        sticky_to=row.sticky_to,
        sticky_until=row.sticky_until,
    )
