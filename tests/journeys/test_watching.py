"""Watching: every event once, in order, whoever runs the run."""

import asyncio

import pytest

from perdure import Context, NonDeterminismError, Signal, workflow
from perdure.errors import EngineClosedError
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine

go = Signal("go", int)


@workflow
async def hopping(ctx: Context, hops: int) -> int:
    if hops == 3:
        await ctx.wait_for(go)
    if hops:
        ctx.continue_as_new(hops - 1)
    return 7


@workflow
async def counting(ctx: Context, until: int) -> int:
    total = 0
    for _ in range(until):
        total += await ctx.wait_for(go)
    return total


async def test_no_generation_is_missed_however_fast_they_follow(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(hopping, 3)
        generations = []
        async for recorded in run.watch():
            if isinstance(recorded.event, e.RunCreated):
                generations.append(recorded.event.ref.generation)
            if isinstance(recorded.event, e.RunStarted) and generations == [1]:
                await run.signal(go, 1)
                assert await run.result() == 7
        assert generations == [1, 2, 3, 4]


async def test_an_engine_that_only_looks_misses_and_repeats_nothing(make_engine: MakeEngine) -> None:
    count = 200
    async with make_engine(name="runs") as runner, make_engine(works=False, name="looks") as looker:
        run = await runner.start(counting, count, id="watched")
        seen: list[int] = []

        async def watch() -> None:
            seen.extend([recorded.sequence async for recorded in (await looker.get_run("watched")).watch()])

        watching = asyncio.ensure_future(watch())
        for number in range(count):
            await run.signal(go, number)
        await watching
        assert seen == list(range(1, (await run.describe()).sequence + 1))


async def test_watching_a_run_that_this_process_cannot_run_raises_the_reason(make_engine: MakeEngine) -> None:
    @workflow(name="watched_and_changed")
    async def before(ctx: Context) -> int:
        return await ctx.wait_for(go)

    async with make_engine() as engine:
        await engine.start(before, id="changed")

    @workflow(name="watched_and_changed")
    async def after(ctx: Context) -> int:
        await ctx.sleep(1)
        return 0

    async with make_engine() as engine:
        run = await engine.get_run("changed", after)
        await run.signal(go, 1)
        with pytest.raises(NonDeterminismError):
            _ = [recorded async for recorded in run.watch()]


async def test_watching_ends_with_the_engine(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(counting, 1)
        events = run.watch()
        assert [(await anext(events)).sequence for _ in range(2)] == [1, 2]
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
    with pytest.raises(EngineClosedError):
        await waiting
