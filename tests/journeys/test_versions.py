"""Several versions of a workflow side by side: each run stays with the one that it began with."""

from datetime import timedelta
from typing import Any

import pytest

from perdure import (
    Context,
    Engine,
    Retry,
    Run,
    RunFailedError,
    Signal,
    SyncEngine,
    UsageError,
    Workflow,
    fixed,
    workflow,
)
from perdure.authoring.registry import Registry
from perdure.errors import UnknownWorkflowError
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine

go = Signal("go", int)


@workflow(name="versions.order", version="1")
async def order_1(ctx: Context, item: str) -> str:
    @ctx.query("version")
    def version() -> str:
        return "first"

    number = await ctx.wait_for(go)
    return f"{item} in the first way: {number}"


@workflow(name="versions.order", version="2", stages=("pack", "ship"))
async def order(ctx: Context, item: str) -> str:
    async with ctx.stage("pack"):
        number = await ctx.wait_for(go)
    return f"{item} in the second way: {number}"


@workflow(name="versions.parent")
async def parent(ctx: Context, version: str | None) -> str:
    child = ctx.start_child(order, "lamp", id="child", version=version)
    ctx.signal("child", go, 3)
    return await child.result()


def having(*definitions: Workflow[*tuple[Any, ...], Any]) -> Registry:
    """Return what a process knows that has imported these."""
    registry = Registry()
    for definition in definitions:
        registry.add_workflow(definition)
    return registry


async def test_each_run_goes_on_with_the_version_that_it_began_with(make_engine: MakeEngine) -> None:
    async with make_engine(registry=having(order_1)) as before:
        await before.start(order_1, "lamp", id="old")
    async with make_engine(registry=having(order, order_1)) as engine:
        old = await engine.get_run("old", order)
        new = await engine.start(order, "chair", id="new")
        for run in (old, new):
            await run.signal(go, 5)
        assert await old.result() == "lamp in the first way: 5"
        assert await new.result() == "chair in the second way: 5"
        assert [(await run.describe()).definition_version for run in (old, new)] == ["1", "2"]


async def test_a_start_may_name_the_version(make_engine: MakeEngine) -> None:
    async with make_engine(registry=having(order, order_1)) as engine:
        run = await engine.start(order, "lamp", version="1")
        await run.signal(go, 1)
        assert await run.result() == "lamp in the first way: 1"
        with pytest.raises(UsageError, match=r"version is 2 \(int\); it must be a text"):
            await engine.start(order, "lamp", version=2)  # type: ignore[arg-type]


async def test_a_run_whose_version_no_process_has_waits_for_one_that_has_it(make_engine: MakeEngine) -> None:
    async with make_engine(registry=having(order)) as newer:
        run = await newer.start(order, "lamp", id="waits", version="1")
        await run.signal(go, 2)
        assert (await run.describe()).owner is None
        with pytest.raises(UnknownWorkflowError, match=r"but not its version '1'.*version='1'.*Known: 2\."):
            await run.query("version")
    async with make_engine(registry=having(order_1)) as older:
        assert await (await older.get_run("waits", order_1)).result() == "lamp in the first way: 2"


async def test_a_version_that_is_imported_later_is_found_at_once(make_engine: MakeEngine) -> None:
    registry = having(order)
    async with make_engine(registry=registry) as engine:
        run = await engine.start(order, "lamp", version="1")
        await run.signal(go, 2)
        registry.add_workflow(order_1)
        assert await run.result() == "lamp in the first way: 2"


async def test_a_child_has_the_version_of_its_definition_or_the_one_that_is_told(make_engine: MakeEngine) -> None:
    async with make_engine(registry=having(parent, order, order_1)) as engine:
        assert await (await engine.start(parent, None)).result() == "lamp in the second way: 3"
    async with make_engine(registry=having(parent, order, order_1)) as engine:
        child = await (await engine.get_run("child")).describe()
        assert child.definition_version == "2"


async def test_a_child_may_be_of_an_older_version(make_engine: MakeEngine) -> None:
    async with make_engine(registry=having(parent, order, order_1)) as engine:
        assert await (await engine.start(parent, "1")).result() == "lamp in the first way: 3"


