"""Messages: what signals, cancellations, suspensions and children's reports do in each status of a run."""

from typing import Any

import pytest
from msgspec.structs import replace

from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.payload import NULL
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from tests.kernel.lives import BROKEN, RUN_KEY, SECOND, START, Life, Script, json, signal, success

CREATED = e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1)
PARENT = e.ParentLink(run_key=3, ref=RunRef(id="p"), operation=Operation(5))
ONE, TWO, THREE = Operation(1), Operation(2), Operation(3)
FOR_GOOD = "the run has ended"
CALL = c.ScheduleActivity(operation=ONE, activity="pay", input=NULL)
END = c.CompleteRun(operation=THREE)
RESUMED_AND_BEGUN: list[type[e.Event]] = [e.RunResumed, e.RunStarted]
SUSPEND = m.SuspendMessage(reason="audit", by="ann")
RESUME = m.ResumeMessage(by="bob")
CANCEL = m.CancelMessage(reason="enough", by="ann")
TERMINATE = m.TerminateMessage(reason="now", by="ann")


def life(*asked: c.Command, created: e.RunCreated = CREATED, **answers: Any) -> Life:
    begun = Life(Script(run_started=asked, **answers), created)
    begun.begin()
    return begun


def seen(run: Life) -> list[type[e.Event]]:
    assert isinstance(run.program, Script)
    return [type(event) for event in run.program.seen]


def kinds(events: list[e.Event]) -> list[type[e.Event]]:
    return [type(event) for event in events]


def status_of(run: Life) -> RunStatus:
    return run.state.status


# --- signals ---------------------------------------------------------------------------------------------------------


def test_a_signal_is_recorded_with_its_message_id_and_its_inbox_row_is_consumed() -> None:
    run = life()
    arrived = i.MessageArrived(message=m.SignalMessage(name="go", body=json(1)), message_id="id-1", position=17)
    assert run.take(arrived) == [e.SignalReceived(name="go", body=json(1), message_id="id-1")]
    assert run.advanced.consumed == [17]


def test_a_message_to_a_run_that_closed_in_the_same_step_is_refused_and_not_consumed() -> None:
    run = life(CALL, activity_completed=[END])
    late = i.MessageArrived(message=m.SignalMessage(name="go"), position=17)
    run.take(success(1), late)
    assert run.advanced.refused == [late]
    assert run.advanced.consumed == []
    assert run.take(late, success(1)) == []
    assert run.advanced.refused == [late]


# --- cancelling ------------------------------------------------------------------------------------------------------


def test_cancelling_a_run_that_has_not_begun_ends_it() -> None:
    run = Life(Script(), CREATED)
    assert run.cancel() == [e.RunCancelled(reason="enough")]


def test_cancelling_a_running_run_asks_its_program() -> None:
    run = life(CALL)
    assert run.cancel("enough") == [e.RunCancelRequested(reason="enough", by="ann")]
    assert seen(run) == [e.RunStarted, e.RunCancelRequested]


def test_a_run_is_asked_to_cancel_once() -> None:
    run = life(CALL)
    run.cancel("first")
    assert run.cancel("second") == []
    assert run.state.cancel is not None
    assert run.state.cancel.reason == "first"


def test_cancelling_a_suspended_run_lets_it_go_on_to_clean_up() -> None:
    run = life(CALL)
    run.message(SUSPEND)
    assert run.cancel() == [e.RunCancelRequested(reason="enough", by="ann")]
    assert run.state.status is RunStatus.RUNNING
    assert seen(run) == [e.RunStarted, e.RunCancelRequested]


def test_cancelling_a_suspended_run_tells_its_program_first_what_it_missed() -> None:
    run = life(CALL, run_cancel_requested=[END])
    run.message(SUSPEND)
    run.take(success(1), signal("go"))
    assert kinds(run.cancel()) == [e.RunCancelRequested, e.RunCompleted]
    assert seen(run) == [e.RunStarted, e.ActivityCompleted, e.SignalReceived, e.RunCancelRequested]


