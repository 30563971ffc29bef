"""A workload of long and short timers: while one run sleeps for long others go on, and pass points."""

import asyncio
import random
from typing import Final

from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.torture.simulation.program import Call, start
from perdure.torture.simulation.workloads.activities import step
from perdure.torture.simulation.workloads.workload import Workload

__all__ = ["WORKLOADS"]


@workflow(name="sim_long_sleep")
async def long_sleep(_ctx: Context) -> str:
    """Sleep for long."""
    await asyncio.sleep(100)
    return await step("awake")


@workflow(name="sim_naps")
async def naps(_ctx: Context) -> int:
    """Sleep often."""
    for number in range(_NAPS):
        await asyncio.sleep(2)
        await step(f"nap {number}")
    return _NAPS


def _program(_chance: random.Random) -> list[Call]:
    return [start(long_sleep, id="long"), start(naps, id="short")]


_NAPS: Final = 6

WORKLOADS: Final = (
    Workload(name="sleeping", program=_program, is_dated=True, results={"long": '"awake"', "short": str(_NAPS)}),
)
