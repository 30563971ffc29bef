"""Which call starts next, what a change of priority does to those that wait, and what is said about waiting."""

import asyncio
import logging

import pytest

from perdure import Context, Engine, Priority, Run, Settings, Signal, activity, workflow
from perdure.execution.call import ActivityCall
from perdure.scheduling.explanation import Absent, Running, Waiting
from tests.execution.conftest import MakeEngine

ONE_SLOT = Settings(loop_slots=1)


class Gate:
    """An activity that holds the only slot until it is opened, and another that notes who was served."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.begun = begun = asyncio.Event()
        self.opened = opened = asyncio.Event()

        @activity
        async def hold() -> None:
            begun.set()
            await opened.wait()

        @activity
        async def serve(name: str) -> None:
            self.served.append(name)

        @workflow
        async def holder(ctx: Context) -> None:
            await hold()

        @workflow
        async def customer(ctx: Context, name: str) -> None:
            await serve(name)

        @workflow
        async def privileged_customer(ctx: Context, name: str) -> None:
            await serve.options(priority=Priority.CRITICAL)(name)

        self.holder = holder
        self.customer = customer
        self.privileged_customer = privileged_customer

    async def close(self, engine: Engine) -> Run[None]:
        run = await engine.start(self.holder)
        await self.begun.wait()
        return run


def call_of(engine: Engine, run: Run[None]) -> ActivityCall:
    (call,) = next(each for each in engine.worker.active.values() if each.ref.id == run.id).calls.values()
    return call


async def test_those_that_wait_are_served_by_priority_then_by_arrival(make_engine: MakeEngine) -> None:
    async with make_engine(ONE_SLOT) as engine:
        gate = Gate()
        await gate.close(engine)
        runs = [
            await engine.start(gate.customer, "low", priority=Priority.LOW),
            await engine.start(gate.customer, "first"),
            await engine.start(gate.customer, "second"),
            await engine.start(gate.customer, "high", priority=Priority.HIGH),
            await engine.start(gate.privileged_customer, "own priority", priority=Priority.BACKGROUND),
        ]
        assert engine.worker.dispatcher.waiting == 5
        gate.opened.set()
        await asyncio.gather(*[run.result() for run in runs])
        assert gate.served == ["own priority", "high", "first", "second", "low"]


async def test_a_run_whose_priority_changes_takes_its_waiting_calls_along(make_engine: MakeEngine) -> None:
    async with make_engine(ONE_SLOT) as engine:
        gate = Gate()
        await gate.close(engine)
        first = await engine.start(gate.customer, "first")
        last = await engine.start(gate.customer, "last", priority=Priority.LOW)
        own = await engine.start(gate.privileged_customer, "own priority")
        await last.set_priority(Priority.HIGH)
        await own.set_priority(Priority.BACKGROUND)
        gate.opened.set()
        await asyncio.gather(first.result(), last.result(), own.result())
        assert gate.served == ["own priority", "last", "first"]


async def test_it_says_who_is_ahead_of_a_call_that_waits(make_engine: MakeEngine) -> None:
    async with make_engine(ONE_SLOT) as engine:
        gate = Gate()
        holder = await gate.close(engine)
        first = await engine.start(gate.customer, "first", priority=Priority.HIGH)
        second = await engine.start(gate.customer, "second")
        dispatcher = engine.worker.dispatcher
        assert isinstance(dispatcher.explain(call_of(engine, holder)), Running)
        assert dispatcher.explain(call_of(engine, first)).reason.startswith("next in line")
        waits = dispatcher.explain(call_of(engine, second))
        assert isinstance(waits, Waiting)
        assert "1 ahead of NORMAL (HIGH)" in waits.reason
        call = call_of(engine, second)
        gate.opened.set()
        await asyncio.gather(first.result(), second.result())
        assert isinstance(dispatcher.explain(call), Absent)


async def test_a_call_that_is_given_up_while_it_waits_is_never_started(make_engine: MakeEngine) -> None:
    async with make_engine(ONE_SLOT) as engine:
        gate = Gate()
        holder = await gate.close(engine)
        given_up = await engine.start(gate.customer, "given up")
        await given_up.terminate()
        assert engine.worker.dispatcher.waiting == 0
        gate.opened.set()
        await holder.result()
        assert gate.served == []


async def test_waiting_for_an_executor_without_slots_is_said_in_the_log(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    @activity
    def in_a_thread() -> None: ...

    @workflow
    async def waits(ctx: Context) -> None:
        await in_a_thread()

    logging.getLogger("perdure.worker").disabled = False  # another test's tool may have configured logging anew
    async with make_engine(Settings(thread_slots=0)) as engine:
        with caplog.at_level(logging.WARNING, "perdure.worker"):
            await engine.start(waits)
    assert "activity in_a_thread waits for ever: this worker has no thread slots" in caplog.text


async def test_an_attempt_that_is_stuck_does_not_keep_its_lost_and_reclaimed_run_from_being_run_again(
    make_engine: MakeEngine,
) -> None:
    begun: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    @activity
    async def stuck() -> str:
        may_end = asyncio.Event()
        begun.put_nowait(may_end)
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue  # as a thread would: it cannot be cancelled
        return "ended"

    @workflow
    async def waits(ctx: Context) -> str:
        return await stuck()

    async with make_engine() as engine:
        run = await engine.start(waits)
        first = await begun.get()
        (active,) = engine.worker.active.values()
        active.release()
        await run.signal(Signal("wake up", None))
        second = await begun.get()
        assert engine.worker.dispatcher.running == 2
        second.set()
        assert await run.result() == "ended"
        first.set()