def test_a_suspended_run_that_ends_by_what_it_missed_is_not_told_of_the_cancellation() -> None:
    run = life(CALL, signal_received=[END])
    run.message(SUSPEND)
    run.signal("go")
    assert kinds(run.cancel()) == [e.RunCancelRequested, e.ActivityCancelled, e.RunCompleted]
    assert seen(run) == [e.RunStarted, e.SignalReceived]


def test_a_run_that_would_suspend_itself_before_it_hears_of_its_cancellation_goes_on() -> None:
    run = life(CALL, signal_received=[c.SuspendRun(operation=TWO)], run_cancel_requested=[END])
    run.message(SUSPEND)
    run.signal("go")
    assert kinds(run.cancel()) == [e.RunCancelRequested, e.ActivityCancelled, e.RunCompleted]


def test_a_run_that_is_being_cancelled_may_suspend_itself_and_be_resumed() -> None:
    run = life(CALL, run_cancel_requested=[c.SuspendRun(operation=TWO, is_cancelling=True)])
    assert kinds(run.cancel()) == [e.RunCancelRequested, e.RunSuspended]
    assert run.cancel() == []
    assert kinds(run.message(RESUME)) == [e.RunResumed]


def test_after_its_grace_a_cancelled_run_is_terminated() -> None:
    run = life(CALL)
    run.cancel("enough", grace_until=START + 10 * SECOND)
    assert run.state.next_wake_at(Timestamp(run.now)) == START + 10 * SECOND
    assert run.wait(9.9) == []
    assert run.wait(0.1) == [
        e.ActivityCancelled(operation=ONE, reason=FOR_GOOD),
        e.RunTerminated(reason="the grace of the cancellation ended (enough)", by="ann"),
    ]
    assert run.advanced.to_stop == [1]


def test_only_its_own_parent_can_cancel_a_run_by_its_id() -> None:
    child = replace(CREATED, parent=PARENT)
    for message in (replace(CANCEL, parent_key=9), replace(TERMINATE, parent_key=9)):
        assert life(CALL).message(message) == []
        assert life(CALL, created=child).message(message) == []
    assert kinds(life(created=child).message(replace(CANCEL, parent_key=3))) == [e.RunCancelRequested]
    assert kinds(life(created=child).message(replace(TERMINATE, parent_key=3))) == [e.RunTerminated]


# --- terminating -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [RunStatus.CREATED, RunStatus.RUNNING, RunStatus.SUSPENDED])
def test_an_open_run_can_be_terminated_in_every_status(status: RunStatus) -> None:
    run = Life(Script(run_started=[CALL]), CREATED)
    if status is not RunStatus.CREATED:
        run.begin()
    if status is RunStatus.SUSPENDED:
        run.message(SUSPEND)
    assert run.message(TERMINATE)[-1] == e.RunTerminated(reason="now", by="ann")
    assert run.state.activities == {}


def test_what_is_pending_is_given_up_before_the_end_so_that_nothing_follows_it() -> None:
    child = c.RequestChild(operation=THREE, workflow="w", definition_version="1", child=RunRef(id="c"), input=NULL)
    run = life(CALL, c.StartTimer(operation=TWO, due_at=Timestamp(START + 1)), child)
    assert run.message(TERMINATE) == [
        e.ActivityCancelled(operation=ONE, reason=FOR_GOOD),
        e.TimerCancelled(operation=TWO, reason=FOR_GOOD),
        e.ChildCancelled(operation=THREE, reason=FOR_GOOD),
        e.RunTerminated(reason="now", by="ann"),
    ]


# --- suspending ------------------------------------------------------------------------------------------------------


def test_a_suspended_run_records_what_happens_and_tells_its_program_when_it_is_resumed() -> None:
    run = life(CALL, c.StartTimer(operation=TWO, due_at=Timestamp(START + SECOND)), timer_fired=[END])
    assert run.message(SUSPEND) == [e.RunSuspended(reason="audit", by="ann")]
    assert kinds(run.take(success(1), after=1)) == [e.ActivityCompleted, e.TimerFired]
    assert seen(run) == [e.RunStarted]
    assert kinds(run.message(RESUME)) == [e.RunResumed, e.RunCompleted]
    assert seen(run) == [e.RunStarted, e.ActivityCompleted, e.TimerFired]


