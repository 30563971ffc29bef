"""Misuse: a wrong argument is refused where it is passed, and harms no run."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perdure import Context, Priority, Run, Settings, Signal, UsageError, workflow
from perdure.errors import InvalidArgumentError
from perdure.ports.store import RunQuery
from tests.journeys.conftest import MakeEngine

go = Signal("go", int)
HALF_A_PAIR = "\ud800"
A_TEXT: Any = 5  # given where a text is wanted


@workflow(name="waits_while_misused")
async def waiting(ctx: Context) -> int:
    return await ctx.wait_for(go)


@pytest.mark.parametrize(
    "arguments",
    [
        {"id": ""},
        {"id": A_TEXT},
        {"id": HALF_A_PAIR},
        {"id_policy": "nonsense"},
        {"priority": 99},
        {"tenant": A_TEXT},
        {"tenant": HALF_A_PAIR},
        {"labels": {"number": 1}},
        {"labels": {1: "name"}},
        {"labels": {"half": HALF_A_PAIR}},
        {"labels": ["a list"]},
        {"start_at": datetime(2030, 1, 1)},  # noqa: DTZ001 - without a time zone: what is tested
        {"start_at": "tomorrow"},
        {"start_after": 5},
        {"start_after": timedelta(-1)},
        {"start_after": timedelta(1), "start_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"execution_timeout": timedelta(0)},
        {"execution_timeout": 5},
        {"request_id": A_TEXT},
    ],
    ids=repr,
)
async def test_a_wrong_argument_of_start_is_refused_by_name(make_engine: MakeEngine, arguments: dict[str, Any]) -> None:
    async with make_engine() as engine:
        with pytest.raises(InvalidArgumentError, match=next(iter(arguments)).partition("_")[0]):
            await engine.start(waiting, **arguments)
        assert await engine.count_runs() == 0


MESSAGES: dict[str, Callable[[Run[int]], Coroutine[Any, Any, object]]] = {
    "a reason that is no text": lambda run: run.cancel(A_TEXT),
    "a reason that cannot be encoded": lambda run: run.terminate(HALF_A_PAIR),
    "an object as a reason": lambda run: run.suspend(ValueError("late")),  # type: ignore[arg-type]
    "by that is no text": lambda run: run.resume(by=A_TEXT),
    "a grace that is no duration": lambda run: run.cancel(grace=A_TEXT),
    "a priority that there is not": lambda run: run.set_priority(99),  # type: ignore[arg-type]
    "a request id that is no text": lambda run: run.signal(go, 1, request_id=A_TEXT),
    "a wrong body": lambda run: run.signal(go, "one"),  # type: ignore[misc]
    "a timeout that is no duration": lambda run: run.result(timeout=A_TEXT),
}


@pytest.mark.parametrize("send", MESSAGES.values(), ids=MESSAGES.keys())
async def test_a_wrong_message_is_refused_and_the_run_goes_on(
    make_engine: MakeEngine, send: Callable[[Run[int]], Coroutine[Any, Any, object]]
) -> None:
    async with make_engine() as engine:
        run = await engine.start(waiting)
        with pytest.raises(UsageError):
            await send(run)
        await run.signal(go, 1)
        assert await run.result() == 1


async def _stage(ctx: Context) -> None:
    async with ctx.stage(A_TEXT):
        pass


CALLS: dict[str, Callable[[Context], object]] = {
    "a label that is no text": lambda ctx: ctx.set_labels(number=A_TEXT),
    "a label that cannot be encoded": lambda ctx: ctx.set_labels(half=HALF_A_PAIR),
    "an attribute that is no text": lambda ctx: ctx.trace_event("seen", number=A_TEXT),
    "a trace event without a name": lambda ctx: ctx.trace_event(A_TEXT),
    "a stage without a name": _stage,
    "a reason that is no text": lambda ctx: ctx.suspend(A_TEXT),
    "a run id that is no text": lambda ctx: ctx.signal(A_TEXT, go, 1),
    "a priority that there is not": lambda ctx: ctx.set_priority(99),  # type: ignore[arg-type]
    "a reason of a priority": lambda ctx: ctx.set_priority(Priority.LOW, reason=A_TEXT),
    "a key that is no text": lambda ctx: ctx.set(A_TEXT, 1),
    "a child with a wrong label": lambda ctx: ctx.start_child(waiting, labels={"number": A_TEXT}),
    "a child with a wrong id": lambda ctx: ctx.start_child(waiting, id=HALF_A_PAIR),
    "a child with a wrong policy": lambda ctx: ctx.start_child(waiting, policy="nonsense"),  # type: ignore[arg-type]
    "a child with a wrong priority": lambda ctx: ctx.start_child(waiting, priority=99),  # type: ignore[arg-type]
    "a patch without a name": lambda ctx: ctx.patched(A_TEXT),
}


@workflow
async def misusing(ctx: Context, what: str) -> str:
    refusal = ""
    try:
        called = CALLS[what](ctx)
        if asyncio.iscoroutine(called):
            await called
    except UsageError as error:
        refusal = str(error)
    await ctx.wait_for(go)
    return refusal


@pytest.mark.parametrize("what", CALLS)
async def test_a_wrong_argument_in_workflow_code_is_refused_and_the_run_can_be_loaded_again(
    make_engine: MakeEngine, what: str
) -> None:
    async with make_engine() as engine:
        run = await engine.start(misusing, what, id="misusing")
    async with make_engine() as engine:
        run = await engine.get_run("misusing", misusing)
        await run.signal(go, 1)
        assert await run.result()


async def test_a_client_sees_its_own_namespace_only(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(waiting)
        engine.namespace = "another"
        assert await engine.count_runs(RunQuery(id_prefix=run.id)) == 0
        assert [found async for found in engine.all_runs(RunQuery())] == []


async def test_a_request_made_again_without_an_id_finds_its_run(make_engine: MakeEngine) -> None:
    async with make_engine(Settings()) as engine:
        first = await engine.start(waiting, request_id="request-1")
        again = await engine.start(waiting, request_id="request-1")
        assert again.id == first.id
        await again.signal(go, 8)
        assert await first.result() == 8
