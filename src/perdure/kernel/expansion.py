"""From command to events: the one function by which a program's wish becomes history.

Live execution records what `expand` returns; replay demands that the history holds it. So the rules that a recorded
history is checked by are the rules it was made by.
"""

from collections.abc import Callable, Collection
from typing import Any, Final

from perdure.errors import InternalError
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel.deadline import Deadline, nearest
from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation
from perdure.kernel.lifecycle import UpdatePhase
from perdure.kernel.pending import OpenChild, carried_child
from perdure.kernel.state import RunState
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus

__all__ = ["close_events", "expand"]


def expand(state: RunState, command: c.Command, at: Timestamp) -> tuple[e.Event, ...]:
    """Return the events that `command` means in `state` at the time `at`, in the order they are to be recorded.

    Complexity: O(1), for the commands that close a run O(pending operations).
    """
    rule = _RULES.get(type(command))
    if rule is None:
        message = f"no expansion is known for the command {type(command).__name__}"
        raise InternalError(message)
    return rule(state, command, at)


def close_events(
    state: RunState, closing: e.Event, *, kept: Collection[int] = (), kept_updates: Collection[str] = ()
) -> tuple[e.Event, ...]:
    """Return the events that close a run in order: what is pending is given up first, so nothing follows the end.

    `kept` are the operations of children that follow it into its next generation, `kept_updates` the accepted updates
    that are handled there.
    """
    reason = "the run has ended"
    given_up: list[e.Event] = [e.ActivityCancelled(operation=Operation(o), reason=reason) for o in state.activities]
    given_up += [e.TimerCancelled(operation=Operation(o), reason=reason) for o in state.timers]
    given_up += [e.ChildCancelled(operation=Operation(o), reason=reason) for o in state.children if o not in kept]
    if state.locks:
        given_up += [e.LockReleased(operation=Operation(o), reason=reason) for o in state.locks]
    if state.updates:
        given_up += _abandoned_updates(state, reason, kept_updates)
    return (*given_up, closing)


def _abandoned_updates(state: RunState, reason: str, kept: Collection[str]) -> list[e.Event]:
    failure = Failure(type="RunClosedError", message=f"{reason} before the update's handler did", retryable=False)
    accepted = [update_id for update_id, phase in state.updates.items() if phase is UpdatePhase.ACCEPTED]
    abandoned = [update_id for update_id in accepted if update_id not in kept]
    return [e.UpdateCompleted(update_id=update_id, failure=failure, reason=reason) for update_id in abandoned]


def _schedule_activity(_state: RunState, command: c.ScheduleActivity, at: Timestamp) -> tuple[e.Event, ...]:
    limit = command.schedule_to_close_microseconds
    return (
        e.ActivityScheduled(
            operation=command.operation,
            activity=command.activity,
            input=command.input,
            options=command.options,
            deadline_at=None if limit is None else Timestamp(at + limit),
            compensates=command.compensates,
            within=command.within,
        ),
    )


# While a run is suspended its program lags behind its state: what it gives up may have ended already.


def _cancel_activity(state: RunState, command: c.CancelActivity, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.ActivityCancelled(operation=command.operation),) if command.operation in state.activities else ()


def _start_timer(_state: RunState, command: c.StartTimer, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.TimerStarted(operation=command.operation, due_at=command.due_at),)


def _cancel_timer(state: RunState, command: c.CancelTimer, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.TimerCancelled(operation=command.operation),) if command.operation in state.timers else ()


def _start_stage(_state: RunState, command: c.StartStage, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.StageStarted(operation=command.operation, name=command.name, deadline_at=command.deadline_at),)


def _complete_stage(_state: RunState, command: c.CompleteStage, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.StageCompleted(operation=command.operation, result=command.result),)


def _fail_stage(_state: RunState, command: c.FailStage, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.StageFailed(operation=command.operation, failure=command.failure),)


def _request_child(state: RunState, command: c.RequestChild, _at: Timestamp) -> tuple[e.Event, ...]:
    return (
        e.ChildRequested(
            operation=command.operation,
            workflow=command.workflow,
            definition_version=command.definition_version,
            child=command.child,
            input=command.input,
            policy=command.policy,
            priority=command.priority,
            labels=command.labels,
            stages=command.stages,
            execution_timeout_microseconds=command.execution_timeout_microseconds,
            within=_deadline_of_child(state, command) if command.inherits_deadline else None,
        ),
    )


def _deadline_of_child(state: RunState, command: c.RequestChild) -> Deadline | None:
    within, run = command.within, state.deadline
    if within is not None and state.created is not None:  # to the child it is another run's
        within = Deadline(at=within.at, of=f"{within.of} of run {state.created.ref}")
    return nearest(run, within)


def _cancel_child(state: RunState, command: c.CancelChild, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.ChildCancelled(operation=command.operation),) if command.operation in state.children else ()


def _request_lock(state: RunState, command: c.RequestLock, _at: Timestamp) -> tuple[e.Event, ...]:
    # A task may outlive the block that it was made in, whose lock is given back then.
    holding = tuple(operation for operation in command.holding if operation in state.locks)
    return (
        e.LockRequested(
            operation=command.operation,
            key=command.key,
            limit=command.limit,
            holding=holding,
            waits=command.waits,
        ),
    )


def _release_lock(state: RunState, command: c.ReleaseLock, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.LockReleased(operation=command.operation),) if command.operation in state.locks else ()


def _send_signal(_state: RunState, command: c.SendSignal, _at: Timestamp) -> tuple[e.Event, ...]:
    return (
        e.SignalSent(
            operation=command.operation,
            target=command.target,
            name=command.name,
            body=command.body,
            expects_answer=command.expects_answer,
        ),
    )


