"""Forks: a run that begins with a part of another's history goes on as if it had lived that itself."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import Workflow, workflow
from perdure.errors import HistoryError, RunNotRepairableError
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.fork_facts import CarriedResult, ForkCause, RepeatedStep, StepFate
from perdure.kernel.fork_points import point_at, point_of_last_failure
from perdure.kernel.forking import fork
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunRef, seed_of
from perdure.kernel.standing import as_fork, standing_of
from perdure.kernel.state import RunState, fold
from perdure.kernel.time import Timestamp, timestamp_from_datetime
from tests.kernel.forks import FORK_KEY, LATER, forked, go_on, loaded, order
from tests.kernel.lives import (
    BROKEN,
    RETRIED,
    RUN_KEY,
    SECOND,
    Life,
    LostExceptions,
    code_life,
    entry_of,
    json,
    life_of,
    replay,
)
from tests.kernel.test_replay import World, assert_same, lived
from tests.kernel.workflows import WORKFLOWS

AnyWorkflow = Workflow[*tuple[Any, ...], Any]
SOME = settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
go = Signal("go", int)


@activity(name="fork.step", schedule_to_close=timedelta(minutes=5))
async def step(label: str) -> str:
    return label


@activity(name="fork.once", at_most_once=True)
async def once() -> str:
    return "once"


@workflow(name="fork.child")
async def child(ctx: Context) -> str:
    return "child"


@workflow(name="fork.two", execution_timeout=timedelta(hours=1))
async def two(ctx: Context) -> list[object]:
    first = await step("one")
    return [first, await ctx.wait_for(go), await step("two"), await ctx.wait_for(go), ctx.info.generation]


@workflow(name="fork.parent")
async def parent(ctx: Context) -> list[object]:
    begun = ctx.start_child(child, id="c")
    await step("one")
    return [await begun.result(), ctx.info.id]


@workflow(name="fork.sender")
async def sender(ctx: Context) -> None:
    await ctx.signal("other", go, 1)
    await step("one")


@workflow(name="fork.together")
async def together(ctx: Context) -> list[object]:
    return list(await asyncio.gather(step("one"), step("two"), once()))


@workflow(name="fork.clock")
async def clock(ctx: Context) -> int:
    await ctx.wait_for(go)
    now = timestamp_from_datetime(ctx.now())
    await ctx.side_effect(lambda: 1, int)
    return now


# --- the law -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("definition", WORKFLOWS, ids=lambda definition: definition.name)
@SOME
@given(seed=st.integers(0, 2**32), page=st.integers(1, 9))
def test_a_run_goes_on_from_every_event_and_what_it_lives_is_replayed(
    definition: AnyWorkflow, seed: int, page: int
) -> None:
    run, _ = lived(definition, seed)
    chance = random.Random(seed)
    for event in {1, len(run.history), *(chance.randint(1, len(run.history)) for _ in range(4))}:
        point = point_at(run.history, event)
        assert point <= event
        try:
            creation, _ = forked(run.history, point, chance.choice([ForkCause.RESET, ForkCause.FORK]))
        except RunNotRepairableError:
            continue
        again = go_on(definition.entry(), creation, page=page, lost=LostExceptions())
        World(seed + event).live(again, steps=15)
        assert again.history[:point] == run.history[:point]
        assert fold(RunState(), again.history) == again.state
        assert_same(replay(definition.entry(), again.history, page=page, lost=LostExceptions()), again)


def test_most_events_of_most_lives_are_points() -> None:
    taken = refused = 0
    for definition in WORKFLOWS:
        run, _ = lived(definition, 5)
        for event in range(1, len(run.history) + 1):
            try:
                fork(run.history, point_at(run.history, event), order(run.history))
                taken += 1
            except RunNotRepairableError:
                refused += 1
    assert taken > refused * 3


# --- who it is ---------------------------------------------------------------------------------------------------


def test_a_reset_run_is_the_next_generation_with_a_chance_and_a_time_of_its_own() -> None:
    run = life_of(
        two, parent=None, deadline_at=Timestamp(1_800_000_000 * SECOND), execution_timeout_microseconds=SECOND
    )
    run.begin()
    run.succeed(1, "done")
    creation, event = forked(run.history, len(run.history), reason="why", by="ann", request_id="r")
    at = run.history[-1].at + LATER
    assert (event.origin, event.origin_key, event.caller_key) == (RunRef(id="order-1"), RUN_KEY, RUN_KEY)
    assert (event.ref, event.seed) == (creation.ref, seed_of(creation.ref))
    assert (event.deadline_at, event.cause, event.reason, event.by) == (at + SECOND, ForkCause.RESET, "why", "ann")
    assert (creation.run_key, creation.request_id, creation.begun_at) == (FORK_KEY, "r", at)
    assert creation.row is not None
    assert (creation.row.sequence, creation.row.updated_at) == (len(run.history) + 1, at)
    again = go_on(two.entry(), creation)
    again.signal("go", 1)
    assert again.created.ref.generation == 1
    assert standing_of(again.events) == again.state.created
    assert again.state.created is not None
    assert again.state.created.ref.generation == 2


def test_a_fork_has_no_parent_and_a_reset_keeps_it() -> None:
    link = e.ParentLink(run_key=3, ref=RunRef(id="p"), operation=Operation(4))
    run = life_of(two, parent=link)
    run.begin()
    kept, _ = forked(run.history, 2)
    assert kept.parent_key == 3
    beside, event = forked(run.history, 2, ForkCause.FORK)
    assert (beside.parent_key, event.parent) == (None, None)


def test_a_version_may_be_chosen_with_its_stages() -> None:
    run = life_of(two)
    run.begin()
    creation, event = forked(run.history, 2, definition_version="7", stages=("a",))
    assert (creation.definition_version, event.stages) == ("7", ("a",))
    assert forked(run.history, 2)[1].definition_version == "1"


def test_who_a_run_is_follows_from_its_history() -> None:
    assert standing_of([]) is None
    assert standing_of([e.RunStarted()]) is None
    run = life_of(two)
    _, event = forked(run.history, 1)
    assert standing_of([run.created, event]) == as_fork(run.created, event)


def test_a_history_without_a_beginning_or_with_an_end_is_refused() -> None:
    run = life_of(two)
    run.begin()
    run.message(m.TerminateMessage())
    with pytest.raises(HistoryError, match="up to an event before its end"):
        fork(run.history, len(run.history), order(run.history))
    with pytest.raises(HistoryError, match="does not begin with its creation"):
        fork([], 0, order(run.history))


# --- activities --------------------------------------------------------------------------------------------------


def test_a_step_that_was_pending_is_done_again_under_the_key_of_the_first_call() -> None:
    run = life_of(two)
    run.begin()
    run.fail(1, retry=RETRIED)
    run.message(m.TerminateMessage())
    creation, event = forked(run.history, 4)
    assert event.repeats == (RepeatedStep(operation=Operation(1), name="fork.step", was=StepFate.IN_FLIGHT),)
    again = go_on(two.entry(), creation)
    pending = again.state.activities[1]
    name = run.state.call_name(RUN_KEY)
    assert (pending.called_by, pending.attempt, pending.attempts_spent) == (name, 2, 1)
    assert again.state.call_name(FORK_KEY) == event.call_name != name
    assert pending.deadline_at == pending.scheduled_at + 300 * SECOND
    assert pending.next_attempt_at is None
    for attempt in (2, 3):
        again.fail(1, attempt=attempt, retry=RETRIED)
        assert again.state.activities[1].attempt == attempt + 1
    again.fail(1, attempt=4, retry=RETRIED)
    assert again.pending == []


def test_forks_that_an_older_perdure_made_and_their_steps_keep_the_names_that_they_had() -> None:
    run = life_of(two)
    run.begin()
    creation, _ = forked(run.history, 3, call_name="")
    again = go_on(two.entry(), creation)
    assert again.state.activities[1].called_by == f"{RUN_KEY:x}"
    assert again.state.call_name(FORK_KEY) == f"{FORK_KEY:x}"


def test_a_step_of_a_fork_of_a_fork_keeps_the_key_of_whoever_called_it() -> None:
    run = life_of(two)
    run.begin()
    first, _ = forked(run.history, 3)
    again = go_on(two.entry(), first)
    _, behind = forked(again.history, 4, origin_key=FORK_KEY)
    _, before = forked(again.history, 3, origin_key=FORK_KEY)
    assert (behind.caller_key, before.caller_key) == (FORK_KEY, RUN_KEY)
    second, _ = forked(again.history, 4, origin_key=FORK_KEY, run_key=9)
    assert go_on(two.entry(), second).state.activities[1].called_by == run.state.call_name(RUN_KEY)


def test_a_result_that_an_ended_run_has_not_read_is_taken_over() -> None:
    run = life_of(together)
    run.begin()
    run.message(m.TerminateMessage())
    unread = (
        m.CompleteActivityMessage(operation=Operation(1), attempt=3, result=json("told")),
        m.FailActivityMessage(operation=Operation(3), attempt=1, failure=BROKEN),
        m.CompleteActivityMessage(operation=Operation(9), attempt=1),
    )
    creation, event = forked(run.history, point_of_last_failure(run.history), unread=unread)
    assert event.carried_results == (CarriedResult(operation=Operation(1), result=json("told"), attempt=3),)
    assert [repeated.operation for repeated in event.repeats] == [2, 3]
    again = go_on(together.entry(), creation)
    assert again.pending == [2, 3]
    again.message(m.TerminateMessage())
    assert [step.operation for step in forked(again.history, len(creation.copied) + 1, unread=unread)[1].repeats] == [
        2,
        3,
    ]


def test_a_result_of_a_call_that_the_ended_run_made_anew_is_not_taken_over() -> None:
    run = life_of(together)
    run.begin()
    again = go_on(together.entry(), forked(run.history, 1)[0])
    again.message(m.TerminateMessage())
    point = point_of_last_failure(again.history)
    for generation, taken in ((1, 0), (2, 1)):
        told = m.CompleteActivityMessage(operation=Operation(1), attempt=1, generation=generation)
        _, event = forked(again.history, point, ref=RunRef(id="order-1", generation=3), unread=(told,))
        assert len(event.carried_results) == taken


def test_a_fork_beside_a_later_generation_takes_the_result_of_its_own_call() -> None:
    run = life_of(together)
    run.begin()
    later = go_on(together.entry(), forked(run.history, 1)[0])
    beside = go_on(together.entry(), forked(later.history, len(later.history), ForkCause.FORK)[0])
    own = beside.pending[0]
    beside.message(m.CompleteActivityMessage(operation=Operation(own), attempt=1, result=json("told")))
    assert own not in beside.pending


def test_a_child_whose_end_an_ended_run_has_not_read_is_taken_over() -> None:
    run = life_of(parent)
    run.begin()
    run.message(m.TerminateMessage())
    point = point_of_last_failure(run.history)
    with pytest.raises(RunNotRepairableError, match="child run"):
        forked(run.history, point)
    told = m.ChildCompletedMessage(operation=Operation(1), result=json("child"))
    for cause in (ForkCause.RETRY, ForkCause.FORK):
        _, event = forked(run.history, point, cause, unread=(told,))
        assert event.carried_results == (CarriedResult(operation=Operation(1), result=json("child")),)


def test_results_that_came_later_are_taken_over_once() -> None:
    run = life_of(together)
    run.begin()
    run.succeed(1, "one")
    point = len(run.history) - 1
    creation, event = forked(run.history, point)
    assert [carried.operation for carried in event.carried_results] == [1]
    assert [step.operation for step in event.repeats] == [2, 3]
    fresh = loaded(together.entry(), creation)
    again, taken_again = forked(fresh.history, point + 1)
    assert taken_again.carried_results == event.carried_results
    fresh.take(i.GoOn(worker="w"))
    assert fresh.pending == [2, 3]
    assert forked(fresh.history, point)[1].carried_results == event.carried_results
    assert forked(fresh.history, point + 1)[1].carried_results == event.carried_results
    assert go_on(together.entry(), again).pending == [2, 3]


def test_an_attempt_that_is_known_to_have_failed_is_made_again_an_unknown_one_counts_as_lost() -> None:
    run = life_of(together)
    run.begin()
    run.take(i.AttemptStarting(operation=Operation(3), attempt=1, worker="w"))
    started = len(run.history)
    unknown, _ = forked(run.history, started)
    assert loaded(together.entry(), unknown).state.activities[3].attempt_started
    run.fail(3)
    known, event = forked(run.history, started)
    assert not loaded(together.entry(), known).state.activities[3].attempt_started
    assert {step.operation: step.was for step in event.repeats}[Operation(3)] is StepFate.FAILED


def test_an_attempt_that_was_started_after_the_point_counts_as_lost_if_nobody_knows_what_came_of_it() -> None:
    run = life_of(together)
    run.begin()
    before = len(run.history)
    assert not loaded(together.entry(), forked(run.history, before)[0]).state.activities[3].attempt_started
    run.take(i.AttemptStarting(operation=Operation(3), attempt=1, worker="w"))
    unknown, event = forked(run.history, before)
    assert {step.operation: step.was for step in event.repeats}[Operation(3)] is StepFate.UNKNOWN
    fresh = loaded(together.entry(), unknown)
    assert fresh.state.activities[3].attempt_started
    assert loaded(together.entry(), forked(fresh.history, before)[0]).state.activities[3].attempt_started
    fresh.take(i.GoOn(worker="w"))
    fresh.fail(3)
    assert not loaded(together.entry(), forked(fresh.history, before)[0]).state.activities[3].attempt_started
    run.message(m.TerminateMessage())
    assert loaded(together.entry(), forked(run.history, before)[0]).state.activities[3].attempt_started
    run = life_of(together)
    run.begin()
    run.take(i.AttemptStarting(operation=Operation(3), attempt=1, worker="w"))
    run.fail(3, retry=RETRIED)
    assert not loaded(together.entry(), forked(run.history, before)[0]).state.activities[3].attempt_started
    run.take(i.AttemptStarting(operation=Operation(3), attempt=2, worker="w"))
    assert loaded(together.entry(), forked(run.history, before)[0]).state.activities[3].attempt_started


def test_what_was_done_after_the_point_is_named() -> None:
    run = life_of(sender)
    run.begin()
    run.message(m.SignalAnswerMessage(operation=Operation(1), generation=1, outcome=e.SignalOutcome.DELIVERED))
    run.succeed(2, "one")
    _, event = forked(run.history, 2)
    assert [(step.name, step.was) for step in event.repeats] == [
        ("signal go to default/other", StepFate.FINISHED),
        ("fork.step", StepFate.FINISHED),
    ]


# --- what is not taken over ----------------------------------------------------------------------------------------


def test_a_wait_for_the_fate_of_a_signal_cannot_be_taken_over() -> None:
    run = life_of(sender)
    run.begin()
    with pytest.raises(RunNotRepairableError, match="what became of a signal"):
        forked(run.history, len(run.history))
    run.message(m.SignalAnswerMessage(operation=Operation(1), generation=1, outcome=e.SignalOutcome.DELIVERED))
    forked(run.history, len(run.history))


def test_a_lock_cannot_be_taken_over() -> None:
    run = life_of(two)
    run.begin()
    held = RecordedEvent(len(run.history) + 1, run.history[-1].at, e.LockRequested(operation=Operation(9), key="door"))
    with pytest.raises(RunNotRepairableError, match="lock 'door'"):
        forked([*run.history, held], len(run.history) + 1)


def test_a_child_that_completed_is_taken_over_and_one_that_failed_is_not() -> None:
    run = life_of(parent)
    run.begin()
    open_at = len(run.history)
    run.succeed(2, "one")
    run.message(m.ChildCompletedMessage(operation=Operation(1), generation=1, result=json("done")))
    creation, event = forked(run.history, open_at, ForkCause.FORK)
    assert CarriedResult(operation=Operation(1), result=json("done")) in event.carried_results
    assert go_on(parent.entry(), creation).result == ["done", "beside"]

    other = life_of(parent)
    other.begin()
    failure = m.ChildFailedMessage(operation=Operation(1), generation=1, outcome=e.ChildOutcome.FAILED, failure=BROKEN)
    other.message(failure)
    with pytest.raises(RunNotRepairableError, match=r"child run default/c .* \(event 2\)"):
        forked(other.history, open_at)


def test_a_child_that_is_still_running_goes_along_under_the_same_id_only() -> None:
    run = life_of(parent)
    run.begin()
    with pytest.raises(RunNotRepairableError, match="child run default/c"):
        forked(run.history, len(run.history), ForkCause.FORK)
    creation, _ = forked(run.history, len(run.history))
    again = go_on(parent.entry(), creation)
    assert again.state.children[1].origin is not None
    assert again.state.children[1].origin.run_key == RUN_KEY
    again.message(m.ChildCompletedMessage(operation=Operation(1), generation=1, result=json("done")))
    again.succeed(2, "one")
    assert again.result == ["done", "order-1"]


def test_the_child_of_an_earlier_generation_cannot_be_taken_over_once_it_has_ended() -> None:
    carried = e.CarriedChild(
        run_key=3,
        generation=1,
        operation=Operation(8),
        workflow="fork.child",
        ref=RunRef(id="c"),
        policy=e.ParentClosePolicy.CANCEL,
    )
    run = life_of(two, carried_children=(carried,))
    run.begin()
    run.message(m.TerminateMessage())
    with pytest.raises(RunNotRepairableError, match="begun by an earlier generation"):
        forked(run.history, 3)


# --- signals -----------------------------------------------------------------------------------------------------


def bodies(event: e.RunForked) -> list[bytes]:
    return [bytes(carried.body) for carried in event.carried_signals]


def test_later_signals_come_again_each_once_however_often_the_run_is_forked() -> None:
    run = life_of(two)
    run.begin()
    run.succeed(1, "one")
    for number in (1, 2):
        run.signal("go", number)
    first, event = forked(run.history, 4)
    assert bodies(event) == [b"1", b"2"]
    assert bodies(forked(run.history, 4, reapplies_signals=False)[1]) == []
    fresh = loaded(two.entry(), first)
    assert bodies(forked(fresh.history, 5)[1]) == [b"1", b"2"]
    assert bodies(forked(fresh.history, 3)[1]) == [b"1", b"2"]
    fresh.take(i.GoOn(worker="w"))
    assert bodies(forked(fresh.history, 5)[1]) == [b"1", b"2"]
    fresh.signal("go", 3)
    second, event = forked(fresh.history, 6)
    assert bodies(event) == [b"2", b"3"]
    again = go_on(two.entry(), second)
    assert bodies(forked(again.history, 4)[1]) == [b"1", b"2", b"3"]


def test_signals_that_an_ended_run_has_not_read_come_last() -> None:
    run = life_of(two)
    run.begin()
    run.signal("go", 1)
    unread = (m.SignalMessage(name="go", body=json(2)), m.CancelMessage(), m.SuspendMessage())
    first, event = forked(run.history, 3, unread=unread)
    assert bodies(event) == [b"1", b"2"]
    assert bodies(forked(run.history, 3, unread=unread, reapplies_signals=False)[1]) == []
    fresh = loaded(two.entry(), first)
    fresh.message(m.TerminateMessage())
    _, event = forked(fresh.history, 4, unread=(m.SignalMessage(name="go", body=json(3)),))
    assert bodies(event) == [b"1", b"2", b"3"]


def test_signals_that_came_with_the_start_are_received_once() -> None:
    given_early = (e.CarriedSignal(name="go", body=json(1)),)
    run = life_of(two, carried_signals=given_early, start_at=Timestamp(1_700_000_010 * SECOND))
    run.signal("go", 0)
    run.take(i.Begin(worker="w"), after=20)
    run.signal("go", 2)
    assert [type(event).__name__ for event in run.events][:4] == [
        "RunCreated",
        "SignalReceived",
        "SignalReceived",
        "RunStarted",
    ]
    assert point_at(run.history, 3) == 2
    for point, expected in ((1, [b"0", b"2"]), (2, [b"2"])):
        creation, event = forked(run.history, point)
        assert bodies(event) == expected
        again = go_on(two.entry(), creation)
        received = [event for event in again.events if isinstance(event, e.SignalReceived)]
        assert sorted(bytes(signal.body) for signal in received) == [b"0", b"1", b"2"]


def test_a_fork_that_has_not_begun_may_be_forked_again() -> None:
    run = life_of(two, carried_signals=(e.CarriedSignal(name="go", body=json(1)),))
    run.begin()
    run.signal("go", 2)
    creation, _ = forked(run.history, 1)
    fresh = loaded(two.entry(), creation)
    for point in (1, 2):
        again = go_on(two.entry(), forked(fresh.history, point)[0])
        received = [bytes(event.body) for event in again.events if isinstance(event, e.SignalReceived)]
        assert sorted(received) == [b"1", b"2"]
    fresh.take(i.GoOn(worker="w"))
    again = go_on(two.entry(), forked(fresh.history, 1)[0])
    received = [bytes(event.body) for event in again.events if isinstance(event, e.SignalReceived)]
    assert sorted(received) == [b"1", b"2"]


# --- suspended, ended, answered ------------------------------------------------------------------------------------


def test_a_run_that_was_suspended_there_is_suspended() -> None:
    run = life_of(two)
    run.begin()
    run.message(m.SuspendMessage())
    run.succeed(1, "one")
    creation, _ = forked(run.history, len(run.history))
    again = go_on(two.entry(), creation)
    assert again.state.status == "suspended"
    again.message(m.ResumeMessage())
    again.signal("go", 1)
    assert again.pending == [2]


def test_a_fork_that_is_ended_before_it_has_answered_is_replayed() -> None:
    run = life_of(two)
    run.begin()
    run.succeed(1, "one")
    run.signal("go", 1)
    point = len(run.history) - 1
    assert point_at(run.history, point) == point
    creation, _ = forked(run.history, point)
    fresh = loaded(two.entry(), creation)
    assert len(fresh.feed.held) == 1
    fresh.message(m.TerminateMessage())
    ended = replay(two.entry(), fresh.history)
    assert ended.state == fresh.state


def test_going_on_means_nothing_to_a_run_that_has() -> None:
    run = life_of(two)
    run.begin()
    creation, _ = forked(run.history, 3)
    again = go_on(two.entry(), creation)
    again.signal("go", 1)
    assert again.take(i.GoOn(worker="w")) == []


def test_a_run_that_ends_by_its_own_answer_receives_no_more() -> None:
    async def code() -> None:
        await asyncio.sleep(1)

    run = code_life(code)
    run.wait(2)
    creation, event = forked([*run.history, _received(run)], len(run.history) - 1)
    assert bodies(event) == [b"1"]
    again = go_on(entry_of(code), creation)
    assert type(again.history[-1].event) is e.RunCompleted


def _received(run: Life) -> RecordedEvent:
    return RecordedEvent(len(run.history) + 1, run.history[-1].at, e.SignalReceived(name="a", body=json(1)))


def test_a_fork_answers_by_its_own_name() -> None:
    run = life_of(parent)
    run.begin()
    run.succeed(2, "one")
    run.message(m.ChildCompletedMessage(operation=Operation(1), generation=1, result=json("done")))
    creation, _ = forked(run.history, point_at(run.history, len(run.history)), ForkCause.FORK)
    assert go_on(parent.entry(), creation).result == ["done", "beside"]


def test_the_first_answer_of_a_fork_is_given_at_the_time_of_the_fork() -> None:
    run = life_of(clock)
    run.begin()
    run.signal("go", 1)
    creation, _ = forked(run.history, len(run.history) - 2)
    again = go_on(clock.entry(), creation)
    assert (run.result, again.result) == (run.history[-1].at, creation.copied[-1].at)
    assert replay(clock.entry(), again.history).state == again.state