def test_what_a_program_missed_is_handed_on_in_the_order_of_the_history() -> None:
    run = life()
    run.message(SUSPEND)
    run.take(signal("a"), signal("b"))
    run.message(RESUME)
    assert seen(run) == [e.RunStarted, e.SignalReceived, e.SignalReceived, e.RunResumed]
    run.signal("c")
    assert seen(run)[-1] is e.SignalReceived


def test_a_run_that_suspends_itself_again_while_it_catches_up_holds_the_rest() -> None:
    run = life(signal_received=[c.SuspendRun(operation=ONE, reason="again")])
    run.message(SUSPEND)
    run.take(signal("a"), signal("b"))
    assert kinds(run.message(RESUME)) == [e.RunResumed, e.RunSuspended]
    assert run.state.status is RunStatus.SUSPENDED
    assert seen(run) == [e.RunStarted, e.SignalReceived]
    assert kinds(run.message(RESUME)) == [e.RunResumed]
    assert seen(run) == [e.RunStarted, e.SignalReceived, e.SignalReceived, e.RunResumed, e.RunResumed]


def test_a_run_that_continues_before_it_has_caught_up_takes_all_missed_signals_along() -> None:
    carried = (e.CarriedSignal(name="old", body=json(0)),)
    run = life(signal_received=[c.ContinueRun(operation=ONE, input=NULL, carried_signals=carried)])
    run.message(SUSPEND)
    run.take(signal("a", 1), signal("b", 2), signal("b", 3))
    assert kinds(run.message(RESUME)) == [e.RunResumed, e.RunContinued]
    closing = run.state.closing
    assert isinstance(closing, e.RunContinued)
    assert [(s.name, s.body) for s in closing.carried_signals] == [("old", json(0)), ("b", json(2)), ("b", json(3))]


@pytest.mark.parametrize(
    "ending",
    [
        c.CompleteRun(operation=ONE, unconsumed_signals={"b": 1, "old": 1}),
        c.FailRun(operation=ONE, failure=BROKEN, unconsumed_signals={"b": 1, "old": 1}),
        c.CancelRun(operation=ONE, unconsumed_signals={"b": 1, "old": 1}),
    ],
)
def test_a_run_that_ends_before_it_has_caught_up_lists_the_missed_signals(ending: c.Command) -> None:
    run = life(signal_received=[ending])
    run.message(SUSPEND)
    run.take(signal("a"), signal("b"), signal("c"))
    run.message(RESUME)
    closing = run.state.closing
    assert isinstance(closing, e.RunCompleted | e.RunFailed | e.RunCancelled)
    assert closing.unconsumed_signals == {"b": 2, "old": 1, "c": 1}


def test_suspending_twice_or_resuming_what_runs_records_nothing() -> None:
    run = life()
    assert run.message(RESUME) == []
    run.message(SUSPEND)
    assert run.message(SUSPEND) == []


# Before its begin.


def waiting_to_begin(*, seconds: float = 10, **answers: Any) -> Life:
    """Return a run whose time comes in some seconds."""
    at = Timestamp(START + round(seconds * SECOND))
    created = e.RunCreated(workflow="w", ref=RunRef(id="r"), input=NULL, seed=1, start_at=at)
    run = Life(Script(**answers), created)
    run.begin()
    return run


def test_a_run_that_is_suspended_before_its_time_does_not_begin_when_that_comes() -> None:
    run = waiting_to_begin()
    assert run.message(SUSPEND) == [e.RunSuspended(reason="audit", by="ann")]
    assert status_of(run) is RunStatus.SUSPENDED
    assert run.state.next_wake_at(Timestamp(0)) is None
    assert run.wait(20) == []
    assert kinds(run.message(RESUME)) == RESUMED_AND_BEGUN
    assert status_of(run) is RunStatus.RUNNING


def test_a_run_that_is_resumed_before_its_time_begins_at_it() -> None:
    run = waiting_to_begin()
    run.message(SUSPEND)
    assert kinds(run.message(RESUME)) == [e.RunResumed]
    assert status_of(run) is RunStatus.CREATED
    assert run.state.next_wake_at(Timestamp(0)) == START + 10 * SECOND
    assert kinds(run.wait(10)) == [e.RunStarted]


