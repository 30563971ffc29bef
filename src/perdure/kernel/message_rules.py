"""Rules of messages: which events a message means, by the state the run is in."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.deferral_rules import complete_activity, fail_activity, take_heartbeat
from perdure.kernel.identity import Operation
from perdure.kernel.lifecycle import LockPhase
from perdure.kernel.pending import OpenChild
from perdure.kernel.start_rules import start
from perdure.kernel.task_rules import defer_task, publish_of_task, start_task, time_out_task
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus

if TYPE_CHECKING:
    from perdure.kernel.advance import Step
    from perdure.kernel.state import RunState

__all__ = ["MESSAGE_RULES", "awaited_child", "cancellation", "may_end"]


def may_end(created: e.RunCreated, parent_key: int) -> bool:
    """Whether a run obeys the sender: a parent names its child by id, which may have become another run's."""
    parent = created.parent
    return parent_key == 0 or (parent is not None and parent.run_key == parent_key)


def cancellation(state: "RunState", message: m.CancelMessage) -> e.RunCancelRequested:
    """Return what a request for cancellation means to a run; to a fork a grace that begins with it at the earliest."""
    until, renewed_at, grace = message.grace_until, state.renewed_at, message.grace_microseconds
    if until is not None and renewed_at is not None and grace is not None:
        until = max(until, Timestamp(renewed_at + grace))
    return e.RunCancelRequested(reason=message.reason, by=message.by, grace_until=until)


def awaited_child(state: "RunState", message: m.ChildCompletedMessage | m.ChildFailedMessage) -> Operation | None:
    """Return the operation of the child in this run, or None: it is no child of it any more.

    It may be one of a generation before this one, which numbered its operations anew.
    """
    created, children = state.created, state.children
    if created is not None and message.generation == created.ref.generation:
        return message.operation if message.operation in children else None
    return next((child.operation for child in children.values() if _is_asked_by(child, message)), None)


def _is_asked_by(child: OpenChild, message: m.ChildCompletedMessage | m.ChildFailedMessage) -> bool:
    origin = child.origin
    return origin is not None and (origin.generation, origin.operation) == (message.generation, message.operation)


def _signal(step: "Step", message: m.SignalMessage, message_id: str) -> None:
    step.record(e.SignalReceived(name=message.name, body=message.body, message_id=message_id))


def _cancel(step: "Step", message: m.CancelMessage, _message_id: str) -> None:
    if step.state.cancel is not None or not may_end(step.created(), message.parent_key):
        return
    if step.state.started_at is None:
        step.close(e.RunCancelled(reason=message.reason))
    else:
        step.record(cancellation(step.state, message))


def _terminate(step: "Step", message: m.TerminateMessage, _message_id: str) -> None:
    if may_end(step.created(), message.parent_key):
        step.close(e.RunTerminated(reason=message.reason, by=message.by))


def _suspend(step: "Step", message: m.SuspendMessage, _message_id: str) -> None:
    if step.state.status is not RunStatus.SUSPENDED:
        step.record(e.RunSuspended(reason=message.reason, by=message.by))


def _resume(step: "Step", message: m.ResumeMessage, _message_id: str) -> None:
    if step.state.status is RunStatus.SUSPENDED:
        step.record(e.RunResumed(by=message.by))
        if step.state.started_at is None:
            start(step, worker="")


def _change_priority(step: "Step", message: m.PriorityMessage, _message_id: str) -> None:
    step.record(e.PriorityChanged(old=step.state.priority, new=message.new, reason=message.reason, by=message.by))


def _child_completed(step: "Step", message: m.ChildCompletedMessage, _message_id: str) -> None:
    operation = awaited_child(step.state, message)
    if operation is not None:
        step.record(e.ChildCompleted(operation=operation, result=message.result))


def _child_failed(step: "Step", message: m.ChildFailedMessage, _message_id: str) -> None:
    operation = awaited_child(step.state, message)
    if operation is not None:
        step.record(e.ChildFailed(operation=operation, outcome=message.outcome, failure=message.failure))


def _signal_answered(step: "Step", message: m.SignalAnswerMessage, _message_id: str) -> None:
    if message.generation == step.created().ref.generation:
        step.record(e.SignalAnswered(operation=message.operation, outcome=message.outcome))


def _lock_granted(step: "Step", message: m.LockGrantedMessage, _message_id: str) -> None:
    if _is_awaited_lock(step, message):
        step.record(e.LockAcquired(operation=message.operation, fencing_token=message.token))


def _lock_denied(step: "Step", message: m.LockDeniedMessage, _message_id: str) -> None:
    if _is_awaited_lock(step, message):
        step.record(e.LockDenied(operation=message.operation, cycle=message.cycle))


def _is_awaited_lock(step: "Step", message: m.LockGrantedMessage | m.LockDeniedMessage) -> bool:
    """Whether it is still waited for: the code may have given up the wait while the message was on its way."""
    lock = step.state.locks.get(message.operation)
    is_of_this_generation = message.generation == step.created().ref.generation
    return is_of_this_generation and lock is not None and lock.phase is LockPhase.REQUESTED


# Any: each rule takes its own message type; the table pairs them by key, which the type system cannot follow.
MESSAGE_RULES: Final[Mapping[type, Callable[["Step", Any, str], None]]] = {
    m.SignalMessage: _signal,
    m.CancelMessage: _cancel,
    m.TerminateMessage: _terminate,
    m.SuspendMessage: _suspend,
    m.ResumeMessage: _resume,
    m.PriorityMessage: _change_priority,
    m.ChildCompletedMessage: _child_completed,
    m.ChildFailedMessage: _child_failed,
    m.SignalAnswerMessage: _signal_answered,
    m.LockGrantedMessage: _lock_granted,
    m.LockDeniedMessage: _lock_denied,
    m.CompleteActivityMessage: complete_activity,
    m.FailActivityMessage: fail_activity,
    m.HeartbeatMessage: take_heartbeat,
    m.StartActivityMessage: start_task,
    m.TimeOutActivityMessage: time_out_task,
    m.DeferActivityMessage: defer_task,
    m.PublishMessage: publish_of_task,
}
"""Message type -> its rule, which also gets the message's id."""
