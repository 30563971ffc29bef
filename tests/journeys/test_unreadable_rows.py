"""Rows of runs on damaged pages: all other runs go on, are listed, and are claimed."""

import asyncio
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from perdure import Context, Engine, RunStatus, Signal, workflow
from perdure.authoring.registry import Registry
from perdure.errors import StoreCorruptError
from perdure.ports.store import RunQuery
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import FAR
from tests.damaging import break_leaves

go = Signal("go", int)
RUNS = 150


@workflow(name="unreadable.waits")
async def waits(ctx: Context) -> int:
    return await ctx.wait_for(go)


def engine_on(path: Path, *, works: bool = True, store: SqliteStore | None = None) -> Engine:
    registry = Registry()
    registry.add_workflow(waits)
    return Engine(store or SqliteStore(path), registry=registry, works=works)


async def begun(path: Path, *, signals: bool) -> None:
    """Begin runs that wait, some with a deadline, and send each what it waits for."""
    async with engine_on(path) as engine:
        for number in range(RUNS):
            timeout = timedelta(days=1) if number % 2 else None
            await engine.start(waits, id=f"run {number:03}", labels={"lot": "all"}, execution_timeout=timeout)
    if signals:
        async with engine_on(path, works=False) as client:
            for number in range(RUNS):
                await (await client.get_run(f"run {number:03}")).signal(go, number)


async def is_done(engine: Engine, store: SqliteStore) -> bool:
    """Whether each run that can be read has ended, but for those that cannot be written, beside the damaged page."""
    runs = [run async for run in engine.all_runs()]
    held_up = [run async for run in engine.all_runs(RunQuery(only_parked=True))]
    beside = store._unreadable.unclaimable | {run.run_key for run in held_up}
    return all(run.status.is_closed or run.run_key in beside for run in runs)


async def test_runs_whose_rows_lie_on_a_damaged_page_keep_no_other_from_being_claimed_and_listed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "runs.db"
    await begun(path, signals=True)
    break_leaves(path, "runs", only_first=True)
    store = SqliteStore(path)
    async with engine_on(path, store=store) as engine:
        readable = len([run async for run in engine.all_runs()])
        assert RUNS // 2 < readable < RUNS
        async with asyncio.timeout(60):
            while not await is_done(engine, store):  # noqa: ASYNC110 - it is nobody's news here
                await asyncio.sleep(0)
        assert await engine.count_runs(RunQuery(statuses=frozenset({RunStatus.COMPLETED}))) > RUNS // 2
        for wanted in (RunQuery(), RunQuery(labels={"lot": "all"}), RunQuery(id_prefix="run")):
            assert len([run async for run in engine.all_runs(wanted)]) == readable
        with pytest.raises(StoreCorruptError):
            await engine.get_run("run 000")
        last = await engine.get_run(f"run {RUNS - 1:03}")
        assert await last.result() == RUNS - 1
        verified = await engine.verify()
        assert len(verified.defects) + len(verified.damaged) > 0
    told = [record.getMessage() for record in caplog.records if "and are passed over" in record.getMessage()]
    assert len(told) == 1
    assert f"the rows of {RUNS - readable} runs cannot be read" in told[0]
    assert "default/run 000" in told[0]


async def own_all_and_die(path: Path) -> None:
    store = SqliteStore(path)
    session = StoreSession(store)
    await session.open(name="dies", lease_seconds=30)
    for number in range(RUNS):
        await session.create(f"run {number:03}")
    assert len(await session.claim(limit=RUNS)) == RUNS
    store.abandon()


async def test_what_a_dead_session_owned_is_given_back_but_for_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    await own_all_and_die(path)
    break_leaves(path, "runs", only_first=True)
    after = StoreSession(SqliteStore(path))
    await after.open(name="lives", lease_seconds=30)
    claimed = await after.claim(now=FAR, limit=RUNS)
    assert RUNS // 2 < len(claimed) < RUNS
    assert await after.claim(now=FAR, limit=RUNS) == []
    await after.store.close()
    with closing(apsw.Connection(str(path))) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").get == 1  # which owns them still


async def test_an_index_that_keeps_all_from_being_given_back_keeps_no_engine_from_opening(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    await own_all_and_die(path)
    break_leaves(path, "runs_to_claim")
    async with engine_on(path, works=False) as engine:
        verified = await engine.verify()
        assert any("runs_to_claim" in defect.what for defect in verified.defects)
        assert len([run async for run in engine.all_runs()]) == RUNS