def test_a_run_that_is_suspended_before_it_was_begun_begins_when_it_is_resumed() -> None:
    run = Life(Script(), e.RunCreated(workflow="w", ref=RunRef(id="r"), input=NULL, seed=1))
    run.message(SUSPEND)
    assert run.begin() == []
    assert kinds(run.message(RESUME)) == RESUMED_AND_BEGUN


def test_what_comes_to_a_run_that_is_held_before_its_begin_is_there_when_it_begins() -> None:
    run = waiting_to_begin(signal_received=[c.SetStateKey(operation=ONE, key="k", value=json(1))])
    run.message(SUSPEND)
    assert kinds(run.signal("go")) == [e.SignalReceived]
    run.wait(20)
    assert kinds(run.message(RESUME)) == [e.RunResumed, e.RunStarted, e.StateKeySet]
    assert seen(run) == [e.SignalReceived, e.RunResumed, e.RunStarted]


@pytest.mark.parametrize("held", [False, True])
def test_a_run_that_is_cancelled_before_its_begin_has_nothing_to_clean_up(held: bool) -> None:
    run = waiting_to_begin()
    if held:
        run.message(SUSPEND)
    assert kinds(run.cancel("enough")) == [e.RunCancelled]


def test_two_tasks_of_a_program_that_suspend_the_run_suspend_it_once() -> None:
    run = life(c.SuspendRun(operation=ONE, reason="a"), c.SuspendRun(operation=TWO, reason="b"))
    assert run.events[2:] == [e.RunSuspended(operation=ONE, reason="a", by="workflow")]


@pytest.mark.parametrize(
    ("ending", "closed"),
    [
        (END, e.RunCompleted),
        (c.FailRun(operation=THREE, failure=BROKEN), e.RunFailed),
        (c.CancelRun(operation=THREE), e.RunCancelled),
        (c.ContinueRun(operation=THREE, input=NULL), e.RunContinued),
    ],
)
def test_a_program_may_suspend_its_run_and_end_it_in_one_step(ending: c.Command, closed: type[e.Event]) -> None:
    run = life(c.SuspendRun(operation=ONE), ending)
    assert kinds(run.events[2:]) == [e.RunSuspended, closed]


# --- limits of time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suspended", [False, True])
def test_a_run_that_takes_longer_than_it_may_fails(suspended: bool) -> None:
    limit = 5 * SECOND
    created = replace(CREATED, execution_timeout_microseconds=limit, deadline_at=Timestamp(START + limit))
    run = life(CALL, created=created)
    if suspended:
        run.message(SUSPEND)
    assert run.wait(4.9) == []
    given_up, failed = run.wait(0.1)
    assert given_up == e.ActivityCancelled(operation=ONE, reason=FOR_GOOD)
    assert isinstance(failed, e.RunFailed)
    assert failed.failure.type == "RunTimeoutError"
    assert failed.failure.message == "the run did not end within its execution timeout of 5 s"
    assert (failed.operation, failed.failure.retryable) == (0, False)


def test_an_outcome_that_arrives_with_the_deadline_still_counts() -> None:
    created = replace(CREATED, deadline_at=Timestamp(START + SECOND))
    run = life(CALL, created=created, activity_completed=[END])
    assert kinds(run.take(success(1), after=2)) == [e.ActivityCompleted, e.RunCompleted]


# --- children --------------------------------------------------------------------------------------------------------


def child(policy: e.ParentClosePolicy = e.ParentClosePolicy.CANCEL, **more: Any) -> c.RequestChild:
    return c.RequestChild(
        operation=ONE,
        workflow="ship",
        definition_version="2",
        child=RunRef(id="c"),
        input=json(1),
        policy=policy,
        **more,
    )


