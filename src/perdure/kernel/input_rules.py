"""Rules of inputs: which events an input means, by the state the run is in.

Outcomes of attempts that are not (or no longer) the current one are dropped: the first recorded outcome of an activity
stands. A failed attempt is tried again or given up by its retry policy; the decision and its time are recorded.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel.deadline import Deadline
from perdure.kernel.deferral_rules import completes
from perdure.kernel.failure import Failure
from perdure.kernel.fork_facts import CarriedResult
from perdure.kernel.identity import Operation
from perdure.kernel.message_rules import MESSAGE_RULES
from perdure.kernel.messages import CompleteActivityMessage, UpdateMessage
from perdure.kernel.pending import PendingActivity
from perdure.kernel.retry import GiveUp, GiveUpReason, Retry, RetryAfter, decide_retry, draw_for
from perdure.kernel.start_rules import start
from perdure.kernel.task_rules import queue_attempt
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.kernel.update_rules import take_update

if TYPE_CHECKING:
    from perdure.kernel.advance import Step
    from perdure.kernel.state import RunState

__all__ = ["INPUT_RULES", "told_results"]


def told_results(state: "RunState", inputs: Iterable[i.Input]) -> set[Operation]:
    """Return the pending activities that end by `inputs`, the first after a loading, without another attempt."""
    forked = state.fresh_fork
    told: set[Operation] = set() if forked is None else {carried.operation for carried in forked.carried_results}
    for given in inputs:
        message = given.message if type(given) is i.MessageArrived else None
        if type(message) is CompleteActivityMessage and completes(state, message):
            told.add(message.operation)
    return told


def _begin(step: "Step", given: i.Begin) -> None:
    if step.state.status is RunStatus.CREATED:
        start(step, worker=given.worker)


def _go_on(step: "Step", given: i.GoOn) -> None:
    """Do first what follows from the copied history: what its code asks for, then what came after it."""
    forked = step.state.fresh_fork
    if forked is None:
        return
    if step.state.started_at is None:
        _begin(step, i.Begin(worker=given.worker))
        return
    step.answer()
    for signal in forked.carried_signals:
        if step.state.closed_at is None:
            step.record(e.SignalReceived(name=signal.name, body=signal.body))
    for carried in forked.carried_results:
        _take_result(step, carried)


def _take_result(step: "Step", carried: CarriedResult) -> None:
    operation, result = carried.operation, carried.result
    if operation in step.state.activities:
        attempt, started_at = carried.attempt, carried.started_at
        step.record(e.ActivityCompleted(operation=operation, result=result, attempt=attempt, started_at=started_at))
    elif operation in step.state.children:
        step.record(e.ChildCompleted(operation=operation, result=result))


def _recovered(step: "Step", given: i.Recovered) -> None:
    step.record(e.RecoveryStarted(strategy=f"taken over by {given.worker}"))
    step.record(e.RecoveryCompleted(strategy=f"taken over by {given.worker}", success=True))


def _attempt_starting(step: "Step", given: i.AttemptStarting) -> None:
    if step.pending(given.operation, given.attempt) is not None:
        step.record(e.ActivityAttemptStarted(operation=given.operation, attempt=given.attempt, worker=given.worker))


def _attempt_succeeded(step: "Step", given: i.AttemptSucceeded) -> None:
    if step.pending(given.operation, given.attempt) is not None:
        step.record(
            e.ActivityCompleted(
                operation=given.operation,
                result=given.result,
                attempt=given.attempt,
                started_at=given.started_at,
                request_id=given.request_id,
            )
        )


def _attempt_deferred(step: "Step", given: i.AttemptDeferred) -> None:
    if step.pending(given.operation, given.attempt) is not None:
        step.record(
            e.ActivityDeferred(
                operation=given.operation,
                attempt=given.attempt,
                started_at=given.started_at,
                retry=given.retry,
                limits=given.limits,
                heartbeat_microseconds=given.heartbeat_microseconds,
                heartbeat=given.heartbeat,
            )
        )


def _attempt_failed(step: "Step", given: i.AttemptFailed) -> None:
    activity = step.pending(given.operation, given.attempt)
    if activity is None:
        return
    deadline = activity.deadline(step.state.deadline)
    decision = _decide(step, activity, given.failure, given.retry, deadline)
    if isinstance(decision, RetryAfter):
        _record_retry(step, activity, given, given.failure, decision, request_id=given.request_id)
        return
    is_out_of_time = decision.reason is GiveUpReason.DEADLINE_REACHED
    step.record_failure(
        activity,
        e.ActivityFailed(
            operation=given.operation,
            failure=given.failure,
            attempt=given.attempt,
            reason=decision.reason,
            started_at=given.started_at,
            deadline_of=deadline.of if deadline is not None and is_out_of_time else "",
            request_id=given.request_id,
        ),
    )


def _attempt_timed_out(step: "Step", given: i.AttemptTimedOut) -> None:
    if given.timeout is e.TimeoutKind.DEADLINE:
        step.fire_what_is_due()  # what ends the stage or the run takes what it held with it, but for what is shielded
    activity = step.pending(given.operation, given.attempt)
    if activity is None:
        return
    if given.timeout in _RETRYABLE_TIMEOUTS:
        failure = Failure(
            type="ActivityTimeoutError",
            types=("ActivityTimeoutError", "TimeoutError"),
            message=f"attempt {given.attempt} exceeded its {given.timeout} limit",
        )
        decision = _decide(step, activity, failure, given.retry, activity.deadline(step.state.deadline))
        if isinstance(decision, RetryAfter):
            _record_retry(step, activity, given, failure, decision)
            return
    step.record_failure(
        activity,
        e.ActivityTimedOut(
            operation=given.operation,
            timeout=given.timeout,
            attempt=given.attempt,
            started_at=given.started_at,
            heartbeat=given.heartbeat,
            deadline_of=_whose_deadline(activity, given.timeout),
        ),
    )


def _whose_deadline(activity: PendingActivity, timeout: e.TimeoutKind) -> str:
    return activity.within.of if timeout is e.TimeoutKind.DEADLINE and activity.within is not None else ""


_RETRYABLE_TIMEOUTS: Final = frozenset({e.TimeoutKind.START_TO_CLOSE, e.TimeoutKind.HEARTBEAT})


def _decide(
    step: "Step", activity: PendingActivity, failure: Failure, retry: Retry, deadline: Deadline | None
) -> RetryAfter | GiveUp:
    return decide_retry(
        retry,
        attempt=activity.attempt - activity.attempts_spent,
        error_type=failure.type,
        error_types=failure.types,
        retryable=failure.retryable,
        elapsed_microseconds=step.at - activity.scheduled_at,
        until_deadline_microseconds=None if deadline is None else deadline.at - step.at,
        previous_delay_microseconds=activity.retry_delay_microseconds,
        draw=draw_for(step.run_key, activity.operation, activity.attempt),
    )


def _record_retry(
    step: "Step",
    activity: PendingActivity,
    given: i.AttemptFailed | i.AttemptTimedOut,
    failure: Failure,
    decision: RetryAfter,
    *,
    request_id: str = "",
) -> None:
    step.record_failure(
        activity,
        e.ActivityAttemptFailed(
            operation=given.operation,
            attempt=given.attempt,
            failure=failure,
            next_attempt_at=Timestamp(step.at + decision.delay_microseconds),
            started_at=given.started_at,
            heartbeat=given.heartbeat,
            request_id=request_id,
        ),
    )


def _heartbeat_seen(step: "Step", given: i.HeartbeatSeen) -> None:
    if step.pending(given.operation, given.attempt) is not None:
        step.record(
            e.ActivityHeartbeatRecorded(operation=given.operation, attempt=given.attempt, details=given.details)
        )


def _value_given(step: "Step", given: i.ValueGiven) -> None:
    if step.pending(given.operation, given.attempt) is not None:
        step.record(
            e.ValuePublished(operation=given.operation, stream=given.stream, value=given.value, attempt=given.attempt)
        )


def _end_run(step: "Step", given: i.EndRun) -> None:
    step.result.consumed += () if given.position is None else (given.position,)
    step.close(given.closing)


def _message_arrived(step: "Step", given: i.MessageArrived) -> None:
    if type(given.message) is UpdateMessage:
        take_update(step, given)
        return
    if given.position is not None:
        step.result.consumed.append(given.position)
    step.told = given.message_id
    MESSAGE_RULES[type(given.message)](step, given.message, given.message_id)


# Any: each rule takes its own input type; the table pairs them by key, which the type system cannot follow.
INPUT_RULES: Final[Mapping[type, Callable[["Step", Any], None]]] = {
    i.Begin: _begin,
    i.GoOn: _go_on,
    i.Recovered: _recovered,
    i.AttemptStarting: _attempt_starting,
    i.AttemptSucceeded: _attempt_succeeded,
    i.AttemptDeferred: _attempt_deferred,
    i.AttemptQueued: queue_attempt,
    i.AttemptFailed: _attempt_failed,
    i.AttemptTimedOut: _attempt_timed_out,
    i.HeartbeatSeen: _heartbeat_seen,
    i.ValueGiven: _value_given,
    i.EndRun: _end_run,
    i.MessageArrived: _message_arrived,
}
"""Input type -> its rule."""
