"""Rules of tasks: how an attempt gets into a queue, what its worker tells of it, and when it is taken out again.

A task is a deferred attempt (`perdure.kernel.deferral_rules`) whose outcome a worker tells that serves its queue. What
it tells means the same as if the function ran in the process of the run's owner.
"""

from typing import TYPE_CHECKING, Final, get_args

import msgspec

from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.identity import Operation
from perdure.kernel.pending import Deferral
from perdure.kernel.tasks import Task

if TYPE_CHECKING:
    from perdure.kernel.advance import Step
    from perdure.kernel.state import RunState

__all__ = [
    "ENDS_OF_ATTEMPTS", "defer_task", "publish_of_task", "queue_attempt", "queued_operations", "settle_tasks",
    "start_task", "time_out_task", "withdraw_task",
]  # fmt: skip

EndOfAttempt = (
    e.ActivityCompleted
    | e.ActivityAttemptFailed
    | e.ActivityFailed
    | e.ActivityTimedOut
    | e.ActivityCancelled
    | e.ActivityDeferred
)
"""Events after which the attempt that was under way has no task, unless it is deferred to a queue."""

ENDS_OF_ATTEMPTS: Final = frozenset(get_args(EndOfAttempt))


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
            at_most_once=bool(task.options.at_most_once),
        )
    )
    step.result.queued += (task,)


def queued_operations(state: "RunState") -> list[Operation]:
    """Return the activities that have a task. Complexity: O(deferred)."""
    return [Operation(operation) for operation, one in state.deferrals.items() if one.queue]


def withdraw_task(step: "Step", event: EndOfAttempt) -> None:
    """Note that the task of an activity, if it has one, is not wanted after the event that is about to be recorded."""
    deferral = step.state.deferrals.get(event.operation)
    stays = isinstance(event, e.ActivityDeferred) and event.queue
    if deferral is not None and deferral.queue and not stays:
        step.withdrawn[event.operation] = None


def settle_tasks(step: "Step") -> None:
    """Say which tasks leave their queues, and which of those that this step has asked for it still wants."""
    state, result = step.state, step.result
    if state.closed_at is not None:
        step.withdrawn.update(dict.fromkeys(queued_operations(state)))
        result.queued = ()
    elif result.queued:
        result.queued = tuple(task for task in result.queued if _is_wanted(state, task))
    result.withdrawn = tuple(step.withdrawn)


def _is_wanted(state: "RunState", task: Task) -> bool:
    deferral = state.deferrals.get(task.operation)
    return deferral is not None and (deferral.attempt, deferral.queue) == (task.attempt, task.queue)


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
