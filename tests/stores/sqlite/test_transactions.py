"""Steps made in the thread that writes: exactly once, and Perdure's own tables and transaction are left alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec import structs

from perdure.errors import StoreFullError, UsageError
from perdure.kernel.events import ActivityCancelled
from perdure.kernel.identity import FencingToken, Operation
from perdure.kernel.isolation import Isolation
from perdure.kernel.transition import Applied, Stale
from perdure.ports.transactions import StepTransaction
from perdure.stores.sqlite import transactions
from perdure.stores.sqlite.transactions import StepConnection
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
    def perform(connection: StepConnection) -> Any:
        for statement in statements or ("INSERT INTO ledger VALUES (1)",):
            connection.execute(statement)
        return delivery(run.run_key, "outcome", message_id="outcome:1:1:1")

    return StepTransaction(
        run_key=run.run_key,
        owner=run.owner,
        fencing_token=run.fencing_token,
        sequence=run.sequence,
        operation=Operation(1),
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
        "CREATE TEMP TABLE runs AS SELECT * FROM main.runs",
        "CREATE TEMP TRIGGER mine AFTER INSERT ON history BEGIN SELECT 1; END",
        "CREATE TEMP VIEW runs AS SELECT 1",
        "SAVEPOINT perdure_step",
        "RELEASE Perdure_Step",
        "ROLLBACK TO perdure_step",
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


async def test_savepoints_of_its_own_are_its_own_business(session: StoreSession, tmp_path: Path) -> None:
    run = await session.hold()
    kept, undone = "INSERT INTO ledger VALUES (1)", "INSERT INTO ledger VALUES (2)"
    made = step(run, kept, "SAVEPOINT step", undone, "ROLLBACK TO step", "RELEASE step")
    assert isinstance(await session.store.transact(made), Applied)
    assert entries(tmp_path) == 1
    run = await session.hold("other")
    with pytest.raises(apsw.SQLError):
        await session.store.transact(step(run, kept, "SAVEPOINT step", kept, "INSERT INTO nowhere VALUES (3)"))
    assert entries(tmp_path) == 1


@pytest.mark.parametrize("begins", ["INSERT OR ROLLBACK INTO", "insert or  rollback into"])
async def test_it_cannot_undo_what_others_write(session: StoreSession, begins: str, tmp_path: Path) -> None:
    run = await session.hold()
    with pytest.raises(UsageError, match="take ABORT"):
        await session.store.transact(step(run, f"{begins} ledger VALUES (1)"))
    assert entries(tmp_path) == 0


async def test_one_that_undoes_all_by_a_clause_of_its_table_fails_and_others_go_on(
    session: StoreSession, tmp_path: Path
) -> None:
    connection = apsw.Connection(str(tmp_path / "runs.db"))
    connection.execute("CREATE TABLE hard (entry UNIQUE ON CONFLICT ROLLBACK)")
    connection.close()
    run = await session.hold("run")
    other = await session.hold("other")

    def survive(connection: StepConnection) -> Any:
        connection.execute("INSERT INTO hard VALUES (1)")
        with contextlib.suppress(apsw.ConstraintError):
            connection.execute("INSERT INTO hard VALUES (1)")
        connection.execute("INSERT INTO ledger VALUES (1)")
        return delivery(run.run_key, "outcome")

    with pytest.raises(UsageError, match="undone the whole transaction"):
        await asyncio.gather(
            session.store.transact(structs.replace(step(run), perform=survive)), session.advance(other)
        )
    assert await session.signals(run.run_key) == []
    assert isinstance(await session.store.transact(step(other)), Applied)
    await session.advance(run)


async def test_an_error_of_the_disk_that_undoes_all_is_told_as_it_is(
    session: StoreSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await session.hold()

    def fill(connection: apsw.Connection, *_: object) -> Any:
        connection.execute("ROLLBACK")
        raise apsw.FullError("database or disk is full")

    with monkeypatch.context() as full:
        full.setattr(transactions, "_make", fill)
        with pytest.raises(StoreFullError):
            await session.store.transact(step(run))
    assert isinstance(await session.store.transact(step(run)), Applied)
    assert entries(tmp_path) == 1


async def test_a_connection_that_is_kept_is_of_no_use_later(session: StoreSession) -> None:
    run = await session.hold()
    kept: list[StepConnection] = []

    def keep(connection: StepConnection) -> Any:
        kept.append(connection)
        return delivery(run.run_key, "outcome")

    assert isinstance(await session.store.transact(structs.replace(step(run), perform=keep)), Applied)
    with pytest.raises(UsageError, match="that is over"):
        kept[0].execute("SELECT 1")


async def test_an_error_after_rows_were_returned_is_its_own(session: StoreSession, tmp_path: Path) -> None:
    run = await session.hold("run")
    other = await session.hold("other")

    def fail(connection: StepConnection) -> Any:
        assert connection.execute("INSERT INTO ledger VALUES (1), (2) RETURNING entry")[0] == (1,)
        connection.executemany("INSERT INTO ledger VALUES (?)", [(3,), (4,)])
        assert connection.value("SELECT count(*) FROM ledger") == 4
        assert connection.value("SELECT entry FROM ledger WHERE entry = 5") is None
        raise LookupError("no funds")

    results = await asyncio.gather(
        session.store.transact(structs.replace(step(run), perform=fail)), session.advance(other), return_exceptions=True
    )
    assert [type(result) for result in results] == [LookupError, type(None)]
    assert entries(tmp_path) == 0


async def test_an_attempt_that_was_given_up_meanwhile_saves_nothing(session: StoreSession, tmp_path: Path) -> None:
    run = await session.hold()
    begun = step(run)
    await session.advance(run, what=ActivityCancelled(operation=Operation(2)))
    await session.advance(run, what=ActivityCancelled(operation=Operation(1)))
    assert await session.store.transact(begun) == Stale(run.run_key)
    assert await session.store.transact(structs.replace(begun, operation=Operation(3))) != Stale(run.run_key)
    assert entries(tmp_path) == 1


async def test_a_caller_that_is_cancelled_learns_what_became_of_it(session: StoreSession, tmp_path: Path) -> None:
    run = await session.hold()
    making = asyncio.create_task(session.store.transact(step(run)))
    await asyncio.sleep(0)
    making.cancel()
    assert isinstance(await making, Applied)
    assert entries(tmp_path) == 1
