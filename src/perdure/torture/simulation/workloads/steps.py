"""Workloads of activities and timers: sequences, fan-outs, retries, time-outs, compensations."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final

from perdure.authoring.context import Context
from perdure.authoring.workflow import OnFailure, workflow
from perdure.errors import ActivityError, ActivityFailedError, ActivityTimeoutError, NonRetryableError
from perdure.kernel.backoff import fixed
from perdure.kernel.retry import Retry
from perdure.torture.simulation.workloads.activities import (
    beating,
    book,
    flaky,
    hanging,
    instead,
    once,
    slow,
    step,
    undo_badly,
)
from perdure.torture.simulation.workloads.workload import Workload, runs

__all__ = ["WORKLOADS", "branches", "second_try", "sequential"]


@workflow(name="sim_sequential")
async def sequential(_ctx: Context, count: int) -> list[str]:
    """One step after the other."""
    return [await step(f"s{number}") for number in range(count)]


@workflow(name="sim_fan_out")
async def fan_out(ctx: Context) -> list[str]:
    """Take steps at once, by gather, by task group and by a bounded map."""
    gathered = await asyncio.gather(*(step(f"g{number}") for number in range(3)))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(slow(f"t{number}", 0.01 * number)) for number in range(3)]
    mapped = await ctx.map(step, ["m0", "m1", "m2"], limit=2)
    return [*gathered, *(task.result() for task in tasks), *mapped]


@workflow(name="sim_branches")
async def branches(_ctx: Context, width: int, depth: int) -> int:
    """Sequences side by side, handing tokens to each other through asyncio's own tools."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    lock = asyncio.Lock()

    async def branch(number: int) -> None:
        for level in range(depth):
            await queue.put(await step(f"b{number}.{level}"))
            async with lock:
                await asyncio.sleep(0.05)

    await asyncio.gather(*(branch(number) for number in range(width)))
    return queue.qsize()


@workflow(name="sim_retries")
async def retries(_ctx: Context) -> list[object]:
    """Activities that succeed at the third attempt, fail for good, or are stood in for."""
    tried = await flaky("late", 2)
    try:
        await flaky("never", 9)
    except ActivityFailedError as error:
        given_up: object = [error.attempts, error.failure_type, error.failure_message]
    else:
        given_up = "nothing"
    excluded = flaky.options(retry=Retry(attempts=5, non_retryable=(ValueError,)))
    try:
        await excluded("excluded", 1)
    except ActivityFailedError as error:
        return [tried, given_up, error.attempts]
    return []


@workflow(name="sim_timeouts")
async def timeouts(_ctx: Context) -> list[object]:
    """Activities that exceed their limits, once or for good."""
    second = await hanging("once", 1)
    found: list[object] = [second]
    for label, call in (
        ("ever", hanging),
        ("all", hanging.options(schedule_to_close=timedelta(seconds=1))),
    ):
        try:
            await call(label, 9)
        except ActivityTimeoutError as error:
            found += [error.attempts, error.timeout]
    return found


@workflow(name="sim_heartbeats")
async def heartbeats(_ctx: Context) -> str:
    """Call an activity whose attempts learn from the heartbeats of those before."""
    return await beating("beat")


@workflow(name="sim_timers")
async def timers(ctx: Context) -> list[str]:
    """Sleeps one after the other and at once, a race of two, and limits that are hit or not."""
    await asyncio.sleep(3)
    await ctx.sleep_until(ctx.now() + timedelta(seconds=12))
    fast, slow_one = asyncio.create_task(asyncio.sleep(1, "fast")), asyncio.create_task(asyncio.sleep(500, "slow"))
    done, _ = await asyncio.wait({fast, slow_one}, return_when=asyncio.FIRST_COMPLETED)
    slow_one.cancel()
    found = [task.result() for task in done]
    try:
        async with asyncio.timeout(2):
            await asyncio.Event().wait()
    except TimeoutError:
        found.append("timeout")
    async with asyncio.timeout(10_000):
        found.append(await step("in time"))
    await asyncio.gather(asyncio.sleep(2), asyncio.sleep(2), asyncio.sleep(4))
    return found


@workflow(name="sim_alarms")
async def alarms(_ctx: Context) -> list[str]:
    """Timers that may all be overdue when somebody looks at them, and go off in the order of their times."""
    rung: list[str] = []

    async def alarm(label: str, seconds: int) -> None:
        await asyncio.sleep(seconds)
        rung.append(label)

    await asyncio.gather(alarm("third", 3), alarm("first", 1), alarm("second", 2))
    return rung


