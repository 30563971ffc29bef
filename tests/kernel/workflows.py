"""Workflows as users write them: what replay is tried on. Each does something else with time, chance and company."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import Workflow, workflow
from perdure.errors import ActivityError, ChildRunError
from perdure.kernel.backoff import fixed
from perdure.kernel.events import ParentClosePolicy
from perdure.kernel.priority import Priority
from perdure.kernel.retry import Retry

approval = Signal("approval", int)
extra = Signal("extra", str)


@activity(name="replay.undo")
async def undo(amount: int) -> None: ...


@activity(name="replay.charge", compensate=undo, retry=Retry(attempts=3, backoff=fixed(timedelta(seconds=2))))
async def charge(amount: int) -> int:
    return amount


@activity(name="replay.ship", schedule_to_close=timedelta(hours=1))
async def ship(item: str) -> int:
    return len(item)


@workflow(name="replay.child")
async def child(ctx: Context, amount: int) -> int:
    return await charge(amount)


@workflow(name="replay.straight", stages=("pay", "send"))
async def straight(ctx: Context, items: int) -> int:
    total = 0
    async with ctx.stage("pay"):
        for number in range(items):
            total += await charge(number)
    async with ctx.stage("send"):
        total += await ship.options(queue="slow")("parcel")
    return total


@workflow(name="replay.fan_out")
async def fan_out(ctx: Context, items: int) -> list[int]:
    try:
        return await ctx.map(charge, range(items), limit=4)
    except ActivityError:
        ctx.set("failed", value=True)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ship(f"apology {number}")) for number in range(3)]
        return [task.result() for task in tasks]


@workflow(name="replay.racing")
async def racing(ctx: Context, items: int) -> list[str]:
    tasks = [asyncio.create_task(charge(number), name=f"charge {number}") for number in range(items)]
    winners: list[str] = []
    while tasks:
        done, pending = await asyncio.wait(tasks, timeout=7, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            winners.append(task.get_name() if task.exception() is None else "failed")
            await ctx.sleep(0.5)
        if not done:
            for task in pending:
                task.cancel()
            break
        tasks = [task for task in tasks if task in pending]
    return winners


SIDE_EFFECTS: list[int] = []
"""One entry for each side effect that was really called."""


def note_side_effect() -> int:
    SIDE_EFFECTS.append(1)
    return 7


@workflow(name="replay.chance")
async def chance(ctx: Context, rounds: int) -> list[Any]:
    noted: list[Any] = []
    for _ in range(rounds):
        noted.append([str(ctx.uuid4()), ctx.random.random(), ctx.now().isoformat()])
        noted.append(await ctx.side_effect(note_side_effect, int))
        await ctx.sleep(timedelta(seconds=ctx.random.randint(1, 9)))
        if ctx.random.random() < 0.5:
            await charge(ctx.random.randint(1, 100))
    return noted


@workflow(name="replay.company")
async def company(ctx: Context, waits: int) -> list[Any]:
    got: list[Any] = []
    for number in range(waits):
        try:
            got.append(await ctx.wait_for(approval, timeout=timedelta(seconds=5)))
        except TimeoutError:
            got.append(None)
            ctx.signal("other-run", extra, f"still waiting {number}")
        ctx.set_labels(round=str(number), previous=None)
        ctx.trace_event("waited", round=str(number))
    ctx.set_priority(Priority.LOW, reason="old")
    first = ctx.start_child(child, 5, policy=ParentClosePolicy.TERMINATE)
    try:
        async with asyncio.timeout(20):
            got.append(await asyncio.gather(first.result(), ctx.run_child(child, 6, id="named")))
    except (TimeoutError, ChildRunError) as error:
        got.append(type(error).__name__)
    ctx.delete("missing")
    return got


@workflow(name="replay.patient")
async def patient(ctx: Context, rounds: int) -> list[str]:
    log: list[str] = []
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)

    async def produce() -> None:
        for number in range(rounds):
            await queue.put(await charge(number))
        await queue.put(-1)

    async def consume() -> None:
        while (number := await queue.get()) >= 0:
            log.append(f"{number} at {ctx.now().second}")
            async with asyncio.timeout(None):
                await ctx.sleep(1)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(consume())
        await ctx.suspend("look at it")
    except* ActivityError:
        log.append("failed")
    return log


@workflow(name="replay.undoing")
async def undoing(ctx: Context, steps: int) -> None:
    for number in range(steps):
        await charge(number)
    ctx.add_compensation(ship, "return")
    await ctx.sleep(3)
    raise ValueError("undo all")


@workflow(name="replay.limited")
async def limited(ctx: Context, steps: int) -> list[str]:
    log: list[str] = []
    for number in range(steps):
        try:
            async with ctx.stage("outer", timeout=timedelta(seconds=9)):
                async with ctx.stage("inner", timeout=timedelta(seconds=2 + number)):
                    await asyncio.gather(charge(number), ctx.run_child(child, number), ctx.sleep(number))
                await ship("parcel")
        except (TimeoutError, ActivityError) as error:
            log.append(type(error).__name__)
            await undo(number)
    return log


@workflow(name="replay.rolling", retry=Retry(attempts=2, backoff=fixed(timedelta(seconds=3))))
async def rolling(ctx: Context, turn: int) -> int:
    ctx.set("turn", turn)
    if ctx.patched("new-way"):
        await charge(turn)
    await asyncio.sleep(0)
    if ctx.patched("newer-way"):
        await ctx.sleep(1)
    if turn < 2:
        ctx.continue_as_new(turn + 1)
    return turn


WORKFLOWS: list[Workflow[*tuple[Any, ...], Any]] = [
    straight,
    fan_out,
    racing,
    chance,
    company,
    patient,
    undoing,
    limited,
    rolling,
]


@dataclass(frozen=True)
class Order:
    """An input that will gain a field."""

    amount: int
