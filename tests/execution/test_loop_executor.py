"""Activities on the event loop: what counts as their failure, and what does not."""

import asyncio

from perdure import Context, Engine, activity, workflow
from perdure.execution import loop_executor
from perdure.kernel import events as e
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution.conftest import MakeEngine


async def test_an_attempt_cancelled_from_outside_fails_unless_the_loop_is_torn_down(make_engine: MakeEngine) -> None:
    @activity
    async def is_cancelled() -> int:
        tries.append(1)
        if len(tries) == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.Event().wait()
        return len(tries)

    @workflow
    async def calls(ctx: Context) -> int:
        return await is_cancelled()

    tries: list[int] = []
    async with make_engine() as engine:
        run = await engine.start(calls)
        assert await run.result() == 2
        (failed,) = [r.event async for r in run.history() if isinstance(r.event, e.ActivityAttemptFailed)]
        assert failed.failure.type == "CancelledError"


def test_a_program_that_ends_without_closing_its_engine_leaves_its_attempts_without_a_failure() -> None:
    database = MemoryDatabase()
    begun = asyncio.Event()

    @activity
    async def waits() -> None:
        begun.set()
        await asyncio.Event().wait()

    @workflow
    async def calls(ctx: Context) -> None:
        await waits()

    async def leave() -> None:
        engine = Engine(MemoryStore(database))
        await engine.__aenter__()
        await engine.start(calls, id="left")
        await begun.wait()

    async def look() -> list[type[e.Event]]:
        async with Engine(MemoryStore(database), works=False) as engine:
            return [type(recorded.event) async for recorded in (await engine.get_run("left")).history()]

    asyncio.run(leave())
    assert asyncio.run(look()) == [e.RunCreated, e.RunStarted, e.ActivityScheduled]


def test_a_failure_is_held_back_for_less_long_than_anybody_would_wait() -> None:
    assert 0 < loop_executor.TEARDOWN_SECONDS < 1


class GivenUpCall:
    """As much of a running call as is used before its function has its first turn."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[object, object]] = []
        self.is_cancelled = True

    def ended(self, result: object, failure: object) -> None:
        self.outcomes.append((result, failure))


async def test_a_call_given_up_before_its_first_turn_gives_its_slot_back() -> None:
    call = GivenUpCall()
    executor = loop_executor.LoopExecutor()
    executor.start(call)  # type: ignore[arg-type]  # see the class
    executor.stop(call)  # type: ignore[arg-type]  # see the class
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert call.outcomes == [(None, None)]
