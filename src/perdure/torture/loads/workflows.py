"""The workflows whose runs fill the file: some wait for a timer, some for a signal, some have ended."""

from datetime import timedelta
from typing import Final

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import workflow

__all__ = ["answer", "approval", "failing", "quick", "reminder", "step"]

answer: Final = Signal("load_answer", int)


@activity(name="load_step")
async def step(number: int) -> dict[str, int]:
    """Do nothing."""
    return {"number": number}


@workflow(name="load_reminder")
async def reminder(ctx: Context, number: int) -> int:
    """Sleep for a long time."""
    await ctx.sleep(timedelta(days=1))
    return number


@workflow(name="load_approval")
async def approval(ctx: Context, number: int) -> int:
    """Do a step, then wait for an answer."""
    await step(number)
    return await ctx.wait_for(answer)


@workflow(name="load_quick")
async def quick(_ctx: Context, number: int) -> dict[str, int]:
    """Do a step."""
    return await step(number)


@workflow(name="load_failing")
async def failing(_ctx: Context, number: int) -> None:
    """Do a step, and fail."""
    await step(number)
    raise ValueError(f"number {number} is not liked")
