"""Signals are taken in the order in which they were answered, whichever processes sent them."""

import asyncio

from perdure import Context, Run, Signal, workflow
from tests.journeys.conftest import MakeEngine

number = Signal("number", int)


@workflow
async def counting_signals(ctx: Context, count: int) -> list[int]:
    return [await ctx.wait_for(number) for _ in range(count)]


async def test_the_owner_s_own_clients_do_not_overtake_those_of_other_processes(make_engine: MakeEngine) -> None:
    async with make_engine() as owner, make_engine(works=False, name="client") as client:
        run = await owner.start(counting_signals, 40, id="one")
        elsewhere = await client.get_run("one")
        for first in range(0, 40, 2):
            await elsewhere.signal(number, first)
            await run.signal(number, first + 1)
        assert await run.result() == list(range(40))


@workflow
async def renewing_once(ctx: Context, seen: list[int]) -> list[int]:
    seen.append(await ctx.wait_for(number))
    if len(seen) == 1:
        ctx.continue_as_new(seen)
    return seen


async def test_a_signal_that_meets_the_end_of_a_generation_goes_to_the_next_one(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        for turns in range(0, 300, 10):
            run = await engine.start(renewing_once, [])
            await asyncio.gather(run.signal(number, 1), _later(turns, run))
            assert await run.result() == [1, 2]


async def _later(turns: int, run: Run[list[int]]) -> None:
    """Send a signal after so many turns of the event loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
    await run.signal(number, 2)
