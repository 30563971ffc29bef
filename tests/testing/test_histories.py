"""Assertions on histories: the lines they read as, and the diffs they fail with."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from perdure import Context, DeadlockError, NonRetryableError, Retry, RunError, activity, workflow
from perdure.errors import InvalidArgumentError
from perdure.kernel.history import RecordedEvent
from perdure.testing import TestEnvironment, assert_history, history_lines
from tests.testing.subjects import awaiting, debit, invoice, pay, print_letter, raise_price, subscription

LINES = [
    "run created: subscription(1)",
    "timer of 30 days, 0:00:00 set",
    "timer of 30 days, 0:00:00 fired",
    "activity debit(0) called",
    'activity debit returned "billed 0"',
    'run completed with ["billed 0"]',
]


async def history_of(
    *, months: int = 1, prepare: Callable[[TestEnvironment], Awaitable[None]] | None = None
) -> list[RecordedEvent]:
    async with TestEnvironment() as env:
        if prepare is not None:
            await prepare(env)
        run = await env.start(subscription, months)
        with suppress(RunError):
            await run.result()
        return await env.history(run)


async def test_a_history_reads_as_lines() -> None:
    assert history_lines(await history_of()) == LINES


async def test_a_history_is_as_expected() -> None:
    history = await history_of(months=3)
    assert_history(history, ["run created: *", ..., "run completed with *"])
    assert_history(history, [..., "activity debit(1) called", 'activity debit returned "billed ?"', ...])
    assert_history(history, ["activity debit(*) called", "activity debit returned *"] * 3, only=["activity"])
    assert_history(history, ["timer of 30 days* set", "timer of 30 days* fired"] * 3, only=["timer"])


@pytest.mark.parametrize(
    "expected",
    [
        LINES[:-1],
        LINES[1:],
        [*LINES, ...][::-1],
        [..., "activity debit(1) called", ...],
        [*LINES[:3], ..., *LINES[2:]],
        [],
    ],
)
async def test_another_history_is_not(expected: list[str]) -> None:
    with pytest.raises(AssertionError, match="the history is not as expected"):
        assert_history(await history_of(), expected)


async def test_a_difference_shows_both_sides_and_the_whole_history() -> None:
    with pytest.raises(AssertionError) as failed:
        assert_history(await history_of(), ["activity debit(?) called", "activity debit failed: *"], only=["activity"])
    assert str(failed.value).splitlines() == [
        "the history is not as expected",
        "--- expected",
        "+++ history",
        "@@ -1,2 +1,2 @@",
        " activity debit(?) called",
        "-activity debit failed: *",
        '+activity debit returned "billed 0"',
        "",
        "the whole history:",
        "    activity debit(0) called",
        '    activity debit returned "billed 0"',
    ]


async def test_brackets_in_an_expected_line_stand_for_themselves() -> None:
    assert_history(await history_of(), [..., 'run completed with ["billed *"]'])


async def test_an_unknown_kind_of_lines_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="there is no kind 'activities' of lines; there are run, activity"):
        assert_history(await history_of(), [], only=["activities"])


async def test_crashes_do_not_show() -> None:
    async with TestEnvironment() as env:
        run = await env.start(subscription, 1)
        await env.crash_and_recover()
        await run.result()
        assert_history(await env.history(run), LINES)


async def test_failed_attempts_and_failures_have_lines() -> None:
    async def prepare(env: TestEnvironment) -> None:
        env.fail_next(debit, ConnectionError("no route"))
        env.fail_next(debit, NonRetryableError("no card"))

    lines = history_lines(await history_of(prepare=prepare))
    assert "activity debit failed attempt 1: ConnectionError: no route" in lines
    assert "activity debit failed: NonRetryableError: no card" in lines
    assert lines[-1].startswith("run failed: ActivityFailedError: ")


async def test_messages_state_stages_and_children_have_lines() -> None:
    @activity(timeout=timedelta(seconds=1), retry=Retry(attempts=1), fallback=print_letter)
    async def write_letter(text: str) -> int:
        await asyncio.sleep(5)
        return len(text)

    @workflow
    async def everything(ctx: Context) -> None:
        async with ctx.stage("first"):
            await ctx.run_child(subscription, 1, id="child")
        ctx.set("color", "red")
        ctx.delete("color")
        ctx.add_compensation(print_letter, "sorry")
        await ctx.compensate()
        await write_letter("late")

    async with TestEnvironment() as env:
        run = await env.start(everything)
        await run.result()
        lines = history_lines(await env.history(run))
    assert lines == [
        "run created: everything()",
        "stage first entered",
        "child child started as subscription(1)",
        'child child returned ["billed 0"]',
        "stage first left",
        'state color = "red"',
        "state color deleted",
        "compensation of 1 begun",
        'activity print_letter("sorry") called',
        "activity print_letter returned 5",
        "compensation ended",
        'activity write_letter("late") called',
        "activity write_letter timed out (start_to_close)",
        'activity print_letter("late") called',
        "activity print_letter returned 4",
        "run completed with null",
    ]


async def test_signals_updates_cancellations_and_suspensions_have_lines() -> None:
    async with TestEnvironment() as env:
        run = await env.start(invoice)
        await run.update(raise_price, 5)
        await run.suspend("audit")
        await run.resume()
        await run.signal(pay, 9)
        await run.result()
        lines = history_lines(await env.history(run))
        other = await env.start(awaiting)
        await other.cancel("enough")
        await env.run_until_idle()
        assert history_lines(await env.history(other))[1:] == ["run cancel requested: enough", "run cancelled: enough"]
    assert lines == [
        "run created: invoice()",
        "timer of 7 days, 0:00:00 set",
        "update raise price accepted: 5",
        "update raise price returned 105",
        "run suspended: audit",
        "run resumed",
        "signal pay received: 9",
        "timer of 7 days, 0:00:00 cancelled",
        "state paid = 9",
        'run completed with "paid 9 of 105"',
    ]


async def test_locks_have_lines() -> None:
    @workflow
    async def locking(ctx: Context) -> None:
        async with ctx.lock("desk"):
            try:
                async with ctx.lock("desk"):
                    pass
            except DeadlockError:
                pass
            with suppress(TimeoutError):
                async with ctx.lock("desk", timeout=timedelta(0)):
                    pass

    async with TestEnvironment() as env:
        run = await env.start(locking)
        await run.result()
        history = await env.history(run)
    lines = ["lock desk requested", "lock desk held", "lock desk requested", "lock desk refused: a deadlock"]
    lines += ["lock desk requested", "lock desk refused: it is not free"]
    assert_history(history, [*lines, "lock desk given back"], only=["lock"])