async def first(run: Run[Any]) -> e.Event:
    events = [recorded.event async for recorded in run.history()]
    return events[0]


# --- the next generation -----------------------------------------------------------------------------------------


@workflow(name="versions.long", version="9")
async def long_9(ctx: Context, seen: list[str], told: str | None) -> list[str]:
    ctx.continue_as_new([*seen, ctx.info.version], told, version=told)


@workflow(name="versions.long", version="10", stages=("end",))
async def long_10(ctx: Context, seen: list[str], told: str | None, more: int = 1) -> list[str]:
    if told is not None and len(seen) < 3:
        ctx.continue_as_new([*seen, ctx.info.version], told, version=told)
    return [*seen, ctx.info.version]


async def test_the_next_generation_has_the_newest_version(make_engine: MakeEngine) -> None:
    async with make_engine(registry=having(long_10, long_9)) as engine:
        run = await engine.start(long_9, [], None)
        assert await run.result() == ["9", "10"]
        created = await first(run)
        assert isinstance(created, e.RunCreated)
        assert (created.definition_version, created.stages) == ("10", ("end",))


async def test_the_next_generation_may_be_told_its_version(make_engine: MakeEngine) -> None:
    @workflow(name="versions.told", version="2")
    async def told_2(ctx: Context) -> str:
        return "the second way"

    @workflow(name="versions.told", version="1")
    async def told_1(ctx: Context, left: int) -> str:
        if left:
            ctx.continue_as_new(left - 1, version=ctx.info.version)
        ctx.continue_as_new(version="2")  # whose arguments are others

    async with make_engine(registry=having(told_1, told_2)) as engine:
        run = await engine.start(told_1, 2)
        assert await run.result() == "the second way"
        assert (await run.describe()).ref.generation == 4


async def test_a_workflow_that_is_tried_again_keeps_its_version(make_engine: MakeEngine) -> None:
    @workflow(name="versions.tried", version="1", retry=Retry(attempts=2, backoff=fixed(timedelta(milliseconds=1))))
    async def tried_1(ctx: Context) -> None:
        raise ValueError(ctx.info.version)

    @workflow(name="versions.tried", version="2")
    async def tried_2(ctx: Context) -> None: ...

    async with make_engine(registry=having(tried_1, tried_2)) as engine:
        run = await engine.start(tried_1)
        with pytest.raises(RunFailedError) as failed:
            await run.result()
        assert failed.value.failure_message == "1"
        assert (await run.describe()).ref.generation == 2


# --- what a process has ------------------------------------------------------------------------------------------


def test_the_newest_version_is_the_greatest_in_whatever_order_they_come() -> None:
    def at(version: str) -> Workflow[Any]:
        @workflow(name="versions.many", version=version)
        async def many(ctx: Context) -> None: ...

        return many

    registry = having(*map(at, ("10", "9", "1.10", "1.9", "2026-05", "11-beta", "11")))
    assert registry.versions_of("versions.many") == ("1.9", "1.10", "9", "10", "11", "11-beta", "2026-05")
    assert registry.workflow("versions.many").version == "2026-05"
    assert registry.workflow("versions.many", "9").version == "9"


def test_two_functions_may_have_one_name_but_not_one_version() -> None:
    registry = having(order, order_1)
    with pytest.raises(UsageError, match=r"two workflow version '2' functions are named 'versions.order'.*version="):
        workflow(name="versions.order", version="2")(long_9.function)
    assert registry.workflow("versions.order") is order


def test_the_synchronous_engine_starts_versions_too() -> None:
    with SyncEngine("memory:") as engine:
        run = engine.start(order, "lamp", version="1")
        run.signal(go, 1)
        assert run.result() == "lamp in the first way: 1"


async def test_limits_of_activities_are_those_of_the_newest_version() -> None:
    @workflow(name="versions.limited", version="2", max_concurrent_activities=2)
    async def limited_2(ctx: Context) -> None: ...

    @workflow(name="versions.limited", version="1", max_concurrent_activities=7)
    async def limited_1(ctx: Context) -> None: ...

    registry = having(limited_2, limited_1)
    assert registry.activity_limits == {"versions.limited": 2}
    async with Engine("memory:", registry=registry) as engine:
        await (await engine.start(limited_1)).result()
