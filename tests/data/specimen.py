"""Runs that an upgrade must read: one closed, one that waits with its child, one with a message in its inbox.

Made by the code of each schema, so it uses nothing that is newer than the first: no schedule, no request id, no parked
run is among them.

As a program (``python -m tests.data.specimen FILE``) it fills a new database, whatever Perdure it is run with.
"""

import asyncio
import sys

from perdure import Context, Engine, Signal, activity, workflow

go = Signal("go", int)


@activity(name="specimen.double")
async def double(number: int) -> int:
    return 2 * number


@workflow(name="specimen.part")
async def part(ctx: Context) -> int:
    return await ctx.wait_for(go)


@workflow(name="specimen.order", stages=("count", "wait"))
async def order(ctx: Context, number: int) -> int:
    async with ctx.stage("count"):
        ctx.set("doubled", await double(number))
        await ctx.sleep(0)
    async with ctx.stage("wait"):
        child = ctx.start_child(part, id=f"part of {number}")
        return await ctx.wait_for(go) + await child.result() + await double(number)


async def fill(path: str) -> None:
    """Make a closed run, one that waits with its child, and one with a message in its inbox."""
    async with Engine(f"sqlite:///{path}") as engine:
        closed = await engine.start(order, 1, id="closed", labels={"made": "then"})
        for name in ("part of 1", "closed"):
            await (await _when_there(engine, name)).signal(go, 10)  # type: ignore[attr-defined]
        await closed.result()
        await engine.start(order, 2, id="waiting", labels={"made": "then"})
        await engine.start(order, 3, id="told", tenant="ada")
        for name in ("part of 2", "part of 3"):
            await _when_there(engine, name)
    async with Engine(f"sqlite:///{path}", works=False) as client:
        await (await client.get_run("told")).signal(go, 30)


async def _when_there(engine: Engine, run_id: str) -> object:
    while True:
        try:
            return await engine.get_run(run_id)
        except Exception:  # noqa: BLE001 - whatever this Perdure raises for a run that does not exist yet
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(fill(sys.argv[1]))
