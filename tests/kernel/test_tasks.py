"""Tasks: given what whoever serves a queue tells, or does not, then these events follow, and these tasks leave it."""

from typing import Any

import pytest

from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.history import decode_event, encode_event
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.messages import outcome_id
from perdure.kernel.options import ActivityOptions
from perdure.kernel.payload import NULL
from perdure.kernel.priority import Priority
from perdure.kernel.retry import NO_RETRY, Retry
from perdure.kernel.state import RunState, fold
from perdure.kernel.tasks import Task, TaskOrigin, start_id
from perdure.kernel.time import Timestamp
from tests.kernel.lives import BROKEN, RETRIED, SECOND, START, Life, Script, json

CREATED = e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1)
ONE, TWO = Operation(1), Operation(2)


def moment(seconds: float) -> Timestamp:
    return Timestamp(START + round(seconds * SECOND))


def task(operation: Operation = ONE, *, attempt: int = 1, **options: Any) -> Task:
    return Task(
        operation=operation,
        attempt=attempt,
        queue="gpu",
        activity="render",
        input=NULL,
        options=ActivityOptions(**options),
        priority=Priority.NORMAL,
        queued_at=moment(0),
        origin=TaskOrigin(ref=CREATED.ref, workflow="w"),
        scheduled_at=moment(0),
    )


def queueing(operation: Operation = ONE, *, attempt: int = 1, retry: Retry = RETRIED, **limits: float) -> i.Input:
    return i.AttemptQueued(
        task=task(operation, attempt=attempt),
        retry=retry,
        limits={e.TimeoutKind(kind): moment(seconds) for kind, seconds in limits.items()},
    )


def queued(*, retry: Retry = RETRIED, **limits: float) -> Life:
    """Return a run that has called two activities, of which the first waits in a queue."""
    asked = [c.ScheduleActivity(operation=operation, activity="render", input=NULL) for operation in (ONE, TWO)]
    run = Life(Script(run_started=asked), CREATED)
    run.begin()
    run.take(queueing(ONE, attempt=1, retry=retry, **limits))
    return run


def told(run: Life, message: m.Message, message_id: str = "") -> list[e.Event]:
    return run.take(i.MessageArrived(message=message, message_id=message_id, position=9))


def completion(attempt: int = 1, generation: int = 1) -> m.CompleteActivityMessage:
    return m.CompleteActivityMessage(
        operation=ONE, attempt=attempt, generation=generation, result=json(7), started_at=moment(3)
    )


def test_an_attempt_that_is_queued_is_recorded_and_comes_into_its_queue_with_that() -> None:
    run = queued(schedule_to_close=60)
    deferred = run.events[-1]
    assert isinstance(deferred, e.ActivityDeferred)
    assert (deferred.queue, deferred.attempt, deferred.started_at) == ("gpu", 1, moment(0))
    assert run.advanced.queued == (task(),)
    assert run.advanced.withdrawn == ()
    assert run.state.next_wake_at(moment(0)) == moment(60)


def test_what_is_queued_already_or_settled_is_not_queued_again() -> None:
    run = queued()
    assert run.take(queueing()) == []
    assert run.take(queueing(attempt=2)) == []
    run.succeed(TWO)
    assert run.take(queueing(TWO)) == []
    assert run.advanced.queued == ()


def test_what_is_given_up_as_it_is_queued_comes_into_no_queue() -> None:
    run = queued()
    terminate = i.MessageArrived(message=m.TerminateMessage(reason="enough"), message_id="", position=9)
    run.take(queueing(TWO), terminate)
    assert run.advanced.queued == ()
    assert run.advanced.withdrawn == (ONE, TWO)


def test_what_has_waited_too_long_as_it_is_queued_comes_into_no_queue() -> None:
    run = queued(retry=NO_RETRY, schedule_to_start=0)
    assert isinstance(run.events[-1], e.ActivityTimedOut)
    assert run.advanced.queued == ()


