"""uvloop: handles of delays below a millisecond are no timers there, and know no time."""

import asyncio

import uvloop

from perdure import Context, Engine, Settings, activity, workflow
from perdure.execution.run_timer import RunTimer
from perdure.kernel.time import Timestamp


@activity(name="uvloop_step")
async def step(number: int) -> int:
    return number


@workflow(name="uvloop_sleeping")
async def sleeping(ctx: Context, number: int) -> int:
    for _ in range(3):
        await asyncio.sleep(0.000_2 * (number % 10))
        await step(number)
    return number


def test_runs_that_sleep_for_less_than_a_millisecond_end() -> None:
    async def run() -> list[int]:
        async with Engine("memory:", settings=Settings(idle_seconds=3_600.0)) as engine:
            runs = [await engine.start(sleeping, number) for number in range(40)]
            return [await each.result() for each in runs]

    assert uvloop.run(run()) == list(range(40))


def test_a_timer_of_no_length_may_be_armed_again() -> None:
    async def arm() -> bool:
        rung = asyncio.Event()
        timer = RunTimer(asyncio.get_running_loop())
        for _ in range(2):
            timer.arm(Timestamp(100), Timestamp(0), rung.set)
        await rung.wait()
        rung.clear()
        timer.arm(Timestamp(100), Timestamp(0), rung.set)
        return await rung.wait()

    assert uvloop.run(arm())


def test_the_services_may_set_a_timer_again_that_was_to_ring_at_once() -> None:
    async def set_again() -> None:
        async with Engine("memory:") as engine:
            for service in (engine.worker.claims, engine.worker.keeper):
                service._wake_after(0.0)
                service._wake_after(1.0)

    uvloop.run(set_again())
