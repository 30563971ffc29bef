"""The deterministic loop: plain asyncio works inside a run, and takes the same course every time.

The code under test is ordinary asyncio code; what it sleeps on are durable timers, which the test lets come due.
"""

import asyncio
import contextvars
import gc
import itertools
import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from perdure.errors import UsageError, WrongContextError
from perdure.kernel import events as e
from perdure.kernel.loop import LAST_INSTANT
from tests.kernel.lives import SECOND, START, Life, code_life


def timers(run: Life) -> list[float]:
    """Return the armed timers in seconds from the start."""
    return sorted((due - START) / SECOND for due in run.state.timers.values())


async def value_after(seconds: float, value: Any) -> Any:
    await asyncio.sleep(seconds)
    return value


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_sleep_is_a_durable_timer() -> None:
    async def code() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(2.5)
        return loop.time() - begun

    run = code_life(code)
    assert timers(run) == [2.5]
    run.wait(2)
    assert run.result is None
    run.wait(0.5)
    assert run.result == 2.5


def test_code_that_never_waits_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def code() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    monkeypatch.setattr("perdure.kernel.loop._CALLBACKS_LIMIT", 1_000)
    with pytest.raises(UsageError, match="without waiting for an activity, a timer, a signal or a child run"):
        code_life(code)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_sleep_of_nothing_gives_way_without_a_timer(seconds: float) -> None:
    async def code() -> list[str]:
        order: list[str] = []

        async def note(name: str) -> None:
            order.append(name)
            await asyncio.sleep(seconds)
            order.append(name)

        await asyncio.gather(note("a"), note("b"))
        return order

    run = code_life(code)
    assert run.result == ["a", "b", "a", "b"]
    assert len(run.history) == 3


def test_a_sleep_beyond_the_end_of_time_is_due_at_its_end() -> None:
    async def code() -> None:
        await asyncio.gather(asyncio.sleep(math.inf), asyncio.sleep(1e300))

    assert set(code_life(code).state.timers.values()) == {LAST_INSTANT}


def test_a_sleep_of_no_number_is_the_code_s_own_error() -> None:
    async def code() -> str:
        try:
            await asyncio.sleep(math.nan)
        except ValueError:
            return "refused"
        return "slept"

    assert code_life(code).result == "refused"


def test_a_timer_given_up_at_once_leaves_no_trace() -> None:
    async def code() -> int:
        async with asyncio.timeout(60):  # noqa: ASYNC100 - that it does not wait is the point
            return 1

    assert [type(event) for event in code_life(code).events] == [e.RunCreated, e.RunStarted, e.RunCompleted]


# --- groups of tasks ---------------------------------------------------------------------------------------------


def test_a_task_group_waits_for_all() -> None:
    async def code() -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(value_after(3 - n, n)) for n in range(3)]
        return [task.result() for task in tasks]

    run = code_life(code)
    assert timers(run) == [1, 2, 3]
    run.wait(3)
    assert run.result == [0, 1, 2]


def test_a_failing_task_cancels_its_group_in_the_order_its_tasks_were_made() -> None:
    cancelled: list[int] = []

    async def wait(number: int) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise

    async def fail() -> None:
        await asyncio.sleep(1)
        raise ValueError("no")

    async def code() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(40):
                    group.create_task(wait(number))
                group.create_task(fail())
        except ExceptionGroup:
            return "failed"
        return "went well"

    run = code_life(code)
    run.wait(1)
    assert run.result == "failed"
    assert cancelled == list(range(40))
    given_up = [event.operation for event in run.events if isinstance(event, e.TimerCancelled)]
    assert given_up == sorted(given_up)
    assert len(given_up) == 40


def test_gather_keeps_the_order_and_raises_the_first_error() -> None:
    async def fail() -> None:
        await asyncio.sleep(2)
        raise KeyError("second")

    async def code() -> list[Any]:
        results = list(await asyncio.gather(value_after(3, "a"), value_after(1, "b")))
        try:
            await asyncio.gather(value_after(5, "c"), fail())
        except KeyError:
            results.append("failed")
        some = await asyncio.gather(value_after(1, "d"), fail(), return_exceptions=True)
        return [*results, some[0], type(some[1]).__name__]

    run = code_life(code)
    for _ in range(4):
        run.wait(3)
    assert run.result == ["a", "b", "failed", "d", "KeyError"]


