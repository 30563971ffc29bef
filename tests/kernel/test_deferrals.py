"""Deferred attempts: given what came from outside or did not come in time, then these events follow."""

from typing import Any

import pytest

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.errors import InvalidArgumentError
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.failure import Failure
from perdure.kernel.fork_facts import ForkCause
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.payload import NULL
from perdure.kernel.retry import NO_RETRY, Retry
from perdure.kernel.state import apply
from perdure.kernel.time import Timestamp
from perdure.kernel.tokens import ActivityToken
from tests.kernel.forks import FORK_KEY, forked, go_on
from tests.kernel.lives import BROKEN, RETRIED, SECOND, START, Life, Script, json, life_of, replay

CREATED = e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1)
ONE, TWO = Operation(1), Operation(2)


def life() -> Life:
    """Return a run that waits for two activities."""
    asked = [c.ScheduleActivity(operation=operation, activity="pay", input=NULL) for operation in (ONE, TWO)]
    run = Life(Script(run_started=asked), CREATED)
    run.begin()
    return run


def moment(seconds: float) -> Timestamp:
    return Timestamp(START + round(seconds * SECOND))


def deferral(
    operation: Operation = ONE, *, attempt: int = 1, retry: Retry = RETRIED, **limits: float
) -> i.AttemptDeferred:
    return i.AttemptDeferred(
        operation=operation,
        attempt=attempt,
        started_at=moment(0),
        retry=retry,
        limits={e.TimeoutKind(kind): moment(seconds) for kind, seconds in limits.items()},
        heartbeat_microseconds=10 * SECOND if "heartbeat" in limits else None,
        heartbeat=NULL,
    )


def deferred(**options: Any) -> Life:
    run = life()
    run.take(deferral(**options))
    return run


def completion(*, attempt: int = 1, generation: int = 1, value: object = 7) -> m.CompleteActivityMessage:
    return m.CompleteActivityMessage(
        operation=ONE, attempt=attempt, generation=generation, result=json(value), request_id="r"
    )


def failing(*, retry: Retry | None = None) -> m.FailActivityMessage:
    return m.FailActivityMessage(operation=ONE, attempt=1, failure=BROKEN, request_id="r", retry=retry)


def test_a_deferral_keeps_the_activity_pending_and_starts_nothing() -> None:
    run = deferred(start_to_close=30)
    assert run.pending == [1, 2]
    assert run.advanced.to_start == []
    assert run.state.next_wake_at(moment(0)) == moment(30)


def test_an_outcome_from_outside_completes_the_activity() -> None:
    run = deferred()
    assert run.message(completion()) == [
        e.ActivityCompleted(operation=ONE, result=json(7), attempt=1, started_at=moment(0), request_id="r")
    ]
    assert run.state.deferrals == {}


def test_an_outcome_counts_before_its_attempt_is_deferred_and_the_deferral_is_dropped_then() -> None:
    run = life()
    assert run.message(completion()) == [e.ActivityCompleted(operation=ONE, result=json(7), attempt=1, request_id="r")]
    assert run.take(deferral()) == []


@pytest.mark.parametrize("stale", [completion(attempt=2), completion(generation=2)])
def test_an_outcome_of_another_attempt_or_generation_is_dropped(stale: m.CompleteActivityMessage) -> None:
    run = deferred()
    assert run.message(stale) == []
    assert run.pending == [1, 2]


def test_of_two_outcomes_the_first_stands() -> None:
    run = deferred()
    run.message(completion(value="first"))
    assert run.message(completion(value="second")) == []
    assert run.message(failing()) == []


def test_a_failure_from_outside_is_tried_again_by_the_recorded_policy() -> None:
    run = deferred()
    [event] = run.message(failing())
    assert isinstance(event, e.ActivityAttemptFailed)
    assert (event.failure, event.next_attempt_at, event.request_id) == (BROKEN, moment(10), "r")
    assert run.state.deferrals == {}


def test_a_failure_before_the_deferral_is_tried_again_by_the_policy_that_the_owner_adds() -> None:
    assert [type(event) for event in life().message(failing(retry=RETRIED))] == [e.ActivityAttemptFailed]
    assert [type(event) for event in life().message(failing())] == [e.ActivityFailed]


def test_a_failure_for_good_says_who_told_it() -> None:
    [event] = deferred(retry=NO_RETRY).message(failing())
    assert isinstance(event, e.ActivityFailed)
    assert event.request_id == "r"


