"""Advance: what a run does when something happens, as one value.

`advance(state, feed, inputs, ...)` turns inputs into events by the rules of retries, deadlines and messages, folds each
event into the state, tells the program, turns the program's commands into further events, and returns an `Advance`:
the events and what follows from them (activities to start or stop, messages to other runs, new runs). Retries that
come due are not decided here: their time is recorded, and whoever runs the activities starts them then. Nothing of it
has happened yet when it returns: the caller commits it as one `Transition` and acts only when that is durable.

The state is changed in place: it belongs to the caller alone, who drops it if the commit is refused.

Inputs are taken in the order they arrived, then the timers that are due: an outcome that arrives together with the
time-out that would have cut it off still counts. All events of one advance bear one time, which never runs backwards.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import msgspec

from perdure.errors import InternalError
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.expansion import close_events, expand
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.priority import Priority
from perdure.kernel.program import PROGRAM_EVENTS, Feed
from perdure.kernel.retry import GiveUp, Retry, RetryAfter, decide_retry, draw_for
from perdure.kernel.state import OpenChild, PendingActivity, RunState
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation, Delivery, RunStatus

__all__ = ["WORKER_LOST", "Advance", "RunKeys", "advance"]

WORKER_LOST: Final = "WorkerLostError"
"""Failure type of an at-most-once attempt whose worker died."""

RUN_TIMEOUT: Final = "RunTimeoutError"
"""Failure type of a run whose execution timeout passed."""


class RunKeys(Protocol):
    """A source of new run keys, handed in by the worker."""

    def __call__(self) -> RunKey:
        """Return a key never given out before."""
        ...


class Advance(msgspec.Struct, kw_only=True):
    """The outcome of one advance.

    `events` are new, in order. `to_start` and `to_stop` are operations of activities. `consumed` are inbox positions.
    `refused` are messages that came too late: the run closed before their turn.
    """

    events: list[RecordedEvent]
    to_start: list[int]
    to_stop: list[int]
    consumed: list[int]
    deliveries: list[Delivery]
    creations: list[Creation]
    labels: dict[str, str | None]
    refused: list[i.MessageArrived]
    moves_inbox_to: RunKey | None = None


def advance(
    state: RunState,
    feed: Feed,
    inputs: Iterable[i.Input],
    *,
    run_key: RunKey,
    now: Timestamp,
    new_run_key: RunKeys,
) -> Advance:
    """Let `state` and the program behind `feed` take `inputs` at the time `now`; see the module's docstring.

    Raises whatever `Program.advance` raises (for workflow code nothing: its exceptions end the run).
    Complexity: linear in inputs and commands.
    """
    step = _Step(state, feed, run_key=run_key, now=now, new_run_key=new_run_key)
    for given in inputs:
        step.take(given)
    step.fire_what_is_due()
    return step.result


class _Step:
    """The working place of one advance."""

    __slots__ = ("at", "feed", "leaving", "new_run_key", "result", "run_key", "state")

    def __init__(self, state: RunState, feed: Feed, *, run_key: RunKey, now: Timestamp, new_run_key: RunKeys) -> None:
        self.state = state
        self.feed = feed
        self.run_key = run_key
        self.at = max(state.updated_at, now)
        self.new_run_key = new_run_key
        self.leaving: OpenChild | None = None  # the child that the event being recorded removes from the state
        self.result = Advance(
            events=[], to_start=[], to_stop=[], consumed=[], deliveries=[], creations=[], labels={}, refused=[]
        )

    def take(self, given: i.Input) -> None:
        if self.state.closed_at is None:
            _INPUT_RULES[type(given)](self, given)
        elif type(given) is i.MessageArrived:
            self.result.refused.append(given)

    def fire_what_is_due(self) -> None:
        state, at = self.state, self.at
        if state.timers:
            for operation in _due_timers(state, at):
                if operation in state.timers and state.closed_at is None:
                    self.record(e.TimerFired(operation=Operation(operation)))
        if state.closed_at is not None:
            return
        created, cancel = state.created, state.cancel
        if created is not None and created.deadline_at is not None and created.deadline_at <= at:
            self.close(e.RunFailed(failure=_run_timeout(created)))
        elif cancel is not None and cancel.grace_until is not None and cancel.grace_until <= at:
            self.close(e.RunTerminated(reason=f"the grace of the cancellation ended ({cancel.reason})", by=cancel.by))

    def record(self, event: e.Event) -> None:
        """Make `event` part of the history, with all that follows from it."""
        state, at, kind = self.state, self.at, type(event)
        if kind is e.ChildCancelled:
            self.leaving = state.children.get(event.operation)  # type: ignore[attr-defined]  # narrowed by kind
        state.record(event, at)
        self.result.events.append(RecordedEvent(state.sequence, at, event))
        consequence = _CONSEQUENCES.get(kind)
        if consequence is not None:
            consequence(self, event)
        if kind in PROGRAM_EVENTS:
            for command in self.feed.take(event, at, state.status):
                for following in expand(state, command, at):
                    self.record(following)

    def created(self) -> e.RunCreated:
        if self.state.created is None:
            message = f"run {self.run_key} advances without a RunCreated event"
            raise InternalError(message)
        return self.state.created

    def close(self, closing: e.Event) -> None:
        for event in close_events(self.state, closing):
            self.record(event)

    def deliver(self, target: RunKey | RunRef, message: m.Message, *, about: int) -> None:
        message_id = f"{self.run_key}:{self.state.sequence}:{about}"
        self.result.deliveries.append(Delivery(target=target, message=message, message_id=message_id, at=self.at))

    def pending(self, operation: int, attempt: int) -> PendingActivity | None:
        """Return the activity whose current attempt this is, or None where it is settled: a late outcome is dropped."""
        activity = self.state.activities.get(operation)
        return activity if activity is not None and activity.attempt == attempt else None


def _due_timers(state: RunState, at: Timestamp) -> list[int]:
    return [operation for due_at, operation in sorted((d, o) for o, d in state.timers.items()) if due_at <= at]


# --- inputs ------------------------------------------------------------------------------------------------------


def _begin(step: _Step, given: i.Begin) -> None:
    if step.state.status is RunStatus.CREATED:
        created = step.state.created
        step.record(e.RunStarted(worker=given.worker))
        for carried in created.carried_signals if created is not None else ():
            if step.state.closed_at is None:
                step.record(e.SignalReceived(name=carried.name, body=carried.body))


def _recovered(step: _Step, given: i.Recovered) -> None:
    step.record(e.RecoveryStarted(strategy=f"taken over by {given.worker}"))
    step.record(e.RecoveryCompleted(strategy=f"taken over by {given.worker}", success=True))


def _attempt_starting(step: _Step, given: i.AttemptStarting) -> None:
    if step.pending(given.operation, given.attempt) is not None:
        step.record(e.ActivityAttemptStarted(operation=given.operation, attempt=given.attempt, worker=given.worker))


def _attempt_succeeded(step: _Step, given: i.AttemptSucceeded) -> None:
    if step.pending(given.operation, given.attempt) is not None:
        step.record(
            e.ActivityCompleted(
                operation=given.operation, result=given.result, attempt=given.attempt, started_at=given.started_at
            )
        )


def _attempt_failed(step: _Step, given: i.AttemptFailed) -> None:
    activity = step.pending(given.operation, given.attempt)
    if activity is None:
        return
    decision = _decide(step, activity, given.failure, given.retry)
    if isinstance(decision, RetryAfter):
        _record_retry(step, given, given.failure, decision)
    else:
        step.record(
            e.ActivityFailed(
                operation=given.operation,
                failure=given.failure,
                attempt=given.attempt,
                reason=decision.reason,
                started_at=given.started_at,
            )
        )


def _attempt_timed_out(step: _Step, given: i.AttemptTimedOut) -> None:
    activity = step.pending(given.operation, given.attempt)
    if activity is None:
        return
    if given.timeout in _RETRYABLE_TIMEOUTS:
        failure = Failure(
            type="ActivityTimeoutError",
            types=("ActivityTimeoutError", "TimeoutError"),
            message=f"attempt {given.attempt} exceeded its {given.timeout} limit",
        )
        decision = _decide(step, activity, failure, given.retry)
        if isinstance(decision, RetryAfter):
            _record_retry(step, given, failure, decision)
            return
    step.record(
        e.ActivityTimedOut(
            operation=given.operation,
            timeout=given.timeout,
            attempt=given.attempt,
            started_at=given.started_at,
            heartbeat=given.heartbeat,
        )
    )


_RETRYABLE_TIMEOUTS: Final = frozenset({e.TimeoutKind.START_TO_CLOSE, e.TimeoutKind.HEARTBEAT})


def _decide(step: _Step, activity: PendingActivity, failure: Failure, retry: Retry) -> RetryAfter | GiveUp:
    return decide_retry(
        retry,
        attempt=activity.attempt,
        error_type=failure.type,
        error_types=failure.types,
        retryable=failure.retryable,
        elapsed_microseconds=step.at - activity.scheduled_at,
        until_deadline_microseconds=None if activity.deadline_at is None else activity.deadline_at - step.at,
        draw=draw_for(step.run_key, activity.operation, activity.attempt),
    )


def _record_retry(
    step: _Step, given: i.AttemptFailed | i.AttemptTimedOut, failure: Failure, decision: RetryAfter
) -> None:
    step.record(
        e.ActivityAttemptFailed(
            operation=given.operation,
            attempt=given.attempt,
            failure=failure,
            next_attempt_at=Timestamp(step.at + decision.delay_microseconds),
            started_at=given.started_at,
            heartbeat=given.heartbeat,
        )
    )


def _heartbeat_seen(step: _Step, given: i.HeartbeatSeen) -> None:
    if step.pending(given.operation, given.attempt) is not None:
        step.record(
            e.ActivityHeartbeatRecorded(operation=given.operation, attempt=given.attempt, details=given.details)
        )


# --- messages ----------------------------------------------------------------------------------------------------


def _message_arrived(step: _Step, given: i.MessageArrived) -> None:
    if given.position is not None:
        step.result.consumed.append(given.position)
    _MESSAGE_RULES[type(given.message)](step, given.message, given.message_id)


def _signal(step: _Step, message: m.SignalMessage, message_id: str) -> None:
    step.record(e.SignalReceived(name=message.name, body=message.body, message_id=message_id))


def _cancel(step: _Step, message: m.CancelMessage, _message_id: str) -> None:
    if step.state.cancel is not None:
        return
    if step.state.status is RunStatus.SUSPENDED:
        step.record(e.RunResumed(by=message.by))
    if step.state.status is RunStatus.CREATED:
        step.close(e.RunCancelled(reason=message.reason))
    else:
        step.record(e.RunCancelRequested(reason=message.reason, by=message.by, grace_until=message.grace_until))


def _terminate(step: _Step, message: m.TerminateMessage, _message_id: str) -> None:
    step.close(e.RunTerminated(reason=message.reason, by=message.by))


def _suspend(step: _Step, message: m.SuspendMessage, _message_id: str) -> None:
    if step.state.status is RunStatus.RUNNING:
        step.record(e.RunSuspended(reason=message.reason, by=message.by))


def _resume(step: _Step, message: m.ResumeMessage, _message_id: str) -> None:
    if step.state.status is RunStatus.SUSPENDED:
        step.record(e.RunResumed(by=message.by))


def _change_priority(step: _Step, message: m.PriorityMessage, _message_id: str) -> None:
    step.record(e.PriorityChanged(old=step.state.priority, new=message.new, reason=message.reason, by=message.by))


def _child_completed(step: _Step, message: m.ChildCompletedMessage, _message_id: str) -> None:
    if message.operation in step.state.children:
        step.record(e.ChildCompleted(operation=message.operation, result=message.result))


def _child_failed(step: _Step, message: m.ChildFailedMessage, _message_id: str) -> None:
    if message.operation in step.state.children:
        step.record(e.ChildFailed(operation=message.operation, outcome=message.outcome, failure=message.failure))


# --- what follows from an event ----------------------------------------------------------------------------------


def _start_activity(step: _Step, event: e.ActivityScheduled) -> None:
    step.result.to_start.append(event.operation)


def _stop_activity(step: _Step, event: e.ActivityCancelled) -> None:
    if event.operation in step.result.to_start:
        step.result.to_start.remove(event.operation)
    else:
        step.result.to_stop.append(event.operation)


def _send_signal(step: _Step, event: e.SignalSent) -> None:
    message = m.SignalMessage(name=event.name, body=event.body)
    step.deliver(_latest(event.target), message, about=event.operation)


def _latest(ref: RunRef) -> RunRef:
    return ref if ref.generation == 1 else RunRef(namespace=ref.namespace, id=ref.id)


def _create_child(step: _Step, event: e.ChildRequested) -> None:
    parent = step.created()
    key = step.new_run_key()
    timeout = event.execution_timeout_microseconds
    created = e.RunCreated(
        workflow=event.workflow,
        definition_version=event.definition_version,
        ref=event.child,
        input=event.input,
        seed=_mix(parent.seed, event.operation),
        priority=step.state.priority if event.priority is None else event.priority,
        tenant=parent.tenant,
        labels=event.labels,
        stages=event.stages,
        parent=e.ParentLink(run_key=step.run_key, ref=parent.ref, operation=event.operation, policy=event.policy),
        trace_context=parent.trace_context,
        execution_timeout_microseconds=timeout,
        deadline_at=None if timeout is None else Timestamp(step.at + timeout),
    )
    step.result.creations.append(_creation(key, created, step.at, wake_at=step.at))
    step.record(e.ChildStarted(operation=event.operation, run_key=key))


def _cancel_child(step: _Step, event: e.ChildCancelled) -> None:
    child = step.leaving
    if child is None or child.policy is e.ParentClosePolicy.ABANDON:
        return
    reason = "its parent run gave it up"
    if child.policy is e.ParentClosePolicy.TERMINATE:
        step.deliver(RunKey(child.run_key), m.TerminateMessage(reason=reason, by="parent"), about=event.operation)
    else:
        step.deliver(RunKey(child.run_key), m.CancelMessage(reason=reason, by="parent"), about=event.operation)


def _change_labels(step: _Step, event: e.LabelsChanged) -> None:
    step.result.labels.update(event.labels)


def _open_next_generation(step: _Step, event: e.RunContinued) -> None:
    before = step.created()
    key = step.new_run_key()
    timeout = before.execution_timeout_microseconds
    created = msgspec.structs.replace(
        before,
        ref=RunRef(namespace=before.ref.namespace, id=before.ref.id, generation=event.next_generation),
        input=event.input,
        seed=_mix(before.seed, event.next_generation),
        priority=step.state.priority,
        labels=dict(step.state.labels),
        attempt=event.attempt,
        deadline_at=before.deadline_at if timeout is None else Timestamp(event.next_at + timeout),
        carried_state=event.carried_state,
        carried_signals=event.carried_signals,
    )
    step.result.creations.append(_creation(key, created, step.at, wake_at=event.next_at))
    step.result.moves_inbox_to = key


def _report_completed(step: _Step, event: e.RunCompleted) -> None:
    parent = step.created().parent
    if parent is not None:
        message = m.ChildCompletedMessage(operation=parent.operation, result=event.result)
        step.deliver(RunKey(parent.run_key), message, about=parent.operation)


def _report_failed(step: _Step, event: e.RunFailed) -> None:
    _report_without_result(step, e.ChildOutcome.FAILED, event.failure)


def _report_cancelled(step: _Step, event: e.RunCancelled) -> None:
    _report_without_result(step, e.ChildOutcome.CANCELLED, Failure(type="RunCancelledError", message=event.reason))


def _report_terminated(step: _Step, event: e.RunTerminated) -> None:
    _report_without_result(step, e.ChildOutcome.TERMINATED, Failure(type="RunTerminatedError", message=event.reason))


def _report_without_result(step: _Step, outcome: e.ChildOutcome, failure: Failure) -> None:
    parent = step.created().parent
    if parent is not None:
        message = m.ChildFailedMessage(operation=parent.operation, outcome=outcome, failure=failure)
        step.deliver(RunKey(parent.run_key), message, about=parent.operation)


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


def _mix(seed: int, number: int) -> int:
    """Return another 63-bit seed, by a step of splitmix64 (Steele, Lea, Flood: Fast splittable PRNGs, 2014)."""
    z = (seed + number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (z ^ (z >> 31)) >> 1


def _run_timeout(created: e.RunCreated) -> Failure:
    seconds = (created.execution_timeout_microseconds or 0) / 1_000_000
    return Failure(
        type=RUN_TIMEOUT,
        types=(RUN_TIMEOUT, "TimeoutError"),
        message=f"the run did not end within its execution timeout of {seconds:g} s",
        retryable=False,
    )


# Any: each rule takes its own type; the tables pair them by key, which the type system cannot follow.
_INPUT_RULES: Final[dict[type, Callable[[_Step, Any], None]]] = {
    i.Begin: _begin,
    i.Recovered: _recovered,
    i.AttemptStarting: _attempt_starting,
    i.AttemptSucceeded: _attempt_succeeded,
    i.AttemptFailed: _attempt_failed,
    i.AttemptTimedOut: _attempt_timed_out,
    i.HeartbeatSeen: _heartbeat_seen,
    i.MessageArrived: _message_arrived,
}

_MESSAGE_RULES: Final[dict[type, Callable[[_Step, Any, str], None]]] = {
    m.SignalMessage: _signal,
    m.CancelMessage: _cancel,
    m.TerminateMessage: _terminate,
    m.SuspendMessage: _suspend,
    m.ResumeMessage: _resume,
    m.PriorityMessage: _change_priority,
    m.ChildCompletedMessage: _child_completed,
    m.ChildFailedMessage: _child_failed,
}

_CONSEQUENCES: Final[dict[type[e.Event], Callable[[_Step, Any], None]]] = {
    e.ActivityScheduled: _start_activity,
    e.ActivityCancelled: _stop_activity,
    e.SignalSent: _send_signal,
    e.ChildRequested: _create_child,
    e.ChildCancelled: _cancel_child,
    e.LabelsChanged: _change_labels,
    e.RunContinued: _open_next_generation,
    e.RunCompleted: _report_completed,
    e.RunFailed: _report_failed,
    e.RunCancelled: _report_cancelled,
    e.RunTerminated: _report_terminated,
}
