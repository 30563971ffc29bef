"""Runs that are started for later: one row until then, whatever happens to their engine."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from perdure import Context, Engine, RunCancelledError, RunStatus, Signal, workflow
from perdure.kernel.events import RunStarted
from tests.timekeeping.virtual import Stage, at

DELAY = timedelta(minutes=50)
ready = Signal("ready", str)


@workflow
async def delayed(ctx: Context) -> str:
    """Say what came before it began."""
    return await ctx.wait_for(ready)


def play(*parts: Callable[[Engine], Awaitable[None]], works: bool = True) -> Stage:
    """Play the parts one after the other, each with an engine of its own."""
    stage = Stage()

    async def in_turn(stage: Stage) -> None:
        for part in parts:
            async with stage.engine(works=works) as engine:
                await part(engine)

    stage.play(in_turn)
    return stage


def test_a_run_begins_after_its_delay_also_when_its_engine_was_closed_meanwhile() -> None:
    async def ask(engine: Engine) -> None:
        run = await engine.start(delayed, id="one", start_after=DELAY)
        (waiting,) = (await engine.list_runs(status="created")).runs
        assert (waiting.id, waiting.wake_at) == (run.id, 1_000_000 * int(at(3_000).timestamp()))
        await run.signal(ready, "early")
        await asyncio.sleep(600)
        row = await run.describe()
        assert (row.status, row.owner) == (RunStatus.CREATED, None)

    async def look(engine: Engine) -> None:
        run = await engine.get_run("one", delayed)
        assert await run.result() == "early"
        begun = [recorded.at async for recorded in run.history() if isinstance(recorded.event, RunStarted)]
        assert begun == [1_000_000 * int(at(3_000).timestamp())]

    play(ask, look)


@pytest.mark.parametrize("works", [True, False])
def test_a_run_that_waits_for_its_time_can_be_cancelled_and_never_begins(*, works: bool) -> None:
    async def part(engine: Engine) -> None:
        run = await engine.start(delayed, id="one", start_after=DELAY)
        await run.cancel("not needed any more")

    async def look(engine: Engine) -> None:
        run = await engine.get_run("one", delayed)
        with pytest.raises(RunCancelledError, match="not needed any more"):
            await run.result()
        assert (await run.describe()).closed_at == 1_000_000 * int(at(0).timestamp())
        assert not [recorded async for recorded in run.history() if isinstance(recorded.event, RunStarted)]

    stage = Stage()

    async def in_turn(stage: Stage) -> None:
        async with stage.engine(works=works) as engine:
            await part(engine)
        async with stage.engine() as engine:
            await look(engine)

    stage.play(in_turn)


def test_a_run_that_waits_for_its_time_costs_one_row_and_no_place_in_memory() -> None:
    async def part(engine: Engine) -> None:
        for number in range(50):
            await engine.start(delayed, id=f"run {number}", start_after=DELAY)
        assert len(engine.worker.active) == 0
        await asyncio.sleep(3_001)
        assert len((await engine.list_runs(status="running")).runs) == 50

    play(part)


def test_a_time_that_has_passed_means_now() -> None:
    async def part(engine: Engine) -> None:
        run = await engine.start(delayed, start_at=at(-1000))
        await run.signal(ready, "at once")
        assert await run.result() == "at once"

    play(part)


def test_a_run_that_is_held_before_its_time_begins_when_it_is_resumed_by_another_engine() -> None:
    async def hold(engine: Engine) -> None:
        run = await engine.start(delayed, id="one", start_after=DELAY)
        await run.suspend("not before the audit")
        await stage_of_life(engine, RunStatus.SUSPENDED)
        await asyncio.sleep(2 * DELAY.total_seconds())
        summary = await run.describe()
        assert (summary.status, summary.started_at, summary.wake_at) == (RunStatus.SUSPENDED, None, None)

    async def let_go(engine: Engine) -> None:
        run = await engine.get_run("one", delayed)
        await run.resume()
        await run.signal(ready, "go")
        assert await run.result() == "go"

    play(hold, let_go)


async def stage_of_life(engine: Engine, status: RunStatus) -> None:
    run = await engine.get_run("one")
    while (await run.describe()).status is not status:  # noqa: ASYNC110 - a row tells nobody
        await asyncio.sleep(0.1)