def _complete_update(_state: RunState, command: c.CompleteUpdate, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.UpdateCompleted(update_id=command.update_id, result=command.result, failure=command.failure),)


def _set_state_key(_state: RunState, command: c.SetStateKey, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.StateKeySet(operation=command.operation, key=command.key, value=command.value),)


def _delete_state_key(_state: RunState, command: c.DeleteStateKey, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.StateKeyDeleted(operation=command.operation, key=command.key),)


def _change_labels(_state: RunState, command: c.ChangeLabels, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.LabelsChanged(operation=command.operation, labels=command.labels),)


def _change_priority(state: RunState, command: c.ChangePriority, _at: Timestamp) -> tuple[e.Event, ...]:
    return (
        e.PriorityChanged(
            operation=command.operation, old=state.priority, new=command.new, reason=command.reason, by="workflow"
        ),
    )


def _decide_version(_state: RunState, command: c.DecideVersion, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.VersionDecided(operation=command.operation, patch=command.patch, deprecated=command.deprecated),)


def _record_side_effect(_state: RunState, command: c.RecordSideEffect, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.SideEffectRecorded(operation=command.operation, value=command.value),)


def _record_trace_event(_state: RunState, command: c.RecordTraceEvent, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.TraceEventRecorded(operation=command.operation, name=command.name, attributes=command.attributes),)


def _publish_value(_state: RunState, command: c.PublishValue, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.ValuePublished(operation=command.operation, stream=command.stream, value=command.value),)


def _start_compensation(_state: RunState, command: c.StartCompensation, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.CompensationStarted(operation=command.operation, steps=command.steps),)


def _record_compensation_step(
    _state: RunState, command: c.RecordCompensationStep, _at: Timestamp
) -> tuple[e.Event, ...]:
    return (
        e.CompensationStepCompleted(
            operation=command.operation, compensates=command.compensates, failure=command.failure
        ),
    )


def _finish_compensation(_state: RunState, command: c.FinishCompensation, _at: Timestamp) -> tuple[e.Event, ...]:
    return (e.CompensationFinished(operation=command.operation, failed=command.failed),)


def _suspend_run(state: RunState, command: c.SuspendRun, _at: Timestamp) -> tuple[e.Event, ...]:
    # Nothing where another task has suspended the run already, or a cancellation is on its way to the code.
    if state.status is RunStatus.SUSPENDED or (state.cancel is not None and not command.is_cancelling):
        return ()
    return (e.RunSuspended(operation=command.operation, reason=command.reason, by="workflow"),)


def _complete_run(state: RunState, command: c.CompleteRun, _at: Timestamp) -> tuple[e.Event, ...]:
    return close_events(state, e.RunCompleted(result=command.result, unconsumed_signals=command.unconsumed_signals))


def _fail_run(state: RunState, command: c.FailRun, _at: Timestamp) -> tuple[e.Event, ...]:
    return close_events(
        state,
        e.RunFailed(
            operation=command.operation, failure=command.failure, unconsumed_signals=command.unconsumed_signals
        ),
    )


def _cancel_run(state: RunState, command: c.CancelRun, _at: Timestamp) -> tuple[e.Event, ...]:
    return close_events(
        state,
        e.RunCancelled(
            operation=command.operation, reason=command.reason, unconsumed_signals=command.unconsumed_signals
        ),
    )


def _continue_run(state: RunState, command: c.ContinueRun, at: Timestamp) -> tuple[e.Event, ...]:
    generation = state.created.ref.generation if state.created is not None else 1
    following = _following(state) if command.failure is None else ()
    return close_events(
        state,
        e.RunContinued(
            input=command.input,
            next_generation=generation + 1,
            next_at=Timestamp(at + command.delay_microseconds),
            attempt=command.attempt,
            failure=command.failure,
            carried_state=command.carried_state,
            carried_signals=command.carried_signals,
            definition_version=command.definition_version,
            stages=command.stages,
            carried_children=tuple(carried_child(child, generation) for child in following),
        ),
        kept=[child.operation for child in following],
    )


def _following(state: RunState) -> tuple[OpenChild, ...]:
    """Return the children that go along when a run continues: those that end with it. Detached ones are let go."""
    return tuple(child for child in state.children.values() if child.policy is not e.ParentClosePolicy.ABANDON)


# Any: each rule takes its own command type; the table pairs them by key, which the type system cannot follow.
_RULES: Final[dict[type[c.Command], Callable[[RunState, Any, Timestamp], tuple[e.Event, ...]]]] = {
    c.ScheduleActivity: _schedule_activity,
    c.CancelActivity: _cancel_activity,
    c.StartTimer: _start_timer,
    c.CancelTimer: _cancel_timer,
    c.StartStage: _start_stage,
    c.CompleteStage: _complete_stage,
    c.FailStage: _fail_stage,
    c.RequestChild: _request_child,
    c.CancelChild: _cancel_child,
    c.RequestLock: _request_lock,
    c.ReleaseLock: _release_lock,
    c.SendSignal: _send_signal,
    c.CompleteUpdate: _complete_update,
    c.SetStateKey: _set_state_key,
    c.DeleteStateKey: _delete_state_key,
    c.ChangeLabels: _change_labels,
    c.ChangePriority: _change_priority,
    c.DecideVersion: _decide_version,
    c.RecordSideEffect: _record_side_effect,
    c.RecordTraceEvent: _record_trace_event,
    c.PublishValue: _publish_value,
    c.StartCompensation: _start_compensation,
    c.RecordCompensationStep: _record_compensation_step,
    c.FinishCompensation: _finish_compensation,
    c.SuspendRun: _suspend_run,
    c.CompleteRun: _complete_run,
    c.FailRun: _fail_run,
    c.CancelRun: _cancel_run,
    c.ContinueRun: _continue_run,
}
