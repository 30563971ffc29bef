"""Advance: given what happened, when inputs come, then these events and consequences follow."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from perdure.errors import InternalError
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.advance import advance
from perdure.kernel.backoff import decorrelated_jitter
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.options import ActivityOptions
from perdure.kernel.payload import NULL
from perdure.kernel.priority import Priority
from perdure.kernel.program import Feed, is_recorded_command
from perdure.kernel.retry import Retry
from perdure.kernel.state import RunState
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Answers, RunStatus
from tests.kernel.lives import BROKEN, RETRIED, RUN_KEY, SECOND, START, Life, Script, failed, json, signal, success

CREATED = e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1)
ONE, TWO, THREE = Operation(1), Operation(2), Operation(3)
FOR_GOOD = "the run has ended"


def life(*asked: c.Command, created: e.RunCreated = CREATED, **answers: Any) -> Life:
    """Return a run that asked for these commands when it started, and answers later events as written."""
    begun = Life(Script(run_started=asked, **answers), created)
    begun.begin()
    return begun


def call(operation: Operation = ONE, *, limit: int | None = None) -> c.ScheduleActivity:
    return c.ScheduleActivity(operation=operation, activity="pay", input=NULL, schedule_to_close_microseconds=limit)


def timer(operation: Operation, seconds: float) -> c.StartTimer:
    return c.StartTimer(operation=operation, due_at=Timestamp(START + round(seconds * SECOND)))


# --- beginning -------------------------------------------------------------------------------------------------------


def test_a_run_begins_with_what_its_program_asks_for_first() -> None:
    run = life(call(), timer(TWO, 5))
    assert run.events[1:] == [
        e.RunStarted(worker="w"),
        e.ActivityScheduled(operation=ONE, activity="pay", input=NULL),
        e.TimerStarted(operation=TWO, due_at=Timestamp(START + 5 * SECOND)),
    ]
    assert run.advanced.to_start == [1]
    assert [recorded.sequence for recorded in run.history] == [1, 2, 3, 4]
    assert {recorded.at for recorded in run.history} == {START}


def test_a_run_begins_once() -> None:
    run = life()
    assert run.begin() == []


def test_a_run_does_not_begin_before_its_time_whatever_arrives() -> None:
    run = Life(Script(run_started=[call()]), replace(CREATED, start_at=Timestamp(START + 60 * SECOND)))
    assert run.begin() == []
    assert run.take(signal("go", 1)) == [e.SignalReceived(name="go", body=json(1), message_id="go-1")]
    assert run.begin() == []
    assert run.state.next_wake_at(Timestamp(run.now)) == START + 60 * SECOND
    assert run.wait(59) == []
    begun = run.wait(1)
    assert begun[0] == e.RunStarted()
    assert isinstance(begun[1], e.ActivityScheduled)
    assert run.wait(1) == []


def test_what_the_generation_before_did_not_consume_comes_before_the_start() -> None:
    carried = (e.CarriedSignal(name="go", body=json(1)), e.CarriedSignal(name="go", body=json(2)))
    run = life(c.CompleteRun(operation=ONE), created=replace(CREATED, carried_signals=carried))
    assert [type(event) for event in run.events] == [
        e.RunCreated,
        e.SignalReceived,
        e.SignalReceived,
        e.RunStarted,
        e.RunCompleted,
    ]


def test_a_takeover_is_recorded_with_what_happens_next() -> None:
    run = life(call())
    events = run.take(i.Recovered(worker="v"), success(1))
    assert [type(event) for event in events] == [e.RecoveryStarted, e.RecoveryCompleted, e.ActivityCompleted]


def test_a_history_without_a_beginning_is_a_bug_that_is_named() -> None:
    with pytest.raises(InternalError, match="run 7 advances without a RunCreated event"):
        advance(
            RunState(),
            Feed(Script()),
            [i.Begin(worker="w")],
            run_key=RUN_KEY,
            now=Timestamp(1),
            new_run_key=lambda: RunKey(1),
        )


# --- time --------------------------------------------------------------------------------------------------------


def test_time_never_runs_backwards_whatever_the_clock_says() -> None:
    run = life(call(), call(TWO))
    run.take(success(1), after=10)
    run.take(success(2), after=-100)
    times = [recorded.at for recorded in run.history]
    assert times == sorted(times)
    assert times[-1] == START + 10 * SECOND


def test_timers_fire_in_the_order_of_their_times_then_of_their_numbers() -> None:
    run = life(timer(ONE, 3), timer(TWO, 1), timer(THREE, 1))
    assert run.wait(0.999999) == []
    assert run.wait(5) == [e.TimerFired(operation=TWO), e.TimerFired(operation=THREE), e.TimerFired(operation=ONE)]


def test_a_timer_that_the_one_before_it_cancels_does_not_fire() -> None:
    run = life(timer(ONE, 1), timer(TWO, 1), timer_fired=[c.CancelTimer(operation=TWO)])
    assert run.wait(1) == [e.TimerFired(operation=ONE), e.TimerCancelled(operation=TWO)]


def test_no_timer_fires_after_the_end() -> None:
    run = life(timer(ONE, 1), timer(TWO, 1), timer_fired=[c.CompleteRun(operation=THREE)])
    assert run.wait(1) == [
        e.TimerFired(operation=ONE),
        e.TimerCancelled(operation=TWO, reason=FOR_GOOD),
        e.RunCompleted(),
    ]


def test_an_outcome_that_arrives_with_the_timer_that_would_cut_it_off_still_counts() -> None:
    run = life(call(), timer(TWO, 1), activity_completed=[c.CancelTimer(operation=TWO)])
    assert [type(event) for event in run.take(success(1), after=5)] == [e.ActivityCompleted, e.TimerCancelled]


# --- outcomes of attempts ----------------------------------------------------------------------------------------


def test_a_result_is_recorded_with_its_attempt() -> None:
    run = life(call())
    assert run.succeed(1, "ok") == [
        e.ActivityCompleted(operation=ONE, result=json("ok"), attempt=1, started_at=Timestamp(START))
    ]


@pytest.mark.parametrize("late", [success(1), failed(1), success(1, attempt=2), failed(9)])
def test_an_outcome_of_an_attempt_that_is_not_the_current_one_is_dropped(late: i.Input) -> None:
    run = life(call())
    run.succeed(1)
    assert run.take(late) == []


def test_the_start_of_an_attempt_is_recorded_where_it_must_be_durable() -> None:
    run = life(call())
    starting = i.AttemptStarting(operation=ONE, attempt=1, worker="w")
    assert run.take(starting) == [e.ActivityAttemptStarted(operation=ONE, attempt=1, worker="w")]
    assert run.state.activities[1].attempt_started
    run.succeed(1)
    assert run.take(starting) == []


def test_a_failure_is_retried_at_a_recorded_time() -> None:
    run = life(call())
    assert run.fail(1, retry=RETRIED) == [
        e.ActivityAttemptFailed(
            operation=ONE,
            attempt=1,
            failure=BROKEN,
            next_attempt_at=Timestamp(START + 10 * SECOND),
            started_at=Timestamp(START),
        )
    ]
    assert run.advanced.to_start == []
    assert run.state.next_wake_at(Timestamp(run.now)) == START + 10 * SECOND
    assert run.wait(20) == []  # whoever runs activities starts the attempt: nothing is recorded
    assert [type(event) for event in run.succeed(1, attempt=2)] == [e.ActivityCompleted]


def test_the_last_allowed_failure_ends_the_activity_with_the_reason() -> None:
    run = life(call())
    run.fail(1, retry=RETRIED)
    run.fail(1, retry=RETRIED, attempt=2)
    event = run.fail(1, retry=RETRIED, attempt=3)[0]
    assert isinstance(event, e.ActivityFailed)
    assert (event.attempt, event.failure, event.reason) == (3, BROKEN, "attempts_exhausted")


def test_no_retry_is_planned_beyond_the_activity_s_deadline() -> None:
    run = life(call(limit=9 * SECOND))
    event = run.fail(1, retry=RETRIED)[0]
    assert isinstance(event, e.ActivityFailed)
    assert event.reason == "deadline_reached"


def test_a_failure_that_rules_out_a_retry_gets_none() -> None:
    run = life(call())
    event = run.take(failed(1, retry=RETRIED, failure=replace(BROKEN, retryable=False)))[0]
    assert isinstance(event, e.ActivityFailed)
    assert event.reason == "error_not_retryable"


def test_decorrelated_jitter_builds_on_the_delay_before() -> None:
    """Each delay lies below three times the one before; without its memory none would exceed three seconds."""
    policy = Retry(attempts=100, backoff=decorrelated_jitter(timedelta(seconds=1), maximum=timedelta(hours=10)))
    run = life(call())
    delays = []
    for attempt in range(1, 40):
        event = run.fail(1, attempt=attempt, retry=policy)[0]
        assert isinstance(event, e.ActivityAttemptFailed)
        delays.append(event.next_attempt_at - run.now)
    assert all(SECOND <= after <= 3 * before for before, after in itertools.pairwise(delays))
    assert max(delays) > 3 * SECOND


@pytest.mark.parametrize("timeout", [e.TimeoutKind.START_TO_CLOSE, e.TimeoutKind.HEARTBEAT])
def test_an_attempt_that_is_too_slow_is_retried(timeout: e.TimeoutKind) -> None:
    run = life(call())
    timed_out = i.AttemptTimedOut(
        operation=ONE, attempt=1, timeout=timeout, retry=RETRIED, started_at=Timestamp(START), heartbeat=json(5)
    )
    event = run.take(timed_out)[0]
    assert isinstance(event, e.ActivityAttemptFailed)
    assert (event.failure.type, event.heartbeat) == ("ActivityTimeoutError", json(5))
    assert run.state.activities[1].heartbeat == json(5)
    assert run.take(timed_out) == []


@pytest.mark.parametrize("timeout", e.TimeoutKind)
def test_a_time_out_without_a_retry_is_for_good(timeout: e.TimeoutKind) -> None:
    run = life(call())
    retry = Retry(attempts=1, backoff=RETRIED.backoff)
    timed_out = i.AttemptTimedOut(operation=ONE, attempt=1, timeout=timeout, retry=retry, started_at=None)
    assert run.take(timed_out) == [e.ActivityTimedOut(operation=ONE, timeout=timeout, attempt=1)]


@pytest.mark.parametrize("timeout", [e.TimeoutKind.SCHEDULE_TO_START, e.TimeoutKind.SCHEDULE_TO_CLOSE])
def test_a_limit_of_the_whole_call_is_never_retried(timeout: e.TimeoutKind) -> None:
    run = life(call())
    timed_out = i.AttemptTimedOut(operation=ONE, attempt=1, timeout=timeout, retry=RETRIED, started_at=None)
    assert [type(event) for event in run.take(timed_out)] == [e.ActivityTimedOut]


def test_a_heartbeat_of_the_current_attempt_is_saved() -> None:
    run = life(call())
    seen = i.HeartbeatSeen(operation=ONE, attempt=1, details=json(7))
    assert run.take(seen) == [e.ActivityHeartbeatRecorded(operation=ONE, attempt=1, details=json(7))]
    assert run.state.activities[1].heartbeat == json(7)
    assert run.take(i.HeartbeatSeen(operation=ONE, attempt=2, details=json(8))) == []


# --- starting and stopping activities -------------------------------------------------------------------------------


def test_an_activity_given_up_is_stopped() -> None:
    run = life(call(), signal_received=[c.CancelActivity(operation=ONE)])
    assert run.signal("stop")[1:] == [e.ActivityCancelled(operation=ONE)]
    assert (run.advanced.to_start, run.advanced.to_stop) == ([], [1])


def test_an_activity_given_up_in_the_step_that_asked_for_it_is_neither_started_nor_stopped() -> None:
    run = life(call(), c.CancelActivity(operation=ONE), call(TWO))
    assert (run.advanced.to_start, run.advanced.to_stop) == ([2], [])


@pytest.mark.parametrize("first", ["outcome", "cancellation"])
def test_an_outcome_and_a_cancellation_in_one_step_give_one_end(first: str) -> None:
    run = life(call(), signal_received=[c.CancelActivity(operation=ONE)])
    together: list[i.Input] = [success(1), signal("stop")] if first == "outcome" else [signal("stop"), success(1)]
    ends = [type(event) for event in run.take(*together) if not isinstance(event, e.SignalReceived)]
    assert ends == [e.ActivityCompleted if first == "outcome" else e.ActivityCancelled]


@pytest.mark.parametrize(
    ("begun", "given_up"),
    [
        (call(), c.CancelActivity(operation=ONE)),
        (timer(ONE, 5), c.CancelTimer(operation=ONE)),
        (
            c.RequestChild(operation=ONE, workflow="w", definition_version="1", child=RunRef(id="c"), input=NULL),
            c.CancelChild(operation=ONE),
        ),
    ],
)
def test_giving_up_what_has_ended_is_nothing(begun: c.Command, given_up: c.Command) -> None:
    run = life(begun, given_up, given_up)
    assert len(run.events) - 2 in {2, 3}  # asked for (a child also: started) and given up once
    assert run.signal("x") == [e.SignalReceived(name="x", body=NULL, message_id="x-1")]


def test_options_of_a_call_are_recorded() -> None:
    options = ActivityOptions(queue="slow")
    run = life(replace(call(limit=SECOND), options=options, compensates=THREE))
    event = run.events[-1]
    assert isinstance(event, e.ActivityScheduled)
    assert (event.options, event.deadline_at, event.compensates) == (options, START + SECOND, 3)


# --- labels, priority, state -------------------------------------------------------------------------------------


def test_labels_changed_twice_in_a_step_are_reported_once_with_the_last_values() -> None:
    first = c.ChangeLabels(operation=ONE, labels={"a": "1", "b": "1"})
    run = life(first, c.ChangeLabels(operation=TWO, labels={"a": None}))
    assert run.advanced.labels == {"a": None, "b": "1"}
    assert run.state.labels == {"b": "1"}


def test_a_priority_change_records_the_class_it_had() -> None:
    run = life(c.ChangePriority(operation=ONE, new=Priority.LOW, reason="later"))
    assert run.events[-1] == e.PriorityChanged(
        operation=ONE, old=Priority.NORMAL, new=Priority.LOW, reason="later", by="workflow"
    )
    message = m.PriorityMessage(new=Priority.HIGH, reason="now", by="ops")
    assert run.message(message) == [e.PriorityChanged(old=Priority.LOW, new=Priority.HIGH, reason="now", by="ops")]
    assert run.state.priority is Priority.HIGH


def test_what_a_program_asks_for_besides_is_recorded_as_asked() -> None:
    run = life(
        c.StartStage(operation=ONE, name="s"),
        c.CompleteStage(operation=ONE, result=json(1)),
        c.StartStage(operation=TWO, name="t"),
        c.FailStage(operation=TWO, failure=BROKEN),
        c.SetStateKey(operation=THREE, key="k", value=json(1)),
        c.DeleteStateKey(operation=Operation(4), key="k"),
        c.DecideVersion(operation=Operation(5), patch="p"),
        c.RecordSideEffect(operation=Operation(6), value=json(2)),
        c.RecordTraceEvent(operation=Operation(7), name="n", attributes={"a": "b"}),
        c.StartCompensation(operation=Operation(8), steps=1),
        c.RecordCompensationStep(operation=Operation(8), compensates=ONE, failure=BROKEN),
        c.FinishCompensation(operation=Operation(8), failed=1),
    )
    assert run.events[2:] == [
        e.StageStarted(operation=ONE, name="s"),
        e.StageCompleted(operation=ONE, result=json(1)),
        e.StageStarted(operation=TWO, name="t"),
        e.StageFailed(operation=TWO, failure=BROKEN),
        e.StateKeySet(operation=THREE, key="k", value=json(1)),
        e.StateKeyDeleted(operation=Operation(4), key="k"),
        e.VersionDecided(operation=Operation(5), patch="p"),
        e.SideEffectRecorded(operation=Operation(6), value=json(2)),
        e.TraceEventRecorded(operation=Operation(7), name="n", attributes={"a": "b"}),
        e.CompensationStarted(operation=Operation(8), steps=1),
        e.CompensationStepCompleted(operation=Operation(8), compensates=ONE, failure=BROKEN),
        e.CompensationFinished(operation=Operation(8), failed=1),
    ]
    assert (run.state.compensations_failed, run.state.last_operation, run.state.patches) == (1, 8, frozenset({"p"}))


def test_an_unknown_command_is_a_bug_that_is_named() -> None:
    with pytest.raises(InternalError, match="no expansion is known for the command Command"):
        life(c.Command(operation=ONE))


def test_what_is_asked_for_is_recorded_in_the_order_it_was_asked() -> None:
    """Also where a consequence (the child's start) is recorded in between."""
    child = c.RequestChild(operation=ONE, workflow="w", definition_version="1", child=RunRef(id="c"), input=NULL)
    run = life(child, call(TWO))
    assert [type(event) for event in run.events[2:]] == [e.ChildRequested, e.ChildStarted, e.ActivityScheduled]
    assert run.state.status is RunStatus.RUNNING


# --- answered signals ------------------------------------------------------------------------------------------------


def send(*, expects_answer: bool = False) -> c.SendSignal:
    return c.SendSignal(operation=ONE, target=RunRef(id="other"), name="go", expects_answer=expects_answer)


def answer(outcome: e.SignalOutcome, *, generation: int = 1) -> m.SignalAnswerMessage:
    return m.SignalAnswerMessage(operation=ONE, generation=generation, outcome=outcome)


@pytest.mark.parametrize("expects_answer", [True, False])
def test_a_signal_that_is_not_awaited_asks_for_refusals_only(expects_answer: bool) -> None:
    [sent] = life(send(expects_answer=expects_answer)).advanced.deliveries
    assert sent.answers == Answers(
        run_key=RUN_KEY,
        delivered=answer(e.SignalOutcome.DELIVERED) if expects_answer else None,
        missing=answer(e.SignalOutcome.MISSING),
        closed=answer(e.SignalOutcome.CLOSED),
    )


def test_the_answer_to_a_signal_is_recorded_by_the_generation_that_sent_it() -> None:
    run = life(send(expects_answer=True))
    assert run.message(answer(e.SignalOutcome.CLOSED, generation=2)) == []
    assert run.message(answer(e.SignalOutcome.CLOSED)) == [
        e.SignalAnswered(operation=ONE, outcome=e.SignalOutcome.CLOSED)
    ]


# --- streams ---------------------------------------------------------------------------------------------------------


def given(*, attempt: int = 1) -> i.ValueGiven:
    return i.ValueGiven(operation=ONE, attempt=attempt, stream="words", value=json("one"))


def test_a_value_of_the_current_attempt_is_published_and_of_no_other() -> None:
    run = life(call())
    assert run.take(given()) == [e.ValuePublished(operation=ONE, stream="words", value=json("one"), attempt=1)]
    assert run.take(given(attempt=2)) == []
    run.succeed(1)
    assert run.take(given()) == []


def test_a_value_that_code_publishes_is_its_command() -> None:
    run = life(c.PublishValue(operation=ONE, stream="words", value=json("one")))
    published = e.ValuePublished(operation=ONE, stream="words", value=json("one"))
    assert run.events[-1] == published
    assert is_recorded_command(published)
    assert not is_recorded_command(replace(published, attempt=1))