def test_a_failure_of_another_generation_is_dropped() -> None:
    other = m.FailActivityMessage(operation=ONE, attempt=1, generation=2, failure=Failure(type="E", message=""))
    assert deferred().message(other) == []


def test_a_deferred_attempt_that_is_too_slow_is_tried_again_at_its_limit() -> None:
    run = deferred(start_to_close=30)
    assert run.wait(29) == []
    [event] = run.wait(1)
    assert isinstance(event, e.ActivityAttemptFailed)
    assert (event.failure.type, event.next_attempt_at) == ("ActivityTimeoutError", moment(40))
    assert run.state.next_wake_at(moment(30)) == moment(40)


def test_an_attempt_that_began_after_the_clock_was_set_back_has_its_time() -> None:
    run = life()
    run.now -= 3_600 * SECOND
    assert [type(event) for event in run.take(deferral(start_to_close=-3_570))] == [e.ActivityDeferred]
    assert run.wait(29) == []
    assert [type(event) for event in run.wait(1)] == [e.ActivityAttemptFailed]


def test_the_limit_of_the_whole_call_is_final() -> None:
    [event] = deferred(schedule_to_close=30, start_to_close=30).wait(30)
    assert isinstance(event, e.ActivityTimedOut)
    assert event.timeout is e.TimeoutKind.SCHEDULE_TO_CLOSE


def test_an_outcome_that_arrives_with_its_time_out_counts() -> None:
    run = deferred(start_to_close=30)
    arrived = i.MessageArrived(message=completion(), position=1)
    assert [type(event) for event in run.take(arrived, after=100)] == [e.ActivityCompleted]
    assert run.advanced.consumed == [1]


@pytest.mark.parametrize("kind", ["start_to_close", "heartbeat", "schedule_to_close"])
def test_a_limit_does_not_overtake_an_outcome_in_the_inbox(kind: str) -> None:
    run = deferred(**{kind: 30})
    run.wait(30)
    assert run.advanced.must_not_overtake == [m.outcome_id(1, ONE, 1)]


def test_a_failure_in_the_process_overtakes_no_outcome_and_one_from_outside_is_the_outcome() -> None:
    run = life()
    run.fail(TWO)
    assert run.advanced.must_not_overtake == [m.outcome_id(1, TWO, 1)]
    run.message(failing(retry=RETRIED))
    assert run.advanced.must_not_overtake == []


def test_a_heartbeat_from_outside_moves_its_limit_and_keeps_what_was_said() -> None:
    run = deferred(heartbeat=10)
    run.now += 8 * SECOND
    run.message(m.HeartbeatMessage(operation=ONE, attempt=1, details=json("half")))
    assert run.state.next_wake_at(moment(8)) == moment(18)
    run.message(m.HeartbeatMessage(operation=ONE, attempt=1))
    assert run.state.activities[1].heartbeat == json("half")
    [event] = run.wait(10)
    assert isinstance(event, e.ActivityAttemptFailed)
    assert event.heartbeat == json("half")


def test_a_heartbeat_without_a_limit_and_one_of_another_generation_move_nothing() -> None:
    run = deferred(start_to_close=30)
    run.message(m.HeartbeatMessage(operation=ONE, attempt=1))
    assert run.message(m.HeartbeatMessage(operation=ONE, attempt=1, generation=2)) == []
    assert run.state.next_wake_at(moment(0)) == moment(30)


def test_what_a_function_said_before_it_deferred_is_kept() -> None:
    run = life()
    given = deferral()
    run.take(
        i.AttemptDeferred(**{name: getattr(given, name) for name in given.__struct_fields__} | {"heartbeat": json(3)})
    )
    assert run.state.activities[1].heartbeat == json(3)


def test_the_next_attempt_may_be_deferred_too_and_is_not_due_again() -> None:
    run = deferred(start_to_close=30)
    run.wait(30)
    run.take(deferral(attempt=2, start_to_close=99), after=10)
    assert run.state.retries == {}
    assert run.state.next_wake_at(moment(40)) == moment(99)


def test_a_limit_that_ends_the_run_leaves_the_others_nothing_to_do() -> None:
    asked = [c.ScheduleActivity(operation=operation, activity="pay", input=NULL) for operation in (ONE, TWO)]
    run = Life(Script(run_started=asked, activity_timed_out=[c.CompleteRun(operation=Operation(3))]), CREATED)
    run.begin()
    run.take(deferral(ONE, retry=NO_RETRY, start_to_close=1), deferral(TWO, retry=NO_RETRY, start_to_close=1))
    kinds = [type(event) for event in run.wait(1)]
    assert kinds == [e.ActivityTimedOut, e.ActivityCancelled, e.RunCompleted]


