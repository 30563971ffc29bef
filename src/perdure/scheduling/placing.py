"""Why a task waits in its queue, by what the workers have announced that live."""

from collections.abc import Collection

from perdure.kernel.time import Timestamp
from perdure.ports.tasks import ServerSummary, TaskSummary

__all__ = ["why_waiting"]


def why_waiting(task: TaskSummary, servers: Collection[ServerSummary], *, now: Timestamp) -> str:
    """Return why nobody has a task, as far as that is known: by the first of these that is so. Empty: somebody has it.

    Of which activities a worker has the code is not announced, and its room for tasks is as it comes and goes.
    """
    if task.owner is not None:
        return ""
    serving = [one for one in servers if one.lease_until > now and task.queue in one.serving.queues]
    if not serving:
        return f"nobody serves the queue {task.queue!r}"
    fitting = [one for one in serving if task.labels.items() <= one.serving.labels.items()]
    if not fitting:
        return f"nobody who serves the queue has the labels {_labels(task.labels)}"
    kept = [one for one in fitting if one.worker == task.sticky_to]
    if kept and task.sticky_until is not None and now < task.sticky_until:
        return f"it is kept for worker {kept[0].name}, which made the last one of its run"
    names = ", ".join(sorted({one.name for one in fitting})[:_MOST])
    return f"room, or the code, at {len(fitting)} who serve the queue: {names}"


def _labels(labels: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items()))


_MOST = 5
