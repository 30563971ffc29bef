"""What a run leaves behind: nothing that only the garbage collector could free, whose passes cost every step."""

import asyncio
import contextlib
import gc
from collections import Counter
from datetime import timedelta

from perdure import Context, Retry, activity, current_attempt, fixed, workflow
from tests.execution.conftest import MakeEngine
from tests.execution.waiting_workflows import go


@activity(retry=Retry(attempts=2, backoff=fixed(timedelta(0))), timeout=timedelta(minutes=1))
async def step(number: int) -> int:
    if number == 1 and current_attempt().attempt == 1:
        raise ConnectionError
    return number


@activity
def threaded_step(number: int) -> int:
    return number


@workflow
async def mixed(ctx: Context, steps: int) -> int:
    for number in range(steps):
        await step(number)
    await asyncio.gather(*(step(number) for number in range(steps)))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await ctx.wait_for(go)
    return await threaded_step(steps)


async def test_runs_leave_no_cycles_to_the_garbage_collector(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await (await engine.start(mixed, 3)).result()  # whatever is made once is made now
        gc.collect()
        gc.disable()
        try:
            await asyncio.gather(*[(await engine.start(mixed, 3)).result() for _ in range(3)])
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = Counter(f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert {name: count for name, count in left.items() if name.startswith("perdure.")} == {}


async def test_what_is_under_way_is_known_to_the_collector(make_engine: MakeEngine) -> None:
    @activity
    async def waits() -> None:
        begun.set()
        await may_end.wait()

    @workflow
    async def calls(ctx: Context) -> None:
        await waits()

    begun, may_end = asyncio.Event(), asyncio.Event()
    async with make_engine() as engine:
        run = await engine.start(calls)
        await begun.wait()
        (active,) = engine.worker.active.values()
        (call,) = active.calls.values()
        # A program may drop an engine without closing it; a run and its calls refer to each other.
        assert gc.is_tracked(call)
        assert gc.is_tracked(call.running)
        del active, call
        may_end.set()
        await run.result()