@workflow(name="sim_compensation")
async def compensation(ctx: Context) -> str:
    """Bookings that are undone because what follows fails."""
    await book("flight")
    ctx.add_compensation(undo_badly, "train")
    await asyncio.gather(book("hotel"), book("car"))
    await flaky("payment", 9)
    return "booked"


@workflow(name="sim_compensated", on_failure=OnFailure.FAIL)
async def compensated(ctx: Context) -> int:
    """Bookings that are undone by the workflow's own decision."""
    await book("first")
    await book("second")
    return await ctx.compensate()


@workflow(name="sim_once_run")
async def once_run(_ctx: Context) -> int:
    """Effects that must not be repeated, whatever becomes of them."""
    done = 0
    for number in range(3):
        try:
            await once(f"o{number}")
        except ActivityError:
            continue
        done += 1
    return done


@workflow(name="sim_second_try", retry=Retry(attempts=3, backoff=fixed(timedelta(seconds=2))))
async def second_try(ctx: Context) -> int:
    """Fail and be tried again from the start."""
    await step(f"try {ctx.info.attempt}")
    if ctx.info.attempt < 3:  # noqa: PLR2004 - the third try succeeds
        raise ValueError(str(ctx.info.attempt))
    return ctx.info.attempt


@workflow(name="sim_hopeless", retry=Retry(attempts=2, backoff=fixed(timedelta(seconds=1))))
async def hopeless(_ctx: Context) -> None:
    """Rule out another try."""
    await step("only")
    raise NonRetryableError("for good")


@workflow(name="sim_limited", execution_timeout=timedelta(seconds=200))
async def limited(_ctx: Context) -> None:
    """Be ended by the time limit, with an activity and a timer pending."""
    await step("before")
    await asyncio.gather(slow("too slow", 10_000), asyncio.sleep(20_000))


@workflow(name="sim_stand_in")
async def stand_in(_ctx: Context) -> int:
    """Turn to something else when an activity has failed."""
    try:
        return await flaky("with fallback", 9)
    except ActivityError:
        return await instead("with fallback", 9)


@workflow(name="sim_giving_up")
async def giving_up(_ctx: Context) -> str:
    """Give up an activity that would go on for long, and call another, which may need its slot."""
    try:
        async with asyncio.timeout(1):
            await slow("too slow", 10_000)
    except TimeoutError:
        return await step("after")
    return "not"


@workflow(name="sim_passing_on", raises=ValueError)
async def passing_on(_ctx: Context) -> None:
    """Let the failure of an activity pass to the parent."""
    await flaky("passed on", 9)


@workflow(name="sim_catching")
async def catching(ctx: Context) -> list[str]:
    """Catch failures of an activity and of a child run by the class that both declare, and go on."""
    found: list[str] = []
    for attempt in (partial(flaky, "caught", 9), partial(ctx.run_child, passing_on)):
        try:
            await attempt()
        except ValueError as error:
            found.append(type(error).__name__)
        await step(f"after {len(found)}")
    return found


WORKLOADS: Final = (
    Workload(name="giving_up", program=runs(giving_up), results={"one": '"after"'}),
    Workload(name="sequential", program=runs(sequential, 3), results={"one": '["s0","s1","s2"]'}),
    Workload(
        name="fan_out",
        program=runs(fan_out),
        in_order=False,
        results={"one": '["g0","g1","g2","t0","t1","t2","m0","m1","m2"]'},
    ),
    Workload(name="branches", program=runs(branches, 3, 3), in_order=False, results={"one": "9"}),
    Workload(name="retries", program=runs(retries), results={"one": '[3,[3,"ValueError","never"],1]'}),
    Workload(
        name="timeouts",
        program=runs(timeouts),
        is_timed=True,
        results={"one": '[2,2,"start_to_close",1,"schedule_to_close"]'},
    ),
    Workload(name="heartbeats", program=runs(heartbeats), is_timed=True, results={"one": '"something"'}),
    Workload(name="timers", program=runs(timers), in_order=False, results={"one": '["fast","timeout","in time"]'}),
    Workload(name="alarms", program=runs(alarms), results={"one": '["first","second","third"]'}),
    Workload(name="compensation", program=runs(compensation), in_order=False, results={"one": "RunFailed"}),
    Workload(name="compensated", program=runs(compensated), results={"one": "0"}),
    Workload(name="at_most_once", program=runs(once_run), is_compared=False),
    Workload(name="second_try", program=runs(second_try), results={"one": "3"}),
    Workload(name="hopeless", program=runs(hopeless), results={"one": "RunFailed"}),
    Workload(name="limited", program=runs(limited), is_dated=True, results={"one": "RunFailed"}),
    Workload(name="catching", program=runs(catching), results={"one": '["ValueError","ValueError"]'}),
    Workload(name="stand_in", program=runs(stand_in), results={"one": "-22"}),
)
