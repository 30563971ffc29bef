"""Runs that leave memory: nothing they still do has an effect, nothing of them stays behind."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from perdure.authoring.activity import activity
from perdure.errors import RunEvicted, WrongContextError
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.journal import current_journal
from perdure.kernel.payload import NULL
from tests.kernel import lives
from tests.kernel.lives import LostExceptions, code_life


@activity(name="eviction.pay")
async def pay(amount: int) -> int:
    return amount


async def plain() -> None:
    await pay(1)


async def with_tasks() -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(pay(number))
        group.create_task(asyncio.sleep(5))


async def in_a_timeout() -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(pay(1), asyncio.Event().wait())


async def cleaning_up() -> None:
    try:
        await pay(1)
    finally:
        await asyncio.sleep(0)
        await pay(2)


async def cleaning_up_with_tasks() -> None:
    try:
        await pay(1)
    finally:
        async with asyncio.TaskGroup() as group:
            group.create_task(pay(2))
            group.create_task(pay(3))


async def cleaning_up_with_sleep() -> None:
    try:
        await pay(1)
    finally:
        await asyncio.sleep(5)


async def catching_everything() -> None:
    for _ in range(3):
        try:
            await pay(1)
        except BaseException:  # noqa: BLE001 - a stubborn workflow
            continue


async def failing_in_clean_up() -> None:
    try:
        await pay(1)
    finally:
        raise RuntimeError("while it is thrown away")


async def holding_a_generator() -> None:
    async def numbers() -> Any:
        try:
            yield 1
            yield 2
        finally:
            await pay(3)

    async for _ in numbers():
        await pay(1)


async def never_begun() -> None:
    tasks = [asyncio.create_task(pay(number)) for number in range(3)]
    asyncio.current_task().cancel()  # type: ignore[union-attr]  # there is one
    try:
        await asyncio.gather(*tasks)
    except asyncio.CancelledError:
        await pay(9)


OPEN_RUNS = [
    plain,
    with_tasks,
    in_a_timeout,
    cleaning_up,
    cleaning_up_with_tasks,
    cleaning_up_with_sleep,
    catching_everything,
    failing_in_clean_up,
    holding_a_generator,
    never_begun,
]


@pytest.mark.parametrize("code", OPEN_RUNS)
def test_an_evicted_run_has_no_effect_and_leaves_no_trace(code: Callable[[], Awaitable[object]]) -> None:
    """That nothing is 'destroyed but pending' or 'never awaited' is watched for by the fixture of these tests."""
    run = code_life(code)
    assert isinstance(run.program, CoroutineProgram)
    journal = run.program.journal
    run.program.close()
    assert journal.take_commands() == []
    assert not journal.loop._ready
    assert journal.loop.is_closed()
    run.program.close()  # closing twice is harmless


async def never_giving_up() -> None:
    while True:
        try:
            await pay(1)
        except BaseException:  # noqa: BLE001 - the most stubborn workflow
            continue


async def never_giving_up_to_sleep() -> None:
    while True:
        try:
            await asyncio.sleep(1)
        except BaseException:  # noqa: BLE001 - as above
            continue


async def generating_for_ever() -> None:
    async def numbers() -> AsyncIterator[int]:
        while True:
            try:
                yield 1
            except BaseException:  # noqa: BLE001 - as above
                continue
            finally:
                await asyncio.sleep(0)

    async for _ in numbers():
        await pay(1)


async def waiting_for_ever() -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            await loop.create_future()
        except BaseException:  # noqa: BLE001 - as above
            continue


async def with_a_task_that_waits_for_ever() -> None:
    await asyncio.create_task(waiting_for_ever())


async def dropping_what_cleans_up_for_ever() -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            while True:  # noqa: ASYNC110 - it waits for nothing
                await asyncio.sleep(0)

    async for _ in numbers():
        break
    await pay(1)


NEVER_ENDING = [
    never_giving_up,
    never_giving_up_to_sleep,
    generating_for_ever,
    with_a_task_that_waits_for_ever,
    dropping_what_cleans_up_for_ever,
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it ignores its own end, to the end
@pytest.mark.parametrize("code", NEVER_ENDING)
def test_code_that_never_gives_up_does_not_keep_the_worker(code: Callable[[], Awaitable[object]]) -> None:
    run = code_life(code)
    run.program.close()
    assert run.result is None
    lives.programs.clear()
    del run
    gc.collect()  # here, where its last complaint is expected


@pytest.mark.parametrize("code", OPEN_RUNS)
def test_closing_a_run_whose_main_task_is_being_cancelled_is_harmless(code: Callable[[], Awaitable[object]]) -> None:
    run = code_life(code)
    run.cancel()
    run.program.close()


@pytest.mark.parametrize("code", OPEN_RUNS)
def test_an_evicted_run_is_freed(code: Callable[[], Awaitable[object]]) -> None:
    run = code_life(code)
    assert isinstance(run.program, CoroutineProgram)
    journal = weakref.ref(run.program.journal)
    loop = weakref.ref(run.program.journal.loop)
    run.program.close()
    lives.programs.clear()
    del run
    gc.collect()
    assert journal() is None
    assert loop() is None


def test_a_simple_run_is_freed_at_once_when_it_ends_without_the_collector() -> None:
    async def code() -> int:
        await pay(1)
        return 1

    gc.disable()
    try:
        run = code_life(code)
        run.succeed(1, 1)
        assert isinstance(run.program, CoroutineProgram)
        journal = weakref.ref(run.program.journal)
        lives.programs.clear()
        del run
        assert journal() is None
    finally:
        gc.enable()


def test_an_evicted_journal_refuses_by_an_exception_that_no_except_exception_eats() -> None:
    refused: list[str] = []

    async def unwinding() -> None:
        journal = current_journal()
        assert journal is not None
        suspension = c.SuspendRun(operation=Operation(1))
        try:
            await pay(1)
        finally:
            for what in (
                journal.next_operation,
                lambda: journal.give(suspension),
                lambda: journal.wait_for_signal("go"),
            ):
                with pytest.raises(RunEvicted):
                    what()
                refused.append("refused")

    run = code_life(unwinding)
    assert isinstance(run.program, CoroutineProgram)
    run.program.close()
    assert refused == ["refused"] * 3
    assert not issubclass(RunEvicted, Exception)
    loop = run.program.journal.loop
    with pytest.raises(RunEvicted):
        loop.call_later(1, print)
    assert loop.call_later(0, print) is not None  # nothing will ever run it


def test_an_evicted_journal_refuses_whoever_kept_it_with_the_reason() -> None:
    run = code_life(plain)
    assert isinstance(run.program, CoroutineProgram)
    run.program.close()
    with pytest.raises(
        WrongContextError, match="the context of run default/order-1 was used, or an activity called, where"
    ):
        run.program.journal.next_operation()


def test_a_run_that_never_began_can_be_closed() -> None:
    created = e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1)
    CoroutineProgram(lives.entry_of(plain), created).close()


async def failing() -> None:
    raise ValueError("later looked at")


async def looking_later() -> str:
    task = asyncio.create_task(failing())
    await pay(1)
    return type(task.exception()).__name__


def test_an_exception_that_code_has_not_looked_at_yet_is_not_lost_by_an_eviction() -> None:
    lost = LostExceptions()
    run = code_life(looking_later, lost=lost)
    run.program.close()
    gc.collect()
    assert lost == []
    again = lives.replay(lives.entry_of(looking_later), run.history)
    again.succeed(1, 1)
    assert again.result == "ValueError"


REALLY_CLEANED: list[str] = []


@activity(name="evicted.clean")
async def really_clean() -> None:
    REALLY_CLEANED.append("outside of the engine")


@pytest.mark.parametrize("is_grouped", [True, False], ids=["in a task group", "alone"])
def test_clean_up_of_code_that_is_thrown_away_calls_no_activity(*, is_grouped: bool) -> None:
    """A task group awaits its tasks even then; what is left of the code must not be unwound by the collector later."""
    REALLY_CLEANED.clear()

    async def wait_in_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(10))
            await asyncio.sleep(10)

    async def wait_and_clean_up() -> None:
        try:
            if is_grouped:
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(10))
                    await wait_in_group()
            await asyncio.sleep(10)
        finally:
            await really_clean()

    async def code() -> None:
        await wait_and_clean_up()

    life = code_life(code)
    life.message(m.TerminateMessage())
    del life
    gc.collect()
    assert REALLY_CLEANED == []