def test_states_that_share_a_past_share_no_deferrals() -> None:
    run = deferred()
    before = run.state.copy()
    after = apply(before, e.ActivityCompleted(operation=ONE), moment(1))
    assert (list(before.deferrals), list(after.deferrals)) == ([1], [])


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_is_read_back_and_known_to_its_run_alone() -> None:
    token = ActivityToken.of(CREATED, RunKey(2**63 - 1), Operation(5), 3)
    assert ActivityToken.parse(str(token)) == token
    assert token.is_of(CREATED)
    assert not token.is_of(e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=2))
    assert not token._replace(attempt=4).is_of(CREATED)


@pytest.mark.parametrize("text", ["", "x", "é", "=" * 32, "A" * 31, "A" * 33, "!" * 32, "/" * 32])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="that is no token"):
        ActivityToken.parse(text)


def test_a_token_has_one_text_and_no_error_repeats_it() -> None:
    text = str(ActivityToken.of(CREATED, RunKey(2**63 - 1), Operation(5), 3))
    assert "_" in text  # which another alphabet writes as a slash
    for other in (text.replace("_", "/"), text[:-1] + "=", text + "\n"):
        with pytest.raises(InvalidArgumentError, match="that is no token") as refused:
            ActivityToken.parse(other)
        assert text[:20] not in str(refused.value)


# --- of an earlier generation ------------------------------------------------------------------------------------


@activity(name="deferrals.pay")
async def pay(_amount: int) -> int:
    return 0


@workflow(name="deferrals.paying")
async def paying(_ctx: Context) -> list[int]:
    return [await pay(1), await pay(2)]


def test_a_result_that_the_generation_before_has_not_read_completes_the_call_that_both_have() -> None:
    run = life_of(paying)
    run.begin()
    run.take(deferral())
    creation, _ = forked(run.history, len(run.history))
    again = go_on(paying.entry(), creation)
    assert again.pending == [1]
    [told, *_] = again.message(completion())
    assert told == e.ActivityCompleted(operation=ONE, result=json(7), attempt=1, request_id="r")
    assert again.pending == [2]
    assert again.message(completion()) == []
    assert replay(paying.entry(), again.history).pending == [2]


def test_a_result_reaches_the_call_over_several_generations() -> None:
    run = life_of(paying)
    run.begin()
    first, _ = forked(run.history, len(run.history))
    between = go_on(paying.entry(), first)
    second, _ = forked(
        between.history,
        len(between.history),
        origin=first.ref,
        origin_key=FORK_KEY,
        ref=RunRef(id="order-1", generation=3),
    )
    for generation in (1, 2, 3):
        again = go_on(paying.entry(), second)
        again.message(completion(generation=generation, value=generation))
        assert again.pending == [2]


def test_a_result_is_of_no_call_that_another_generation_made() -> None:
    run = life_of(paying)
    run.begin()
    creation, _ = forked(run.history, 1)
    again = go_on(paying.entry(), creation)
    assert again.pending == [1]
    assert again.message(completion()) == []
    second, _ = forked(again.history, len(again.history), ref=RunRef(id="order-1", generation=3))
    last = go_on(paying.entry(), second)
    assert last.message(completion()) == []
    assert last.message(completion(generation=2)) != []


def test_a_generation_of_a_fork_is_none_of_the_run_that_it_copies() -> None:
    run = life_of(paying)
    run.begin()
    first, _ = forked(run.history, 1)
    later = go_on(paying.entry(), first)
    beside, _ = forked(later.history, len(later.history), ForkCause.FORK)
    fork = go_on(paying.entry(), beside)
    reset, _ = forked(fork.history, len(fork.history), ref=RunRef(id="beside", generation=2))
    assert go_on(paying.entry(), reset).message(completion()) != []


def test_a_failure_that_the_generation_before_has_not_read_lets_the_step_be_made_again() -> None:
    run = life_of(paying)
    run.begin()
    run.take(deferral())
    creation, _ = forked(run.history, len(run.history))
    again = go_on(paying.entry(), creation)
    assert again.message(failing()) == []
    assert again.pending == [1]
