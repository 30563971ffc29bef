"""The lifecycle tables, whole: every pair of a state and an event is either in its table or refused by name."""

from typing import Any

import pytest

from perdure.errors import IllegalTransitionError
from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.fork_facts import ForkCause
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.lifecycle import (
    ACTIVITY_LIFECYCLE,
    CHILD_LIFECYCLE,
    RUN_LIFECYCLE,
    SIGNAL_LIFECYCLE,
    TIMER_LIFECYCLE,
    UPDATE_LIFECYCLE,
    Lifecycle,
    draw,
    next_phase,
)
from perdure.kernel.payload import NULL
from perdure.kernel.retry import NO_RETRY
from perdure.kernel.state import RunState
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import OPEN_STATUSES, RunStatus

# Any: the tables are of six kinds of phases, and a test walks them all alike.
TABLES: dict[str, Lifecycle[Any]] = {
    "run": RUN_LIFECYCLE,
    "activity": ACTIVITY_LIFECYCLE,
    "timer": TIMER_LIFECYCLE,
    "child": CHILD_LIFECYCLE,
    "signal": SIGNAL_LIFECYCLE,
    "update": UPDATE_LIFECYCLE,
}
PHASES = [pytest.param(table, phase, id=f"{name}-{phase}") for name, table in TABLES.items() for phase in table]

ONE = Operation(1)
FAILURE = Failure(type="ValueError", message="no")
MOVING = {event for steps in RUN_LIFECYCLE.values() for event in steps}


@pytest.mark.parametrize(("table", "phase"), PHASES)
def test_each_event_leads_where_a_phase_s_table_says_or_is_refused_by_name(table: Lifecycle[Any], phase: Any) -> None:
    for event, name in e.EVENT_NAMES.items():
        following = table[phase].get(event)
        if following is not None:
            assert next_phase(table, phase, event, subject="it") is following, name
            assert following in table, name
            continue
        with pytest.raises(IllegalTransitionError, match=f"it is {phase}: the event '{name}'") as caught:
            next_phase(table, phase, event, subject="it")
        assert (caught.value.state, caught.value.event) == (phase, name)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_phase_can_be_reached_and_every_end_is_final(table: Lifecycle[Any]) -> None:
    first = next(iter(table))
    reached, edge = {first}, [first]
    while edge:
        new = set(table[edge.pop()].values()) - reached
        reached |= new
        edge += new
    assert reached == set(table)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_diagram_has_one_arrow_for_each_step_of_its_table(table: Lifecycle[Any]) -> None:
    lines = draw(table).splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) - 1 == sum(len(steps) for steps in table.values())


def test_a_diagram_names_states_and_event() -> None:
    assert "    armed --> fired: timer_fired" in draw(TIMER_LIFECYCLE).splitlines()


# --- the run's table as the fold applies it ------------------------------------------------------------------------

CREATED = e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1)
CONTINUED = e.RunContinued(input=NULL, next_generation=2, next_at=Timestamp(1))
WAYS: dict[RunStatus, list[e.Event]] = {
    RunStatus.CREATED: [CREATED],
    RunStatus.RUNNING: [CREATED, e.RunStarted()],
    RunStatus.SUSPENDED: [CREATED, e.RunStarted(), e.RunSuspended()],
    RunStatus.COMPLETED: [CREATED, e.RunStarted(), e.RunCompleted()],
    RunStatus.FAILED: [CREATED, e.RunStarted(), e.RunFailed(failure=FAILURE)],
    RunStatus.CANCELLED: [CREATED, e.RunCancelled()],
    RunStatus.TERMINATED: [CREATED, e.RunTerminated()],
    RunStatus.CONTINUED: [CREATED, e.RunStarted(), CONTINUED],
}

