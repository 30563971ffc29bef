"""What a run's code shares with others: children that several tasks wait for, queries that look in from outside."""

import asyncio
from typing import Any

import pytest

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import workflow
from perdure.errors import ChildRunError, WrongContextError
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.identity import Operation
from tests.kernel.lives import BROKEN, json, life_of

go = Signal("go", int)


@activity(name="journal.pay")
async def pay(amount: int) -> int:
    return amount


def kinds(events: list[e.Event]) -> list[type[e.Event]]:
    return [type(event) for event in events]


# --- child runs ----------------------------------------------------------------------------------------------------


@workflow
async def packing(ctx: Context, amount: int) -> int:
    return amount


def reported(operation: int, result: object) -> m.Message:
    return m.ChildCompletedMessage(operation=Operation(operation), result=json(result))


def test_two_can_wait_for_one_child_and_one_of_them_give_up() -> None:
    @workflow
    async def two_wait(ctx: Context) -> list[Any]:
        child = ctx.start_child(packing, 1)
        impatient = asyncio.create_task(asyncio.wait_for(child.result(), timeout=1))
        patient = asyncio.create_task(child.result())
        await asyncio.wait([impatient])
        return [impatient.cancelled() or type(impatient.exception()).__name__, await patient, await child.result()]

    run = life_of(two_wait)
    run.begin()
    assert kinds(run.wait(1)) == [e.TimerFired]
    run.message(reported(1, 5))
    assert run.result == ["TimeoutError", 5, 5]


def test_a_child_is_given_up_with_the_last_who_waits_for_it() -> None:
    @workflow
    async def all_give_up(ctx: Context) -> str:
        child = ctx.start_child(packing, 1)
        waiting = [asyncio.create_task(child.result()) for _ in range(3)]
        await asyncio.sleep(1)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        try:
            await child.result()
        except asyncio.CancelledError:
            return child.id
        return "waited"

    run = life_of(all_give_up)
    run.begin()
    assert kinds(run.wait(1)) == [e.TimerFired, e.ChildCancelled, e.RunCompleted]
    assert run.result == "order-1/1"


def test_a_child_that_ended_without_a_result_is_an_error_where_it_is_awaited() -> None:
    @workflow
    async def hopeful(ctx: Context) -> list[str]:
        try:
            await ctx.run_child(packing, 1, id="box")
        except ChildRunError as error:
            return [error.run_id, error.outcome, error.failure_type, error.failure_message]
        return []

    run = life_of(hopeful)
    run.begin()
    run.message(m.ChildFailedMessage(operation=Operation(1), outcome=e.ChildOutcome.FAILED, failure=BROKEN))
    assert run.result == ["box", "failed", "ValueError", "broken"]


# --- queries -------------------------------------------------------------------------------------------------------


def test_a_query_reads_and_is_refused_what_would_change_the_run() -> None:
    """What a handler recorded or drew would not be on the replay."""

    @workflow
    async def asked(ctx: Context) -> float:
        @ctx.query("read")
        def read() -> object:
            return ctx.get("k")

        ctx.query("set")(lambda: ctx.set("k", 2))
        ctx.query("random")(lambda: ctx.random.randint(1, 9))
        ctx.query("wait")(lambda: ctx.wait_for(go).send(None))
        ctx.query("uuid")(ctx.uuid4)
        ctx.set("k", 1)
        await pay(1)
        return ctx.random.random()

    run = life_of(asked)
    run.begin()
    assert isinstance(run.program, CoroutineProgram)
    handlers = run.program.journal.query_handlers
    assert handlers["read"]() == 1
    for name in ("set", "random", "wait", "uuid"):
        with pytest.raises(
            WrongContextError, match="in a query handler, a validator or a condition, which may only read"
        ):
            handlers[name]()
    run.succeed(2, 1)
    unasked = life_of(asked)
    unasked.begin()
    unasked.succeed(2, 1)
    assert run.result == unasked.result