def test_the_next_attempt_may_be_queued_in_the_turn_in_which_the_one_before_fails() -> None:
    run = queued(retry=Retry(attempts=2))
    failed = m.FailActivityMessage(operation=ONE, attempt=1, failure=BROKEN)
    run.take(
        i.MessageArrived(message=failed, message_id=outcome_id(1, 1, 1), position=9), queueing(attempt=2, retry=RETRIED)
    )
    assert run.advanced.withdrawn == (ONE,)
    assert [one.attempt for one in run.advanced.queued] == [2]


def test_its_outcome_ends_the_activity_and_the_task_with_the_time_at_which_it_began() -> None:
    run = queued()
    assert told(run, completion(), outcome_id(1, 1, 1)) == [
        e.ActivityCompleted(operation=ONE, result=json(7), attempt=1, started_at=moment(3))
    ]
    assert run.advanced.withdrawn == (ONE,)


def test_a_failure_is_retried_as_the_run_says_and_overtakes_nothing() -> None:
    run = queued()
    failing = m.FailActivityMessage(
        operation=ONE, attempt=1, failure=BROKEN, started_at=moment(1), heartbeat=json("half")
    )
    assert told(run, failing, outcome_id(1, 1, 1)) == [
        e.ActivityAttemptFailed(
            operation=ONE,
            attempt=1,
            failure=BROKEN,
            next_attempt_at=moment(10),
            started_at=moment(1),
            heartbeat=json("half"),
        )
    ]
    assert run.advanced.withdrawn == (ONE,)
    assert run.advanced.must_not_overtake == []
    run.take(queueing(attempt=2))
    assert [one.attempt for one in run.advanced.queued] == [2]


def test_a_failure_in_this_process_still_overtakes_no_outcome() -> None:
    run = queued()
    told(run, m.SignalMessage(name="x"), "x")
    run.fail(TWO)
    assert run.advanced.must_not_overtake == [outcome_id(1, TWO, 1)]


def test_a_worker_that_sees_it_run_out_of_time_says_which_limit() -> None:
    run = queued(retry=NO_RETRY)
    late = m.TimeOutActivityMessage(operation=ONE, attempt=1, timeout=e.TimeoutKind.HEARTBEAT, started_at=moment(1))
    assert told(run, late, outcome_id(1, 1, 1)) == [
        e.ActivityTimedOut(operation=ONE, timeout=e.TimeoutKind.HEARTBEAT, attempt=1, started_at=moment(1))
    ]
    assert run.advanced.withdrawn == (ONE,)
    assert run.advanced.must_not_overtake == []


def test_who_waits_too_long_to_start_gives_up_unless_somebody_has_begun() -> None:
    run = queued(schedule_to_start=5)
    assert run.wait(5) == [
        e.ActivityTimedOut(operation=ONE, timeout=e.TimeoutKind.SCHEDULE_TO_START, attempt=1, started_at=moment(0))
    ]
    assert run.advanced.withdrawn == (ONE,)
    assert run.advanced.must_not_overtake == [outcome_id(1, ONE, 1), start_id(1, ONE, 1)]


def test_once_it_is_begun_the_wait_is_over() -> None:
    run = queued(schedule_to_start=5, schedule_to_close=60)
    begun = m.StartActivityMessage(operation=ONE, attempt=1, worker="w2")
    (deferred,) = told(run, begun)
    assert isinstance(deferred, e.ActivityDeferred)
    assert deferred.limits == {e.TimeoutKind.SCHEDULE_TO_CLOSE: moment(60)}
    assert deferred.queue == "gpu"
    assert run.advanced.withdrawn == ()
    assert run.advanced.queued == ()
    assert told(run, begun) == []
    assert run.wait(6) == []


def test_the_begin_of_one_that_may_be_made_once_is_recorded_once() -> None:
    run = queued()
    begun = m.StartActivityMessage(operation=ONE, attempt=1, worker="w2", at_most_once=True)
    assert told(run, begun) == [e.ActivityAttemptStarted(operation=ONE, attempt=1, worker="w2")]
    assert told(run, begun) == []


