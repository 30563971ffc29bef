"""`perdure tasks`, and what `perdure show` says of a run's tasks."""

from typing import TYPE_CHECKING

import msgspec

from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.printing import make_table, print_for_people, print_json, words
from perdure.cli.run_report import RunReport
from perdure.cli.times import iso, show_duration, show_moment
from perdure.client.queues import with_reasons
from perdure.kernel.messages import HeartbeatMessage
from perdure.kernel.time import Timestamp
from perdure.ports.store import InboxEntry, RunStore
from perdure.ports.tasks import TaskQuery, TaskSummary

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["RunTask", "list_tasks", "run_task_for_programs", "run_tasks_table", "tasks_of_run"]


async def list_tasks(place: Place, *, queue: str | None, run_id: str | None, limit: int, as_json: bool) -> int:
    """Print what waits and what is under way. Raises NoDatabaseError, RunNotFoundError, StoreErrors."""
    async with as_client(place) as engine:
        now = engine.worker.clock.now()
        found = await engine.tasks(queue=queue, run_id=run_id, limit=limit)
    if as_json:
        print_json({"tasks": [_for_programs(task) for task in found], "is_all": len(found) < limit})
    elif found:
        print_for_people(_table(found, now=now))
        if len(found) == limit:
            print(f"{limit} tasks; if there are more: repeat with a higher --limit, or of one --queue")
    else:
        print("No tasks wait, and none are under way.")
    return ExitCode.OK


class RunTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task of a run; `beat_at` is when the run heard last of who is at this attempt, None: it has not."""

    task: TaskSummary
    beat_at: Timestamp | None = None


async def tasks_of_run(store: RunStore, report: RunReport, inbox: list[InboxEntry], *, now: Timestamp) -> list[RunTask]:
    """Return the tasks of a run in the order of their operations; `inbox`: what it has not read yet."""
    beats = dict(report.heartbeats)
    for entry in inbox:
        if isinstance(entry.message, HeartbeatMessage):
            beats[entry.message.operation] = entry.at
    summary = report.summary
    query = TaskQuery(namespace=summary.ref.namespace, run_key=summary.run_key)
    found = await with_reasons(store, await store.list_tasks(query), now=now)
    return [
        RunTask(task=task, beat_at=at if (at := beats.get(task.operation)) and at >= task.queued_at else None)
        for task in sorted(found, key=lambda task: task.operation)
    ]


def run_task_for_programs(one: RunTask) -> dict[str, object]:
    """Return a task of a run, for programs."""
    return {**_for_programs(one.task), "last_heartbeat_at": iso(one.beat_at)}


def run_tasks_table(tasks: list[RunTask], *, now: Timestamp) -> "Table":
    """Return the tasks of a run, for people."""
    table = make_table(
        ">operation", "activity", ">attempt", "queue", "state", "queued", "last heartbeat", title="In task queues"
    )
    for one in tasks:
        task = one.task
        table.add_row(
            str(task.operation),
            words(task.activity),
            str(task.attempt),
            words(task.queue, "bold"),
            words(_place(task)),
            show_moment(task.queued_at, now=now),
            "" if one.beat_at is None else show_moment(one.beat_at, now=now),
        )
    return table


def _place(task: TaskSummary) -> str:
    if task.owner is None:
        return f"waits: {task.waits_for}"
    return f"at worker {task.worker or '?'} (session {task.owner})"


def _for_programs(task: TaskSummary) -> dict[str, object]:
    return {
        "queue": task.queue,
        "activity": task.activity,
        "run": task.run.id,
        "generation": task.run.generation,
        "operation": task.operation,
        "attempt": task.attempt,
        "priority": task.priority.name.lower(),
        "queued_at": iso(task.queued_at),
        "state": _state(task),
        "session": task.owner,
        "worker": task.worker or None,
        "claims": task.claims,
        "labels": task.labels,
        "waits_for": task.waits_for or None,
    }


def _table(found: list[TaskSummary], *, now: Timestamp) -> "Table":
    table = make_table(
        "queue", "activity", "run", "priority", "for", ">attempt", ">claims", "where, or what it waits for"
    )
    for task in found:
        table.add_row(
            words(task.queue, "bold"),
            words(task.activity),
            words(task.run.id),
            task.priority.name.lower(),
            show_duration(max(now - task.queued_at, 0)),
            str(task.attempt),
            str(task.claims),
            words(_place(task)),
        )
    return table


def _state(task: TaskSummary) -> str:
    return "waits" if task.owner is None else "claimed"
