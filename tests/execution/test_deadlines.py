"""Deadlines of the stages and the run around an activity: known to its attempts, and not begun after."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from perdure import (
    ActivityTimeoutError,
    Context,
    Engine,
    Run,
    Settings,
    StageTimeoutError,
    activity,
    current_attempt,
    workflow,
)
from perdure.execution.call import ActivityCall
from perdure.kernel.deadline import Deadline
from perdure.kernel.time import Timestamp
from tests.execution.conftest import MakeEngine


def time_left() -> str:
    deadline = current_attempt().deadline
    return "for ever" if deadline is None else deadline.isoformat()


@activity
async def time_on_loop() -> str:
    return time_left()


@activity
def time_in_thread() -> str:
    return time_left()


@activity(executor="process")
def time_in_process() -> str:
    return time_left()


TIME = {"loop": time_on_loop, "thread": time_in_thread, "process": time_in_process}


@workflow
async def asking_for_time(ctx: Context, kind: str) -> list[str]:
    ask = TIME[kind]
    in_run = await ask()
    async with ctx.stage("short", timeout=timedelta(hours=1)):
        in_stage = await ask()
        own = await ask.options(schedule_to_close=timedelta(minutes=1))()
        attempt = await ask.options(timeout=timedelta(seconds=30))()
    return [in_run, in_stage, own, attempt]


@workflow
async def asking_alone(_ctx: Context, kind: str) -> str:
    return await TIME[kind]()


@pytest.mark.parametrize("kind", list(TIME))
async def test_an_attempt_knows_when_it_will_be_cut_off(make_engine: MakeEngine, kind: str) -> None:
    async with make_engine() as engine:
        assert await (await engine.start(asking_alone, kind)).result() == "for ever"
        begun_at = datetime.now(UTC)
        run = await engine.start(asking_for_time, kind, execution_timeout=timedelta(days=1))
        told = [datetime.fromisoformat(text) for text in await run.result()]
        ended_at = datetime.now(UTC)
    limits = [timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=30)]
    assert [begun_at <= moment - limit <= ended_at for moment, limit in zip(told, limits, strict=True)] == [True] * 4


class Counter:
    """A slot that is held until it is let go, and those who want it after that."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()

        @activity
        async def serve(name: str) -> None:
            self.served.append(name)
            self.begun.set()
            await self.opened.wait()

        @workflow
        async def customer(ctx: Context, name: str, seconds: float) -> str:
            try:
                async with ctx.stage("short", timeout=timedelta(seconds=seconds)):
                    await serve(name)
            except (StageTimeoutError, ActivityTimeoutError) as error:
                return str(error)
            return "served"

        self.customer = customer

    async def hold(self, engine: Engine) -> Run[str]:
        run = await engine.start(self.customer, "first", 3600.0)
        await self.begun.wait()
        return run


def call_of(engine: Engine, run: Run[str]) -> ActivityCall:
    (call,) = next(each for each in engine.worker.active.values() if each.ref.id == run.id).calls.values()
    return call


async def test_what_waits_for_a_slot_beyond_the_deadline_of_its_stage_is_never_begun(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(loop_slots=1)) as engine:
        counter = Counter()
        first = await counter.hold(engine)
        late = await engine.start(counter.customer, "late", 0.01)
        assert await late.result() == "stage 'short' did not end by its deadline"
        counter.opened.set()
        assert await first.result() == "served"
    assert counter.served == ["first"]


async def test_what_gets_its_slot_after_the_deadline_is_not_begun_and_gives_it_back(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(loop_slots=1)) as engine:
        counter = Counter()
        await counter.hold(engine)
        late = await engine.start(counter.customer, "late", 3600.0)
        last = await engine.start(counter.customer, "last", 3600.0)
        call_of(engine, late).around = Deadline(at=Timestamp(1), of="stage 'short'")
        counter.opened.set()
        assert await late.result() == "activity serve timed out (deadline of stage 'short') at attempt 1"
        assert await last.result() == "served"
    assert counter.served == ["first", "last"]
