"""The client: ids, listings, waiting, misuse."""

import asyncio
from datetime import timedelta

import pytest

from perdure import (
    Context,
    Engine,
    IdPolicy,
    ResultTimeoutError,
    RunClosedError,
    RunExistsError,
    RunNotFoundError,
    RunStatus,
    Signal,
    SyncEngine,
    UsageError,
    activity,
    workflow,
)
from perdure.errors import EngineClosedError, InvalidArgumentError, PayloadError, WrongContextError
from tests.journeys.conftest import MakeEngine

go = Signal("go", int)


@activity
async def increment(number: int) -> int:
    return number + 1


@workflow
async def counted(ctx: Context, number: int) -> int:
    return await increment(number)


@workflow
async def held(ctx: Context) -> int:
    return await ctx.wait_for(go)


async def test_starting_twice_with_one_id_gives_one_run(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        first = await engine.start(counted, 1, id="same")
        second = await engine.start(counted, 100, id="same")
        assert await second.result() == await first.result() == 2
        assert await engine.count_runs() == 1


async def test_a_taken_id_can_be_an_error(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await engine.start(counted, 1, id="same")
        with pytest.raises(RunExistsError, match="same"):
            await engine.start(counted, 1, id="same", id_policy=IdPolicy.FAIL)


async def test_an_id_taken_by_another_workflow_is_an_error(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await engine.start(counted, 1, id="same")
        with pytest.raises(RunExistsError, match="counted"):
            await engine.start(held, id="same")


async def test_a_closed_id_is_used_again_only_by_choice(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await (await engine.start(counted, 1, id="again")).result()
        assert await (await engine.start(counted, 5, id="again")).result() == 2
        run = await engine.start(counted, 5, id="again", id_policy=IdPolicy.RESTART_CLOSED)
        assert await run.result() == 6
        assert (await run.describe()).ref.generation == 2


async def test_an_open_run_can_be_replaced(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        first = await engine.start(held, id="slot")
        key = (await first.describe()).run_key
        second = await engine.start(held, id="slot", id_policy=IdPolicy.REPLACE)
        await second.signal(go, 9)
        assert await second.result() == 9
        old = await engine.worker.store.find(key)
        assert old is not None
        assert old.status is RunStatus.TERMINATED


async def test_many_starts_of_one_id_at_the_same_moment_make_one_run(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        runs = await asyncio.gather(*(engine.start(counted, 1, id="crowd") for _ in range(20)))
        assert {await run.result() for run in runs} == {2}
        assert await engine.count_runs() == 1


async def test_waiting_for_a_result_can_time_out_and_the_run_goes_on(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(held)
        with pytest.raises(ResultTimeoutError, match="goes on"):
            await run.result(timeout=timedelta(milliseconds=5))
        await run.signal(go, 1)
        assert await run.result() == 1


async def test_messages_to_missing_and_closed_runs_are_errors(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        with pytest.raises(RunNotFoundError, match="nobody"):
            await engine.get_run("nobody")
        run = await engine.start(counted, 1)
        await run.result()
        with pytest.raises(RunClosedError, match="ended"):
            await run.signal(go, 1)


async def test_runs_are_listed_in_pages_with_filters(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        for number in range(7):
            await (await engine.start(counted, number, id=f"run-{number}", tenant="odd" if number % 2 else "")).result()
        await engine.start(held, id="open")
        first = await engine.list_runs(workflow="counted", limit=4)
        second = await engine.list_runs(workflow="counted", limit=4, cursor=first.next_cursor)
        assert [s.ref.id for s in (*first.runs, *second.runs)] == [f"run-{n}" for n in reversed(range(7))]
        assert second.next_cursor == ""
        assert [s.ref.id for s in (await engine.list_runs(status=RunStatus.RUNNING)).runs] == ["open"]
        assert len((await engine.list_runs(tenant="odd")).runs) == 3


async def test_watching_a_run_yields_every_event_once_until_its_end(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(held)
        watching = asyncio.create_task(_sequences(run))
        await run.signal(go, 3)
        async with asyncio.timeout(10):
            sequences = await watching
        assert sequences == list(range(1, len(sequences) + 1))
        assert sequences == [recorded.sequence async for recorded in run.history()]


async def _sequences(run: object) -> list[int]:
    return [recorded.sequence async for recorded in run.watch()]  # type: ignore[attr-defined]


async def test_a_client_without_a_worker_leaves_the_run_to_others(make_engine: MakeEngine) -> None:
    async with make_engine(works=False, name="client") as client:
        await client.start(counted, 1, id="for-others")
        assert (await (await client.get_run("for-others")).describe()).owner is None
    async with make_engine() as engine:
        assert await (await engine.get_run("for-others")).result() == 2


async def test_two_engines_on_one_database_share_the_work(make_engine: MakeEngine) -> None:
    async with make_engine(name="worker") as worker, make_engine(works=False, name="client") as client:
        run = await client.start(held)
        await run.signal(go, 4)
        async with asyncio.timeout(10):
            assert await run.result() == 4
        assert worker.worker.name == "worker"


async def test_misuse_says_what_to_do(make_engine: MakeEngine) -> None:
    engine = make_engine()
    with pytest.raises(EngineClosedError, match="async with"):
        await engine.start(counted, 1)
    async with engine:
        with pytest.raises(PayloadError, match="number"):
            await engine.start(counted, "one")  # type: ignore[misc]
        with pytest.raises(InvalidArgumentError, match="number"):
            await engine.start(counted)  # type: ignore[misc]
        with pytest.raises(UsageError, match="@workflow"):
            await engine.start(increment, 1)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="1 to 500"):
            await engine.start(counted, 1, id="")


def test_a_workflow_must_be_async() -> None:
    with pytest.raises(UsageError, match="async def"):

        @workflow  # type: ignore[arg-type]
        def blocking(ctx: Context) -> None: ...


def test_the_synchronous_engine_does_the_same() -> None:
    with SyncEngine("memory:") as engine:
        run = engine.start(held, id="sync")
        run.signal(go, 12)
        assert run.result(timeout=timedelta(seconds=10)) == 12
        assert run.describe().status is RunStatus.COMPLETED
        assert [summary.id for summary in engine.all_runs()] == ["sync"]
        assert engine.get_run("sync").history()[-1].sequence == len(run.history())
        assert [recorded.sequence for recorded in run.watch()] == list(range(1, len(run.history()) + 1))
        for recorded in engine.start(held, id="left").watch():
            assert recorded.sequence == 1
            break
        assert engine.count_runs() == 2
        assert [summary.ref.id for summary in engine.list_runs(id_prefix="sy").runs] == ["sync"]


async def test_the_synchronous_engine_refuses_to_block_an_event_loop() -> None:
    with pytest.raises(WrongContextError, match="async with Engine"):
        SyncEngine("memory:").__enter__()


async def test_an_unknown_url_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="sqlite:///"):
        async with Engine("mysql://x"):
            pass
