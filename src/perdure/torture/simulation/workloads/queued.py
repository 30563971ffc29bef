"""Workloads of task queues: activities that another process makes, which serves their queue and runs nothing else."""

import asyncio
import random
from typing import Final

from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.errors import ActivityFailedError
from perdure.torture.simulation.program import Call, start, terminate
from perdure.torture.simulation.workloads.activities import (
    beating,
    book,
    deferring,
    flaky,
    hanging,
    lasting,
    once,
    speaking,
    step,
)
from perdure.torture.simulation.workloads.outside import tell
from perdure.torture.simulation.workloads.workload import QUEUE, Workload, runs

__all__ = ["WORKLOADS"]


@workflow(name="sim_queued")
async def queued(_ctx: Context, label: str) -> list[object]:
    """Have things done elsewhere, at the first attempt or a later one, beside others that are done here."""
    return list(
        await asyncio.gather(
            step.options(queue=QUEUE)(f"{label} there"),
            step(f"{label} here"),
            flaky.options(queue=QUEUE)(label, 2),
        )
    )


@workflow(name="sim_queued_chain")
async def queued_chain(ctx: Context, label: str) -> str:
    """Have one thing done elsewhere after the other, where the first was done, and undo what was booked there if that
    is asked for."""
    await book.options(queue=QUEUE, sticky=True)(f"{label} a")
    await ctx.sleep(0.3)
    return await step.options(queue=QUEUE, sticky=True)(f"{label} b")


@workflow(name="sim_queued_once")
async def queued_once(_ctx: Context, label: str) -> str:
    """Have something done elsewhere that must not be repeated."""
    try:
        return await once.options(queue=QUEUE)(label)
    except ActivityFailedError:
        return "nobody knows"


@workflow(name="sim_queued_long")
async def queued_long(_ctx: Context, label: str) -> list[object]:
    """Have things done elsewhere that hang, and that give signs of life."""
    return list(
        await asyncio.gather(hanging.options(queue=QUEUE)(label, 1), beating.options(queue=QUEUE)(f"{label} beats"))
    )


@workflow(name="sim_queued_speaking")
async def queued_speaking(_ctx: Context) -> str:
    """Have something done elsewhere that publishes."""
    return await speaking.options(queue=QUEUE)("labels")


@workflow(name="sim_queued_deferred")
async def queued_deferred(_ctx: Context, label: str) -> str:
    """Have something begun elsewhere whose outcome somebody outside tells."""
    return await deferring.options(queue=QUEUE)(label)


@workflow(name="sim_queued_race")
async def queued_race(ctx: Context, label: str) -> str:
    """Have things done elsewhere, and give them up soon: they are in their queue by then, or about to be put there."""
    for number, seconds in enumerate((0.0, 0.001, 0.002, 0.005, 0.05)):
        asked = asyncio.create_task(step.options(queue=QUEUE)(f"{label}{number}"))
        await ctx.sleep(seconds)
        asked.cancel()
        await asyncio.wait({asked})
    return label


@workflow(name="sim_queued_patient")
async def queued_patient(_ctx: Context, label: str) -> str:
    """Have something done elsewhere that takes longer than a lease."""
    return await lasting.options(queue=QUEUE)(label)


def _ended_program(_chance: random.Random) -> list[Call]:
    """Terminate runs that are about to have something done elsewhere."""
    return [call for number in range(8) for call in (start(queued_race, "a", id=f"{number}"), terminate(f"{number}"))]


def _deferred_program(_chance: random.Random) -> list[Call]:
    return [
        start(queued_deferred, "first", id="one"),
        start(queued_deferred, "second", id="two"),
        tell("one", "done", deferrals=2),  # of which the first only said that it waits in its queue
        tell("two", "done before it was begun"),
    ]


WORKLOADS: Final = (
    Workload(
        name="queued",
        program=runs(queued, "a"),
        is_served=True,
        in_order=False,
        results={"one": '["a there","a here",3]'},
    ),
    Workload(name="queued_chain", program=runs(queued_chain, "a"), is_served=True, results={"one": '"a b"'}),
    Workload(name="queued_once", program=runs(queued_once, "a"), is_served=True, is_compared=False),
    Workload(
        name="queued_shared",
        program=runs(queued_once, "a"),
        is_served=True,
        is_shared=True,
        is_compared=False,
    ),
    Workload(
        name="queued_long",
        program=runs(queued_long, "a"),
        is_served=True,
        in_order=False,
        is_timed=True,
        results={"one": '[2,"something"]'},
    ),
    Workload(
        name="queued_speaking",
        program=runs(queued_speaking),
        is_served=True,
        is_compared=False,
        results={"one": '"spoken"'},
    ),
    Workload(name="queued_race", program=runs(queued_race, "a"), is_served=True, is_compared=False),
    Workload(name="queued_ended", program=_ended_program, is_served=True, is_compared=False),
    Workload(name="queued_patient", program=runs(queued_patient, "a"), is_served=True, results={"one": '"a"'}),
    Workload(name="queued_deferred", program=_deferred_program, is_served=True, is_compared=False),
)
