"""Steps made in the thread that writes: exactly once, and Perdure's own tables and transaction are left alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec import structs

from perdure.kernel.identity import FencingToken
from perdure.kernel.isolation import Isolation
from perdure.kernel.transition import Applied, Stale
from perdure.ports.transactions import StepTransaction
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import Held, delivery
from perdure.torture.programs.harnesses import SqliteHarness


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[StoreSession]:
    harness = SqliteHarness(tmp_path / "runs.db")
    session = await harness.session()
    run = await session.hold("first")
    assert isinstance(await session.store.transact(step(run, "CREATE TABLE ledger (entry)")), Applied)
    yield session
    await harness.close()


def step(run: Held, *statements: str) -> StepTransaction:
    def perform(connection: apsw.Connection) -> Any:
        for statement in statements or ("INSERT INTO ledger VALUES (1)",):
            connection.execute(statement)
        return delivery(run.run_key, "outcome", message_id="outcome:1:1:1")

    return StepTransaction(
        run_key=run.run_key,
        owner=run.owner,
        fencing_token=run.fencing_token,
        isolation=Isolation.SERIALIZABLE,
        perform=perform,
        is_async=False,
    )


def entries(tmp_path: Path) -> object:
    connection = apsw.Connection(str(tmp_path / "runs.db"))
    try:
        return connection.execute("SELECT count(*) FROM ledger").get
    finally:
        connection.close()


async def test_what_it_writes_comes_with_its_outcome(session: StoreSession, tmp_path: Path) -> None:
    run = await session.hold()
    assert await session.store.transact(step(run)) == Applied(run.run_key, session.worker)
    assert await session.signals(run.run_key) == ["outcome"]
    assert entries(tmp_path) == 1


async def test_of_a_run_that_somebody_else_has_by_now_nothing_is_saved(session: StoreSession, tmp_path: Path) -> None:
    run = await session.hold()
    late = structs.replace(step(run), fencing_token=FencingToken(run.fencing_token - 1))
    assert await session.store.transact(late) == Stale(run.run_key)
    assert await session.signals(run.run_key) == []
    assert entries(tmp_path) == 0


async def test_of_two_outcomes_of_an_attempt_one_is_saved(session: StoreSession, tmp_path: Path) -> None:
    run = await session.hold()
    assert isinstance(await session.store.transact(step(run)), Applied)
    assert await session.store.transact(step(run)) == Stale(run.run_key)
    assert await session.signals(run.run_key) == ["outcome"]
    assert entries(tmp_path) == 1


async def test_one_that_fails_takes_nothing_along_of_what_is_committed_with_it(
    session: StoreSession, tmp_path: Path
) -> None:
    runs = [await session.hold(name) for name in ("one", "two", "three")]
    failing = step(runs[1], "INSERT INTO ledger VALUES (2)", "INSERT INTO nowhere VALUES (3)")
    results = await asyncio.gather(
        session.advance(runs[0]),
        session.store.transact(failing),
        session.store.transact(step(runs[2])),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), apsw.SQLError, Applied]
    assert (await session.row(runs[0].run_key)).sequence == runs[0].sequence
    assert entries(tmp_path) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "ROLLBACK",
        "BEGIN",
        "ATTACH DATABASE ':memory:' AS other",
        "PRAGMA synchronous = OFF",
        "UPDATE runs SET status = 'completed'",
        "DELETE FROM history",
        "INSERT INTO store_meta VALUES ('a', 1)",
        "DROP TABLE agenda",
        "DROP INDEX inbox_by_run",
        "CREATE TRIGGER mine AFTER INSERT ON history BEGIN SELECT 1; END",
        "ALTER TABLE sessions RENAME TO others",
    ],
)
async def test_it_cannot_end_the_transaction_nor_change_what_is_perdure_s(
    session: StoreSession, statement: str, tmp_path: Path
) -> None:
    run = await session.hold()
    with pytest.raises(apsw.AuthError):
        await session.store.transact(step(run, "INSERT INTO ledger VALUES (1)", statement))
    assert entries(tmp_path) == 0
    await session.advance(run)
    assert isinstance(await session.store.transact(step(run)), Applied)


async def test_a_caller_that_is_cancelled_learns_what_became_of_it(session: StoreSession, tmp_path: Path) -> None:
    run = await session.hold()
    making = asyncio.create_task(session.store.transact(step(run)))
    await asyncio.sleep(0)
    making.cancel()
    assert isinstance(await making, Applied)
    assert entries(tmp_path) == 1
