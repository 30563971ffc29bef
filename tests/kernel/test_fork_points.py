"""Points: after which event a run is to go on."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import Workflow, workflow
from perdure.errors import RunNotRepairableError
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.fork_points import (
    last_point_without_locks,
    point_at,
    point_before_activity,
    point_before_moment,
    point_before_stage,
    point_of_last_failure,
    point_of_retry,
)
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.time import Timestamp
from tests.kernel.lives import BROKEN, SECOND, Life, life_of

go = Signal("go", int)


@activity(name="points.undo")
async def undo(_result: str) -> None: ...


@activity(name="points.step")
async def step(label: str) -> str:
    return label


@activity(name="points.book", compensate=undo)
async def book(label: str) -> str:
    return label


@workflow(name="points.locking")
async def locking(ctx: Context) -> None:
    await step("before")
    async with ctx.lock("a"):
        await ctx.wait_for(go)
    async with ctx.lock("b"):
        await ctx.wait_for(go)
    await step("after")


@workflow(name="points.trying")
async def trying(ctx: Context) -> None:
    with suppress(TimeoutError):
        async with ctx.lock("a", timeout=timedelta(0)):
            pass
    await ctx.wait_for(go)


@workflow(name="points.staged")
async def staged(ctx: Context) -> str:
    for number in range(2):
        async with ctx.stage("work"):
            await asyncio.gather(step(f"a{number}"), step(f"b{number}"))
    return await step("last")


@workflow(name="points.undoing")
async def undoing(_ctx: Context) -> str:
    await book("one")
    return await step("two")


@workflow(name="points.caring")
async def caring(_ctx: Context) -> str:
    try:
        return await step("one")
    except ValueError as error:
        raise RuntimeError("wrapped") from error


@workflow(name="points.broken")
async def broken(ctx: Context) -> None:
    await step("one")
    await ctx.wait_for(go)
    raise ValueError("its own fault")


@workflow(name="points.parent")
async def parent(ctx: Context) -> str:
    await step("one")
    return await ctx.run_child(staged, id="c")


def names(run: Life) -> list[str]:
    return [type(event).__name__ for event in run.events]


def test_a_point_is_behind_what_happened_or_behind_the_whole_answer() -> None:
    run = life_of(staged)
    run.begin()
    assert names(run) == ["RunCreated", "RunStarted", "StageStarted", "ActivityScheduled", "ActivityScheduled"]
    assert [point_at(run.history, event) for event in range(1, 6)] == [1, 2, 2, 2, 5]


def test_there_is_no_point_outside_the_history() -> None:
    run = life_of(staged)
    run.begin()
    with pytest.raises(RunNotRepairableError, match="events 1 to 5"):
        point_at(run.history, 6)


def test_what_ends_a_run_from_outside_is_never_copied() -> None:
    run = life_of(staged)
    run.begin()
    run.message(m.TerminateMessage())
    assert names(run)[5:] == ["ActivityCancelled", "ActivityCancelled", "RunTerminated"]
    assert [point_at(run.history, event) for event in range(5, 9)] == [5, 5, 5, 5]
    assert point_of_retry(run.history) == 5


def test_a_child_is_requested_and_started_or_neither() -> None:
    run = life_of(parent)
    run.begin()
    run.succeed(1, "x")
    at = names(run).index("ChildRequested") + 1
    assert point_at(run.history, at) == at - 1
    assert point_at(run.history, at + 1) == at + 1


def test_the_last_stage_and_the_last_call_of_a_name_are_meant() -> None:
    run = life_of(staged)
    run.begin()
    for operation in (2, 3):
        run.succeed(operation, "x")
    second = names(run).index("StageStarted", 4) + 1
    assert point_before_stage(run.history, "work") == second - 2
    assert point_before_activity(run.history, "points.step") == second - 2
    with pytest.raises(RunNotRepairableError, match="not entered a stage 'pay'; it has entered: work"):
        point_before_stage(run.history, "pay")
    with pytest.raises(RunNotRepairableError, match=r"not called an activity 'pay'; it has called: points\.step"):
        point_before_activity(run.history, "pay")


def test_a_moment_is_a_point() -> None:
    run = life_of(staged)
    run.begin()
    run.now += SECOND
    run.succeed(2, "x")
    first, later = run.history[0].at, run.history[-1].at
    assert point_before_moment(run.history, Timestamp(later)) == 5
    assert point_before_moment(run.history, Timestamp(first + 1)) == 5
    with pytest.raises(RunNotRepairableError, match="created only after"):
        point_before_moment(run.history, first)
    with pytest.raises(RunNotRepairableError, match="done nothing since"):
        point_before_moment(run.history, Timestamp(later + 1))


@pytest.mark.parametrize("definition", [staged, caring])
def test_a_failed_run_goes_on_before_the_step_that_failed_it(definition: Workflow[*tuple[Any, ...], Any]) -> None:
    run = life_of(definition)
    run.begin()
    run.fail(run.pending[0])
    assert run.state.status == "failed"
    failed_at = names(run).index("ActivityFailed") + 1
    assert point_of_last_failure(run.history) == failed_at - 1
    assert point_of_retry(run.history) == failed_at - 1


def test_a_run_that_failed_by_itself_goes_on_where_it_stood() -> None:
    run = life_of(broken)
    run.begin()
    run.succeed(1, "x")
    run.signal("go", 1)
    assert point_of_retry(run.history) == names(run).index("SignalReceived") + 1


def test_a_failed_child_is_asked_for_again() -> None:
    run = life_of(parent)
    run.begin()
    run.succeed(1, "x")
    failure = m.ChildFailedMessage(operation=Operation(2), generation=1, outcome=e.ChildOutcome.FAILED, failure=BROKEN)
    run.message(failure)
    assert point_of_retry(run.history) == names(run).index("ActivityCompleted") + 1


def test_the_failed_child_of_an_earlier_generation_has_no_request_here() -> None:
    carried = e.CarriedChild(
        run_key=3,
        generation=1,
        operation=Operation(8),
        workflow="points.staged",
        ref=RunRef(id="c"),
        policy=e.ParentClosePolicy.CANCEL,
    )

    @workflow(name="points.heir")
    async def heir(ctx: Context) -> str:
        return await ctx.inherited_child(staged, "c").result()

    run = life_of(heir, carried_children=(carried,))
    run.created = msgspec.structs.replace(run.created, ref=RunRef(id="order-1", generation=2))
    run.state.created = run.created
    run.begin()
    run.message(
        m.ChildFailedMessage(operation=Operation(8), generation=1, outcome=e.ChildOutcome.FAILED, failure=BROKEN)
    )
    assert run.state.status == "failed"
    assert point_of_last_failure(run.history) == names(run).index("ChildFailed")


def test_a_cancelled_run_goes_on_before_its_cancellation() -> None:
    run = life_of(broken)
    run.begin()
    run.succeed(1, "x")
    before = len(run.history)
    run.cancel()
    assert run.state.status == "cancelled"
    assert point_of_retry(run.history) == before


def test_a_run_that_has_undone_steps_is_not_retried() -> None:
    run = life_of(undoing)
    run.begin()
    run.succeed(1, "x")
    run.fail(2)
    run.succeed(run.pending[0])
    assert run.state.status == "failed"
    with pytest.raises(RunNotRepairableError, match=r"has undone steps .* event 2"):
        point_of_retry(run.history)


def test_only_what_ended_badly_is_retried() -> None:
    run = life_of(undoing)
    run.begin()
    with pytest.raises(RunNotRepairableError, match="has not ended"):
        point_of_retry(run.history)
    run.succeed(1, "x")
    run.succeed(2, "x")
    with pytest.raises(RunNotRepairableError, match="is completed"):
        point_of_retry(run.history)


def test_a_lock_that_was_denied_is_neither_held_nor_awaited() -> None:
    run = life_of(trying)
    run.begin()
    [operation] = run.state.locks
    run.message(m.LockDeniedMessage(operation=Operation(operation), cycle=()))
    assert run.events[-1] == e.LockDenied(operation=Operation(operation), cycle=())
    assert last_point_without_locks(run.history) == len(run.history)


def test_the_last_point_without_locks_is_before_all_that_were_asked_for_in_one_answer() -> None:
    run = life_of(locking)
    run.begin()
    run.succeed(1, "before")
    assert last_point_without_locks(run.history) == 4  # the step is done, and its answer, which asks, is left out
    for _ in range(2):
        operation = next(iter(run.state.locks))
        run.message(m.LockGrantedMessage(operation=Operation(operation), token=1))
        assert last_point_without_locks(run.history) == 4
        run.signal("go", 1)
    assert last_point_without_locks(run.history) == len(run.history)
    assert len(run.pending) == 1