SAMPLES: dict[type[e.Event], e.Event] = {
    type(event): event
    for event in (
        CREATED,
        e.RunStarted(),
        e.RunCompleted(),
        e.RunFailed(failure=FAILURE),
        e.RunCancelRequested(),
        e.RunCancelled(),
        e.RunTerminated(),
        e.RunSuspended(),
        e.RunResumed(),
        CONTINUED,
        e.RunReset(next_generation=2, point=1),
        e.RunForked(
            origin=RunRef(id="o"),
            origin_key=1,
            caller_key=1,
            sequence=1,
            ref=RunRef(id="f"),
            seed=1,
            cause=ForkCause.FORK,
        ),
        e.StageStarted(operation=ONE, name="s"),
        e.StageCompleted(operation=ONE),
        e.StageFailed(operation=ONE, failure=FAILURE),
        e.ActivityScheduled(operation=ONE, activity="a", input=NULL),
        e.ActivityAttemptStarted(operation=ONE, attempt=1),
        e.ActivityAttemptFailed(operation=ONE, attempt=1, failure=FAILURE, next_attempt_at=Timestamp(1)),
        e.ActivityCompleted(operation=ONE),
        e.ActivityFailed(operation=ONE, failure=FAILURE),
        e.ActivityTimedOut(operation=ONE, timeout=e.TimeoutKind.HEARTBEAT),
        e.ActivityHeartbeatRecorded(operation=ONE, attempt=1, details=NULL),
        e.ActivityDeferred(operation=ONE, attempt=1, started_at=Timestamp(1), retry=NO_RETRY),
        e.ActivityCancelled(operation=ONE),
        e.TimerStarted(operation=ONE, due_at=Timestamp(1)),
        e.TimerFired(operation=ONE),
        e.TimerCancelled(operation=ONE),
        e.SignalReceived(name="s"),
        e.SignalSent(operation=ONE, target=RunRef(id="o"), name="s"),
        e.SignalAnswered(operation=ONE, outcome=e.SignalOutcome.MISSING),
        e.UpdateAccepted(update_id="u", name="n"),
        e.UpdateRejected(update_id="u", failure=FAILURE),
        e.UpdateCompleted(update_id="u"),
        e.ChildRequested(operation=ONE, workflow="w", child=RunRef(id="c"), input=NULL),
        e.ChildStarted(operation=ONE, run_key=1),
        e.ChildCompleted(operation=ONE),
        e.ChildFailed(operation=ONE, outcome=e.ChildOutcome.FAILED, failure=FAILURE),
        e.ChildCancelled(operation=ONE),
        e.StateKeySet(operation=ONE, key="k", value=NULL),
        e.StateKeyDeleted(operation=ONE, key="k"),
        e.LabelsChanged(operation=ONE, labels={}),
        e.PriorityChanged(old=CREATED.priority, new=CREATED.priority),
        e.RecoveryStarted(strategy="s"),
        e.RecoveryCompleted(strategy="s", success=True),
        e.InterventionRequested(operation=ONE, role="r", instructions="i"),
        e.InterventionResolved(operation=ONE, by="b", decision=NULL),
        e.InterventionExpired(operation=ONE),
        e.CompensationStarted(operation=ONE, steps=0),
        e.CompensationStepCompleted(operation=ONE, compensates=ONE),
        e.CompensationFinished(operation=ONE),
        e.LockRequested(operation=ONE, key="k"),
        e.LockAcquired(operation=ONE, fencing_token=1),
        e.LockDenied(operation=ONE, cycle=()),
        e.LockReleased(operation=ONE),
        e.VersionDecided(operation=ONE, patch="p"),
        e.SideEffectRecorded(operation=ONE),
        e.TraceEventRecorded(operation=ONE, name="n"),
        e.ValuePublished(operation=ONE, stream="s", value=NULL),
    )
}
ENDS_OF_THINGS = {
    e.StageCompleted: "not started",
    e.StageFailed: "not started",
    e.ActivityAttemptStarted: "not pending",
    e.ActivityAttemptFailed: "not pending",
    e.ActivityCompleted: "not pending",
    e.ActivityFailed: "not pending",
    e.ActivityTimedOut: "not pending",
    e.ActivityHeartbeatRecorded: "not pending",
    e.ActivityDeferred: "not pending",
    e.ActivityCancelled: "not pending",
    e.TimerFired: "not armed",
    e.TimerCancelled: "not armed",
    e.UpdateCompleted: "absent",
    e.ChildStarted: "not open",
    e.ChildCompleted: "not open",
    e.ChildFailed: "not open",
    e.ChildCancelled: "not open",
    e.InterventionResolved: "not requested",
    e.InterventionExpired: "not requested",
    e.CompensationStepCompleted: "not under way",
    e.CompensationFinished: "not all done",
    e.LockAcquired: "not requested",
    e.LockDenied: "not requested",
    e.LockReleased: "not requested",
}
"""Events about a thing that must have begun, and what the refusal says of one that has not."""


