"""`perdure tasks`."""

from typing import TYPE_CHECKING

from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.printing import make_table, print_for_people, print_json, words
from perdure.cli.times import iso, show_duration
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import TaskSummary

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["list_tasks"]


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
        "claims": task.claims,
    }


def _table(found: list[TaskSummary], *, now: Timestamp) -> "Table":
    table = make_table("queue", "activity", "run", "priority", "state", "for", ">attempt", ">claims")
    for task in found:
        table.add_row(
            words(task.queue, "bold"),
            words(task.activity),
            words(task.run.id),
            task.priority.name.lower(),
            _state(task),
            show_duration(max(now - task.queued_at, 0)),
            str(task.attempt),
            str(task.claims),
        )
    return table


def _state(task: TaskSummary) -> str:
    return "waits" if task.owner is None else "claimed"
