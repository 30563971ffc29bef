"""Conditions: code waits until the run's other code has changed something, without an event for it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from perdure import Context, Signal, Update, activity, workflow
from perdure.errors import UsageError
from perdure.kernel import events as e
from tests.kernel.lives import Life, life_of, replay, value_of

put: Update[int, None] = Update("put", int, None)
number = Signal("number", int)


@activity
async def note(what: int) -> int:
    return what


@workflow
async def taking_numbers(ctx: Context, wanted: int) -> list[int]:
    """Take numbers by updates and by signals until there are enough."""
    numbers: list[int] = []

    async def take(given: int) -> None:
        numbers.append(given)

    async def listen() -> None:
        while True:
            numbers.append(await ctx.wait_for(number))

    ctx.on_update(put, take)
    listening = asyncio.create_task(listen())
    await ctx.wait_until(lambda: len(numbers) >= wanted)
    listening.cancel()
    return numbers


def kinds(run: Life) -> list[str]:
    return [type(event).__name__ for event in run.events]


def test_it_goes_on_when_handlers_and_tasks_have_made_it_true() -> None:
    run = life_of(taking_numbers, 3)
    run.begin()
    run.update("u-1", "put", 1)
    run.signal("number", 2)
    assert run.result is None
    run.update("u-2", "put", 3)
    assert run.result == [1, 2, 3]


def test_nothing_is_recorded_of_it() -> None:
    run = life_of(taking_numbers, 1)
    run.begin()
    run.signal("number", 5)
    assert kinds(run) == ["RunCreated", "RunStarted", "SignalReceived", "RunCompleted"]


def test_what_is_true_already_is_not_waited_for() -> None:
    run = life_of(taking_numbers, 0)
    run.begin()
    assert run.result == []


@pytest.mark.parametrize("page", [1, 1_000])
def test_a_replay_goes_on_at_the_same_event(page: int) -> None:
    @workflow
    async def adding_up(ctx: Context) -> int:
        total = 0

        async def add(given: int) -> None:
            nonlocal total
            total += given

        ctx.on_update(put, add)
        await ctx.wait_until(lambda: total >= 3)
        return await note(total)

    lived = life_of(adding_up)
    lived.begin()
    for number_ in range(1, 4):
        lived.update(f"u-{number_}", "put", number_)
    run = replay(adding_up.entry(), lived.history, page=page)
    assert [value_of(a.input) for a in run.events if isinstance(a, e.ActivityScheduled)] == [[3]]
    run.succeed(run.pending[0], 3)
    assert run.result == 3


def test_each_finds_its_condition_true_though_the_first_takes_it_away() -> None:
    @workflow
    async def sharing(ctx: Context) -> list[str]:
        pieces = 0
        taken: list[str] = []

        async def add(given: int) -> None:
            nonlocal pieces
            pieces += given

        async def take(name: str) -> None:
            nonlocal pieces
            await ctx.wait_until(lambda: pieces > 0)
            assert pieces > 0
            pieces -= 1
            taken.append(name)

        ctx.on_update(put, add)
        await asyncio.gather(take("a"), take("b"), take("c"))
        return taken

    run = life_of(sharing)
    run.begin()
    run.update("u-1", "put", 1)
    assert run.result is None
    run.update("u-2", "put", 2)
    assert run.result == ["a", "b", "c"]


def test_one_that_comes_true_can_make_an_earlier_one_true() -> None:
    @workflow
    async def passing_on(ctx: Context) -> str:
        passed: list[str] = []

        async def last() -> None:
            await ctx.wait_until(lambda: "second" in passed)
            passed.append("last")

        async def second() -> None:
            await ctx.wait_until(lambda: "first" in passed)
            passed.append("second")

        async def first() -> None:
            await ctx.wait_for(number)
            passed.append("first")

        await asyncio.gather(last(), second(), first())
        return " ".join(passed)

    run = life_of(passing_on)
    run.begin()
    run.signal("number", 1)
    assert run.result == "first second last"


# --- an end of the wait ----------------------------------------------------------------------------------------------


@workflow
async def of_limited_patience(ctx: Context, how: str) -> str:
    numbers: list[int] = []
    seconds = 60

    async def take(given: int) -> None:
        numbers.append(given)

    ctx.on_update(put, take)
    try:
        if how == "argument":
            await ctx.wait_until(lambda: bool(numbers), timeout=timedelta(seconds=seconds))
        else:
            async with asyncio.timeout(seconds):
                await ctx.wait_until(lambda: bool(numbers))
    except TimeoutError:
        return "too late"
    return "in time"


@pytest.mark.parametrize("how", ["argument", "asyncio"])
def test_its_time_may_be_limited(how: str) -> None:
    late, timely = life_of(of_limited_patience, how), life_of(of_limited_patience, how)
    late.begin()
    late.wait(59)
    assert late.result is None
    late.wait(1)
    assert late.result == "too late"
    timely.begin()
    timely.wait(59)
    timely.update("u-1", "put", 1)
    assert timely.result == "in time"
    assert "TimerCancelled" in kinds(timely)


def test_a_cancelled_wait_ends_the_run() -> None:
    run = life_of(taking_numbers, 1)
    run.begin()
    run.cancel("enough")
    assert isinstance(run.result, e.RunCancelled)


# --- what is no condition --------------------------------------------------------------------------------------------


async def never() -> bool:
    return False


@workflow
async def misjudging(ctx: Context, kind: str) -> str:
    def changes_state() -> bool:
        ctx.set("asked", True)
        return True

    conditions: dict[str, Any] = {
        "no function": True,
        "async def": never,
        "a call of an async def": lambda: never(),  # noqa: PLW0108 - the lambda is the condition
        "a call of an activity": lambda: note(1),
        "an effect": changes_state,
        "raises": lambda: 1 // 0,
        "raises StopIteration": lambda: next(iter(())),
    }
    try:
        await ctx.wait_until(conditions[kind])
    except Exception as error:  # noqa: BLE001 - which one it is, is the result
        return f"{type(error).__name__}: {error}"
    return "went on"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no function", "InvalidArgumentError: ctx.wait_until: True is no condition. Give a plain function that only"),
        ("async def", "InvalidArgumentError: ctx.wait_until: never is no condition"),
        (
            "a call of an async def",
            "InvalidArgumentError: ctx.wait_until: misjudging.<locals>.<lambda> is no condition",
        ),
        (
            "a call of an activity",
            "WrongContextError: the context of run default/order-1 was used, or an activity called",
        ),
        ("an effect", "WrongContextError: the context of run default/order-1 was used, or an activity called"),
        ("raises", "ZeroDivisionError: "),
        ("raises StopIteration", "RuntimeError: "),
    ],
)
def test_what_is_no_condition_is_refused(kind: str, said: str) -> None:
    run = life_of(misjudging, kind)
    run.begin()
    assert run.result.startswith(said)
    assert kinds(run) == ["RunCreated", "RunStarted", "RunCompleted"]


def test_an_error_of_a_condition_that_is_asked_again_is_raised_where_it_is_waited_for() -> None:
    @workflow
    async def failing(ctx: Context) -> str:
        shares = [1]

        async def divide(by: int) -> None:
            shares.append(by)

        ctx.on_update(put, divide)
        try:
            await ctx.wait_until(lambda: 10 // shares[-1] == 5)
        except ZeroDivisionError:
            return "no share"
        return "shared"

    run = life_of(failing)
    run.begin()
    run.update("u-1", "put", 0)
    assert run.result == "no share"


def test_code_that_only_waits_for_itself_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow
    async def table_tennis(ctx: Context) -> None:
        side = 0

        async def play(mine: int) -> None:
            nonlocal side
            while True:
                await ctx.wait_until(is_turn_of[mine])
                side = 1 - mine

        is_turn_of = [lambda: side == 0, lambda: side == 1]

        await asyncio.gather(play(0), play(1))

    monkeypatch.setattr("perdure.kernel.loop._CALLBACKS_LIMIT", 1_000)
    with pytest.raises(UsageError, match="without waiting for an activity, a timer, a signal or a child run"):
        life_of(table_tennis).begin()


def test_unwinding_code_asks_nothing_any_more() -> None:
    asked: list[str] = []

    @workflow
    async def cleaning_up(ctx: Context) -> None:
        def is_over() -> bool:
            asked.append("is it over?")
            return False

        try:
            await ctx.wait_until(is_over)
        finally:
            await ctx.wait_until(is_over)

    run = life_of(cleaning_up)
    run.begin()
    before = len(asked)
    run.program.close()
    assert len(asked) == before