def test_a_function_that_defers_leaves_the_queue_and_its_outcome_to_somebody_outside() -> None:
    run = queued()
    deferring = m.DeferActivityMessage(
        operation=ONE, attempt=1, started_at=moment(1), limits={e.TimeoutKind.HEARTBEAT: moment(9)}
    )
    (deferred,) = told(run, deferring)
    assert isinstance(deferred, e.ActivityDeferred)
    assert (deferred.queue, deferred.retry, deferred.started_at) == ("", RETRIED, moment(1))
    assert run.advanced.withdrawn == (ONE,)
    assert told(run, deferring) == []


def test_what_it_publishes_and_its_signs_of_life_are_the_runs() -> None:
    run = queued()
    published = m.PublishMessage(operation=ONE, attempt=1, stream="frames", value=json(1))
    assert told(run, published) == [e.ValuePublished(operation=ONE, stream="frames", value=json(1), attempt=1)]
    beat = m.HeartbeatMessage(operation=ONE, attempt=1, details=json(2))
    assert told(run, beat) == [e.ActivityHeartbeatRecorded(operation=ONE, attempt=1, details=json(2))]
    assert run.advanced.withdrawn == ()


def test_whichever_attempt_has_a_task_fails_where_nobody_knows_which_that_was() -> None:
    run = queued()
    lost = m.FailActivityMessage(operation=ONE, attempt=m.QUEUED_ATTEMPT, failure=BROKEN)
    (failed,) = told(run, lost)
    assert isinstance(failed, e.ActivityAttemptFailed)
    assert failed.attempt == 1
    assert run.advanced.withdrawn == (ONE,)
    assert told(run, lost) == []  # the next attempt has no task yet
    run.take(queueing(attempt=2))
    (failed,) = told(run, lost)
    assert isinstance(failed, e.ActivityAttemptFailed)
    assert failed.attempt == 2


@pytest.mark.parametrize(
    "message",
    [
        m.StartActivityMessage(operation=ONE, attempt=2, worker="w", at_most_once=True),
        m.StartActivityMessage(operation=ONE, attempt=1, generation=2, worker="w", at_most_once=True),
        m.StartActivityMessage(operation=TWO, attempt=1, worker="w", at_most_once=True),
        m.TimeOutActivityMessage(operation=TWO, attempt=1, timeout=e.TimeoutKind.HEARTBEAT),
        m.TimeOutActivityMessage(operation=ONE, attempt=2, timeout=e.TimeoutKind.HEARTBEAT),
        m.DeferActivityMessage(operation=TWO, attempt=1, started_at=moment(0)),
        m.PublishMessage(operation=TWO, attempt=1, stream="frames"),
        m.PublishMessage(operation=ONE, attempt=1, generation=2, stream="frames"),
        m.FailActivityMessage(operation=ONE, attempt=2, failure=BROKEN),
        m.FailActivityMessage(operation=TWO, attempt=m.QUEUED_ATTEMPT, failure=BROKEN),
        m.FailActivityMessage(operation=ONE, attempt=m.QUEUED_ATTEMPT, generation=2, failure=BROKEN),
        completion(attempt=2),
    ],
)
def test_what_is_told_of_another_attempt_or_of_what_is_no_task_is_dropped(message: m.Message) -> None:
    run = queued()
    assert told(run, message) == []


def test_a_run_that_ends_takes_its_tasks_out_of_their_queues() -> None:
    run = queued()
    run.take(queueing(TWO))
    run.message(m.TerminateMessage(reason="enough"))
    assert run.advanced.withdrawn == (ONE, TWO)


def test_a_history_with_tasks_is_what_its_events_fold_to() -> None:
    run = queued(schedule_to_start=5)
    told(run, m.StartActivityMessage(operation=ONE, attempt=1, worker="w2", at_most_once=True))
    assert fold(RunState(), [decode_event(*encode_event(recorded)) for recorded in run.history]) == run.state
    told(run, completion())
    assert run.state.deferrals == {}
