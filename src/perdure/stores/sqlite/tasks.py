"""Tasks in SQLite: functions of a connection, within the writer's transaction or on a reader's thread.

A row whose digest differs is no task that anybody may begin. It is taken out when it would be claimed, and its run
learns that the attempt has failed: as its retries say there is another one, whose row is sound.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import apsw
import msgspec

from perdure.errors import StoreCorruptError
from perdure.kernel.identity import Operation, RunKey, RunRef, WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import Task, TaskClaim, labels_of
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Delivery
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
    encode_serving,
)
from perdure.stores.sql import sessions as session_statements
from perdure.stores.sql import tasks as statements
from perdure.stores.sqlite.encoding import claim_row, encode_delivery
from perdure.stores.sqlite.faults import is_damage
from perdure.stores.sqlite.inboxes import deliver
from perdure.stores.sqlite.rows import as_typed, ref_of, sound_task
from perdure.stores.sqlite.sessions import Session
from perdure.stores.sqlite.task_lines import TaskLines, UnsoundSharesError
from perdure.stores.task_messages import damage_told, start_told

if TYPE_CHECKING:
    from perdure.stores.sqlite.segment import News

__all__ = [
    "ClaimedTasks",
    "UnsoundTasksError",
    "announce",
    "claim_tasks",
    "correct_costs",
    "held_tasks",
    "list_servers",
    "list_tasks",
    "next_task_at",
    "return_tasks",
]

_LOGGER: Final = logger_named("perdure.store")


class ClaimedTasks(NamedTuple):
    """What one claim has got: tasks; the runs that were told of damaged ones; how many it has looked at; and at which
    positions there was nothing to take, whatever an index says."""

    claimed: Sequence[ClaimedTask] = ()
    told: frozenset[RunKey] = frozenset()
    looked_at: int = 0
    stale: frozenset[int] = frozenset()

    def and_also(self, more: "ClaimedTasks") -> "ClaimedTasks":
        """Return this and another one."""
        claimed = [*self.claimed, *more.claimed]
        return ClaimedTasks(claimed, self.told | more.told, self.looked_at + more.looked_at, self.stale | more.stale)


class UnsoundTasksError(StoreCorruptError):
    """Of the rows of some tasks there is one that cannot be read, or not be written."""

    def __init__(self, positions: Sequence[int], cause: Exception) -> None:
        """Name the tasks by their positions, and what was met."""
        super().__init__(f"tasks cannot be claimed: {cause}; see `perdure verify`")
        self.__cause__ = cause
        self.positions: Final = positions


def claim_tasks(
    connection: apsw.Connection,
    news: "News",
    *,
    session: Session,
    now: Timestamp,
    limit: int,
    served: ServedTasks,
    costs: Sequence[TaskCost] = (),
    passed: Collection[int] = (),
    is_fair: bool = True,
) -> ClaimedTasks:
    """Take tasks that nobody has, but none at the positions that are `passed`; by turns only if it `is_fair`.

    Complexity: their number, and that of those who share their lines, plus those of other activities that are passed
    over. Raises UnsoundTasksError, and UnsoundSharesError.
    """
    lines = TaskLines(connection, served, owner=session.worker_id, now=now, passed=passed, is_fair=is_fair)
    lines.correct(costs)
    chosen, reached = lines.choose(limit=max(limit, 0))
    positions: list[int] = [choice.task.row for choice in chosen]
    try:
        rows = _take(connection, positions, owner=session.worker_id) if positions else {}
        sound = {position: task for position, (_, task) in rows.items() if task is not None}
        charged = lines.charge(reached, [choice for choice in chosen if choice.task.row in sound])
        claimed = [
            _claimed(rows[position][0], sound[position], choice.share, charged.get(position, 0.0))
            for choice in chosen
            if (position := choice.task.row) in sound
        ]
        messages = [start_told(one, session.name, now=now) for one in claimed if one.task.tells_start]
        damaged = [row for row, task in rows.values() if task is None]
        dropped = [message for row in damaged if (message := _drop(connection, row, now=now)) is not None]
        if messages or dropped:
            encoded = [encode_delivery(message, owner=session.worker_id) for message in [*messages, *dropped]]
            deliver(connection, encoded, news=news, is_exact=True)
    except (apsw.Error, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise
        raise UnsoundTasksError(positions, error) from error
    lines.save()
    told = frozenset(message.target for message in dropped if not isinstance(message.target, RunRef))
    stale = frozenset(position for position in positions if position not in rows)
    return ClaimedTasks(claimed, told, len(positions), stale)


def _take(
    connection: apsw.Connection, positions: list[int], *, owner: WorkerId
) -> dict[int, tuple["_Row", Task | None]]:
    """Take what is sound of these; return the rows that are there, each with its task, None for a damaged one."""
    rows = {row[0]: (row, _task_of(row)) for row in connection.execute(statements.TASKS_TO_READ, (_json(positions),))}
    sound = [position for position in positions if position in rows and rows[position][1] is not None]
    connection.execute(statements.TAKE_TASKS, (owner, _json(sound)))
    return rows


def next_task_at(
    connection: apsw.Connection, *, owner: WorkerId, now: Timestamp, served: ServedTasks
) -> Timestamp | None:
    """Return when a task is kept for another session no longer."""
    latest = now + SKEW_MICROSECONDS
    found = [connection.execute(statements.NEXT_TASK, (queue, now, owner, latest)).get for queue in served.queues]
    return min((Timestamp(until) for until in found if until is not None), default=None)


_Row = Sequence[Any]  # Any: what SQLite found, which may be damaged


def _task_of(row: _Row) -> Task | None:
    """Read a row of `TASKS_TO_READ`; None for one that is not as it was written."""
    _, is_typed, _, _, digest, share, cost, *fields = row
    return sound_task(fields, digest, share=share, cost=cost) if is_typed else None


def _claimed(row: _Row, task: Task, share: str, charged: float) -> ClaimedTask:
    _, _, claims, recovering, _, _, _, run_key, operation, attempt, *_ = row
    claim = TaskClaim(run_key=RunKey(run_key), operation=Operation(operation), attempt=attempt, number=claims + 1)
    return ClaimedTask(claim=claim, task=task, recovered=bool(recovering), share=share, charged=charged)


def _drop(connection: apsw.Connection, row: _Row, *, now: Timestamp) -> Delivery | None:
    """Take a damaged task out of its queue; return what its run is told, if there is one by this key."""
    position, _, _, _, _, _, _, run_key, operation, *_ = row
    connection.execute(statements.DELETE_TASK, (position,))
    generation = connection.execute(statements.TASK_TARGET, (run_key,)).get
    _LOGGER.error(
        "the task of operation %s of run key %s is damaged, and was taken out of its queue", operation, run_key
    )
    if generation is None or not isinstance(operation, int):
        return None
    return damage_told(RunKey(run_key), generation, Operation(operation), now=now)


def return_tasks(
    connection: apsw.Connection, news: "News", *, claims: Iterable[TaskClaim], owner: WorkerId, begun: bool
) -> None:
    """Let others claim what a session has."""
    for claim in claims:
        connection.execute(statements.RETURN_TASK, (int(begun), *claim_row(claim, owner=owner)))
        if connection.changes():
            news.run_keys.add(claim.run_key)
            news.is_queued = True


def correct_costs(connection: apsw.Connection, *, owner: WorkerId, costs: Sequence[TaskCost], now: Timestamp) -> None:
    """Correct what was charged before; nothing where damage is met, with which claims deal."""
    served = ServedTasks(queues=frozenset(), activities=frozenset())
    lines = TaskLines(connection, served, owner=owner, now=now)
    with suppress(UnsoundSharesError):
        lines.correct(costs)
        lines.save()


def held_tasks(connection: apsw.Connection, *, owner: WorkerId) -> set[TaskClaim]:
    """Return what a session has."""
    return {
        TaskClaim(run_key=RunKey(run_key), operation=Operation(operation), attempt=attempt, number=claims)
        for run_key, operation, attempt, claims in connection.execute(statements.HELD_TASKS, (owner,))
    }


def announce(connection: apsw.Connection, *, owner: WorkerId, serving: Serving) -> None:
    """Note what a session serves."""
    connection.execute(session_statements.ANNOUNCE, (encode_serving(serving).decode(), owner))


def list_servers(connection: apsw.Connection) -> list[ServerSummary]:
    """Return the sessions that have announced something."""
    return [
        ServerSummary(worker=WorkerId(worker), name=name, serving=serving, lease_until=Timestamp(lease_until))
        for worker, name, data, lease_until in connection.execute(session_statements.SERVERS)
        if (serving := decode_serving(data)) is not None
    ]


def list_tasks(connection: apsw.Connection, query: TaskQuery) -> list[TaskSummary]:
    """Return one page of tasks."""
    return [_summary(row) for row in connection.execute(*statements.listing_tasks(query))]


def _summary(row: _Row) -> TaskSummary:
    """Read a row of `listing_tasks`. A damaged one must not keep others from being read; `perdure verify` names it."""
    namespace, run_id, generation, *others = row
    values = [as_typed(value, kind) for value, kind in zip(others, _LISTED, strict=True)]
    run_key, operation, attempt, queue, activity, priority, queued_at, owner, claims, worker, labels, *sticky = values
    sticky_to, sticky_until = sticky
    return TaskSummary(
        run_key=RunKey(run_key),
        run=ref_of(namespace, run_id, generation),
        operation=Operation(operation),
        attempt=attempt,
        queue=queue,
        activity=activity,
        priority=Priority(priority),
        queued_at=Timestamp(queued_at),
        owner=None if owner is None else WorkerId(owner),
        worker=worker,
        claims=claims,
        labels=labels_of(labels),
        sticky_to=None if sticky_to is None else WorkerId(sticky_to),
        sticky_until=None if sticky_until is None else Timestamp(sticky_until),
    )


_LISTED: Final = (int, int, int, str, str, int, int, int | None, int, str, str, int | None, int | None)
"""The types of what follows the name of the run in a row of `listing_tasks`."""


def _json(values: object) -> str:
    return msgspec.json.encode(values).decode()
