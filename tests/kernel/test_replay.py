"""Replay gives the run back as it was lived: on every page size, at every cut, without doing anything again."""

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import Workflow, workflow
from perdure.errors import HistoryError
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation
from perdure.kernel.replay import Replay
from perdure.kernel.state import RunState, fold
from perdure.kernel.time import Timestamp
from tests.kernel.lives import (
    RETRIED,
    SECOND,
    START,
    Life,
    LostExceptions,
    code_life,
    created_for,
    entry_of,
    failed,
    json,
    life_of,
    program_of,
    replay,
    signal,
    success,
)
from tests.kernel.workflows import SIDE_EFFECTS, WORKFLOWS, chance, charge, fan_out, rolling, straight

SOME = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
AnyWorkflow = Workflow[*tuple[Any, ...], Any]


class TornFileError(Exception):
    pass


@activity(name="replay.read", raises=TornFileError)
async def read() -> None: ...


@workflow(name="replay.catching")
async def catching(ctx: Context) -> str:
    with suppress(TornFileError):
        async with ctx.stage("reading"):
            await read()
    return await ctx.wait_for(Signal("go", str))


class World:
    """What happens to a run, drawn from a seed and from the run's state alone: the same state meets the same fate."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def inputs(self, run: Life) -> list[i.Input]:
        return [self.one_input(run) for _ in range(self.random.choice([1, 1, 1, 2, 3]))]

    def one_input(self, run: Life) -> i.Input:
        draw = self.random.random()
        if draw < 0.03:
            return i.MessageArrived(message=m.CancelMessage(reason="world"))
        if draw < 0.08:
            return i.MessageArrived(message=m.SuspendMessage())
        if draw < 0.2:
            return i.MessageArrived(message=m.ResumeMessage())
        if draw < 0.3:
            return signal(self.random.choice(["approval", "extra"]), self.random.randint(1, 9))
        if run.state.children and draw < 0.45:
            return self.child_report(self.random.choice(sorted(run.state.children)))
        if run.state.activities:
            activity = run.state.activities[self.random.choice(sorted(run.state.activities))]
            if draw < 0.65:
                return failed(activity.operation, attempt=activity.attempt, retry=RETRIED)
            return success(activity.operation, self.random.randint(1, 9), attempt=activity.attempt)
        return i.MessageArrived(message=m.ResumeMessage())

    def child_report(self, operation: int) -> i.Input:
        if self.random.random() < 0.5:
            return i.MessageArrived(message=m.ChildCompletedMessage(operation=Operation(operation), result=json(3)))
        failure = Failure(type="KeyError", message="child")
        return i.MessageArrived(
            message=m.ChildFailedMessage(operation=Operation(operation), outcome=e.ChildOutcome.FAILED, failure=failure)
        )

    def live(self, run: Life, *, steps: int = 40) -> list[int]:
        """Let a run live; return the lengths of its history after each step (where a worker may die)."""
        cuts = []
        for _ in range(steps):
            if run.state.is_closed:
                break
            run.take(*self.inputs(run), after=self.random.choice([0, 0, 0.3, 1, 4]))
            cuts.append(len(run.history))
        return cuts


def lived(definition: AnyWorkflow, seed: int) -> tuple[Life, list[int]]:
    run = life_of(definition, random.Random(seed).randint(1, 7), seed=seed, lost=LostExceptions())
    run.begin()
    return run, [len(run.history), *World(seed).live(run)]


def assert_same(replayed: Life, run: Life) -> None:
    assert replayed.state == run.state
    assert list(replayed.feed.held) == list(run.feed.held)
    assert isinstance(replayed.program, CoroutineProgram)
    assert isinstance(run.program, CoroutineProgram)
    mine, theirs = replayed.program.journal, run.program.journal
    assert mine._operation == theirs._operation
    assert mine.keys == theirs.keys
    assert mine.waiters.keys() == theirs.waiters.keys()
    assert mine._timers.keys() == theirs._timers.keys()
    assert mine.unconsumed_signals() == theirs.unconsumed_signals()
    assert not mine.replaying


# --- the laws of replay --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("definition", WORKFLOWS, ids=lambda definition: definition.name)
@SOME
@given(seed=st.integers(0, 2**32))
def test_a_replayed_run_is_the_run_that_was_lived(definition: AnyWorkflow, seed: int) -> None:
    run, _ = lived(definition, seed)
    assert_same(replay(definition.entry(), run.history), run)
    assert fold(RunState(), run.history) == run.state


@pytest.mark.parametrize("definition", WORKFLOWS, ids=lambda definition: definition.name)
@SOME
@given(seed=st.integers(0, 2**32), page=st.integers(1, 12))
def test_the_size_of_the_pages_makes_no_difference(definition: AnyWorkflow, seed: int, page: int) -> None:
    run, _ = lived(definition, seed)
    assert_same(replay(definition.entry(), run.history, page=page), run)


@pytest.mark.parametrize("definition", WORKFLOWS, ids=lambda definition: definition.name)
@SOME
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_run_that_left_memory_goes_on_as_if_it_had_not(
    definition: AnyWorkflow, seed: int, data: st.DataObject
) -> None:
    """At any commit: the worker dies, another replays, the same world goes on; both histories end up equal."""
    run, cuts = lived(definition, seed)
    cut = data.draw(st.sampled_from(cuts))
    again = replay(definition.entry(), run.history[:cut], page=data.draw(st.integers(1, 9)), lost=LostExceptions())
    world = World(seed)
    first = life_of(definition, random.Random(seed).randint(1, 7), seed=seed, lost=LostExceptions())
    first.begin()
    for length in cuts[1:]:  # bring the world to where it was at the cut
        if len(first.history) == cut:
            break
        first.take(*world.inputs(first), after=world.random.choice([0, 0, 0.3, 1, 4]))
        assert len(first.history) <= length
    again.now = first.now
    world.live(again, steps=40 - cuts.index(cut))
    assert again.history == run.history
    assert_same(again, run)


@pytest.mark.parametrize("definition", WORKFLOWS, ids=lambda definition: definition.name)
def test_every_page_size_up_to_the_whole_history(definition: AnyWorkflow) -> None:
    run, _ = lived(definition, 11)
    for page in range(1, len(run.history) + 2):
        assert_same(replay(definition.entry(), run.history, page=page), run)


@pytest.mark.parametrize("definition", WORKFLOWS, ids=lambda definition: definition.name)
def test_every_cut_between_two_steps(definition: AnyWorkflow) -> None:
    for seed in range(3):
        run, cuts = lived(definition, seed)
        for cut in cuts:
            replay(definition.entry(), run.history[:cut], page=3)


def test_the_worlds_see_runs_end_in_every_way() -> None:
    ends = set()
    for definition in WORKFLOWS:
        for seed in range(40):
            run, _ = lived(definition, seed)
            ends.add(type(run.state.closing))
    assert {e.RunCompleted, e.RunFailed, e.RunCancelled, e.RunContinued, type(None)} == ends


# --- what is not done again ----------------------------------------------------------------------------------------


def test_side_effects_are_not_called_again_and_chance_is_the_same() -> None:
    SIDE_EFFECTS.clear()
    run = life_of(chance, 5)
    run.begin()
    while not run.state.is_closed:
        run.take(*(success(operation, 1) for operation in run.pending), after=10)
    called = len(SIDE_EFFECTS)
    assert called == 5
    for page in (1, 2, 3, 100):
        assert_same(replay(chance.entry(), run.history, page=page), run)
    assert len(SIDE_EFFECTS) == called
    assert run.result[1] == 7


def test_the_logger_is_silent_while_replaying(caplog: pytest.LogCaptureFixture) -> None:
    @workflow(name="replay.talking")
    async def talking(ctx: Context) -> int:
        ctx.logger.warning("before")
        await charge(1)
        ctx.logger.warning("between")
        await charge(2)
        ctx.logger.warning("after")
        return 1

    run = life_of(talking)
    run.begin()
    run.succeed(1, 1)
    assert caplog.messages == ["before", "between"]
    assert {record.__dict__["run_id"] for record in caplog.records} == {"order-1"}
    caplog.clear()
    again = replay(talking.entry(), run.history, page=1)
    assert caplog.messages == []
    again.succeed(2, 1)
    assert caplog.messages == ["after"]


# --- patch markers -------------------------------------------------------------------------------------------------


def without_marker() -> AnyWorkflow:
    @workflow(name="replay.rolling.old")
    async def old(ctx: Context, turn: int) -> int:
        await ctx.sleep(1)
        return turn

    return old


def with_marker() -> AnyWorkflow:
    @workflow(name="replay.rolling.new")
    async def new(ctx: Context, turn: int) -> int:
        if ctx.patched("quicker"):
            await ctx.sleep(0.5)
        else:
            await ctx.sleep(1)
        if ctx.patched("quicker"):
            turn += 100
        return turn

    return new


def test_a_run_that_passed_a_marker_before_it_existed_takes_the_old_path_for_good() -> None:
    run = life_of(without_marker(), 1)
    run.begin()
    again = replay(with_marker().entry(), run.history)
    again.wait(1)
    assert again.result == 1
    assert not any(isinstance(event, e.VersionDecided) for event in again.events)
    assert replay(with_marker().entry(), again.history).result == 1


@pytest.mark.parametrize("page", range(1, 7))
def test_a_run_that_passed_a_marker_takes_the_new_path_on_every_page_size(page: int) -> None:
    run = life_of(with_marker(), 1)
    run.begin()
    assert sum(isinstance(event, e.VersionDecided) for event in run.events) == 1
    again = replay(with_marker().entry(), run.history, page=page)
    again.wait(0.5)
    assert again.result == 101


def test_a_marker_that_is_reached_after_the_replay_decides_for_the_new_path() -> None:
    run = life_of(rolling, 5)
    run.begin()
    again = replay(rolling.entry(), run.history)
    assert e.VersionDecided(operation=Operation(4), patch="newer-way") in again.succeed(3, 1)


# --- ends from inside and outside ------------------------------------------------------------------------------------


def test_ends_from_outside_replay_and_are_told_from_the_program_s_own() -> None:
    run = life_of(straight, 3, deadline_at=Timestamp(START + 5 * SECOND))
    run.begin()
    run.wait(5)
    failed_from_outside = run.state.closing
    assert isinstance(failed_from_outside, e.RunFailed)
    assert failed_from_outside.operation == 0
    again = replay(straight.entry(), run.history)
    assert again.state == run.state


@pytest.mark.parametrize("message", [m.TerminateMessage(reason="now"), m.CancelMessage(grace_until=Timestamp(START))])
def test_a_run_that_was_stopped_replays_to_its_end(message: m.Message) -> None:
    run = life_of(fan_out, 3)
    run.begin()
    run.message(message)
    assert run.state.is_closed
    assert replay(fan_out.entry(), run.history).state == run.state


def test_a_task_group_with_many_tasks_is_cancelled_in_the_same_order_on_every_replay() -> None:
    async def code() -> int:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(60):
                    group.create_task(charge(number))
        except ExceptionGroup:
            return 1
        return 0

    run = code_life(code)
    run.take(failed(30))
    assert run.result == 1
    for _ in range(5):
        assert replay(entry_of(code), run.history).state == run.state


# --- damaged histories ---------------------------------------------------------------------------------------------


def test_a_gap_in_a_history_is_named() -> None:
    run = life_of(straight, 2)
    run.begin()
    run.succeed(2, 1)
    with pytest.raises(HistoryError, match="gap: event 4 follows event 2"):
        replay(straight.entry(), [*run.history[:2], *run.history[3:]])


def test_an_event_that_cannot_follow_is_named() -> None:
    created = created_for(straight, 1)
    twice = [RecordedEvent(n, Timestamp(START), event) for n, event in enumerate([created, created], 1)]
    with pytest.raises(HistoryError, match="the history is damaged: event 2 cannot follow what stands before it"):
        replay(straight.entry(), twice)


def test_nothing_recorded_is_nothing_replayed() -> None:
    replaying = Replay(program_of(straight.entry(), created_for(straight, 1)))
    replaying.take([])
    state, feed = replaying.finish()
    assert (state.sequence, len(feed.held)) == (0, 0)


def test_a_declared_error_that_was_recorded_by_its_own_name_is_replayed() -> None:
    torn = Failure(type="TornFileError", types=("TornFileError",), message="torn")
    run = life_of(catching)
    run.begin()
    run.take(failed(run.pending[0], failure=torn))
    recorded = [_with_failure(r, torn) if type(r.event) is e.StageFailed else r for r in run.history]
    assert recorded != run.history
    again = replay(catching.entry(), recorded)
    again.signal("go", "on")
    assert again.result == "on"


def _with_failure(recorded: RecordedEvent, failure: Failure) -> RecordedEvent:
    return RecordedEvent(recorded.sequence, recorded.at, structs.replace(recorded.event, failure=failure))
