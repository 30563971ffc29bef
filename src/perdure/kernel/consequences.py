"""Consequences: what follows from an event outside of the run: activities, messages to other runs, new runs."""

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.deadline import Deadline, nearest
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.locking import LockRelease, LockRequest
from perdure.kernel.pending import OpenChild
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Answers, Creation

if TYPE_CHECKING:
    from perdure.kernel.advance import Step

__all__ = ["CONSEQUENCES", "carried_children_of", "ending_of"]


def _start_activity(step: "Step", event: e.ActivityScheduled) -> None:
    step.starting[event.operation] = None


def _stop_activity(step: "Step", event: e.ActivityCancelled) -> None:
    if event.operation in step.starting:
        del step.starting[event.operation]
    else:
        step.result.to_stop.append(event.operation)


def _send_signal(step: "Step", event: e.SignalSent) -> None:
    message = m.SignalMessage(name=event.name, body=event.body)
    delivered, missing, closed = (
        m.SignalAnswerMessage(operation=event.operation, generation=step.created().ref.generation, outcome=outcome)
        for outcome in e.SignalOutcome
    )
    answers = Answers(
        run_key=step.run_key, delivered=delivered if event.expects_answer else None, missing=missing, closed=closed
    )
    step.deliver(_latest(event.target), message, about=event.operation, answers=answers)


def _latest(ref: RunRef) -> RunRef:
    return ref if ref.generation == 1 else RunRef(namespace=ref.namespace, id=ref.id)


def _create_child(step: "Step", event: e.ChildRequested) -> None:
    parent = step.created()
    key = step.new_run_key()
    timeout = event.execution_timeout_microseconds
    deadline = nearest(None if timeout is None else Deadline(at=Timestamp(step.at + timeout), of=""), event.within)
    created = e.RunCreated(
        workflow=event.workflow,
        definition_version=event.definition_version,
        ref=event.child,
        input=event.input,
        seed=_mix(parent.seed, event.operation),
        call_name=_call_name(step, f"child {event.operation} {event.child}"),
        priority=step.state.priority if event.priority is None else event.priority,
        tenant=parent.tenant,
        labels=event.labels,
        stages=event.stages,
        parent=e.ParentLink(run_key=step.run_key, ref=parent.ref, operation=event.operation, policy=event.policy),
        trace_context=parent.trace_context,
        execution_timeout_microseconds=timeout,
        deadline_at=None if deadline is None else deadline.at,
        deadline_of="" if deadline is None else deadline.of,
    )
    step.result.creations.append(_creation(key, created, step.at, wake_at=step.now))
    step.append(e.ChildStarted(operation=event.operation, run_key=key))


def _cancel_child(step: "Step", event: e.ChildCancelled) -> None:
    ending = None if step.leaving is None else ending_of(step.leaving, step.run_key)
    if ending is not None:
        step.deliver(*ending, about=event.operation)


def ending_of(child: OpenChild, run_key: RunKey) -> tuple[RunRef, m.Message] | None:
    """Return what ends a child that the run of this key gives up, and where it goes; None: the child is let go."""
    if child.policy is e.ParentClosePolicy.ABANDON:
        return None
    # By name, not by key: the child may have continued as a new generation, whose key its parent never learns.
    target, reason = _latest(child.ref), "its parent run gave it up"
    parent_key = run_key if child.origin is None else child.origin.run_key
    if child.policy is e.ParentClosePolicy.TERMINATE:
        return target, m.TerminateMessage(reason=reason, by="parent", parent_key=parent_key)
    return target, m.CancelMessage(reason=reason, by="parent", parent_key=parent_key)


def _note_grace(step: "Step", event: e.RunCancelRequested) -> None:
    step.result.end_at = event.grace_until


def _change_labels(step: "Step", event: e.LabelsChanged) -> None:
    step.result.labels.update(event.labels)


def _request_lock(step: "Step", event: e.LockRequested) -> None:
    step.result.locks += (
        LockRequest(
            operation=event.operation,
            key=event.key,
            limit=event.limit,
            holding=event.holding,
            waits=event.waits,
        ),
    )


def _release_lock(step: "Step", event: e.LockReleased) -> None:
    step.result.locks += (LockRelease(operation=event.operation),)


