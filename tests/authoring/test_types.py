"""What type checkers see: mypy checks this module with every other, and each call here is really made."""

import asyncio
from typing import assert_type

import pytest

from perdure import Activity, Context, Engine, Run, Signal, SyncEngine, SyncRun, Workflow, activity, workflow

ready = Signal("ready", int)


@activity
async def measure(text: str, *, factor: int = 1) -> int:
    return len(text) * factor


@activity
def upper(text: str) -> str:
    return text.upper()


@workflow
async def part(ctx: Context, text: str) -> int:
    return await measure(text)


@workflow
async def countdown(ctx: Context, left: int) -> int:
    if left == 1:
        countdown.continue_as_new("none")  # type: ignore[arg-type]
    if left > 0:
        countdown.continue_as_new(left - 1)
    return left


@workflow
async def whole(ctx: Context, text: str) -> tuple[int, str]:
    assert_type(await measure(text, factor=2), int)
    assert_type(await measure.options(priority=None)(text), int)
    assert_type(await upper(text), str)
    assert_type(await asyncio.gather(measure(text), measure(text)), tuple[int, int])
    assert_type(await ctx.map(measure, [text]), list[int])
    assert_type(await ctx.run_child(part, text), int)
    assert_type(await ctx.start_child(part, text).result(), int)
    assert_type(ctx.get("seen", int), int | None)
    assert_type(ctx.get("seen", int, 0), int)
    assert_type(await ctx.side_effect(lambda: 3), int)
    # Where any object will do, a result of a known type does.
    ctx.logger.info("%s %s", await measure(text), await ctx.run_child(part, text))
    return assert_type(await ctx.wait_for(ready), int), await upper(text)


PARTS: dict[str, Workflow[str, object]] = {"part": part}
TOOLS: dict[str, Activity[..., object]] = {"measure": measure, "upper": upper}


async def test_results_have_the_types_that_the_functions_declare() -> None:
    async with Engine("memory:") as engine:
        run = await engine.start(whole, "lamp")
        assert_type(run, Run[tuple[int, str]])
        assert_type(await engine.get_run(run.id, whole), Run[tuple[int, str]])
        await run.signal(ready, 7)
        assert await run.result() == (7, "LAMP")
        assert await (await engine.start(PARTS["part"], "lamp")).result() == 4


async def test_what_the_types_refuse_is_refused_when_it_runs() -> None:
    async with Engine("memory:") as engine:
        with pytest.raises(Exception, match="expected str, got int"):
            await engine.start(part, 5)  # type: ignore[misc]
        with pytest.raises(Exception, match="missing a required argument"):
            await engine.start(part)  # type: ignore[misc]
        run = await engine.start(whole, "lamp")
        with pytest.raises(Exception, match="expected int, got str"):
            await run.signal(ready, "one")  # type: ignore[misc]


def test_the_synchronous_engine_has_the_same_types() -> None:
    with SyncEngine("memory:") as engine:
        run = engine.start(part, "lamp")
        assert_type(run, SyncRun[int])
        assert run.result() == 4
