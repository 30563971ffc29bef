"""The end of a parent, however it comes, reaches its children; and what a run hands over when it continues."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from perdure import (
    ChildRunError,
    Context,
    Engine,
    ParentClosePolicy,
    Priority,
    Run,
    RunError,
    RunStatus,
    Settings,
    Signal,
    Update,
    UpdateError,
    activity,
    workflow,
)
from perdure.errors import NonDeterminismError
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import double, until, waiting_for_decision

how_to_end = Signal("how_to_end", str)
IDS = ("to cancel", "to terminate", "to live")


@workflow
async def parent_of_three(ctx: Context) -> str:
    # With time of their own: else a deadline of the parent would end them together with it.
    ctx.start_child(waiting_for_decision, id="to cancel", inherits_deadline=False)
    ctx.start_child(
        waiting_for_decision, id="to terminate", policy=ParentClosePolicy.TERMINATE, inherits_deadline=False
    )
    ctx.start_child(waiting_for_decision, id="to live", policy=ParentClosePolicy.ABANDON)
    if await ctx.wait_for(how_to_end) == "fail":
        raise ValueError("as told")
    return "ended"


async def complete(run: Run[str]) -> None:
    await run.signal(how_to_end, "return")


async def fail(run: Run[str]) -> None:
    await run.signal(how_to_end, "fail")


async def cancel(run: Run[str]) -> None:
    await run.cancel("test")


async def terminate(run: Run[str]) -> None:
    await run.terminate("test")


async def let_time_pass(run: Run[str]) -> None:
    """Wait: the run's execution timeout is short."""


async def statuses(engine: Engine) -> list[RunStatus]:
    return [(await (await engine.get_run(run_id)).describe()).status for run_id in IDS]


async def by_policy(engine: Engine) -> bool:
    return await statuses(engine) == [RunStatus.CANCELLED, RunStatus.TERMINATED, RunStatus.RUNNING]


@pytest.mark.parametrize("end", [complete, fail, cancel, terminate, let_time_pass], ids=lambda end: end.__name__)
async def test_however_a_parent_ends_its_children_follow_their_policies(
    make_engine: MakeEngine, end: Callable[[Run[str]], Awaitable[None]]
) -> None:
    limit = timedelta(milliseconds=50) if end is let_time_pass else None
    async with make_engine() as engine:
        run = await engine.start(parent_of_three, execution_timeout=limit)
        await end(run)
        if end is complete:
            assert await run.result() == "ended"
        else:
            with pytest.raises(RunError):
                await run.result()
        await until(lambda: by_policy(engine))


async def test_a_parent_that_was_taken_over_and_ends_reaches_its_children(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(parent_of_three, id="parent")
        await until(lambda: _all_run(engine))
    async with make_engine() as engine:
        assert await _all_run(engine)
        await complete(await engine.get_run("parent", parent_of_three))
        assert await (await engine.get_run(run.id, parent_of_three)).result() == "ended"
        await until(lambda: by_policy(engine))


async def _all_run(engine: Engine) -> bool:
    return await statuses(engine) == [RunStatus.RUNNING] * 3


async def test_a_parked_parent_keeps_its_children_until_it_is_terminated(make_engine: MakeEngine) -> None:
    changed = False

    @workflow(name="changing_parent")
    async def changing(ctx: Context) -> None:
        ctx.start_child(waiting_for_decision, id="to cancel")
        ctx.start_child(waiting_for_decision, id="to terminate", policy=ParentClosePolicy.TERMINATE)
        if changed:
            await double(1)
        ctx.start_child(waiting_for_decision, id="to live", policy=ParentClosePolicy.ABANDON)
        await ctx.wait_for(how_to_end)

    async with make_engine() as engine:
        await engine.start(changing, id="parent")
        await until(lambda: _all_run(engine))
    changed = True
    async with make_engine() as engine:
        run = await engine.get_run("parent", changing)
        await run.signal(how_to_end, "return")
        with pytest.raises(NonDeterminismError):
            await run.result()
        assert await _all_run(engine)
        await run.terminate("cannot be mended")
        await until(lambda: by_policy(engine))


# --- what a continuing run hands over --------------------------------------------------------------------------------


add = Update("add", int, int)
go = Signal("go", None)


@activity
async def never() -> None:
    await asyncio.Event().wait()


@workflow(execution_timeout=timedelta(days=1))
async def handing_over(ctx: Context, generation: int) -> list[object]:
    held = asyncio.Event()

    async def hold(number: int) -> int:
        await held.wait()
        return number

    if generation == 1:
        ctx.on_update(add, hold)
        ctx.set("kept", str(ctx.info.deadline))
        ctx.set_labels(colour="blue")
        ctx.set_priority(Priority.HIGH)
        ctx.start_child(waiting_for_decision, id="child")
        pending = [asyncio.ensure_future(never()), asyncio.ensure_future(ctx.sleep(100_000))]
        await ctx.wait_for(go)
        assert len(pending) == 2
        ctx.continue_as_new(2)
    outcome = ""
    try:
        await ctx.inherited_child(waiting_for_decision, "child").result()
    except ChildRunError as error:
        outcome = str(error.outcome)
    return [
        ctx.get("kept", str) == str(ctx.info.deadline),
        outcome,
        await ctx.wait_for(go),
        ctx.info.attempt,
        ctx.info.tenant,
    ]


async def test_a_continuing_run_hands_over_what_the_page_says(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(handing_over, 1, id="roller", tenant="t", request_id="r-1")
        accepted = asyncio.ensure_future(run.update(add, 5))
        await until(lambda: _has(run, "update_accepted"))
        await run.signal(go)
        await run.signal(go)
        with pytest.raises(UpdateError, match="the run has ended before the update's handler did"):
            await accepted
        await until(lambda: _is_generation(run, 2))
        described = await run.describe()
        assert (described.priority, described.labels, described.tenant) == (Priority.HIGH, {"colour": "blue"}, "t")
        assert (await engine.start(handing_over, 1, request_id="r-1", tenant="t")).id == "roller"
        child = await engine.get_run("child")
        assert (await child.describe()).status is RunStatus.RUNNING
        await child.terminate("enough")
        assert await run.result() == [True, "terminated", None, 1, "t"]


async def _has(run: Run[list[object]], kind: str) -> bool:
    return kind in [recorded.type async for recorded in run.history()]


async def _is_generation(run: Run[list[object]], generation: int) -> bool:
    return (await run.describe()).ref.generation == generation


@workflow
async def late_handler(ctx: Context, generation: int) -> list[int]:
    seen: list[int] = []

    async def note(number: int) -> int:
        seen.append(number)
        return number

    if generation == 1:
        await ctx.wait_for(go)
        ctx.continue_as_new(2)
    ctx.on_update(add, note)
    await ctx.wait_for(go)
    return seen


async def test_an_update_that_waits_for_its_handler_waits_in_the_next_generation(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(idle_seconds=0.01)) as engine:
        run = await engine.start(late_handler, 1)
        waiting = asyncio.ensure_future(run.update(add, 5))
        await asyncio.sleep(0)
        await run.signal(go)
        assert await waiting == 5
        await run.signal(go)
        assert await run.result() == [5]
