"""Locks that several runs share: over every ending, restart and process, and as others see them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from perdure import (
    Context,
    DeadlockError,
    Engine,
    HeldLock,
    Run,
    RunError,
    RunFailedError,
    RunNotFoundError,
    RunNotRepairableError,
    Settings,
    Signal,
    SyncEngine,
    activity,
    workflow,
)
from perdure.authoring.registry import Registry
from perdure.errors import InvalidArgumentError
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import until

go_on = Signal("go_on", str)
QUICK = Settings(idle_seconds=0.001)


@workflow(name="locks.holder")
async def holder(ctx: Context, key: str) -> int:
    """Hold a key until told how to end."""
    async with ctx.lock(key) as lock:
        told = await ctx.wait_for(go_on)
        if told == "fail":
            raise ValueError("as told")
        if told == "continue" and ctx.info.generation == 1:
            ctx.continue_as_new(key)
        return lock.token


@workflow(name="locks.sharer")
async def sharer(ctx: Context, key: str) -> None:
    async with ctx.lock(key, shared=True):
        await ctx.wait_for(go_on)


@workflow(name="locks.one_of_two")
async def one_of_two(ctx: Context) -> None:
    async with ctx.semaphore("places", limit=2):
        await ctx.wait_for(go_on)


@workflow(name="locks.impatient")
async def impatient(ctx: Context, key: str) -> str:
    try:
        async with asyncio.timeout(0.05), ctx.lock(key):
            return "in time"
    except TimeoutError:
        return "too late"


@workflow(name="locks.crossing")
async def crossing(ctx: Context, first: str, second: str) -> list[str]:
    """Take two locks, the second when told."""
    async with ctx.lock(first):
        await ctx.wait_for(go_on)
        try:
            async with ctx.lock(second):
                return []
        except DeadlockError as error:
            return [f"{run} waits for {key}" for run, key in error.cycle]


@workflow(name="locks.asking_twice")
async def asking_twice(ctx: Context) -> None:
    async with ctx.lock("own"), ctx.lock("own"):
        pass


@activity(name="locks.write")
async def write(value: str, token: int) -> str:
    return f"{value} by {token}"


@workflow(name="locks.writer")
async def writer(ctx: Context, value: str) -> str:
    async with ctx.lock("file") as lock:
        return await write(value, lock.token)


async def finish(run: Run[Any]) -> None:
    await run.signal(go_on, "return")


async def fail(run: Run[Any]) -> None:
    await run.signal(go_on, "fail")


async def go_on_as_new(run: Run[Any]) -> None:
    await run.signal(go_on, "continue")


async def cancel(run: Run[Any]) -> None:
    await run.cancel("test")


async def terminate(run: Run[Any]) -> None:
    await run.terminate("test")


async def reset(run: Run[Any]) -> None:
    await run.reset(event=1)


async def do_nothing(_run: Run[Any]) -> None:
    """Leave the run to its execution timeout."""


async def line(engine: Any, key: str = "k") -> list[str]:
    """Return the ids of the runs in the line of a key, with a star where they hold it."""
    return [f"{entry.run.id}{'*' if entry.is_held else ''}" for entry in await engine.locks(key=key)]


async def until_line(engine: Any, *expected: str, key: str = "k") -> None:
    async def is_so() -> bool:
        return await line(engine, key) == list(expected)

    await until(is_so)


@pytest.mark.parametrize("end", [finish, fail, go_on_as_new, cancel, terminate, reset, do_nothing])
async def test_however_its_holder_ends_a_lock_goes_to_the_next(
    end: Callable[[Run[Any]], Awaitable[None]], make_engine: MakeEngine
) -> None:
    async with make_engine() as engine:
        limit = timedelta(seconds=0.2) if end is do_nothing else None
        first = await engine.start(holder, "k", id="first", execution_timeout=limit)
        await until_line(engine, "first*")
        second = await engine.start(holder, "k", id="second")
        await until_line(engine, "first*", "second")
        await end(first)
        asks_anew = end in {go_on_as_new, reset}
        await until_line(engine, "second*", *(["first"] if asks_anew else []))
        await second.signal(go_on, "return")
        assert await second.result() > 1
        if asks_anew:
            await first.signal(go_on, "return")
            assert await first.result() > await second.result()
        assert await line(engine) == []


async def test_a_run_that_waits_for_a_lock_may_be_reset_and_asks_anew(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        first = await engine.start(holder, "k", id="first")
        await until_line(engine, "first*")
        second = await engine.start(holder, "k", id="second")
        await until_line(engine, "first*", "second")
        await engine.start(holder, "k", id="third")
        await until_line(engine, "first*", "second", "third")
        await second.reset(event=1)
        await until_line(engine, "first*", "third", "second")
        await finish(first)
        await until_line(engine, "third*", "second")


async def test_a_run_that_failed_within_a_lock_says_from_where_it_can_be_reset(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(holder, "k", id="first")
        await until_line(engine, "first*")
        await fail(run)
        with pytest.raises(RunFailedError):
            await run.result()
        with pytest.raises(RunNotRepairableError, match=r"within the lock 'k'.* event 2 is the last before it asked"):
            await run.retry()
        repaired = await run.reset(event=2, reapply_signals=False)
        await until_line(engine, "first*")
        await finish(repaired)
        assert await repaired.result() > 1


async def test_a_lock_is_held_and_waited_for_over_a_restart(make_engine: MakeEngine) -> None:
    async with make_engine(QUICK) as engine:
        for name in ("first", "second", "third"):
            await engine.start(holder, "k", id=name)
            await until(partial(_is_in_line, engine, name))
    async with make_engine(works=False) as client:
        assert await line(client) == ["first*", "second", "third"]
        await (await client.get_run("first")).signal(go_on, "return")
    async with make_engine(QUICK) as engine:
        await until_line(engine, "second*", "third")
        for name in ("second", "third"):
            await (await engine.get_run(name)).signal(go_on, "return")
        tokens = [await (await engine.get_run(name, holder)).result() for name in ("first", "second", "third")]
        assert tokens == sorted(set(tokens))


async def _is_in_line(engine: Any, name: str) -> bool:
    return any(entry.run.id == name for entry in await engine.locks())


async def test_a_run_that_waits_in_memory_is_told_of_its_lock_there(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(idle_seconds=3600)) as engine:
        first = await engine.start(holder, "k", id="first")
        await until_line(engine, "first*")
        second = await engine.start(holder, "k", id="second")
        await until_line(engine, "first*", "second")
        await second.signal(go_on, "return")
        await first.signal(go_on, "return")
        await until_line(engine)
        assert await second.result() > await first.result()


async def test_a_run_in_another_process_gets_the_lock_when_it_is_given_back_here(make_engine: MakeEngine) -> None:
    async with make_engine(name="here") as here:
        first = await here.start(holder, "k", id="first")
        await until_line(here, "first*")
        async with make_engine(name="there") as there:
            second = await there.start(holder, "k", id="second")
            await until_line(there, "first*", "second")
            await first.signal(go_on, "return")
            await second.signal(go_on, "return")
            assert await second.result() > await first.result()


async def test_those_that_share_hold_a_lock_together_and_those_behind_one_that_does_not_wait(
    make_engine: MakeEngine,
) -> None:
    async with make_engine() as engine:
        runs = []
        for name, definition in (("a", sharer), ("b", sharer), ("alone", holder), ("c", sharer)):
            runs.append(await engine.start(definition, "k", id=name))
            await until(partial(_is_in_line, engine, name))
        assert await line(engine) == ["a*", "b*", "alone", "c"]
        for run in runs:
            await run.signal(go_on, "return")
            await run.result()
        assert await line(engine) == []


async def test_a_semaphore_lets_its_number_in(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        runs = [await engine.start(one_of_two, id=name) for name in "abc"]
        await until_line(engine, "a*", "b*", "c", key="places")
        await runs[1].signal(go_on, "return")
        await until_line(engine, "a*", "c*", key="places")
        for run in runs[::2]:
            await run.signal(go_on, "return")
            await run.result()


async def test_whoever_gives_up_its_wait_leaves_the_line(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        first = await engine.start(holder, "k", id="first")
        await until_line(engine, "first*")
        assert await (await engine.start(impatient, "k", id="impatient")).result() == "too late"
        waiting = await engine.start(holder, "k", id="waiting")
        await until_line(engine, "first*", "waiting")
        await waiting.cancel("enough")
        with pytest.raises(RunError):
            await waiting.result()
        assert await line(engine) == ["first*"]
        await first.signal(go_on, "return")
        await first.result()
        assert await (await engine.start(impatient, "k")).result() == "in time"


@workflow(name="locks.trying")
async def trying(ctx: Context, key: str) -> str:
    try:
        async with ctx.lock(key, timeout=timedelta(0)):
            return "free"
    except TimeoutError:
        return "taken"


async def test_a_lock_is_tried_without_a_wait(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        assert await (await engine.start(trying, "k")).result() == "free"
        first = await engine.start(holder, "k", id="first")
        await until_line(engine, "first*")
        assert await (await engine.start(trying, "k")).result() == "taken"
        assert await line(engine) == ["first*"]
        await first.signal(go_on, "return")
        await first.result()
        assert await (await engine.start(trying, "k")).result() == "free"


@workflow(name="locks.trying_hastily")
async def trying_hastily(ctx: Context, key: str) -> str:
    try:
        async with ctx.lock(key, timeout=timedelta(microseconds=1)):
            return "free"
    except TimeoutError:
        return "taken"


async def test_a_lock_that_is_free_is_in_time_for_the_shortest_time_out(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        assert await (await engine.start(trying_hastily, "k")).result() == "free"
        await engine.start(holder, "k", id="first")
        await until_line(engine, "first*")
        assert await (await engine.start(trying_hastily, "k")).result() == "taken"


async def test_of_two_runs_in_a_deadlock_the_one_that_closes_the_circle_is_told_and_the_other_goes_on(
    make_engine: MakeEngine,
) -> None:
    async with make_engine() as engine:
        one = await engine.start(crossing, "x", "y", id="one")
        two = await engine.start(crossing, "y", "x", id="two")
        await until_line(engine, "two*", key="y")
        await until_line(engine, "one*", key="x")
        await one.signal(go_on, "now")
        await until_line(engine, "two*", "one", key="y")
        await two.signal(go_on, "now")
        assert await two.result() == ["two waits for x", "one waits for y"]
        assert await one.result() == []
        assert await engine.locks() == []


async def test_a_run_that_asks_for_what_it_holds_fails_with_the_circle(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(asking_twice, id="own")
        with pytest.raises(RunFailedError, match="would wait for ever for 'own', held by or promised to run own"):
            await run.result()
        assert await engine.locks() == []


async def test_the_fencing_token_grows_from_holder_to_holder(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        written = [await (await engine.start(writer, value)).result() for value in "ab"]
        tokens = [int(text.rpartition(" ")[2]) for text in written]
        assert tokens[0] < tokens[1]


def _fitting() -> Registry:
    @workflow(name="locks.kept")
    async def kept(ctx: Context) -> None:
        async with ctx.lock("k"):
            await ctx.wait_for(go_on)

    registry = Registry()
    registry.add_workflow(kept)
    return registry


def _changed() -> Registry:
    @workflow(name="locks.kept")
    async def kept(ctx: Context) -> None:
        await ctx.sleep(3600)

    registry = Registry()
    registry.add_workflow(kept)
    return registry


async def test_a_parked_run_keeps_its_lock(make_engine: MakeEngine) -> None:
    registry = _fitting()
    async with make_engine(registry=registry) as engine:
        await engine.start(registry.workflow("locks.kept"), id="first")
        await until_line(engine, "first*")
    async with make_engine(works=False) as client:
        await (await client.get_run("first")).signal(go_on, "return")
    async with make_engine(registry=_changed()) as engine:

        async def is_parked() -> bool:
            return (await (await engine.get_run("first")).describe()).parked is not None

        await until(is_parked)
        assert await line(engine) == ["first*"]
        await (await engine.get_run("first")).terminate("it stands in the way")
        await until_line(engine)


def _only(flow: Any) -> Registry:
    registry = Registry()
    registry.add_workflow(flow)
    return registry


@pytest.mark.parametrize("end", [terminate, do_nothing])
async def test_a_holder_that_is_ended_without_its_code_gives_its_lock_to_a_run_in_another_process(
    end: Callable[[Run[Any]], Awaitable[None]], make_engine: MakeEngine
) -> None:
    with_code = _fitting()
    async with make_engine(registry=with_code) as engine:
        limit = timedelta(seconds=1) if end is do_nothing else None
        kept = with_code.workflow("locks.kept")
        await engine.start(kept, id="first", execution_timeout=limit)
        await until_line(engine, "first*")
    full = Settings(active_runs=1, idle_seconds=3600)  # with its own run in memory it claims no other
    async with make_engine(full, registry=_only(holder), name="there") as there:
        second = await there.start(holder, "k", id="second")
        await until(partial(_is_in_line, there, "second"))
        async with make_engine(registry=Registry(), name="without the code") as here:
            first = await here.get_run("first")
            await end(first)
            with pytest.raises(RunError, match=r"terminated|time"):
                await first.result()
        await until_line(there, "second*")
        await second.signal(go_on, "return")
        assert await second.result() > 1


async def test_locks_are_listed_by_key_and_by_run(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await engine.start(holder, "a", id="one")
        await until_line(engine, "one*", key="a")
        await engine.start(holder, "b", id="two")
        await until_line(engine, "two*", key="b")
        everything = await engine.locks()
        assert [(entry.key, entry.run.id) for entry in everything] == [("a", "one"), ("b", "two")]
        assert await engine.locks(run_id="two") == everything[1:]
        assert await engine.locks(after=everything[0].position) == everything[1:]
        assert await engine.locks(limit=1) == everything[:1]
        with pytest.raises(RunNotFoundError):
            await engine.locks(run_id="nobody")
        for limit, after in ((0, 0), (2**31, 0), (True, 0), (1, -1), (1, 2**63)):
            with pytest.raises(InvalidArgumentError, match=r"it must be an integer from [01] to \d+"):
                await engine.locks(limit=limit, after=after)


def test_the_synchronous_engine_lists_locks() -> None:
    with SyncEngine("memory:") as engine:
        run = engine.start(holder, "k", id="one")
        while not engine.locks(key="k"):
            pass
        assert [entry.run.id for entry in engine.locks(run_id="one")] == ["one"]
        run.signal(go_on, "return")
        assert run.result() == 1


def test_what_a_block_gets_says_its_key_and_token() -> None:
    assert HeldLock(key="k", token=3).token == 3


async def test_an_async_generator_that_is_closed_gives_back_its_lock(make_engine: MakeEngine) -> None:
    async def inside(ctx: Context) -> AsyncGenerator[int, None]:
        async with ctx.lock("generated"):
            yield 1

    @workflow(name="locks.generating")
    async def generating(ctx: Context) -> str:
        async with aclosing(inside(ctx)) as values:
            await anext(values)
        async with ctx.lock("generated", timeout=timedelta(seconds=30)):
            return "given back"

    async with make_engine() as engine:
        assert await (await engine.start(generating)).result() == "given back"


async def test_a_deadlock_is_seen_where_locks_are_given_back_in_the_order_of_their_taking(
    make_engine: MakeEngine,
) -> None:
    @workflow(name="locks.coupling")
    async def coupling(ctx: Context, before: str, first: str, second: str) -> str:
        outer, inner = ctx.lock(before), ctx.lock(first)
        async with AsyncExitStack() as held:
            await outer.__aenter__()
            await held.enter_async_context(inner)
            await outer.__aexit__(None, None, None)
            await ctx.wait_for(go_on)
            try:
                async with ctx.lock(second):
                    return "both"
            except DeadlockError:
                return "refused"

    async with make_engine() as engine:
        runs = [await engine.start(coupling, *keys) for keys in (("x", "a", "b"), ("y", "b", "a"))]
        await until(partial(_are_held, engine, {"a", "b"}))
        for run in runs:
            await run.signal(go_on, "")
        assert sorted([await run.result() for run in runs]) == ["both", "refused"]


async def _are_held(engine: Engine, keys: set[str]) -> bool:
    return {entry.key for entry in await engine.locks() if entry.is_held} == keys
