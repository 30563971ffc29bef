"""A clock that is set: what is due at a time is waited for anew, and nothing is early."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from perdure import Context, Engine, Settings, workflow
from perdure.errors import StoreUnavailableError
from perdure.execution import claims
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.ports.clock import SystemClock
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.timekeeping.clock_watch import ClockWatch
from perdure.torture.simulation.plans import Plan, Strike, StrikeKind
from perdure.torture.simulation.world import EPOCH, World
from tests.execution.stores import FaultyStore
from tests.journeys.workflows import until

QUICK = Settings(lease_seconds=60.0, lease_renewals=6_000)
IDLE = Settings(lease_seconds=60.0, lease_renewals=6_000, idle_seconds=0.001)
HOUR = timedelta(hours=1)
LESS_THAN_A_LEASE = timedelta(seconds=50)
"""A lease that has passed would have the runs claimed anew, whose timers are armed by the clock as it is."""


class SetClock:
    """The system's clock, set forward or back."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self._system = SystemClock()

    def now(self) -> Timestamp:
        return Timestamp(self._system.now() + int(self.ahead.total_seconds() * MICROSECONDS_PER_SECOND))


@workflow(name="clock_sleeping")
async def sleeping(_ctx: Context, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"


async def test_a_timer_of_a_run_in_memory_rings_when_the_clock_is_set_past_it(caplog: pytest.LogCaptureFixture) -> None:
    clock = SetClock()
    async with Engine("memory:", settings=QUICK, clock=clock) as engine:
        run = await engine.start(sleeping, LESS_THAN_A_LEASE.total_seconds())
        clock.ahead = LESS_THAN_A_LEASE
        assert await run.result() == "slept"
    assert "the clock was set" in caplog.text


async def test_a_timer_of_a_run_that_has_left_memory_rings_when_the_clock_is_set_past_it() -> None:
    clock = SetClock()
    async with Engine("memory:", settings=IDLE, clock=clock) as engine:
        run = await engine.start(sleeping, LESS_THAN_A_LEASE.total_seconds())
        (held,) = engine.worker.active
        await engine.worker.endings.wait(held)  # told when the run leaves memory
        clock.ahead = LESS_THAN_A_LEASE
        assert await run.result() == "slept"


async def test_work_goes_on_after_the_clock_was_set_back() -> None:
    clock, store = SetClock(), FaultyStore()
    async with Engine(store, settings=QUICK, clock=clock) as engine:
        await engine.start(sleeping, HOUR.total_seconds(), id="waits")
        clock.ahead = -HOUR
        run = await engine.start(sleeping, 0.0, id="begun after that")
        assert await run.result() == "slept"
        assert not (await (await engine.get_run("waits")).describe()).status.is_closed


async def test_a_run_that_cannot_be_loaded_at_first_is_tried_again_after_a_pause_though_the_clock_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims, "_PAUSE_AFTER_FAILURE_SECONDS", 0.05)
    clock, database = SetClock(), MemoryDatabase()
    async with Engine(MemoryStore(database), works=False, clock=clock) as client:
        run = await client.start(sleeping, 0.0)
    store = FaultyStore(database)
    store.history_error = StoreUnavailableError("the disk cannot be read")
    async with Engine(store, settings=QUICK, clock=clock) as engine:
        await store.history_asked.wait()
        clock.ahead = -HOUR
        async with asyncio.timeout(10):
            assert await (await engine.get_run(run.id)).result() == "slept"


async def test_what_others_start_by_the_clock_from_before_begins_with_the_next_renewal_of_a_lease() -> None:
    clock, database = SetClock(), MemoryDatabase()
    async with (
        Engine(MemoryStore(database), settings=QUICK, clock=clock),
        Engine(MemoryStore(database), works=False, clock=SetClock()) as late,
    ):
        clock.ahead = -HOUR
        await until(lambda: _is(database.set_back_at is not None))
        run = await late.start(sleeping, 0.0)
        async with asyncio.timeout(10):
            assert await run.result() == "slept"


async def _is(truth: bool) -> bool:
    return truth


async def test_an_engine_goes_by_the_clock_of_its_store_unless_it_is_given_one() -> None:
    there, here = SetClock(), SetClock()
    there.ahead, here.ahead = HOUR, 2 * HOUR
    for given, ahead in ((None, HOUR), (here, 2 * HOUR)):
        store = MemoryStore()
        store.clock = there
        async with Engine(store, clock=given) as engine:
            run = await engine.start(sleeping, HOUR.total_seconds())
            created_at = (await run.describe()).times.created_at
        assert abs(created_at - datetime.now(UTC) - ahead) < HOUR / 2


async def test_a_clock_that_is_only_adjusted_was_not_set() -> None:
    clock = SetClock()
    watch = ClockWatch(clock, asyncio.get_running_loop())
    answers = []
    for ahead in (0.1, -0.1, 600.0, 600.0, 0.0, 0.0):
        clock.ahead = timedelta(seconds=ahead)
        answers.append(watch.was_set())
    assert answers == [False, False, True, False, True, False]


def test_the_world_knows_for_how_long_its_clock_showed_a_moment() -> None:
    second = MICROSECONDS_PER_SECOND
    world = World(Plan(workload="timers", seed=1, strikes=(Strike(kind=StrikeKind.JUMP, at=0, seconds=-60.0),)))
    world.skews.append((10 * second, -60 * second))
    world.now_microseconds = 100 * second

    def shown(moment: int, *, until: int = 100) -> int:
        return world.shown_for(EPOCH + moment * second, since=EPOCH, until=EPOCH + until * second) // second

    assert shown(4) == 36, "six seconds before it was set back, and later from 64 on"
    assert shown(4, until=50) == 6
    assert shown(20) == 20
    assert shown(50) == -10
    assert world.has_shown(EPOCH + 9 * second)
    assert not world.has_shown(EPOCH + 50 * second)
