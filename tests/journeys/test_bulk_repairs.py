"""Retries and resets in bulk: each run from a point of its own history, with progress and an error per run."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from perdure import (
    BulkReport,
    Context,
    Engine,
    ForkOptions,
    Retry,
    Run,
    RunNotRepairableError,
    RunQuery,
    RunStatus,
    Signal,
    activity,
    workflow,
)
from perdure.errors import InvalidArgumentError
from perdure.kernel import events as e
from perdure.ports.store import Page
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import kinds, until

go = Signal("go", int)
world: Counter[str] = Counter()
EVERYTHING = RunQuery()


@pytest.fixture(autouse=True)
def _a_new_world() -> None:
    world.clear()


@activity(retry=Retry(attempts=1))
async def bulk_fragile(name: str) -> str:
    world[name] += 1
    if not world["mended"]:
        raise ValueError("the service is down")
    return name


@activity(retry=Retry(attempts=1))
async def bulk_step(name: str) -> str:
    world[name] += 1
    return name


@workflow
async def bulk_failing(ctx: Context, name: str) -> str:
    return await bulk_fragile(name)


@workflow
async def bulk_waiting(ctx: Context, name: str) -> list[object]:
    done = await bulk_step(name)
    return [done, await ctx.wait_for(go), ctx.info.generation]


@workflow
async def bulk_parent(ctx: Context) -> str:
    child = ctx.start_child(bulk_failing, "child", id="taken")
    await ctx.wait_for(go)
    return await child.result()


async def started(engine: Engine, *names: str) -> list[Run[list[object]]]:
    runs = [await engine.start(bulk_waiting, name, id=name) for name in names]
    for run in runs:
        await until(lambda run=run: _has_stepped(run))  # type: ignore[misc]
    return runs


async def _has_stepped(run: Run[list[object]]) -> bool:
    return "activity_completed" in await kinds(run)


async def _has_failed(run: Run[str]) -> bool:
    return (await run.describe()).status is RunStatus.FAILED


async def failed(engine: Engine, *names: str) -> list[Run[str]]:
    runs = [await engine.start(bulk_failing, name, id=name) for name in names]
    for run in runs:
        await until(lambda run=run: _has_failed(run))  # type: ignore[misc]
    return runs


async def test_all_that_failed_are_retried_and_no_others(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        runs = await failed(engine, "a", "b", "c")
        [waiting] = await started(engine, "w")
        world["mended"] = 1
        told: list[BulkReport] = []
        bulk = engine.bulk(EVERYTHING, concurrency=2, on_progress=told.append)
        report = await bulk.retry("mended", by="ops", request_id="r")
        assert (report.found, report.done, report.failures) == (3, 3, ())
        assert [step.handled for step in told] == [2, 3]
        assert [await run.result() for run in runs] == ["a", "b", "c"]
        again = await engine.bulk(RunQuery(statuses=frozenset({RunStatus.FAILED}))).retry(request_id="r")
        assert again.found == 0
        assert (await waiting.describe()).ref.generation == 1
        await waiting.terminate()


async def test_a_dry_run_looks_at_every_run_and_writes_nothing(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await started(engine, "a", "b")
        parent = await engine.start(bulk_parent, id="p")
        bulk = engine.bulk(EVERYTHING, dry_run=True)
        report = await bulk.reset(activity="bulk_step")
        assert (report.found, report.done) == (4, 2)
        assert {failure.id for failure in report.failures} == {"p", "taken"}
        assert all(isinstance(failure.error, RunNotRepairableError) for failure in report.failures)
        assert {row.ref.generation for row in (await engine.list_runs()).runs} == {1}
        await engine.bulk(EVERYTHING).terminate()
        await until(lambda: _is_closed(parent))


async def _is_closed(run: Run[str]) -> bool:
    return (await run.describe()).status.is_closed


async def test_each_run_goes_back_by_its_own_history_and_one_that_cannot_stops_nobody(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        runs = await started(engine, "a", "b")
        await failed(engine, "f")
        report = await engine.bulk(EVERYTHING).reset("bad step", activity="bulk_step", by="ops", request_id="r")
        assert (report.found, report.done) == (3, 2)
        [failure] = report.failures
        assert failure.id == "f"
        assert "has not called an activity 'bulk_step'" in str(failure.error)
        await engine.bulk(EVERYTHING).reset("bad step", activity="bulk_step", request_id="r")
        for run in runs:
            await run.signal(go, 1)
            assert await run.result() == [run.id, 1, 2]
            fork = [r.event async for r in run.history() if isinstance(r.event, e.RunForked)][-1]
            assert (fork.reason, fork.by, fork.sequence) == ("bad step", "ops", 2)
        assert world == {"a": 2, "b": 2, "f": 1}


async def test_what_has_ended_well_is_reset_only_if_that_is_said(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        [run] = await started(engine, "a")
        await run.signal(go, 1)
        await run.result()
        assert (await engine.bulk(EVERYTHING).reset(event=2)).found == 0
        completed = RunQuery(statuses=frozenset({RunStatus.COMPLETED}))
        assert (await engine.bulk(completed).reset(event=2)).done == 1
        assert await run.result() == ["a", 1, 2]
        with pytest.raises(InvalidArgumentError, match="concerns only runs"):
            await engine.bulk(completed).retry()


async def test_a_wrong_wish_is_the_callers_fault_and_no_failure_of_a_run(make_engine: MakeEngine) -> None:
    both: ForkOptions = {"event": 2, "stage": "a"}
    async with make_engine() as engine:
        [run] = await started(engine, "a")
        with pytest.raises(InvalidArgumentError, match="event and stage"):
            await engine.bulk(EVERYTHING).reset(**both)
        await run.terminate()
        for wrong in ({"by": 5}, {"request_id": 5}):
            with pytest.raises(InvalidArgumentError, match="must be a text"):
                await engine.bulk(RunQuery(id_prefix="none")).reset(**wrong)  # type: ignore[arg-type]


def after_listing(monkeypatch: pytest.MonkeyPatch, engine: Engine, happen: Callable[[], Awaitable[object]]) -> None:
    """Let something happen between the look for runs and the first one's turn."""
    list_runs = engine.worker.store.list_runs

    async def list_and_let_happen(query: RunQuery) -> Page:
        page = await list_runs(query)
        await happen()
        return page

    monkeypatch.setattr(engine.worker.store, "list_runs", list_and_let_happen)