def test_a_child_is_created_with_its_parent_s_transition() -> None:
    parent = replace(CREATED, tenant="shop", trace_context={"t": "1"}, priority=Priority.HIGH)
    run = life(child(stages=("s",), execution_timeout_microseconds=SECOND, labels={"a": "b"}), created=parent)
    assert kinds(run.events[2:]) == [e.ChildRequested, e.ChildStarted]
    creation = run.advanced.creations[0]
    created = creation.created.event
    assert isinstance(created, e.RunCreated)
    assert (creation.run_key, creation.wake_at, creation.created.sequence) == (1_000, START, 1)
    assert run.state.children[1].run_key == 1_000
    assert (created.workflow, created.definition_version, created.ref.id) == ("ship", "2", "c")
    assert (created.tenant, created.priority, created.trace_context) == ("shop", Priority.HIGH, {"t": "1"})
    assert (created.stages, created.labels, created.deadline_at) == (("s",), {"a": "b"}, START + SECOND)
    assert created.parent == e.ParentLink(run_key=RUN_KEY, ref=RunRef(id="a"), operation=ONE)
    assert created.seed != parent.seed


def test_a_child_may_have_a_priority_of_its_own() -> None:
    run = life(child(priority=Priority.LOW))
    assert run.advanced.creations[0].priority is Priority.LOW


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (
            e.ParentClosePolicy.CANCEL,
            m.CancelMessage(reason="its parent run gave it up", by="parent", parent_key=RUN_KEY),
        ),
        (
            e.ParentClosePolicy.TERMINATE,
            m.TerminateMessage(reason="its parent run gave it up", by="parent", parent_key=RUN_KEY),
        ),
        (e.ParentClosePolicy.ABANDON, None),
    ],
)
@pytest.mark.parametrize("end", ["closing", "giving up"])
def test_a_child_is_told_by_its_policy_when_its_parent_ends_or_gives_it_up(
    policy: e.ParentClosePolicy, told: m.Message | None, end: str
) -> None:
    answer = END if end == "closing" else c.CancelChild(operation=ONE)
    run = life(child(policy), signal_received=[answer])
    assert e.ChildCancelled in kinds(run.signal("go"))
    deliveries = run.advanced.deliveries
    assert [delivery.message for delivery in deliveries] == ([] if told is None else [told])
    # By name, which means the latest generation: the child may have continued as new.
    assert [delivery.target for delivery in deliveries] == ([] if told is None else [RunRef(id="c")])


def test_a_child_s_report_is_recorded_once() -> None:
    run = life(child())
    completed = m.ChildCompletedMessage(operation=ONE, result=json(5))
    assert run.message(completed) == [e.ChildCompleted(operation=ONE, result=json(5))]
    assert run.message(completed) == []
    failed = m.ChildFailedMessage(operation=ONE, outcome=e.ChildOutcome.FAILED, failure=BROKEN)
    assert run.message(failed) == []


def test_the_report_of_a_child_that_an_earlier_generation_asked_for_is_not_taken_for_this_one_s() -> None:
    run = life(child())
    assert run.message(m.ChildCompletedMessage(operation=ONE, generation=2, result=json(5))) == []
    assert run.message(m.ChildCompletedMessage(operation=ONE, result=json(6))) == [
        e.ChildCompleted(operation=ONE, result=json(6))
    ]


def test_a_child_that_could_not_be_created_has_failed() -> None:
    run = life(child())
    failed = m.ChildFailedMessage(operation=ONE, outcome=e.ChildOutcome.FAILED, failure=BROKEN)
    assert run.message(failed) == [e.ChildFailed(operation=ONE, outcome=e.ChildOutcome.FAILED, failure=BROKEN)]


@pytest.mark.parametrize(
    ("ending", "report"),
    [
        (c.CompleteRun(operation=ONE, result=json(5)), m.ChildCompletedMessage(operation=Operation(5), result=json(5))),
        (
            c.FailRun(operation=ONE, failure=BROKEN),
            m.ChildFailedMessage(operation=Operation(5), outcome=e.ChildOutcome.FAILED, failure=BROKEN),
        ),
        (
            c.CancelRun(operation=ONE, reason="why"),
            m.ChildFailedMessage(
                operation=Operation(5),
                outcome=e.ChildOutcome.CANCELLED,
                failure=Failure(type="RunCancelledError", message="why"),
            ),
        ),
    ],
)
def test_a_child_reports_its_end_to_its_parent(ending: c.Command, report: m.Message) -> None:
    run = life(ending, created=replace(CREATED, parent=PARENT))
    assert [(d.target, d.message) for d in run.advanced.deliveries] == [(PARENT.ref, report)]


