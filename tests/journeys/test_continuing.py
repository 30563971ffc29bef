"""Continue as new: the arguments are those of the version that will run, and a wrong call fails where it is made."""

from typing import Any

import pytest

from perdure import Context, RunFailedError, RunStatus, Signal, Workflow, workflow
from perdure.authoring.registry import Registry
from perdure.errors import InvalidArgumentError, WrongContextError
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine
from tests.kernel.lives import Life, created_for, program_of, replay

go = Signal("go", str)


@workflow(name="continuing.count", version="1")
async def count_1(ctx: Context, left: int) -> str:
    if left > 0:
        count_1.continue_as_new(left - 1)
    ctx.continue_as_new(left)


@workflow(name="continuing.count", version="2")
async def count_2(ctx: Context, left: int, step: int = 1) -> str:
    if left < 3:
        count_2.continue_as_new(left + step, step)
    return f"{left} in version {ctx.info.version}"


@workflow(name="continuing.count", version="3")
async def count_3(ctx: Context, names: list[str]) -> str:
    return ", ".join(names)


def having(*definitions: Workflow[*tuple[Any, ...], Any]) -> Registry:
    registry = Registry()
    for definition in definitions:
        registry.add_workflow(definition)
    return registry


async def test_a_workflow_goes_on_as_itself_and_else_as_the_newest(make_engine: MakeEngine) -> None:
    async with make_engine(registry=having(count_1, count_2)) as engine:
        run = await engine.start(count_1, 2)
        assert await run.result() == "3 in version 2"
        assert (await run.describe()).ref.generation == 7


async def test_arguments_that_the_newest_version_does_not_take_fail_the_call(make_engine: MakeEngine) -> None:
    async with make_engine(registry=having(count_1, count_3)) as engine:
        run = await engine.start(count_1, 0)
        with pytest.raises(RunFailedError) as failed:
            await run.result()
        assert failed.value.failure_type == "InvalidArgumentError"
        assert failed.value.failure_message.startswith(
            "ctx.continue_as_new: the next generation has version '3' of workflow continuing.count, the newest here, "
            "which does not take these arguments: continuing.count(): recorded argument 'names'"
        )
        summary = await run.describe()
        assert (summary.status, summary.ref.generation) == (RunStatus.FAILED, 1)


def test_a_run_that_went_on_is_replayed_whatever_the_newest_version_takes() -> None:
    created = created_for(count_1, 0)
    lived = Life(program_of(count_1.entry(having(count_1, count_2)), created), created)
    lived.begin()
    assert isinstance(lived.state.closing, e.RunContinued)
    for page in (1, 1_000):
        again = replay(count_1.entry(having(count_1, count_3)), lived.history, page=page)
        assert isinstance(again.state.closing, e.RunContinued)


@workflow(name="continuing.hesitant", version="1")
async def hesitant_1(ctx: Context, given: Any) -> str:
    try:
        ctx.continue_as_new(given)
    except InvalidArgumentError:
        told = await ctx.wait_for(go)
    if told == "next":
        ctx.continue_as_new(["ada"])
    return f"stayed: {told}"


@workflow(name="continuing.hesitant", version="2")
async def hesitant_2(ctx: Context, given: list[str]) -> str:
    return ", ".join(given)


@workflow(name="continuing.hesitant", version="3")
async def hesitant_3(ctx: Context, given: int) -> str:
    return str(given)


@pytest.mark.parametrize("word", ["stay", "next"])
@pytest.mark.parametrize("newest", [hesitant_1, hesitant_2, hesitant_3])
def test_a_refusal_that_code_has_caught_is_replayed_whatever_is_the_newest_version(
    word: str, newest: Workflow[*tuple[Any, ...], Any]
) -> None:
    created = created_for(hesitant_1, 1)
    lived = Life(program_of(hesitant_1.entry(having(hesitant_1, hesitant_2)), created), created)
    lived.begin()
    entry = hesitant_1.entry(having(*{hesitant_1, newest}))
    assert replay(entry, lived.history).state.closing is None
    lived.signal("go", word)
    assert isinstance(lived.state.closing, e.RunContinued if word == "next" else e.RunCompleted)
    for page in (1, 1_000):
        again = replay(entry, lived.history, page=page)
        assert again.state.closing == lived.state.closing


async def test_a_run_does_not_go_on_as_another_workflow(make_engine: MakeEngine) -> None:
    @workflow(name="continuing.other")
    async def other(ctx: Context) -> str:
        count_1.continue_as_new(1)

    async with make_engine(registry=having(other, count_1)) as engine:
        with pytest.raises(RunFailedError, match="and stays so; start one of"):
            await (await engine.start(other)).result()


def test_only_a_run_goes_on() -> None:
    with pytest.raises(WrongContextError, match="continue_as_new was called outside of a workflow"):
        count_1.continue_as_new(1)
