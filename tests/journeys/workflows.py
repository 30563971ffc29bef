"""What several journeys share: a few definitions, and waiting without guessing."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from perdure import (
    Context,
    Signal,
    activity,
    fixed,
    workflow,
)
from perdure.kernel import events as e

QUICK = fixed(timedelta(milliseconds=1))


@activity
async def double(number: int) -> int:
    return number * 2


async def kinds(run: Any) -> list[str]:
    return [e.EVENT_NAMES[type(recorded.event)] async for recorded in run.history()]


decide = Signal("decide", bool)


@workflow
async def waiting_for_decision(ctx: Context) -> str:
    async with ctx.stage("review"):
        try:
            approved = await ctx.wait_for(decide, timeout=timedelta(days=3))
        except TimeoutError:
            return "late"
    return "yes" if approved else "no"


async def is_out_of_memory(engine: Any, run_key: int) -> bool:
    return run_key not in engine.worker.active and (await engine.worker.store.find(run_key)).owner is None


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds, at most ten seconds."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)
