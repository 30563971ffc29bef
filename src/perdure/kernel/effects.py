"""The effects of events: what each one changes in a run's state, and in which status it may happen at all.

`STEPS` is the whole rule: status -> event type -> (next status or None, effect or None). What is not in it is illegal.
An effect raises IllegalTransitionError, and leaves the state as it is, where the thing the event is about (an activity,
a timer, a child run, ...) is not in a state that allows it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from perdure.kernel import events as e
from perdure.kernel.deadline import Deadline
from perdure.kernel.fork_effects import become_fork
from perdure.kernel.lifecycle import (
    ACTIVITY_LIFECYCLE,
    CHILD_LIFECYCLE,
    RUN_LIFECYCLE,
    TIMER_LIFECYCLE,
    UPDATE_LIFECYCLE,
    ActivityPhase,
    TimerPhase,
    UpdatePhase,
    illegal,
    next_phase,
)
from perdure.kernel.lock_effects import move_lock
from perdure.kernel.mappings import without
from perdure.kernel.payload import NULL
from perdure.kernel.pending import Deferral, OpenChild, OpenLock, PendingActivity, inherited_children
from perdure.kernel.relatives import demand_relative, demand_relatives
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import OPEN_STATUSES, RunStatus

if TYPE_CHECKING:
    from perdure.kernel.state import RunState

__all__ = ["STEPS", "Effect"]

Effect: TypeAlias = Callable[["RunState", Any, Timestamp], None]
"""Changes a state by an event that happened at a time."""


def _created(state: "RunState", event: e.RunCreated, at: Timestamp) -> None:
    demand_relatives(event)
    state.created = event
    state.created_at = at
    state.priority = event.priority
    state.labels = event.labels
    state.keys = dict(event.carried_state)
    if event.carried_children:
        state.children = {child.operation: child for child in inherited_children(event)}
    if event.deadline_at is not None:
        state.deadline = Deadline(at=event.deadline_at, of=event.deadline_of or f"run {event.ref}")


def _started(state: "RunState", _event: e.RunStarted, at: Timestamp) -> None:
    state.started_at = at


def _completed(state: "RunState", _event: e.RunCompleted, _at: Timestamp) -> None:
    state.progress = 1.0


def _cancel_requested(state: "RunState", event: e.RunCancelRequested, _at: Timestamp) -> None:
    state.cancel = event


def _suspended(state: "RunState", event: e.RunSuspended, _at: Timestamp) -> None:
    _count_operation(state, event.operation)


def _resumed(state: "RunState", _event: e.RunResumed, _at: Timestamp) -> None:
    if state.started_at is None:
        state.status = RunStatus.CREATED


def _stage_started(state: "RunState", event: e.StageStarted, _at: Timestamp) -> None:
    _count_operation(state, event.operation)
    state.stages = {**state.stages, event.operation: event.name}


def _stage_ended(state: "RunState", event: e.StageCompleted | e.StageFailed, _at: Timestamp) -> None:
    name = state.stages.get(event.operation)
    if name is None:
        raise illegal("not started", type(event), subject=f"stage {event.operation}")
    state.stages = without(state.stages, event.operation)
    if type(event) is e.StageCompleted and state.created is not None and name in state.created.stages:
        state.finished_stages |= {name}
        _advance_progress(state)


def _activity_scheduled(state: "RunState", event: e.ActivityScheduled, at: Timestamp) -> None:
    operation = event.operation
    _count_operation(state, operation)
    state.activities_scheduled += 1
    state.activities[operation] = PendingActivity(
        operation=operation,
        activity=event.activity,
        input=event.input,
        options=event.options,
        scheduled_at=at,
        deadline_at=event.deadline_at,
        compensates=event.compensates,
        within=event.within,
    )


def _pending(state: "RunState", operation: int, kind: type[e.Event]) -> PendingActivity:
    activity = state.activities.get(operation)
    if activity is None:
        raise illegal("not pending", kind, subject=f"activity {operation}")
    next_phase(ACTIVITY_LIFECYCLE, ActivityPhase.PENDING, kind, subject=f"activity {operation}")
    return activity


def _attempt_started(state: "RunState", event: e.ActivityAttemptStarted, _at: Timestamp) -> None:
    activity = _pending(state, event.operation, e.ActivityAttemptStarted)
    activity.attempt = event.attempt
    activity.attempt_started = True
    activity.next_attempt_at = None
    state.retries.pop(event.operation, None)


def _activity_deferred(state: "RunState", event: e.ActivityDeferred, _at: Timestamp) -> None:
    pending = _pending(state, event.operation, e.ActivityDeferred)
    if event.heartbeat != NULL:
        pending.heartbeat = event.heartbeat
    pending.next_attempt_at = None
    state.retries.pop(event.operation, None)
    state.deferrals[event.operation] = Deferral(
        attempt=event.attempt,
        started_at=event.started_at,
        retry=event.retry,
        limits=event.limits,
        heartbeat_microseconds=event.heartbeat_microseconds,
        queue=event.queue,
        at_most_once=event.at_most_once,
    )


def _attempt_failed(state: "RunState", event: e.ActivityAttemptFailed, at: Timestamp) -> None:
    activity = _pending(state, event.operation, e.ActivityAttemptFailed)
    if state.deferrals:
        state.deferrals.pop(event.operation, None)
    activity.attempt = event.attempt + 1
    activity.attempt_started = False
    activity.next_attempt_at = event.next_attempt_at
    activity.retry_delay_microseconds = event.next_attempt_at - at
    state.retries[event.operation] = event.next_attempt_at
    activity.last_failure = event.failure
    if event.heartbeat != NULL:
        activity.heartbeat = event.heartbeat


def _heartbeat(state: "RunState", event: e.ActivityHeartbeatRecorded, at: Timestamp) -> None:
    activity = _pending(state, event.operation, e.ActivityHeartbeatRecorded)
    if event.details != NULL:
        activity.heartbeat = event.details
    deferral = state.deferrals.get(event.operation)
    if deferral is not None:
        state.deferrals[event.operation] = deferral.heard_of(at)


def _activity_ended(
    state: "RunState",
    event: e.ActivityCompleted | e.ActivityFailed | e.ActivityTimedOut | e.ActivityCancelled,
    _at: Timestamp,
) -> None:
    if state.activities.pop(event.operation, None) is None:
        raise illegal("not pending", type(event), subject=f"activity {event.operation}")
    if state.retries:
        state.retries.pop(event.operation, None)
    if state.deferrals:
        deferral = state.deferrals.pop(event.operation, None)
        if deferral is not None and type(event) is e.ActivityCompleted and event.worker is not None:
            state.sticky = {**state.sticky, deferral.queue: event.worker}
    if type(event) is e.ActivityCancelled:
        state.activities_scheduled -= 1
        return
    state.activities_finished += 1
    _advance_progress(state)


def _timer_started(state: "RunState", event: e.TimerStarted, _at: Timestamp) -> None:
    _count_operation(state, event.operation)
    state.timers[event.operation] = event.due_at


def _timer_ended(state: "RunState", event: e.TimerFired | e.TimerCancelled, _at: Timestamp) -> None:
    if state.timers.pop(event.operation, None) is None:
        raise illegal("not armed", type(event), subject=f"timer {event.operation}")
    next_phase(TIMER_LIFECYCLE, TimerPhase.ARMED, type(event), subject=f"timer {event.operation}")


def _signal_received(state: "RunState", event: e.SignalReceived, _at: Timestamp) -> None:
    received = state.signals_received
    state.signals_received = {**received, event.name: received.get(event.name, 0) + 1}


def _update_moved(
    state: "RunState", event: e.UpdateAccepted | e.UpdateRejected | e.UpdateCompleted, _at: Timestamp
) -> None:
    phase = state.updates.get(event.update_id, UpdatePhase.ABSENT)
    state.updates[event.update_id] = next_phase(
        UPDATE_LIFECYCLE, phase, type(event), subject=f"update {event.update_id!r}"
    )


def _child_requested(state: "RunState", event: e.ChildRequested, _at: Timestamp) -> None:
    if state.created is not None:
        demand_relative(state.created.ref, event.child, e.ChildRequested)
    _count_operation(state, event.operation)
    state.children[event.operation] = OpenChild(
        operation=event.operation, workflow=event.workflow, ref=event.child, policy=event.policy
    )


def _child_moved(
    state: "RunState", event: e.ChildStarted | e.ChildCompleted | e.ChildFailed | e.ChildCancelled, _at: Timestamp
) -> None:
    subject = f"child run {event.operation}"
    child = state.children.get(event.operation)
    if child is None:
        raise illegal("not open", type(event), subject=subject)
    child.phase = next_phase(CHILD_LIFECYCLE, child.phase, type(event), subject=subject)
    if type(event) is e.ChildStarted:
        child.run_key = event.run_key
    else:
        del state.children[event.operation]


def _key_set(state: "RunState", event: e.StateKeySet, _at: Timestamp) -> None:
    _count_operation(state, event.operation)
    state.keys[event.key] = event.value


def _key_deleted(state: "RunState", event: e.StateKeyDeleted, _at: Timestamp) -> None:
    _count_operation(state, event.operation)
    state.keys.pop(event.key, None)


def _labels_changed(state: "RunState", event: e.LabelsChanged, _at: Timestamp) -> None:
    _count_operation(state, event.operation)
    changed = {**state.labels, **event.labels}
    state.labels = {name: value for name, value in changed.items() if value is not None}


def _priority_changed(state: "RunState", event: e.PriorityChanged, _at: Timestamp) -> None:
    _count_operation(state, event.operation)
    state.priority = event.new


def _recovery_started(state: "RunState", _event: e.RecoveryStarted, _at: Timestamp) -> None:
    state.recoveries += 1


def _intervention_requested(state: "RunState", event: e.InterventionRequested, _at: Timestamp) -> None:
    _count_operation(state, event.operation)
    state.interventions = {**state.interventions, event.operation: event}


def _intervention_ended(
    state: "RunState", event: e.InterventionResolved | e.InterventionExpired, _at: Timestamp
) -> None:
    if event.operation not in state.interventions:
        raise illegal("not requested", type(event), subject=f"intervention {event.operation}")
    state.interventions = without(state.interventions, event.operation)


def _compensation_started(state: "RunState", event: e.CompensationStarted, _at: Timestamp) -> None:
    _count_operation(state, event.operation)
    state.compensations = {**state.compensations, event.operation: event.steps}


def _compensation_step(state: "RunState", event: e.CompensationStepCompleted, _at: Timestamp) -> None:
    steps = state.compensations.get(event.operation, 0)
    if steps <= 0:
        raise illegal("not under way", type(event), subject=f"compensation {event.operation}")
    state.compensations = {**state.compensations, event.operation: steps - 1}
    state.compensations_failed += event.failure is not None


def _compensation_finished(state: "RunState", event: e.CompensationFinished, _at: Timestamp) -> None:
    if state.compensations.get(event.operation) != 0:
        raise illegal("not all done", type(event), subject=f"compensation {event.operation}")
    state.compensations = without(state.compensations, event.operation)


def _lock_requested(state: "RunState", event: e.LockRequested, _at: Timestamp) -> None:
    _count_operation(state, event.operation)
    state.locks = {**state.locks, event.operation: OpenLock(key=event.key, limit=event.limit)}


def _version_decided(state: "RunState", event: e.VersionDecided, _at: Timestamp) -> None:
    _count_operation(state, event.operation)
    state.patches |= {event.patch}


def _operation_recorded(
    state: "RunState",
    event: e.SignalSent | e.SideEffectRecorded | e.TraceEventRecorded | e.ValuePublished,
    _at: Timestamp,
) -> None:
    _count_operation(state, event.operation)


def _count_operation(state: "RunState", operation: int) -> None:
    if operation > state.last_operation:  # noqa: PLR1730 - max takes three times as long; this runs for every command
        state.last_operation = operation


def _advance_progress(state: "RunState") -> None:
    declared = state.created.stages if state.created is not None else ()
    if declared:
        known = len(state.finished_stages) / (len(set(declared)) + 1)
    else:
        known = state.activities_finished / (state.activities_scheduled + 1)
    if known > state.progress:  # noqa: PLR1730 - as in _count_operation
        state.progress = known


# Any: each effect takes its own event type; the table pairs them by key, which the type system cannot follow.
_EFFECTS: Final[dict[type[e.Event], Effect]] = {
    e.RunCreated: _created,
    e.RunStarted: _started,
    e.RunCompleted: _completed,
    e.RunCancelRequested: _cancel_requested,
    e.RunSuspended: _suspended,
    e.RunResumed: _resumed,
    e.RunForked: become_fork,
    e.StageStarted: _stage_started,
    e.StageCompleted: _stage_ended,
    e.StageFailed: _stage_ended,
    e.ActivityScheduled: _activity_scheduled,
    e.ActivityAttemptStarted: _attempt_started,
    e.ActivityDeferred: _activity_deferred,
    e.ActivityAttemptFailed: _attempt_failed,
    e.ActivityHeartbeatRecorded: _heartbeat,
    e.ActivityCompleted: _activity_ended,
    e.ActivityFailed: _activity_ended,
    e.ActivityTimedOut: _activity_ended,
    e.ActivityCancelled: _activity_ended,
    e.TimerStarted: _timer_started,
    e.TimerFired: _timer_ended,
    e.TimerCancelled: _timer_ended,
    e.SignalReceived: _signal_received,
    e.SignalSent: _operation_recorded,
    e.UpdateAccepted: _update_moved,
    e.UpdateRejected: _update_moved,
    e.UpdateCompleted: _update_moved,
    e.ChildRequested: _child_requested,
    e.ChildStarted: _child_moved,
    e.ChildCompleted: _child_moved,
    e.ChildFailed: _child_moved,
    e.ChildCancelled: _child_moved,
    e.StateKeySet: _key_set,
    e.StateKeyDeleted: _key_deleted,
    e.LabelsChanged: _labels_changed,
    e.PriorityChanged: _priority_changed,
    e.RecoveryStarted: _recovery_started,
    e.InterventionRequested: _intervention_requested,
    e.InterventionResolved: _intervention_ended,
    e.InterventionExpired: _intervention_ended,
    e.CompensationStarted: _compensation_started,
    e.CompensationStepCompleted: _compensation_step,
    e.CompensationFinished: _compensation_finished,
    e.LockRequested: _lock_requested,
    e.LockAcquired: move_lock,
    e.LockDenied: move_lock,
    e.LockReleased: move_lock,
    e.VersionDecided: _version_decided,
    e.SideEffectRecorded: _operation_recorded,
    e.TraceEventRecorded: _operation_recorded,
    e.ValuePublished: _operation_recorded,
}


_LEGAL_BEFORE_START: Final[frozenset[type[e.Event]]] = frozenset({
    e.RunCreated, e.RunForked, e.SignalReceived, e.UpdateRejected, e.PriorityChanged, e.RecoveryStarted,
    e.RecoveryCompleted,
    e.ChildCompleted, e.ChildFailed, e.ChildCancelled,  # of children that the generation before left open
})  # fmt: skip
_LEGAL_WHEN_CLOSED: Final[frozenset[type[e.Event]]] = frozenset({e.RecoveryStarted, e.RecoveryCompleted})


def _steps(status: RunStatus) -> dict[type[e.Event], tuple[RunStatus | None, Effect | None]]:
    """Return every event that is legal in a status, with the status it leads to (None: the same) and its effect."""
    moving: set[type[e.Event]] = {kind for steps in RUN_LIFECYCLE.values() for kind in steps}
    if status is RunStatus.CREATED:
        legal: Iterable[type[e.Event]] = _LEGAL_BEFORE_START
    elif status in OPEN_STATUSES:
        legal = [kind for kind in e.EVENT_NAMES if kind not in moving and kind is not e.RunCreated]
    else:
        legal = _LEGAL_WHEN_CLOSED
    known: dict[type[e.Event], RunStatus | None] = {**dict.fromkeys(legal), **RUN_LIFECYCLE[status]}
    return {kind: (following, _EFFECTS.get(kind)) for kind, following in known.items()}


STEPS: Final[Mapping[RunStatus, Mapping[type[e.Event], tuple[RunStatus | None, Effect | None]]]] = {
    status: _steps(status) for status in RunStatus
}
"""Status -> event type -> (the status it leads to, None for the same; its effect, None for none)."""
