"""Deadlines of stages and runs, and how they reach what is within them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.errors import ActivityFailedError, ActivityTimeoutError, InvalidArgumentError, StageTimeoutError
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel.backoff import fixed
from perdure.kernel.deadline import Deadline, nearest
from perdure.kernel.events import ParentClosePolicy
from perdure.kernel.identity import Operation
from perdure.kernel.retry import Retry
from perdure.kernel.time import Timestamp
from tests.kernel.lives import RETRIED, SECOND, START, Life, life_of, replay


@activity(name="deadline.work")
async def work() -> str:
    return "worked"


@activity(name="deadline.undo")
async def undo() -> None: ...


@workflow(name="deadline.child", execution_timeout=timedelta(seconds=50))
async def child(ctx: Context) -> str:
    return await work()


STEPS: list[Callable[[Context], Awaitable[object]]] = []
"""What the run of the test that is being run does."""


@workflow(name="deadline.run")
async def scripted(ctx: Context) -> object:
    return await STEPS[-1](ctx)


def begun(steps: Callable[[Context], Awaitable[object]], *, deadline_after: float | None = None) -> Life:
    """Return a run of these steps that has begun."""
    STEPS.append(steps)
    deadline = None if deadline_after is None else Timestamp(START + round(deadline_after * SECOND))
    life = life_of(scripted, deadline_at=deadline)
    life.begin()
    return life


def after(seconds: float) -> int:
    return START + round(seconds * SECOND)


def timed_out(operation: int) -> i.AttemptTimedOut:
    return i.AttemptTimedOut(
        operation=Operation(operation),
        attempt=1,
        timeout=e.TimeoutKind.DEADLINE,
        retry=RETRIED,
        started_at=None,
    )


def only(life: Life, kind: type[e.Event]) -> e.Event:
    (found,) = [event for event in life.events if type(event) is kind]
    return found


# --- a stage's own deadline ------------------------------------------------------------------------------------------


def test_a_stage_that_does_not_end_in_time_cleans_up_and_raises() -> None:
    async def steps(ctx: Context) -> str:
        try:
            async with ctx.stage("payment", timeout=timedelta(seconds=10)):
                try:
                    await work()
                finally:
                    await undo()
        except TimeoutError as error:
            return f"{type(error).__name__}: {error}"
        return "in time"

    life = begun(steps)
    assert life.wait(9.999) == []
    life.wait(0.001)
    assert [type(event).__name__ for event in life.events[5:]] == [
        "TimerFired",
        "ActivityCancelled",
        "ActivityScheduled",
    ]
    life.succeed(4)
    assert life.result == "StageTimeoutError: stage 'payment' did not end by its deadline"
    assert isinstance(only(life, e.StageFailed), e.StageFailed)
    started = only(life, e.StageStarted)
    assert isinstance(started, e.StageStarted)
    assert started.deadline_at == after(10)
    assert replay(scripted.entry(), life.history).state == life.state


def test_a_stage_that_ends_in_time_leaves_no_timer() -> None:
    async def steps(ctx: Context) -> str:
        async with ctx.stage("payment", timeout=timedelta(seconds=10)):
            await work()
        return await work()

    life = begun(steps)
    life.succeed(3, "worked")
    assert life.state.timers == {}
    assert life.wait(20) == []
    life.succeed(4, "done")
    assert life.result == "done"


def test_a_deadline_may_be_a_moment() -> None:
    async def steps(ctx: Context) -> None:
        async with ctx.stage("payment", deadline=datetime.fromtimestamp(after(5) / SECOND, UTC)):
            await work()

    life = begun(steps)
    assert life.state.timers == {2: after(5)}


def test_a_time_out_of_the_stages_own_code_stays_what_it_is() -> None:
    async def steps(ctx: Context) -> str:
        try:
            async with ctx.stage("payment", timeout=timedelta(seconds=10)), asyncio.timeout(1):
                await work()
        except TimeoutError as error:
            return type(error).__name__
        return "in time"

    life = begun(steps)
    life.wait(1)
    assert life.result == "TimeoutError"


def test_of_nested_stages_the_one_whose_time_has_passed_raises() -> None:
    async def steps(ctx: Context) -> list[str]:
        seen = []
        try:
            async with ctx.stage("outer", timeout=timedelta(seconds=5)):
                try:
                    async with ctx.stage("inner", timeout=timedelta(seconds=9)):
                        await work()
                except StageTimeoutError as error:
                    seen.append(error.stage)
        except StageTimeoutError as error:
            seen.append(error.stage)
        return seen

    life = begun(steps)
    life.wait(5)
    assert life.result == ["outer"]


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"timeout": timedelta(0)}, "timeout"),
        ({"timeout": 5}, "timeout"),
        ({"deadline": datetime(2026, 1, 1)}, "deadline"),  # noqa: DTZ001 - what is refused
        ({"timeout": timedelta(1), "deadline": datetime(2026, 1, 1, tzinfo=UTC)}, "both"),
    ],
)
def test_a_deadline_that_makes_no_sense_is_refused(limits: dict[str, object], says: str) -> None:
    async def steps(ctx: Context) -> str:
        with pytest.raises(InvalidArgumentError, match=says):
            async with ctx.stage("payment", **limits):  # type: ignore[arg-type]
                pass
        return "refused"

    assert begun(steps).result == "refused"


# --- what is within --------------------------------------------------------------------------------------------------


def test_an_activity_has_no_more_time_than_the_nearest_stage_around_it() -> None:
    async def steps(ctx: Context) -> None:
        async with ctx.stage("outer", timeout=timedelta(seconds=5)), ctx.stage("inner", timeout=timedelta(seconds=9)):
            await asyncio.gather(work(), work())

    life = begun(steps)
    assert [activity.within for activity in life.state.activities.values()] == [
        Deadline(at=Timestamp(after(5)), of="stage 'outer'")
    ] * 2


@pytest.mark.parametrize("is_stage", [True, False], ids=["stage", "run"])
def test_no_retry_is_made_that_would_begin_after_a_deadline_and_the_error_says_whose(*, is_stage: bool) -> None:
    async def steps(ctx: Context) -> str:
        try:
            async with ctx.stage("payment", timeout=timedelta(seconds=8) if is_stage else None):
                await work()
        except ActivityFailedError as error:
            return str(error)
        return "retried"

    life = begun(steps, deadline_after=None if is_stage else 8)
    operation = life.pending[0]
    life.fail(operation, retry=RETRIED)
    whose = "stage 'payment'" if is_stage else "run default/order-1"
    assert life.result == (
        f"activity deadline.work failed at attempt 1 (another attempt would begin after the deadline "
        f"of {whose}): ValueError: broken"
    )


def test_a_retry_that_begins_before_the_deadline_is_made() -> None:
    async def steps(ctx: Context) -> None:
        async with ctx.stage("payment", timeout=timedelta(seconds=10.001)):
            await work()

    life = begun(steps, deadline_after=10.001)
    life.fail(3, retry=RETRIED)
    assert life.state.retries == {3: after(10)}


def test_its_own_limit_of_all_attempts_is_named_too() -> None:
    async def steps(ctx: Context) -> None:
        await work.options(schedule_to_close=timedelta(seconds=5))()

    life = begun(steps, deadline_after=100)
    life.fail(1, retry=RETRIED)
    failed = only(life, e.ActivityFailed)
    assert isinstance(failed, e.ActivityFailed)
    assert (failed.reason, failed.deadline_of) == ("deadline_reached", "its schedule_to_close")


def test_clean_up_is_limited_by_the_stages_further_out_only() -> None:
    async def steps(ctx: Context) -> None:
        async with ctx.stage("outer", timeout=timedelta(seconds=90)), ctx.stage("inner", timeout=timedelta(seconds=9)):
            try:
                await work()
            finally:
                await undo()

    life = begun(steps)
    life.wait(9)
    (cleaning,) = life.state.activities.values()
    assert cleaning.within == Deadline(at=Timestamp(after(90)), of="stage 'outer'")


def test_a_stage_that_has_ended_limits_nothing_any_more() -> None:
    async def steps(ctx: Context) -> None:
        gate = asyncio.Event()

        async def later() -> None:
            await gate.wait()
            await work()

        async with ctx.stage("payment", timeout=timedelta(seconds=9)):
            task = asyncio.create_task(later())
            await ctx.sleep(1)
        gate.set()
        await work()
        await task

    life = begun(steps)
    life.wait(1)
    assert [activity.within for activity in life.state.activities.values()] == [None, None]


def test_compensations_are_not_limited_by_the_stage_they_run_in() -> None:
    async def steps(ctx: Context) -> None:
        async with ctx.stage("payment", timeout=timedelta(seconds=9)):
            ctx.add_compensation(undo)
            await ctx.compensate()

    life = begun(steps)
    (undoing,) = life.state.activities.values()
    assert (undoing.activity, undoing.within) == ("deadline.undo", None)


def test_what_could_not_begin_before_the_stage_ended_goes_with_it() -> None:
    async def steps(ctx: Context) -> str:
        try:
            async with ctx.stage("payment", timeout=timedelta(seconds=9)):
                await work()
        except TimeoutError as error:
            return type(error).__name__
        return "done"

    life = begun(steps)
    life.take(timed_out(3), after=9)
    assert life.result == "StageTimeoutError"
    assert isinstance(only(life, e.ActivityCancelled), e.ActivityCancelled)


def test_what_is_shielded_and_could_not_begin_in_time_says_whose_deadline_it_was() -> None:
    async def steps(ctx: Context) -> str:
        step = asyncio.ensure_future(work())
        try:
            async with ctx.stage("payment", timeout=timedelta(seconds=9)):
                step.cancel()
                step = asyncio.ensure_future(work())
                await asyncio.shield(step)
        except StageTimeoutError:
            try:
                await step
            except ActivityTimeoutError as error:
                return str(error)
        return "done"

    life = begun(steps)
    (operation,) = life.pending
    life.take(timed_out(operation), after=9)
    assert life.result == "activity deadline.work timed out (deadline of stage 'payment') at attempt 1"


# --- child runs ------------------------------------------------------------------------------------------------------


def child_created(life: Life) -> e.RunCreated:
    (creation,) = life.advanced.creations
    assert isinstance(creation.created.event, e.RunCreated)
    return creation.created.event


@pytest.mark.parametrize(
    ("run_after", "stage_after", "policy", "inherits", "expected"),
    [
        (None, None, "cancel", None, (50, "")),
        (20, None, "cancel", None, (20, "run default/order-1")),
        (20, 10, "terminate", None, (10, "stage 'payment' of run default/order-1")),
        (20, 30, "cancel", None, (20, "run default/order-1")),
        (90, 80, "cancel", None, (50, "")),
        (20, 10, "abandon", None, (50, "")),
        (20, 10, "abandon", True, (10, "stage 'payment' of run default/order-1")),
        (20, 10, "cancel", False, (50, "")),
    ],
)
def test_a_child_has_the_time_that_is_left_around_it_unless_it_is_detached(
    run_after: float | None, stage_after: float | None, policy: str, inherits: bool | None, expected: tuple[float, str]
) -> None:
    async def steps(ctx: Context) -> None:
        limit = None if stage_after is None else timedelta(seconds=stage_after)
        async with ctx.stage("payment", timeout=limit):
            ctx.start_child(child, policy=ParentClosePolicy(policy), inherits_deadline=inherits)
            await ctx.sleep(1)

    created = child_created(begun(steps, deadline_after=run_after))
    assert (created.deadline_at, created.deadline_of) == (after(expected[0]), expected[1])


def test_a_child_that_runs_out_of_its_parents_time_says_so() -> None:
    created = child_created(begun(_start_child, deadline_after=20))
    life = life_of(child, deadline_at=created.deadline_at, deadline_of=created.deadline_of)
    life.begin()
    life.wait(20)
    assert isinstance(life.result, e.RunFailed)
    assert life.result.failure.message == (
        "the run did not end by the deadline of run default/order-1, which holds for its children"
    )


def test_a_grandchild_names_the_run_whose_deadline_it_is() -> None:
    created = child_created(begun(_start_child, deadline_after=20))
    STEPS.append(_start_child)
    middle = life_of(scripted, deadline_at=created.deadline_at, deadline_of="stage 'top' of run default/first")
    middle.begin()
    assert child_created(middle).deadline_of == "stage 'top' of run default/first"


async def _start_child(ctx: Context) -> None:
    ctx.start_child(child)
    await ctx.sleep(1)


# --- generations -----------------------------------------------------------------------------------------------------


@workflow(
    name="deadline.again",
    execution_timeout=timedelta(seconds=100),
    retry=Retry(attempts=5, backoff=fixed(timedelta(seconds=10))),
)
async def again(ctx: Context) -> None:
    if ctx.info.attempt == 1:
        await ctx.sleep(85)
    assert ctx.info.deadline == datetime.fromtimestamp(after(100) / SECOND, UTC)
    raise ValueError


def test_a_failed_run_is_not_tried_again_after_its_deadline() -> None:
    life = life_of(again, deadline_at=Timestamp(after(100)))
    life.begin()
    life.wait(85)
    (creation,) = life.advanced.creations
    assert isinstance(creation.created.event, e.RunCreated)
    assert (creation.wake_at, creation.created.event.deadline_at) == (after(95), after(100))

    second = life_of(again, deadline_at=Timestamp(after(100)), attempt=2)
    second.now = after(95)
    second.begin()
    assert isinstance(second.result, e.RunFailed)


def test_the_nearest_deadline_is_the_first_given_where_both_come_at_once() -> None:
    first, second = Deadline(at=Timestamp(5), of="a"), Deadline(at=Timestamp(5), of="b")
    assert nearest(first, second) is first
    assert nearest(None, second) is second
    assert nearest(first, None) is first
    assert nearest(Deadline(at=Timestamp(6), of="c"), second) is second
    assert nearest(None, None) is None
