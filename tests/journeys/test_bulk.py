"""One wish for many runs."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from perdure import (
    Bulk,
    BulkReport,
    Context,
    Engine,
    RunQuery,
    RunStatus,
    Signal,
    StoreError,
    SyncEngine,
    workflow,
)
from perdure.errors import InvalidArgumentError, StoreUnavailableError
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.identity import RunKey, RunRef
from perdure.ports.store import Page
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import until

go = Signal("go", int)
SEVEN = 7


@workflow
async def bulk_patient(ctx: Context) -> int:
    return await ctx.wait_for(go)


@workflow
async def uninvolved(ctx: Context) -> int:
    return await ctx.wait_for(go)


PATIENT = RunQuery(workflows=frozenset({"bulk_patient"}))


async def start_seven(engine: Engine) -> None:
    for number in range(SEVEN):
        await engine.start(bulk_patient, id=f"patient-{number}")
    await engine.start(uninvolved, id="uninvolved")


async def count(engine: Engine, status: RunStatus) -> int:
    return await engine.count_runs(RunQuery(statuses=frozenset({status})))


async def until_so_many_are(engine: Engine, status: RunStatus, number: int) -> None:
    async def are() -> bool:
        return await count(engine, status) == number

    await until(are)


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        (lambda bulk: bulk.cancel("season is over", grace=timedelta(minutes=1), by="ops"), RunStatus.CANCELLED),
        (lambda bulk: bulk.terminate("season is over", by="ops"), RunStatus.TERMINATED),
        (lambda bulk: bulk.suspend("season is over", by="ops"), RunStatus.SUSPENDED),
        (lambda bulk: bulk.signal(go, 1), RunStatus.COMPLETED),
    ],
    ids=["cancel", "terminate", "suspend", "signal"],
)
async def test_all_runs_that_match_are_asked_and_no_others(
    make_engine: MakeEngine, wish: Callable[[Bulk], Awaitable[BulkReport]], status: RunStatus
) -> None:
    async with make_engine() as engine:
        await start_seven(engine)
        assert await wish(engine.bulk(PATIENT, concurrency=3)) == BulkReport(found=SEVEN, done=SEVEN)
        await until_so_many_are(engine, status, SEVEN)
        assert (await (await engine.get_run("uninvolved")).describe()).status is RunStatus.RUNNING


async def test_who_asked_in_bulk_and_why_stands_in_each_history(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(bulk_patient)
        await engine.bulk(PATIENT).suspend("season is over", by="ops")
        await engine.bulk(PATIENT).resume(by="ops")
        await engine.bulk(PATIENT).terminate("season is over", by="ops")
        asked = [recorded.event async for recorded in run.history()][-3:]
        assert asked == [
            e.RunSuspended(reason="season is over", by="ops"),
            e.RunResumed(by="ops"),
            e.RunTerminated(reason="season is over", by="ops"),
        ]


async def test_a_bulk_resume_lets_only_suspended_runs_go_on(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await start_seven(engine)
        await (await engine.get_run("patient-3")).suspend()
        assert await engine.bulk(PATIENT).resume() == BulkReport(found=1, done=1)
        assert await count(engine, RunStatus.RUNNING) == SEVEN + 1


async def test_a_bulk_operation_repeated_asks_nobody_twice(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await start_seven(engine)
        await engine.bulk(PATIENT).terminate()
        assert await engine.bulk(PATIENT).terminate() == BulkReport(found=0)


async def test_a_bulk_signal_repeated_under_one_request_id_arrives_once(make_engine: MakeEngine) -> None:
    async with make_engine(works=False) as client:
        await client.start(bulk_patient, id="waiting")
        for _ in range(2):
            await client.bulk(PATIENT).signal(go, 5, request_id="once")
        key = (await (await client.get_run("waiting")).describe()).run_key
        assert len(await client.worker.store.read_inbox(key)) == 1


async def test_a_dry_run_counts_and_asks_nobody(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await start_seven(engine)
        assert await engine.bulk(PATIENT, dry_run=True).terminate() == BulkReport(found=SEVEN)
        assert await count(engine, RunStatus.RUNNING) == SEVEN + 1


async def test_progress_is_told_after_so_many_as_are_asked_at_once(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await start_seven(engine)
        told: list[BulkReport] = []
        await engine.bulk(PATIENT, concurrency=3, on_progress=told.append).suspend()
        assert [(report.handled, report.found) for report in told] == [(3, 7), (6, 7), (7, 7)]


async def test_an_error_of_one_run_is_kept_and_the_others_are_asked(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_engine() as engine:
        await start_seven(engine)
        broken = (await (await engine.get_run("patient-2")).describe()).run_key
        deliver = engine.worker.deliver

        async def failing(target: RunKey | RunRef, message: m.Message, *, message_id: str, request_id: str) -> RunKey:
            if target == broken:
                raise StoreUnavailableError("the disk is away")
            return await deliver(target, message, message_id=message_id, request_id=request_id)

        monkeypatch.setattr(engine.worker, "deliver", failing)
        report = await engine.bulk(PATIENT).terminate()
        assert report.done == SEVEN - 1
        assert [(failure.id, type(failure.error)) for failure in report.failures] == [
            ("patient-2", StoreUnavailableError)
        ]
        assert isinstance(report.failures[0].error, StoreError)
        assert await count(engine, RunStatus.TERMINATED) == SEVEN - 1


async def test_a_run_that_ends_before_its_turn_is_counted_as_ended(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_engine() as engine:
        await start_seven(engine)
        first = await engine.get_run("patient-0")
        list_runs = engine.worker.store.list_runs

        async def list_and_end_first(query: RunQuery) -> Page:
            page = await list_runs(query)
            await first.terminate()
            return page

        monkeypatch.setattr(engine.worker.store, "list_runs", list_and_end_first)
        assert await engine.bulk(PATIENT).terminate() == BulkReport(found=SEVEN, done=SEVEN - 1, ended=1)


@pytest.mark.parametrize("concurrency", [0, 1001, True, "3"])
async def test_a_concurrency_that_means_nothing_is_refused(make_engine: MakeEngine, concurrency: int) -> None:
    async with make_engine() as engine:
        with pytest.raises(InvalidArgumentError, match="1 to 1000"):
            engine.bulk(PATIENT, concurrency=concurrency)


async def test_a_wish_for_runs_that_it_cannot_concern_is_refused(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        with pytest.raises(InvalidArgumentError, match=r"completed.*created or running or suspended"):
            await engine.bulk(RunQuery(statuses=frozenset({RunStatus.COMPLETED}))).cancel()


def test_the_synchronous_engine_asks_in_bulk() -> None:
    with SyncEngine("memory:") as engine:
        for number in range(SEVEN):
            engine.start(bulk_patient, id=f"patient-{number}")
        assert engine.bulk(PATIENT, dry_run=True).cancel().found == SEVEN
        assert engine.bulk(PATIENT).suspend("for now").done == SEVEN
        assert engine.bulk(PATIENT).resume().done == SEVEN
        assert engine.bulk(PATIENT).signal(go, 3).done == SEVEN
        for number in range(SEVEN):
            assert engine.get_run(f"patient-{number}").result() == 3
        assert engine.bulk(PATIENT).cancel("late").found == engine.bulk(PATIENT).terminate("late").found == 0