@pytest.mark.parametrize("is_dry", [True, False])
async def test_a_run_that_completes_before_its_turn_is_not_reset(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, is_dry: bool
) -> None:
    async with make_engine() as engine:
        [run, other] = await started(engine, "a", "b")

        async def complete() -> None:
            await run.signal(go, 1)
            await run.result()

        after_listing(monkeypatch, engine, complete)
        bulk = engine.bulk(EVERYTHING, dry_run=is_dry)
        assert await bulk.reset(activity="bulk_step") == BulkReport(found=2, done=1, ended=1)
        assert await generations(run, other) == [1, 1 if is_dry else 2]
        await other.terminate()


async def generations(*runs: Run[Any]) -> list[int]:
    return [(await run.describe()).ref.generation for run in runs]


async def test_a_generation_that_came_after_the_listed_one_is_left_alone(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_engine() as engine:
        [run] = await failed(engine, "a")

        async def retry_and_fail() -> None:
            await run.retry()
            await until(lambda: _has_failed(run))

        after_listing(monkeypatch, engine, retry_and_fail)
        assert await engine.bulk(EVERYTHING).retry() == BulkReport(found=1, ended=1)
        assert await generations(run) == [2]


async def test_a_request_id_that_one_run_had_for_something_else_fails_that_run_alone(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await failed(engine, "b")
        await engine.start(bulk_failing, "a", id="a", request_id="1:r:a")
        await until(lambda: _is_failed(engine, "a"))
        report = await engine.bulk(EVERYTHING).retry(request_id="r")
        assert (report.found, report.done, [failure.id for failure in report.failures]) == (2, 1, ["a"])
        assert isinstance(report.failures[0].error, InvalidArgumentError)


async def _is_failed(engine: Engine, run_id: str) -> bool:
    return await _has_failed(await engine.get_run(run_id))


async def test_requests_and_ids_that_read_alike_together_are_told_apart(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await failed(engine, "b:c", "c")
        first = await engine.bulk(RunQuery(id_prefix="b:c")).retry(request_id="a")
        second = await engine.bulk(RunQuery(id_prefix="c")).retry(request_id="a:b")
        assert (first, second) == (BulkReport(found=1, done=1), BulkReport(found=1, done=1))
