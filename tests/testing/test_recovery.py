"""A process that dies in a test, and the next one on its data."""

import asyncio
import threading
from datetime import timedelta

import pytest

from perdure import Context, activity, workflow
from perdure.testing import EPOCH, TestEnvironment
from tests.testing.subjects import MONTH, debit, invoice, launch, letter, pay, print_letter, subscription

STORES = pytest.mark.parametrize("store", ["memory:", "sqlite:"])


@STORES
async def test_a_run_goes_on_where_it_was(store: str) -> None:
    async with TestEnvironment(store) as env:
        run = await env.start(subscription, 3)
        await env.advance(MONTH)
        await env.crash_and_recover()
        assert env.now() == EPOCH + MONTH
        assert env.crashes == 1
        assert await run.result() == ["billed 0", "billed 1", "billed 2"]
        assert [called.args for called in env.calls(debit)] == [(0,), (1,), (2,)]


@STORES
async def test_what_is_only_in_memory_is_gone(store: str) -> None:
    lives: list[int] = []

    @workflow
    async def remembers(ctx: Context) -> int:
        lives.append(1)
        await ctx.sleep(MONTH)
        return len(lives)

    async with TestEnvironment(store) as env:
        run = await env.start(remembers)
        await env.crash_and_recover()
        await env.run_until_idle()
        assert len(lives) == 2
        assert await run.result() >= 2


@STORES
async def test_an_attempt_that_a_crash_interrupts_is_made_again(store: str) -> None:
    entered = asyncio.Event()

    async def slow(cents: int, *, note: str = "") -> str:
        entered.set()
        await asyncio.sleep(60)
        return f"{cents}{note}"

    async with TestEnvironment(store) as env:
        env.replace(debit, slow)
        run = await env.start(subscription, 1)
        await env.advance(MONTH + timedelta(seconds=30))
        assert entered.is_set()
        await env.crash_and_recover()
        assert await run.result() == ["0"]
        assert env.now() == EPOCH + MONTH + timedelta(seconds=90)
        assert [called.attempt for called in env.calls(debit)] == [1, 1]


async def test_a_thread_goes_on_and_nobody_hears_of_it() -> None:
    entered, leave = threading.Event(), threading.Event()

    @activity
    def hangs(times: int) -> int:
        if not entered.is_set():
            entered.set()
            leave.wait(60)
        return times

    @workflow
    async def waits_for_hanging(ctx: Context) -> int:
        return await hangs(7)

    async with TestEnvironment() as env:
        run = await env.start(waits_for_hanging)
        await asyncio.to_thread(entered.wait, 60)
        await env.crash_and_recover()
        assert await run.result() == 7
        leave.set()
        assert len(env.calls(hangs)) == 2


@STORES
async def test_a_message_that_was_acknowledged_is_there_after_a_crash(store: str) -> None:
    async with TestEnvironment(store) as env:
        run = await env.start(invoice)
        await run.signal(pay, 80)
        await env.crash_and_recover()
        assert await run.result() == "paid 80 of 100"


@STORES
async def test_whoever_waits_for_a_result_waits_past_a_crash(store: str) -> None:
    async with TestEnvironment(store) as env:
        run = await env.start(invoice)
        result = asyncio.create_task(run.result())
        await asyncio.sleep(0)
        await env.crash_and_recover()
        await run.signal(pay, 1)
        assert await result == "paid 1 of 100"


async def test_an_at_most_once_attempt_that_a_crash_interrupts_is_not_made_again() -> None:
    @workflow
    async def launches(ctx: Context) -> str:
        return await launch()

    async def countdown() -> str:
        await asyncio.sleep(10)
        return "launched"

    async with TestEnvironment() as env:
        env.replace(launch, countdown)
        run = await env.start(launches)
        await env.advance(timedelta(seconds=5))
        await env.crash_and_recover()
        assert await run.result() == "launched"
        assert [called.attempt for called in env.calls(launch)] == [1, 2]


async def test_stand_ins_stay() -> None:
    async with TestEnvironment() as env:
        env.replace(print_letter, lambda text: -len(text))
        await env.crash_and_recover()
        assert await (await env.start(letter, "abc")).result() == -3