def _open_next_generation(step: "Step", event: e.RunContinued) -> None:
    before = step.created()
    key = step.new_run_key()
    is_retry = event.failure is not None
    created = msgspec.structs.replace(
        before,
        definition_version=event.definition_version or before.definition_version,
        stages=event.stages if event.definition_version else before.stages,
        ref=RunRef(namespace=before.ref.namespace, id=before.ref.id, generation=event.next_generation),
        input=event.input,
        seed=_mix(before.seed, event.next_generation),
        call_name=_call_name(step, f"generation {event.next_generation}"),
        priority=step.state.priority,
        labels=dict(step.state.labels),
        attempt=event.attempt,
        first_attempt_at=before.first_attempt_at or step.state.started_at if is_retry else None,
        retry_delay_microseconds=event.next_at - step.at if is_retry else 0,
        start_at=event.next_at if event.next_at > step.at else None,
        carried_state=event.carried_state,
        carried_signals=event.carried_signals,
        carried_children=carried_children_of(event, step.run_key),
        carried_updates=tuple(u for u in before.carried_updates if u.update_id not in step.state.updates),
    )
    wake_at = event.next_at if event.next_at > step.at else step.now
    step.result.creations.append(_creation(key, created, step.at, wake_at=wake_at))
    step.result.moves_inbox_to = key


def carried_children_of(event: e.RunContinued, run_key: RunKey) -> tuple[e.CarriedChild, ...]:
    """Return the children that the run of this key leaves to its next generation."""
    replace = msgspec.structs.replace
    return tuple(child if child.run_key else replace(child, run_key=run_key) for child in event.carried_children)


def _report_completed(step: "Step", event: e.RunCompleted) -> None:
    parent = step.created().parent
    if parent is not None:
        message = m.ChildCompletedMessage(
            operation=parent.operation, generation=parent.ref.generation, result=event.result
        )
        step.deliver(_latest(parent.ref), message, about=parent.operation)


def _report_failed(step: "Step", event: e.RunFailed) -> None:
    _report_without_result(step, e.ChildOutcome.FAILED, event.failure)


def _report_cancelled(step: "Step", event: e.RunCancelled) -> None:
    _report_without_result(step, e.ChildOutcome.CANCELLED, Failure(type="RunCancelledError", message=event.reason))


def _report_terminated(step: "Step", event: e.RunTerminated) -> None:
    _report_without_result(step, e.ChildOutcome.TERMINATED, Failure(type="RunTerminatedError", message=event.reason))


def _report_without_result(step: "Step", outcome: e.ChildOutcome, failure: Failure) -> None:
    parent = step.created().parent
    if parent is not None:
        message = m.ChildFailedMessage(
            operation=parent.operation, generation=parent.ref.generation, outcome=outcome, failure=failure
        )
        step.deliver(_latest(parent.ref), message, about=parent.operation)


def _creation(key: RunKey, created: e.RunCreated, at: Timestamp, *, wake_at: Timestamp) -> Creation:
    return Creation(
        run_key=key,
        ref=created.ref,
        workflow=created.workflow,
        definition_version=created.definition_version,
        priority=Priority(created.priority),
        tenant=created.tenant,
        labels=created.labels,
        parent_key=None if created.parent is None else RunKey(created.parent.run_key),
        created=RecordedEvent(1, at, created),
        wake_at=wake_at,
    )


def _call_name(step: "Step", what: str) -> str:
    """Return what names a run that follows from this one in the keys of its calls: the same wherever this one does the
    same again, as in a restored database. One that an older Perdure began has no name of chance to begin with."""
    before = step.created()
    name = before.call_name or f"{step.run_key} {before.seed} {step.state.created_at} {step.at}"
    return hashlib.blake2b(f"{name} {what}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _mix(seed: int, number: int) -> int:
    """Return another 63-bit seed, by a step of splitmix64 (Steele, Lea, Flood: Fast splittable PRNGs, 2014)."""
    z = (seed + number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (z ^ (z >> 31)) >> 1


# Any: each rule takes its own event type; the table pairs them by key, which the type system cannot follow.
CONSEQUENCES: Final[Mapping[type[e.Event], Callable[["Step", Any], None]]] = {
    e.ActivityScheduled: _start_activity,
    e.ActivityCancelled: _stop_activity,
    e.SignalSent: _send_signal,
    e.ChildRequested: _create_child,
    e.ChildCancelled: _cancel_child,
    e.LabelsChanged: _change_labels,
    e.RunCancelRequested: _note_grace,
    e.LockRequested: _request_lock,
    e.LockReleased: _release_lock,
    e.RunContinued: _open_next_generation,
    e.RunCompleted: _report_completed,
    e.RunFailed: _report_failed,
    e.RunCancelled: _report_cancelled,
    e.RunTerminated: _report_terminated,
}
"""Event type -> what it entails, for the types that entail something."""
