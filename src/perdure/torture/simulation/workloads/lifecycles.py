"""Workloads of lifecycles: deadlines that reach what is within them, children that follow a run as it continues, and
clean-up that a cancellation does not cut off."""

import asyncio
import random
from datetime import timedelta
from typing import Any, Final

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.errors import ActivityFailedError, ChildRunError, StageTimeoutError
from perdure.kernel import events as e
from perdure.kernel.backoff import fixed
from perdure.kernel.events import ParentClosePolicy
from perdure.kernel.retry import Retry
from perdure.torture.simulation.effects import perform
from perdure.torture.simulation.program import Call, cancel, start
from perdure.torture.simulation.workloads.activities import slow, step
from perdure.torture.simulation.workloads.control import go, pause
from perdure.torture.simulation.workloads.steps import sequential
from perdure.torture.simulation.workloads.workload import Workload, runs

__all__ = ["WORKLOADS"]


@activity(name="sim_patient", retry=Retry(attempts=9, backoff=fixed(timedelta(seconds=200))))
async def patient(label: str) -> None:
    """Fail, and wait long before the next attempt."""
    await perform()
    raise OSError(label)


@workflow(name="sim_lasting")
async def lasting(ctx: Context) -> None:
    """Wait for what never comes."""
    await ctx.wait_for(go)


@workflow(name="sim_deadlines", execution_timeout=timedelta(hours=2))
async def deadlines(ctx: Context) -> list[object]:
    """Run out of time in a stage that cleans up, in the pauses of a retry, and in a child; leave another alone."""
    found: list[Any] = []
    try:
        async with ctx.stage("long", timeout=timedelta(seconds=100)):
            try:
                await slow("too slow", 100_000)
            finally:
                await step("clean-up")
    except StageTimeoutError as error:
        found.append(error.stage)
    async with ctx.stage("retried", timeout=timedelta(seconds=350)):
        try:
            await patient("never")
        except ActivityFailedError as error:
            found.append(error.attempts)
    async with ctx.stage("with child", timeout=timedelta(seconds=100)):
        child = ctx.start_child(lasting, id="in time")
        ctx.start_child(pause, 200, id="detached", policy=ParentClosePolicy.ABANDON)
        await step("child")
    try:
        await child.result()
    except ChildRunError as error:
        found += [error.outcome, error.failure_type]
    return found


@workflow(name="sim_answering")
async def answering(ctx: Context) -> str:
    """Return what a signal says."""
    return await ctx.wait_for(go)


@workflow(name="sim_handing_over")
async def handing_over(ctx: Context, left: int) -> list[object]:
    """Continue while children are open, one of which ends at any time; hear of them, and end, as their parent."""
    if ctx.info.generation == 1:
        ctx.start_child(answering, id="answering")
        ctx.start_child(lasting, id="to cancel", policy=ParentClosePolicy.CANCEL)
        ctx.start_child(lasting, id="to terminate", policy=ParentClosePolicy.TERMINATE)
        ctx.start_child(pause, 200, id="to live", policy=ParentClosePolicy.ABANDON)
        ctx.start_child(sequential, 2, id="racing")
    await step(f"generation {ctx.info.generation}")
    if left:
        ctx.continue_as_new(left - 1)
    if "racing" in ctx.info.inherited_children:
        await ctx.inherited_child(sequential, "racing").result()
    await ctx.signal("answering", go, "heard")
    return [await ctx.inherited_child(answering, "answering").result(), ctx.info.generation]


@workflow(name="sim_shielding")
async def shielding(ctx: Context) -> list[str]:
    """Be cancelled in the middle of clean-up, which goes on to its end."""
    done: list[str] = []

    async def clean_up() -> None:
        await slow("clean-up", 100)
        await step("last")
        done.append("clean")

    try:
        await ctx.shielded(clean_up())
    except asyncio.CancelledError:
        done.append("cancelled")
    return done


def _shielding_program(_chance: random.Random) -> list[Call]:
    return [
        start(shielding, id="one"),
        cancel("one", when=lambda tables: tables.count("one", e.ActivityScheduled) > 0),
    ]


WORKLOADS: Final = (
    Workload(name="shielding", program=_shielding_program, results={"one": '["clean","cancelled"]'}),
    Workload(
        name="handing_over",
        program=runs(handing_over, 2),
        is_compared=False,
        results={
            "one": '["heard",3]',
            "answering": '"heard"',
            "to cancel": "RunCancelled",
            "to terminate": "RunTerminated",
            "to live": "null",
            "racing": '["s0","s1"]',
        },
    ),
    Workload(
        name="deadlines",
        program=runs(deadlines),
        is_dated=True,
        in_order=False,
        results={"one": '["long",2,"failed","RunTimeoutError"]', "in time": "RunFailed", "detached": "null"},
    ),
)
