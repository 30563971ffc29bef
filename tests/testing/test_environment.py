"""The test environment: virtual time, and when it passes."""

import asyncio
import socket
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from perdure import (
    Context,
    Engine,
    Every,
    ResultTimeoutError,
    RunFailedError,
    RunTerminatedError,
    Settings,
    Stream,
    activity,
    current_attempt,
    defer,
    workflow,
)
from perdure.codecs import Encryption, Payloads
from perdure.errors import EngineClosedError, InvalidArgumentError, StoreUnavailableError, WrongContextError
from perdure.kernel.time import timestamp_to_datetime
from perdure.testing import EPOCH, StandstillError, TestEnvironment
from tests.testing.subjects import (
    MONTH,
    awaiting,
    invoice,
    letter,
    pay,
    raise_price,
    subscription,
    tenacious,
    try_to_bill,
)

WEEK = timedelta(days=7)


async def turns(number: int = 50) -> None:
    """Let other tasks of this loop have their turns, without time."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_waiting_for_a_result_lets_months_pass() -> None:
    async with TestEnvironment() as env:
        run = await env.start(subscription, 3)
        assert await run.result() == ["billed 0", "billed 1", "billed 2"]
        assert env.now() == EPOCH + 3 * MONTH


@pytest.mark.parametrize("store", ["memory:", "sqlite:"])
async def test_time_passes_when_the_test_advances_and_not_else(store: str) -> None:
    async with TestEnvironment(store) as env:
        run = await env.start(subscription, 1)
        await env.run_until_idle()
        await turns()
        assert env.now() == EPOCH
        await env.advance(MONTH - timedelta(microseconds=1))
        assert (await run.describe()).status == "running"
        await env.advance(timedelta(microseconds=1))
        assert (await run.describe()).status == "completed"
        assert env.now() == EPOCH + MONTH


async def test_what_is_due_while_time_advances_happens_at_its_time() -> None:
    async with TestEnvironment(start=datetime(2028, 2, 29, tzinfo=UTC)) as env:
        run = await env.start(subscription, 4)
        await env.advance(timedelta(days=100))
        assert env.now() == datetime(2028, 6, 8, tzinfo=UTC)
        assert [called.at - datetime(2028, 2, 29, tzinfo=UTC) for called in env.calls()] == [
            MONTH,
            2 * MONTH,
            3 * MONTH,
        ]
        assert (await run.describe()).status == "running"


async def test_the_clocks_of_two_environments_do_not_meet() -> None:
    async with TestEnvironment() as one, TestEnvironment(start=EPOCH - MONTH) as other:
        mine = await one.start(subscription, 2)
        await other.start(subscription, 2)
        await mine.result()
        assert (one.now(), other.now()) == (EPOCH + 2 * MONTH, EPOCH - MONTH)
        await other.advance(MONTH)
        assert (one.now(), other.now()) == (EPOCH + 2 * MONTH, EPOCH)


async def test_two_environments_pass_their_times_at_once() -> None:
    async with TestEnvironment() as one, TestEnvironment() as other:
        runs = [await one.start(subscription, 2), await other.start(subscription, 5)]
        await asyncio.gather(*(run.result() for run in runs))
        assert (one.now(), other.now()) == (EPOCH + 2 * MONTH, EPOCH + 5 * MONTH)


async def test_waits_between_attempts_are_virtual() -> None:
    async with TestEnvironment() as env:
        env.fail_next(try_to_bill, ConnectionError("no route"), times=3)
        run = await env.start(tenacious)
        assert await run.result() == "billed 7"
        assert [(called.attempt, called.at - EPOCH) for called in env.calls(try_to_bill)] == [
            (attempt, timedelta(hours=attempt - 1)) for attempt in (1, 2, 3, 4)
        ]


async def test_a_timer_inside_an_activity_is_virtual() -> None:
    @activity
    async def slow() -> str:
        await asyncio.sleep(3600)
        return "done"

    @workflow
    async def waits_for_slow(ctx: Context) -> str:
        return await slow()

    async with TestEnvironment() as env:
        run = await env.start(waits_for_slow)
        await env.advance(timedelta(minutes=59))
        assert (await run.describe()).status == "running"
        await env.advance(timedelta(minutes=1))
        assert (await run.describe()).status == "completed"


@pytest.mark.parametrize("seconds", [4e-7, 0.4183604, 1.00000049])
async def test_a_timer_between_two_microseconds_is_not_passed_over(seconds: float) -> None:
    @activity(timeout=timedelta(hours=1))
    async def naps() -> int:
        for _ in range(20):
            await asyncio.sleep(seconds)
        return current_attempt().attempt

    @workflow
    async def calls_it(ctx: Context) -> int:
        return await naps()

    async with TestEnvironment() as env:
        assert await (await env.start(calls_it)).result() == 1
        assert env.now() - EPOCH < timedelta(seconds=20 * seconds + 0.001)


async def test_time_stands_still_while_a_thread_is_at_work() -> None:
    entered, leave = threading.Event(), threading.Event()

    @activity
    def in_a_thread() -> str:
        entered.set()
        leave.wait(60)
        return "done"

    @workflow
    async def waits_for_a_thread(ctx: Context) -> str:
        async with asyncio.timeout(3600):
            return await in_a_thread()

    async with TestEnvironment() as env:
        result = asyncio.create_task((await env.start(waits_for_a_thread)).result())
        await asyncio.to_thread(entered.wait, 60)
        await turns()
        assert env.now() == EPOCH
        leave.set()
        assert await result == "done"
        assert env.now() == EPOCH


async def test_time_stands_still_while_an_activity_waits_for_a_thread_of_its_own() -> None:
    entered, leave = threading.Event(), threading.Event()

    def work() -> str:
        entered.set()
        leave.wait(60)
        return "done"

    @activity
    async def asks_a_thread() -> str:
        return await asyncio.to_thread(work)

    @workflow
    async def waits_for_asking(ctx: Context) -> str:
        async with asyncio.timeout(3600):
            return await asks_a_thread()

    async with TestEnvironment() as env:
        result = asyncio.create_task((await env.start(waits_for_asking)).result())
        await asyncio.to_thread(entered.wait, 60)
        await turns()
        assert env.now() == EPOCH
        leave.set()
        assert await result == "done"


async def test_time_stands_still_while_an_activity_waits_for_a_socket() -> None:
    ours, theirs = socket.socketpair()

    @activity
    async def reads() -> str:
        reader, writer = await asyncio.open_connection(sock=theirs)
        try:
            return (await reader.readline()).decode()
        finally:
            writer.close()

    @workflow
    async def waits_for_a_socket(ctx: Context) -> str:
        async with asyncio.timeout(3600):
            return await reads()

    async with TestEnvironment() as env:
        result = asyncio.create_task((await env.start(waits_for_a_socket)).result())
        await turns()
        assert env.now() == EPOCH
        ours.sendall(b"hello\n")
        assert await result == "hello\n"
        assert env.now() == EPOCH
    ours.close()


async def test_a_test_that_waits_for_what_cannot_happen_is_told() -> None:
    async with TestEnvironment(patience=timedelta(milliseconds=10)) as env:
        run = await env.start(awaiting)
        with pytest.raises(StandstillError, match="waits for a run, and nothing can happen any more"):
            await run.result()
        await run.signal(pay, 3)
        assert await run.result() == 3


async def test_other_tasks_of_the_test_come_before_the_next_timer() -> None:
    async with TestEnvironment() as env:
        run = await env.start(invoice)

        async def send() -> None:
            await turns(2)
            await run.signal(pay, 60)

        result, _ = await asyncio.gather(run.result(), send())
        assert result == "paid 60 of 100"
        assert env.now() == EPOCH


async def test_messages_work_as_with_an_engine() -> None:
    async with TestEnvironment() as env:
        run = await env.start(invoice)
        assert await run.update(raise_price, 11) == 111
        assert await run.query("price") == 111
        await run.signal(pay, 5)
        assert await run.result() == "paid 5 of 111"
        assert [recorded.type async for recorded in run.watch()][-1] == "run_completed"


async def test_a_schedule_follows_the_virtual_clock() -> None:
    async with TestEnvironment() as env:
        await env.schedules.create("weekly", letter, "abc", when=Every(WEEK))
        await env.advance(4 * WEEK)
        moments = sorted([timestamp_to_datetime(run.created_at) async for run in env.all_runs()])
        assert len(moments) == 4
        assert {later - earlier for earlier, later in pairwise(moments)} == {WEEK}


async def test_limits_of_calls_are_real() -> None:
    async with TestEnvironment() as env:
        run = await env.start(awaiting)
        with pytest.raises(ResultTimeoutError):
            await run.result(timeout=timedelta(milliseconds=1))


async def test_runs_without_an_id_are_numbered_so_that_a_test_does_the_same_each_time() -> None:
    async with TestEnvironment() as env:
        assert [(await env.start(awaiting)).id for _ in range(2)] == ["awaiting-1", "awaiting-2"]
        assert (await env.start(subscription, 1, id="mine")).id == "mine"


async def test_an_environment_opens_with_the_first_call() -> None:
    env = TestEnvironment()
    assert [run async for run in env.all_runs()] == []
    assert await (await env.start(subscription, 1)).result() == ["billed 0"]
    env.dispose()


def contents_of(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.rglob("*") if file.is_file()]


async def test_an_environment_has_what_an_engine_has(tmp_path: Path) -> None:
    payloads = Payloads(Encryption({"key": bytes(32)}))
    file = tmp_path / "kept.db"
    described = TestEnvironment(
        f"sqlite:///{file}", namespace="billing", settings=Settings(history_events=20), payloads=payloads
    )
    async with described as env:
        run = await env.start(letter, "nobody may read this")
        assert await run.result() == len("nobody may read this")
        assert run.namespace == "billing"
        with pytest.raises(RunTerminatedError, match="more than 20 events"):
            await (await env.start(subscription, 50)).result()
    contents = contents_of(tmp_path)
    assert any(b"billing" in content for content in contents)
    assert not any(b"nobody may" in content for content in contents)


@pytest.mark.parametrize("call", ["start", "list_runs"])
async def test_a_database_that_cannot_be_opened_is_told_to_the_first_call(call: str) -> None:
    env = TestEnvironment("sqlite:////nowhere/to/be/found.db")
    with pytest.raises(StoreUnavailableError):
        await (env.start(awaiting) if call == "start" else env.list_runs())
    env.dispose()


async def test_a_closed_environment_says_so() -> None:
    async with TestEnvironment() as env:
        run = await env.start(awaiting)
    assert env.is_closed
    with pytest.raises(EngineClosedError, match="the test environment is closed"):
        await env.start(awaiting)
    with pytest.raises(EngineClosedError, match="the test environment is closed"):
        await run.describe()


def test_an_environment_without_an_event_loop_says_what_to_use_instead() -> None:
    env = TestEnvironment()
    with pytest.raises(EngineClosedError, match="elsewhere use SyncTestEnvironment"):
        env.start(awaiting).send(None)
    env.dispose()


def test_before_the_first_call_nothing_has_crashed() -> None:
    assert TestEnvironment().crashes == 0


async def test_decades_pass_too() -> None:
    @workflow
    async def pension(ctx: Context) -> datetime:
        await ctx.sleep(timedelta(days=365 * 12))
        return ctx.now()

    async with TestEnvironment() as env:
        awaited = await (await env.start(pension)).result()
        assert awaited == EPOCH + timedelta(days=365 * 12) == env.now()
        run = await env.start(pension)
        await env.advance(timedelta(days=365 * 13))
        assert (await run.describe()).status == "completed"


async def test_workflow_code_cannot_use_an_environment() -> None:
    async with TestEnvironment() as env:

        @workflow
        async def uses_the_environment(ctx: Context) -> None:
            await env.start(awaiting)

        run = await env.start(uses_the_environment)
        with pytest.raises(RunFailedError) as failed:
            await run.result()
        assert failed.value.failure_type.endswith(WrongContextError.__name__)


async def test_what_an_environment_in_a_file_did_is_there_for_an_engine(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/kept.db"
    async with TestEnvironment(url) as env:
        await (await env.start(subscription, 1, id="kept")).result()
    async with Engine(url, works=False) as engine:
        assert await (await engine.get_run("kept", subscription)).result() == ["billed 0"]


@pytest.mark.parametrize("wrong", [timedelta(days=-1), 3])
async def test_time_does_not_go_back(wrong: object) -> None:
    async with TestEnvironment() as env:
        with pytest.raises(InvalidArgumentError):
            await env.advance(wrong)  # type: ignore[arg-type]


async def test_an_activity_that_somebody_outside_completes_lets_time_pass_meanwhile() -> None:
    tokens: list[str] = []

    @activity
    async def asks_a_person() -> str:
        tokens.append(current_attempt().token)
        defer()

    @workflow
    async def waits_for_a_person(ctx: Context) -> str:
        return await asks_a_person()

    async with TestEnvironment() as env:
        run = await env.start(waits_for_a_person)
        await env.advance(MONTH)
        await env.crash_and_recover()
        await env.advance(MONTH)
        await env.complete(tokens[0], "yes")
        assert await run.result() == "yes"
        assert len(tokens) == 1
        assert env.now() == EPOCH + 2 * MONTH


async def test_a_stream_is_read_while_time_passes() -> None:
    billed = Stream("billed", int)

    @workflow
    async def publishes(ctx: Context) -> None:
        for month in range(3):
            await ctx.sleep(MONTH)
            ctx.publish(billed, month)

    async with TestEnvironment() as env:
        run = await env.start(publishes)
        assert [item.value async for item in run.stream(billed)] == [0, 1, 2]
        assert env.now() == EPOCH + 3 * MONTH