INHERITED_CHILD_ENDS = {e.ChildCompleted, e.ChildFailed, e.ChildCancelled}
MAY_COME_BEFORE_THE_START = {
    e.RunForked, e.PriorityChanged, e.SignalReceived, e.UpdateRejected, *INHERITED_CHILD_ENDS
}  # fmt: skip


def run_in(status: RunStatus) -> RunState:
    state = RunState()
    for event in WAYS[status]:
        state.record(event, Timestamp(1))
    assert state.status is status
    return state


def test_there_is_a_sample_of_every_event() -> None:
    assert SAMPLES.keys() == e.EVENT_NAMES.keys()


@pytest.mark.parametrize("status", RunStatus)
def test_the_fold_takes_each_event_in_a_status_or_refuses_it_by_name(status: RunStatus) -> None:
    for kind, name in e.EVENT_NAMES.items():
        state = run_in(status)
        following = RUN_LIFECYCLE[status].get(kind)
        if following is None and (refusal := _refusal(status, kind)):
            with pytest.raises(IllegalTransitionError, match=f"the event '{name}' cannot") as caught:
                state.record(SAMPLES[kind], Timestamp(2))
            assert (caught.value.state, caught.value.event) == (refusal, name)
        else:
            state.record(SAMPLES[kind], Timestamp(2))
            assert state.status is (following or status), name


def _refusal(status: RunStatus, kind: type[e.Event]) -> str | None:
    """Return what the refusal of an event that does not move the run calls the state; None if it is legal."""
    if kind in {e.RecoveryStarted, e.RecoveryCompleted}:
        return None
    if kind in MOVING or kind is e.RunCreated or status not in OPEN_STATUSES:
        return status
    if status is RunStatus.CREATED and kind not in MAY_COME_BEFORE_THE_START:
        return status
    return ENDS_OF_THINGS.get(kind)


def test_nothing_but_its_creation_can_happen_to_a_run_that_does_not_exist() -> None:
    for kind in e.EVENT_NAMES.keys() - {e.RunCreated}:
        with pytest.raises(IllegalTransitionError, match="not created"):
            RunState().record(SAMPLES[kind], Timestamp(1))
    RunState().record(CREATED, Timestamp(1))


@pytest.mark.parametrize("end", [e.ActivityCompleted(operation=ONE), e.ActivityCancelled(operation=ONE)])
def test_an_activity_has_one_outcome(end: e.Event) -> None:
    state = run_in(RunStatus.RUNNING)
    state.record(SAMPLES[e.ActivityScheduled], Timestamp(2))
    state.record(end, Timestamp(2))
    with pytest.raises(IllegalTransitionError, match="activity 1 is not pending"):
        state.record(SAMPLES[e.ActivityTimedOut], Timestamp(3))


def test_a_child_that_was_not_started_cannot_complete() -> None:
    state = run_in(RunStatus.RUNNING)
    state.record(SAMPLES[e.ChildRequested], Timestamp(2))
    with pytest.raises(IllegalTransitionError, match="child run 1 is requested"):
        state.record(SAMPLES[e.ChildCompleted], Timestamp(2))


def test_a_compensation_has_as_many_steps_as_it_announced() -> None:
    state = run_in(RunStatus.RUNNING)
    state.record(e.CompensationStarted(operation=ONE, steps=1), Timestamp(2))
    with pytest.raises(IllegalTransitionError, match="not all done"):
        state.record(SAMPLES[e.CompensationFinished], Timestamp(2))
    state.record(SAMPLES[e.CompensationStepCompleted], Timestamp(2))
    with pytest.raises(IllegalTransitionError, match="not under way"):
        state.record(SAMPLES[e.CompensationStepCompleted], Timestamp(2))
    state.record(SAMPLES[e.CompensationFinished], Timestamp(2))
