"""Where the deterministic loop ends: exceptions that no code sees, what needs the outside world, other runs' tasks."""

import asyncio
import gc
from typing import Any

import pytest

from perdure.errors import WrongContextError
from perdure.kernel import events as e
from perdure.kernel.loop import DeterministicLoop, TimerCallback
from perdure.kernel.time import Timestamp
from tests.kernel.lives import LostExceptions, code_life

# --- exceptions --------------------------------------------------------------------------------------------------


async def fail() -> None:
    raise ValueError("nobody looks")


def test_an_exception_of_a_task_that_nobody_awaits_is_reported() -> None:
    async def code() -> int:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task
        await asyncio.sleep(1)
        return 1

    lost = LostExceptions()
    run = code_life(code, lost=lost)
    gc.collect()
    assert [(message, str(error)) for message, error in lost] == [
        ("Task exception was never retrieved", "nobody looks")
    ]
    run.wait(1)
    assert run.result == 1


def test_an_exception_in_a_callback_is_reported_and_the_run_goes_on() -> None:
    def broken() -> None:
        raise KeyError("callback")

    async def code() -> int:
        asyncio.get_running_loop().call_soon(broken)
        await asyncio.sleep(0)
        return 1

    lost = LostExceptions()
    assert code_life(code, lost=lost).result == 1
    assert [type(error) for _, error in lost] == [KeyError]


@pytest.mark.parametrize("leaves", [SystemExit, KeyboardInterrupt])
def test_an_exit_in_a_callback_is_reported_and_the_run_goes_on(leaves: type[BaseException]) -> None:
    def leave() -> None:
        raise leaves

    async def code() -> int:
        asyncio.get_running_loop().call_soon(leave)
        await asyncio.sleep(0)
        return 1

    lost = LostExceptions()
    assert code_life(code, lost=lost).result == 1
    assert [type(error) for _, error in lost] == [leaves]


@pytest.mark.parametrize("leaves", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_exit_in_a_task_is_its_task_s_alone(leaves: type[BaseException]) -> None:
    async def leave() -> None:
        raise leaves

    async def code() -> str:
        task = asyncio.create_task(leave())
        await asyncio.wait([task])
        return type(task.exception()).__name__

    assert code_life(code).result == leaves.__name__


# --- what is refused ---------------------------------------------------------------------------------------------

REFUSED = sorted(
    name
    for name, member in vars(asyncio.AbstractEventLoop).items()
    if callable(member)
    and not name.startswith("_")
    and name
    not in {
        "call_at",
        "call_exception_handler",
        "call_later",
        "call_soon",
        "create_future",
        "create_task",
        "default_exception_handler",
        "get_debug",
        "is_closed",
        "is_running",
        "shutdown_asyncgens",
        "time",
    }
)


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_the_outside_world_is_refused_by_name(name: str) -> None:
    async def code() -> str:
        try:
            getattr(asyncio.get_running_loop(), name)()
        except WrongContextError as error:
            return str(error)
        return ""

    message = code_life(code).result
    assert message.startswith(f"loop.{name}() does not work inside a workflow")
    assert "do it in an activity" in message


def test_the_refused_methods_are_those_that_matter() -> None:
    assert {
        "run_in_executor",
        "create_connection",
        "subprocess_exec",
        "add_signal_handler",
        "call_soon_threadsafe",
    } <= {*REFUSED}


async def in_a_thread() -> None:
    await asyncio.to_thread(int)


async def over_the_network() -> None:
    await asyncio.open_connection("localhost", 1)


async def in_a_process() -> None:
    await asyncio.create_subprocess_exec("true")


@pytest.mark.parametrize("code", [in_a_thread, over_the_network, in_a_process])
def test_asyncio_s_own_ways_out_are_refused(code: Any) -> None:
    run = code_life(code)
    assert isinstance(run.result, e.RunFailed)
    assert run.result.failure.type == "WrongContextError"


def test_the_loop_answers_what_asyncio_asks_of_it() -> None:
    async def code() -> list[Any]:
        loop = asyncio.get_running_loop()
        await loop.shutdown_asyncgens()
        loop.default_exception_handler({"message": "told"})
        return [loop.get_debug(), loop.is_running(), loop.is_closed(), isinstance(loop, DeterministicLoop)]

    lost = LostExceptions()
    run = code_life(code, lost=lost)
    assert run.result == [False, True, False, True]
    assert lost == [("told", None)]


def test_tasks_are_named_by_their_number_in_the_run() -> None:
    async def code() -> list[str]:
        task = asyncio.current_task()
        assert task is not None
        return [task.get_name(), asyncio.create_task(asyncio.sleep(0)).get_name()]

    assert code_life(code).result == ["Task-1", "Task-2"]


class NoTimers:
    def start_timer(self, callback: TimerCallback, due_at: Timestamp) -> None: ...
    def cancel_timer(self, callback: TimerCallback) -> None: ...


def test_tasks_of_different_runs_have_different_hashes() -> None:
    """asyncio keeps all tasks of a process in one set, where equal hashes would cost a search each."""
    hashes = set()
    for seed in range(200):
        loop: Any = DeterministicLoop(NoTimers(), on_error=LostExceptions(), seed=seed * 7_919)  # type: ignore[abstract]
        hashes |= {hash(loop.create_task(asyncio.sleep(0))) for _ in range(5)}
        loop.abandon()
    assert len(hashes) == 1_000