def test_a_child_that_is_terminated_reports_that() -> None:
    run = life(created=replace(CREATED, parent=PARENT))
    run.message(TERMINATE)
    message = run.advanced.deliveries[0].message
    assert isinstance(message, m.ChildFailedMessage)
    assert (message.outcome, message.failure.type) == (e.ChildOutcome.TERMINATED, "RunTerminatedError")


def test_a_run_without_a_parent_reports_to_nobody() -> None:
    for ending in (END, c.FailRun(operation=ONE, failure=BROKEN)):
        assert life(ending).advanced.deliveries == []


# --- signals to others -----------------------------------------------------------------------------------------------


def test_a_signal_to_another_run_travels_with_the_transition_to_its_latest_generation() -> None:
    target = RunRef(id="other", generation=4)
    run = life(c.SendSignal(operation=ONE, target=target, name="go", body=json(1)))
    delivery = run.advanced.deliveries[0]
    assert delivery.target == RunRef(id="other")
    assert delivery.message == m.SignalMessage(name="go", body=json(1))


def test_every_message_that_a_run_sends_has_an_id_of_its_own() -> None:
    go = c.SendSignal(operation=ONE, target=RunRef(id="other"), name="go")
    run = life(go, replace(go, operation=TWO), replace(go, operation=THREE))
    assert len({delivery.message_id for delivery in run.advanced.deliveries}) == 3


# --- continuing as new ---------------------------------------------------------------------------------------------


def test_the_next_generation_is_created_with_the_end_of_this_one() -> None:
    limit = 60 * SECOND
    created = replace(
        CREATED,
        labels={"a": "b"},
        execution_timeout_microseconds=limit,
        deadline_at=Timestamp(START + limit),
        parent=PARENT,
        attempt=3,
    )
    signals = (e.CarriedSignal(name="go", body=json(1)),)
    ending = c.ContinueRun(operation=THREE, input=json(2), carried_state={"k": json(1)}, carried_signals=signals)
    run = life(
        CALL,
        c.ChangeLabels(operation=TWO, labels={"c": "d"}),
        c.ChangePriority(operation=TWO, new=Priority.LOW),
        ending,
        created=created,
    )
    assert kinds(run.events[-2:]) == [e.ActivityCancelled, e.RunContinued]
    assert run.state.status is RunStatus.CONTINUED
    creation = run.advanced.creations[0]
    following = creation.created.event
    assert isinstance(following, e.RunCreated)
    assert run.advanced.moves_inbox_to == creation.run_key == 1_000
    assert creation.ref == RunRef(id="a", generation=2)
    assert (following.input, following.attempt, following.start_at) == (json(2), 1, None)
    assert (following.labels, following.priority) == ({"a": "b", "c": "d"}, Priority.LOW)
    assert (following.carried_state, following.carried_signals) == ({"k": json(1)}, signals)
    assert (following.deadline_at, following.parent) == (START + limit, PARENT)
    assert following.seed != created.seed
    assert run.advanced.deliveries == []  # the parent hears of the last generation's end only


def test_a_workflow_that_is_tried_again_begins_after_the_delay_and_not_before() -> None:
    ending = c.ContinueRun(operation=ONE, input=NULL, attempt=2, delay_microseconds=30 * SECOND, failure=BROKEN)
    run = life(ending)
    creation = run.advanced.creations[0]
    following = creation.created.event
    assert isinstance(following, e.RunCreated)
    assert (creation.wake_at, following.start_at, following.attempt) == (START + 30 * SECOND, START + 30 * SECOND, 2)
    continued = run.events[-1]
    assert isinstance(continued, e.RunContinued)
    assert (continued.failure, continued.next_at, continued.next_generation) == (BROKEN, START + 30 * SECOND, 2)


def test_a_deadline_without_a_timeout_holds_for_all_generations() -> None:
    created = replace(CREATED, deadline_at=Timestamp(START + SECOND))
    run = life(c.ContinueRun(operation=ONE, input=NULL), created=created)
    following = run.advanced.creations[0].created.event
    assert isinstance(following, e.RunCreated)
    assert following.deadline_at == START + SECOND