def test_wait_returns_when_the_first_has_completed() -> None:
    async def code() -> list[str]:
        tasks = {asyncio.create_task(value_after(n, n), name=f"t{n}") for n in (5, 1, 9)}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return [task.get_name() for task in (*done, *pending)]

    run = code_life(code)
    run.wait(1)
    assert run.result == ["t1", "t5", "t9"]


def test_wait_walks_many_tasks_in_the_order_they_were_made() -> None:
    async def code() -> list[str]:
        tasks = [asyncio.create_task(value_after(1, n)) for n in range(100)]
        done, _ = await asyncio.wait(reversed(tasks))
        return [task.get_name() for task in done]

    run = code_life(code)
    run.wait(1)
    assert run.result == [f"Task-{n}" for n in range(2, 102)]


SHIELDED = """
import asyncio, sys
from tests.kernel.lives import code_life
others = [bytearray(size) for size in range(1, int(sys.argv[1]), 7)]
async def code():
    shields = []
    for number in range(40):
        async def give(number=number):
            return number
        others.append(bytearray(number % int(sys.argv[1])))
        shields.append(asyncio.shield(give()))
    done, _ = await asyncio.wait(shields)
    return [future.result() for future in done]
print(code_life(code).result)
"""


def test_wait_walks_shielded_tasks_in_the_same_order_in_every_process() -> None:
    orders = set()
    for number in ("1", "50", "999"):
        finished = subprocess.run(
            [sys.executable, "-c", SHIELDED, number],
            env={**os.environ, "PYTHONHASHSEED": number, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        orders.add(finished.stdout)
    assert orders == {f"{list(range(40))}\n"}


@pytest.mark.parametrize("make", [lambda: asyncio.gather(asyncio.sleep(0)), asyncio.Future])
def test_wait_for_several_futures_without_numbers_is_refused_because_no_replay_repeats_its_order(
    make: Callable[[], asyncio.Future[Any]],
) -> None:
    async def code() -> str:
        futures = [make(), make()]
        try:
            await asyncio.wait(futures, timeout=1)
        except WrongContextError as error:
            return str(error)
        return ""

    assert "give it tasks" in code_life(code).result


def test_wait_for_one_future_of_gather_returns_when_that_is_done() -> None:
    async def code() -> list[Any]:
        done, _ = await asyncio.wait([asyncio.gather(value_after(1, "a"), value_after(2, "b"))])
        return [future.result() for future in done]

    run = code_life(code)
    run.wait(1)
    run.wait(1)
    assert run.result == [["a", "b"]]


def test_wait_with_a_timeout_gives_what_is_done() -> None:
    async def code() -> tuple[int, int]:
        tasks = [asyncio.create_task(value_after(n, n)) for n in (1, 3, 9)]
        done, pending = await asyncio.wait(tasks, timeout=4)
        return len(done), len(pending)

    run = code_life(code)
    run.wait(1)
    run.wait(2)
    run.wait(1)
    assert run.result == [2, 1]


def test_as_completed_gives_tasks_as_they_complete() -> None:
    async def code() -> list[int]:
        tasks = [asyncio.create_task(value_after(n, n)) for n in (3, 1, 2)]
        return [await earliest for earliest in asyncio.as_completed(tasks)]

    run = code_life(code)
    for _ in range(3):
        run.wait(1)
    assert run.result == [1, 2, 3]


def test_as_completed_with_bare_coroutines_is_refused_because_no_replay_repeats_its_order() -> None:
    async def code() -> str:
        coroutines = [value_after(n, n) for n in (3, 1, 2)]
        try:
            for earliest in asyncio.as_completed(coroutines):
                await earliest
        except WrongContextError as error:
            return str(error)
        finally:
            for coroutine in coroutines:
                coroutine.close()
        return ""

    assert "give it tasks" in code_life(code).result


# --- limits of time ----------------------------------------------------------------------------------------------


def test_wait_for_cuts_off_what_takes_too_long() -> None:
    async def code() -> list[Any]:
        quick = await asyncio.wait_for(value_after(1, "quick"), timeout=5)
        try:
            await asyncio.wait_for(value_after(9, "slow"), timeout=2)
        except TimeoutError:
            return [quick, "cut off"]
        return []

    run = code_life(code)
    run.wait(1)
    run.wait(2)
    assert run.result == ["quick", "cut off"]


def test_a_timeout_that_expires_raises_and_its_timer_is_gone() -> None:
    async def code() -> str:
        try:
            async with asyncio.timeout(2):
                await asyncio.sleep(60)
        except TimeoutError:
            return "expired"
        return "slept"

    run = code_life(code)
    assert timers(run) == [2, 60]
    run.wait(2)
    assert run.result == "expired"
    assert run.state.timers == {}


@pytest.mark.parametrize(("inner", "outer", "expected"), [(1, 5, "inner"), (5, 1, "outer")])
def test_of_nested_timeouts_the_one_that_expires_raises(inner: float, outer: float, expected: str) -> None:
    async def code() -> str:
        try:
            async with asyncio.timeout(outer):
                try:
                    async with asyncio.timeout(inner):
                        await asyncio.sleep(60)
                except TimeoutError:
                    return "inner"
        except TimeoutError:
            return "outer"
        return "slept"

    run = code_life(code)
    run.wait(1)
    assert run.result == expected


def test_a_timeout_can_be_moved() -> None:
    async def code() -> str:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(1) as limit:
                limit.reschedule(loop.time() + 5)
                await asyncio.sleep(4)
                limit.reschedule(None)
                await asyncio.sleep(60)
                limit.reschedule(loop.time() - 1)
                await asyncio.sleep(60)
        except TimeoutError:
            return "expired"
        return "slept"

    run = code_life(code)
    run.wait(4)
    run.wait(60)
    assert run.result == "expired"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_timeout_of_nothing_lets_code_pass_that_does_not_wait(limit: float) -> None:
    async def code() -> str:
        async with asyncio.timeout(limit):  # noqa: ASYNC100 - that it does not wait is the point
            pass
        try:
            async with asyncio.timeout(limit):
                await asyncio.sleep(60)
        except TimeoutError:
            return "expired"
        return "slept"

    assert code_life(code).result == "expired"


# --- queues and locks --------------------------------------------------------------------------------------------


def test_a_bounded_queue_hands_on_in_order() -> None:
    async def code() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
        taken: list[int] = []

        async def produce() -> None:
            for number in range(6):
                await queue.put(number)
                await asyncio.sleep(0.1)

        async def consume() -> None:
            while True:
                taken.append(await queue.get())
                queue.task_done()

        consumer = asyncio.create_task(consume())
        await produce()
        await queue.join()
        consumer.cancel()
        return taken

    run = code_life(code)
    for _ in range(6):
        run.wait(0.1)
    assert run.result == [0, 1, 2, 3, 4, 5]


def test_an_event_a_lock_a_semaphore_and_a_condition_work() -> None:
    async def code() -> list[str]:
        event, lock, semaphore, condition = (
            asyncio.Event(),
            asyncio.Lock(),
            asyncio.Semaphore(2),
            asyncio.Condition(),
        )
        log: list[str] = []

        async def worker(name: str) -> None:
            await event.wait()
            async with semaphore, lock:
                log.append(f"{name} in")
                await asyncio.sleep(1)
                log.append(f"{name} out")
            async with condition:
                condition.notify_all()

        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(worker(name))
            event.set()
            async with condition:
                await condition.wait_for(lambda: "c out" in log)
        return log

    run = code_life(code)
    for _ in range(3):
        run.wait(1)
    assert run.result == ["a in", "a out", "b in", "b out", "c in", "c out"]


# --- cancellation ------------------------------------------------------------------------------------------------


def test_a_shielded_task_goes_on_when_the_one_who_waits_is_cancelled() -> None:
    async def code() -> list[Any]:
        inner = asyncio.create_task(value_after(5, "done"))

        async def wait() -> None:
            await asyncio.shield(inner)

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(1)
        waiting.cancel()
        try:
            await waiting
        except asyncio.CancelledError:
            return ["cancelled", inner.done(), await inner]
        return []

    run = code_life(code)
    run.wait(1)
    run.wait(4)
    assert run.result == ["cancelled", False, "done"]


def test_cancellation_inside_clean_up_interrupts_the_clean_up() -> None:
    async def code() -> list[str]:
        log: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                log.append("clean-up begins")
                try:
                    await asyncio.sleep(60)
                finally:
                    log.append("clean-up interrupted")

        task = asyncio.create_task(work())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        return [*log, "cancelled" if task.cancelled() else "not"]

    run = code_life(code)
    run.wait(1)
    run.wait(1)
    assert run.result == ["clean-up begins", "clean-up interrupted", "cancelled"]


def test_a_callback_cancelled_before_its_turn_does_not_run() -> None:
    async def code() -> list[str]:
        loop = asyncio.get_running_loop()
        ran: list[str] = []
        loop.call_soon(ran.append, "soon").cancel()
        loop.call_later(0, ran.append, "at once").cancel()
        loop.call_at(loop.time() + 5, ran.append, "later").cancel()
        loop.call_soon(ran.append, "kept")
        loop.call_at(loop.time() - 5, ran.append, "past")
        await asyncio.sleep(0)
        return ran

    assert code_life(code).result == ["kept", "past"]


# --- context variables, generators -------------------------------------------------------------------------------

COLOUR = contextvars.ContextVar("COLOUR", default="none")


def test_tasks_have_contexts_of_their_own_and_nothing_of_the_caller_s() -> None:
    async def paint(colour: str) -> str:
        COLOUR.set(colour)
        await asyncio.sleep(1)
        return COLOUR.get()

    async def code() -> list[str]:
        seen = COLOUR.get()
        COLOUR.set("main")
        results = await asyncio.gather(paint("red"), paint("blue"))
        mine = contextvars.copy_context()
        mine.run(COLOUR.set, "given")
        given = await asyncio.get_running_loop().create_task(value_of_colour(), context=mine)
        return [seen, *results, COLOUR.get(), given]

    async def value_of_colour() -> str:
        return COLOUR.get()

    token = COLOUR.set("caller's")
    try:
        run = code_life(code)
        run.wait(1)
    finally:
        COLOUR.reset(token)
    assert run.result == ["none", "red", "blue", "main", "given"]


async def count(log: list[str]) -> AsyncIterator[int]:
    try:
        for number in range(9):
            await asyncio.sleep(1)
            yield number
    finally:
        await asyncio.sleep(0)
        log.append("closed")


def test_an_asynchronous_generator_is_closed_where_the_code_closes_it() -> None:
    async def code() -> list[Any]:
        log: list[str] = []
        async with aclosing(count(log)) as numbers:  # type: ignore[type-var]  # an async generator has aclose
            async for number in numbers:
                if number == 1:
                    break
        return [*log, "after"]

    run = code_life(code)
    run.wait(1)
    run.wait(1)
    assert run.result == ["closed", "after"]


def test_a_generator_that_is_dropped_does_not_finish_while_the_run_lives() -> None:
    """When the collector finds it is another moment on every replay; its clean-up could ask for activities."""
    log: list[str] = []

    async def code() -> list[str]:
        async for _ in count(log):
            break
        gc.collect()
        await asyncio.sleep(1)
        return list(log)

    run = code_life(code)
    run.wait(1)
    run.wait(1)
    assert run.result == []
    assert log == ["closed"]  # when the run had ended, without effect


def test_the_hooks_and_the_loop_of_the_caller_are_back_after_each_step() -> None:
    async def outside() -> None:
        mine, hooks = asyncio.get_running_loop(), sys.get_asyncgen_hooks()
        run = code_life(lambda: asyncio.sleep(1))
        run.wait(1)
        assert asyncio.get_running_loop() is mine
        assert sys.get_asyncgen_hooks() == hooks
        assert asyncio.current_task() is not None

    asyncio.run(outside())
