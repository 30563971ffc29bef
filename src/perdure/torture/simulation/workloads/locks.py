"""Workloads of locks that runs share: turns that end well, and holders and waiters that end in every other way."""

import asyncio
import random
from datetime import timedelta
from typing import Final

from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.errors import DeadlockError
from perdure.kernel import events as e
from perdure.kernel.backoff import fixed
from perdure.kernel.retry import Retry
from perdure.torture.simulation.program import Call, Question, cancel, resume, start, suspend, terminate
from perdure.torture.simulation.tables import Tables
from perdure.torture.simulation.workloads.activities import step
from perdure.torture.simulation.workloads.workload import Workload

__all__ = ["WORKLOADS"]


@workflow(name="sim_taking_turns")
async def taking_turns(ctx: Context, label: str, kind: str) -> str:
    """Hold a key, alone or together with others, and then a place of a semaphore."""
    async with ctx.lock("k", shared=kind == "shared"):
        await step(f"{label} in")
        await asyncio.sleep(0.5)
        await step(f"{label} out")
    async with ctx.semaphore("s", limit=2):
        await asyncio.sleep(0.5)
    return label


@workflow(name="sim_turning_over")
async def turning_over(ctx: Context) -> int:
    """Continue as new from within a lock, and take it again."""
    async with ctx.lock("k"):
        await step(f"generation {ctx.info.generation}")
        if ctx.info.generation == 1:
            ctx.continue_as_new()
    return ctx.info.generation


def _turns_program(_chance: random.Random) -> list[Call]:
    return [
        start(taking_turns, "first", "alone", id="one"),
        start(taking_turns, "second", "shared", id="two"),
        start(taking_turns, "third", "shared", id="three"),
        start(turning_over, id="four"),
        start(taking_turns, "fifth", "alone", id="five"),
    ]


@workflow(name="sim_crossing")
async def crossing(ctx: Context, first: str, second: str) -> str:
    """Take two locks, one within the other, in an order that others do not keep."""
    try:
        async with ctx.lock(first):
            await step("one held")
            async with ctx.lock(second):
                await step("both held")
    except DeadlockError as error:
        return f"deadlock over {error.key}"
    return "crossed"


@workflow(name="sim_holding_long")
async def holding_long(ctx: Context, key: str) -> str:
    """Hold a lock for a while."""
    async with ctx.lock(key):
        await step("held")
        await asyncio.sleep(2)
    return "held"


@workflow(name="sim_outstaying")
async def outstaying(ctx: Context, key: str) -> None:
    """Hold a lock beyond the run's time. No activity: one that has just begun as its process stands still is late."""
    async with ctx.lock(key):
        await asyncio.sleep(2)


@workflow(name="sim_waiting_briefly")
async def waiting_briefly(ctx: Context, key: str, seconds: float) -> str:
    """Give up a wait that takes too long."""
    try:
        async with ctx.lock(key, timeout=timedelta(seconds=seconds)):
            await step("held")
    except TimeoutError:
        return "too late"
    return "in time"


@workflow(name="sim_failing_inside", retry=Retry(attempts=2, backoff=fixed(timedelta(seconds=0.5))))
async def failing_inside(ctx: Context, key: str) -> int:
    """Fail within a lock, and be tried again."""
    async with ctx.lock(key):
        await step("held")
        if ctx.info.attempt == 1:
            raise ValueError(key)
    return ctx.info.attempt


def _locks_program(chance: random.Random) -> list[Call]:
    """Let every way to end meet the holders and waiters of two keys, at moments that chance chooses."""
    return [
        start(crossing, "x", "y", id="one"),
        start(crossing, "y", "x", id="two"),
        start(holding_long, "x", id="cancelled"),
        start(holding_long, "y", id="terminated"),
        start(holding_long, "x", id="suspended"),
        start(outstaying, "y", id="timed out", execution_timeout=timedelta(seconds=chance.choice((1, 3)))),
        start(waiting_briefly, "x", chance.choice((0.0, 0.7)), id="brief"),
        start(failing_inside, "y", id="failing"),
        suspend("suspended", when=_chosen(chance, "suspended")),
        resume("suspended", when=_is_suspended),
        cancel("cancelled", when=_chosen(chance, "cancelled")),
        terminate("terminated", when=_chosen(chance, "terminated")),
    ]


def _chosen(chance: random.Random, run_id: str) -> Question:
    """Return the question whether a run has asked for its lock, or has it."""
    kind = chance.choice((e.LockRequested, e.LockAcquired))
    return lambda tables: tables.count(run_id, kind) > 0 or tables.is_closed(run_id)


def _is_suspended(tables: Tables) -> bool:
    return tables.count("suspended", e.RunSuspended) > 0 or tables.is_closed("suspended")


WORKLOADS: Final = (
    Workload(
        name="turns",
        program=_turns_program,
        results={"one": '"first"', "two": '"second"', "three": '"third"', "four": "2", "five": '"fifth"'},
    ),
    Workload(name="locks", program=_locks_program, is_compared=False),
)
