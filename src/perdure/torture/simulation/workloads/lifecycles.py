"""Workloads of lifecycles: deadlines that reach what is within them."""

from datetime import timedelta
from typing import Any, Final

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.errors import ActivityFailedError, ChildRunError, StageTimeoutError
from perdure.kernel.events import ParentClosePolicy
from perdure.kernel.retry import Retry, fixed
from perdure.torture.simulation.effects import perform
from perdure.torture.simulation.workloads.activities import slow, step
from perdure.torture.simulation.workloads.control import go, pause
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


WORKLOADS: Final = (
    Workload(
        name="deadlines",
        program=runs(deadlines),
        in_order=False,
        results={"one": '["long",2,"failed","RunTimeoutError"]', "in time": "RunFailed", "detached": "null"},
    ),
)
