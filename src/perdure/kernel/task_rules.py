"""Rules of tasks: how an attempt gets into a queue, what its worker tells of it, and when it is taken out again.

A task is a deferred attempt (`perdure.kernel.deferral_rules`) whose outcome a worker tells that serves its queue. What
it tells means the same as if the function ran in the process of the run's owner.
"""

from typing import TYPE_CHECKING

import msgspec

from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.identity import Operation
from perdure.kernel.pending import Deferral

if TYPE_CHECKING:
    from perdure.kernel.advance import Step
    from perdure.kernel.state import RunState

__all__ = ["defer_task", "publish_of_task", "queue_attempt", "queued_operations", "start_task", "time_out_task"]


def queue_attempt(step: "Step", given: i.AttemptQueued) -> None:
    """Put an attempt into its queue, unless it is there."""
    task, state = given.task, step.state
    if step.pending(task.operation, task.attempt) is None or task.operation in state.deferrals:
        return
    step.record(
        e.ActivityDeferred(
            operation=task.operation,
            attempt=task.attempt,
            started_at=step.at,
            retry=given.retry,
            limits=given.limits,
            queue=task.queue,
        )
    )
    step.result.queued += (task,)


def queued_operations(state: "RunState") -> list[tuple[Operation, int]]:
    """Return the activities that have a task, each with the attempt that it is. Complexity: O(deferred)."""
    if state.closed_at is not None:
        return []
    return [(Operation(operation), one.attempt) for operation, one in state.deferrals.items() if one.queue]


def start_task(step: "Step", message: m.StartActivityMessage, _message_id: str) -> None:
    """Note that a worker has begun: it waits no longer, and one that is made at most once is not begun again."""
    deferral = _task_of(step, message)
    if deferral is None:
        return
    operation, attempt = message.operation, message.attempt
    if message.at_most_once and not step.state.activities[operation].attempt_started:
        step.record(e.ActivityAttemptStarted(operation=operation, attempt=attempt, worker=message.worker))
    if e.TimeoutKind.SCHEDULE_TO_START in deferral.limits:
        limits = {kind: at for kind, at in deferral.limits.items() if kind is not e.TimeoutKind.SCHEDULE_TO_START}
        begun = msgspec.structs.replace(deferral, started_at=step.at, limits=limits)
        step.record(e.ActivityDeferred(operation=operation, **msgspec.structs.asdict(begun)))


def time_out_task(step: "Step", message: m.TimeOutActivityMessage, _message_id: str) -> None:
    """Let the attempt run out of time, as its worker has seen it do."""
    deferral = _task_of(step, message)
    if deferral is not None:
        step.take(
            i.AttemptTimedOut(
                operation=message.operation,
                attempt=message.attempt,
                timeout=message.timeout,
                retry=deferral.retry,
                started_at=message.started_at,
                heartbeat=message.heartbeat,
            )
        )


def defer_task(step: "Step", message: m.DeferActivityMessage, _message_id: str) -> None:
    """Leave the outcome to somebody outside: the function has said so, and ended."""
    deferral = _task_of(step, message)
    if deferral is not None:
        step.take(
            i.AttemptDeferred(
                operation=message.operation,
                attempt=message.attempt,
                started_at=message.started_at,
                retry=deferral.retry,
                limits=message.limits,
                heartbeat_microseconds=message.heartbeat_microseconds,
                heartbeat=message.heartbeat,
            )
        )


def publish_of_task(step: "Step", message: m.PublishMessage, _message_id: str) -> None:
    """Take a value for a stream of the run."""
    if _task_of(step, message) is not None:
        step.take(
            i.ValueGiven(
                operation=message.operation, attempt=message.attempt, stream=message.stream, value=message.value
            )
        )


def _task_of(step: "Step", message: m.AttemptMessage) -> Deferral | None:
    """Return the task that a worker speaks of, None if it is none of this generation any more."""
    if message.generation != step.created().ref.generation:
        return None
    deferral = step.state.deferrals.get(message.operation)
    return deferral if deferral is not None and deferral.queue and deferral.attempt == message.attempt else None
