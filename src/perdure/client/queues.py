"""Which attempts wait in task queues, or are under way there, as a client asks."""

from msgspec import structs

from perdure.authoring.arguments import require_integer, require_text
from perdure.client.gateway import Gateway, key_of
from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.ports.store import RunStore
from perdure.ports.tasks import TaskQuery, TaskSummary

__all__ = ["Place", "find_tasks", "with_reasons"]

Place = tuple[Priority, Timestamp, RunKey, Operation]
"""Where a task stands in lists, and among those of its tenant."""


async def find_tasks(
    gateway: Gateway, namespace: str, *, queue: str | None, run_id: str | None, after: Place | None, limit: int
) -> list[TaskSummary]:
    """Return one page of tasks; see `Client.tasks`."""
    query = TaskQuery(
        namespace=namespace,
        queue=None if queue is None else require_text(queue, "engine.tasks: queue"),
        run_key=None if run_id is None else await key_of(gateway, namespace, run_id, asked_by="engine.tasks"),
        after=after,
        limit=require_integer(limit, "engine.tasks: limit"),
    )
    return await with_reasons(gateway.store, await gateway.store.list_tasks(query), now=gateway.store.clock.now())


async def with_reasons(store: RunStore, found: list[TaskSummary], *, now: Timestamp) -> list[TaskSummary]:
    """Return tasks with what those wait for that nobody has."""
    if all(task.owner is not None for task in found):
        return found
    from perdure.scheduling.placing import why_waiting  # noqa: PLC0415 - only who looks at queues pays for it

    servers = await store.list_servers()
    return [structs.replace(task, waits_for=why_waiting(task, servers, now=now)) for task in found]
