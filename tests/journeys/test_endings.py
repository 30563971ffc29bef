"""How runs are stopped, held, undone and end."""

import asyncio
from datetime import timedelta

import pytest

from perdure import (
    Context,
    ParentClosePolicy,
    Retry,
    RunCancelledError,
    RunFailedError,
    RunStatus,
    RunTerminatedError,
    Settings,
    Signal,
    activity,
    workflow,
)
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import QUICK, decide, double, kinds, until, waiting_for_decision


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (ParentClosePolicy.CANCEL, RunStatus.CANCELLED),
        (ParentClosePolicy.TERMINATE, RunStatus.TERMINATED),
        (ParentClosePolicy.ABANDON, RunStatus.RUNNING),
    ],
)
async def test_the_end_of_a_parent_reaches_its_children_by_policy(
    make_engine: MakeEngine, policy: ParentClosePolicy, status: RunStatus
) -> None:
    @workflow
    async def leaving(ctx: Context) -> None:
        ctx.start_child(waiting_for_decision, id="left", policy=policy)
        await double(1)

    async with make_engine() as engine:
        await (await engine.start(leaving)).result()
        run = await engine.get_run("left")

        async def has_status() -> bool:
            return (await run.describe()).status is status

        await until(has_status)


async def test_continue_as_new_keeps_the_id_the_state_and_unread_signals(make_engine: MakeEngine) -> None:
    @workflow
    async def rolling(ctx: Context, left: int) -> list[bool]:
        if left:
            ctx.set("seen", ctx.get("seen", int, 0) + 1)
            await double(left)
            ctx.continue_as_new(left - 1)
        assert ctx.get("seen", int) == 3
        return [await ctx.wait_for(decide), await ctx.wait_for(decide)]

    async with make_engine() as engine:
        run = await engine.start(rolling, 3, id="roller")
        await run.signal(decide, True)
        await run.signal(decide, False)
        assert await run.result() == [True, False]
        assert (await run.describe()).ref.generation == 4


async def test_a_workflow_with_a_retry_policy_is_tried_again_from_its_start(make_engine: MakeEngine) -> None:
    tries: list[int] = []

    @workflow(retry=Retry(attempts=3, backoff=QUICK))
    async def flaky(ctx: Context) -> int:
        tries.append(ctx.info.attempt)
        if ctx.info.attempt < 3:
            raise OSError
        return ctx.info.attempt

    async with make_engine() as engine:
        assert await (await engine.start(flaky)).result() == 3
    assert tries == [1, 2, 3]


async def test_compensations_run_in_reverse_when_the_workflow_fails(make_engine: MakeEngine) -> None:
    undone: list[str] = []

    @activity
    async def undo(name: str) -> None:
        undone.append(name)

    @activity(compensate=undo)
    async def do(name: str) -> str:
        return name

    @workflow
    async def saga(ctx: Context) -> None:
        await do("a")
        await do("b")
        ctx.add_compensation(undo, "c")
        message = "third step"
        raise RuntimeError(message)

    async with make_engine() as engine:
        run = await engine.start(saga)
        with pytest.raises(RunFailedError, match="third step"):
            await run.result()
        names = await kinds(run)
    assert undone == ["c", "b", "a"]
    assert names.count("compensation_step_completed") == 3
    assert names[-1] == "run_failed"


async def test_the_error_of_a_failed_run_shows_the_lines_that_raised_it(make_engine: MakeEngine) -> None:
    @activity(retry=Retry.never())
    async def look_up() -> str:
        prices: dict[str, str] = {}
        return prices["lamp"]

    @workflow
    async def quoting(ctx: Context) -> str:
        return await look_up()

    async with make_engine() as engine:
        with pytest.raises(RunFailedError) as failed:
            await (await engine.start(quoting)).result()
    (note,) = failed.value.__notes__
    assert note.index("return await look_up()") < note.index('return prices["lamp"]')
    assert note.endswith("KeyError: 'lamp'")


async def test_cancel_lets_the_workflow_clean_up(make_engine: MakeEngine) -> None:
    cleaned: list[str] = []

    @activity
    async def clean() -> None:
        cleaned.append("yes")

    @workflow
    async def careful(ctx: Context) -> None:
        try:
            await ctx.wait_for(decide)
        finally:
            await clean()

    async with make_engine() as engine:
        run = await engine.start(careful)
        await run.cancel("not needed")
        with pytest.raises(RunCancelledError, match="not needed"):
            await run.result()
    assert cleaned == ["yes"]


async def test_the_grace_of_a_cancellation_ends_in_termination(make_engine: MakeEngine) -> None:
    @workflow
    async def obstinate(ctx: Context) -> None:
        while True:
            try:
                await ctx.wait_for(decide)
            except asyncio.CancelledError:
                continue

    async with make_engine() as engine:
        run = await engine.start(obstinate)
        await run.cancel("please", grace=timedelta(milliseconds=10))
        with pytest.raises(RunTerminatedError, match="grace"):
            await run.result()


async def test_terminate_stops_without_clean_up(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(waiting_for_decision)
        await run.terminate("now", by="operator")
        with pytest.raises(RunTerminatedError, match="now"):
            await run.result()


async def test_a_suspended_run_holds_still_and_goes_on_where_it_was(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(waiting_for_decision)
        await run.suspend("audit", by="operator")
        assert (await run.describe()).status is RunStatus.SUSPENDED
        await run.signal(decide, True)
        assert (await run.describe()).status is RunStatus.SUSPENDED
        await run.resume()
        assert await run.result() == "yes"


async def test_a_run_can_suspend_itself(make_engine: MakeEngine) -> None:
    @workflow
    async def pausing(ctx: Context) -> str:
        await ctx.suspend("ask somebody")
        return "resumed"

    async with make_engine() as engine:
        run = await engine.start(pausing)
        assert (await run.describe()).status is RunStatus.SUSPENDED
        await run.resume()
        assert await run.result() == "resumed"


async def test_the_execution_timeout_fails_the_run(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(waiting_for_decision, execution_timeout=timedelta(milliseconds=10))
        with pytest.raises(RunFailedError, match="execution timeout"):
            await run.result()


async def test_unread_signals_are_listed_when_the_run_ends(make_engine: MakeEngine) -> None:
    spare = Signal("spare", int)

    async with make_engine() as engine:
        run = await engine.start(waiting_for_decision)
        await run.signal(spare, 1)
        await run.signal(decide, True)
        await run.result()
        closing = [r.event async for r in run.history()][-1]
    assert isinstance(closing, e.RunCompleted)
    assert closing.unconsumed_signals == {"spare": 1}


async def test_a_run_whose_history_grows_without_end_is_terminated_with_advice(make_engine: MakeEngine) -> None:
    @workflow
    async def endless_loop(ctx: Context) -> None:
        while True:
            await double(1)

    async with make_engine(Settings(history_events=50)) as engine:
        with pytest.raises(RunTerminatedError, match="continue_as_new"):
            await (await engine.start(endless_loop)).result()
