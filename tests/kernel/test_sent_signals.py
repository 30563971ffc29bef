"""Signals that workflow code sends: awaited, they tell what became of them, also to code that is replayed."""

import asyncio

import pytest

from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import workflow
from perdure.errors import RunClosedError, RunNotFoundError, WrongContextError
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.identity import Operation
from tests.kernel.lives import Life, life_of, replay

go = Signal("go", int)
OUTCOMES = {
    e.SignalOutcome.DELIVERED: "delivered",
    e.SignalOutcome.MISSING: "RunNotFoundError",
    e.SignalOutcome.CLOSED: "RunClosedError",
}


@workflow(name="kernel_telling")
async def telling(ctx: Context) -> str:
    await asyncio.sleep(1)
    try:
        await ctx.signal("other", go, 1)
    except (RunNotFoundError, RunClosedError) as error:
        return type(error).__name__
    return "delivered"


@workflow(name="kernel_giving_up")
async def giving_up(ctx: Context) -> str:
    try:
        async with asyncio.timeout(5):
            await ctx.signal("other", go, 1)
    except TimeoutError:
        await asyncio.sleep(100)
        return "given up"
    return "delivered"


@workflow(name="kernel_sending_twice")
async def sending_twice(ctx: Context) -> None:
    _ = ctx.signal("other", go, 1)
    await ctx.signal("another", go, 2)


@workflow(name="kernel_awaiting_twice")
async def awaiting_twice(ctx: Context) -> list[str]:
    signal = ctx.signal("other", go, 1)

    async def wait() -> str:
        try:
            await signal
        except WrongContextError:
            return "refused"
        return "delivered"

    return list(await asyncio.gather(wait(), wait()))


def answer(run: Life, outcome: e.SignalOutcome, *, operation: int) -> list[e.Event]:
    return run.message(m.SignalAnswerMessage(operation=Operation(operation), outcome=outcome))


def sent(run: Life) -> list[e.SignalSent]:
    return [event for event in run.events if isinstance(event, e.SignalSent)]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_code_that_awaits_its_signal_learns_what_became_of_it(outcome: e.SignalOutcome) -> None:
    run = life_of(telling)
    run.begin()
    run.wait(1)
    assert [event.expects_answer for event in sent(run)] == [True]
    answer(run, outcome, operation=2)
    assert run.result == OUTCOMES[outcome]


def test_code_that_is_replayed_awaits_its_signal_again_and_sends_it_once() -> None:
    run = life_of(telling)
    run.begin()
    run.wait(1)
    again = replay(telling.entry(), run.history, page=1)
    assert len(sent(again)) == 1
    answer(again, e.SignalOutcome.MISSING, operation=2)
    assert again.result == "RunNotFoundError"


def test_an_answer_that_comes_after_the_wait_was_given_up_changes_nothing() -> None:
    run = life_of(giving_up)
    run.begin()
    run.wait(5)
    answer(run, e.SignalOutcome.CLOSED, operation=sent(run)[0].operation)
    run.wait(100)
    assert run.result == "given up"
    assert replay(giving_up.entry(), run.history).result == "given up"


def test_a_signal_that_is_awaited_already_is_not_awaited_again() -> None:
    run = life_of(awaiting_twice)
    run.begin()
    answer(run, e.SignalOutcome.DELIVERED, operation=1)
    assert run.result == ["delivered", "refused"]


def test_only_the_signal_that_is_awaited_asks_for_an_answer_of_its_delivery() -> None:
    run = life_of(sending_twice)
    run.begin()
    assert [event.expects_answer for event in sent(run)] == [False, True]
