"""Steps made in transactions: exactly once, whatever becomes of the connection and of the run."""

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest
from asyncpg.transaction import Transaction
from msgspec import structs

from perdure.kernel.events import ActivityCancelled, ActivityCompleted
from perdure.kernel.identity import FencingToken, Operation
from perdure.kernel.isolation import Isolation
from perdure.kernel.transition import Applied, Stale
from perdure.ports.transactions import StepTransaction
from perdure.stores.postgres import step_connections
from perdure.stores.postgres.connection import connect_plainly
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import Held, delivery
from perdure.torture.programs.postgres_harness import PostgresHarness


@pytest.fixture(autouse=True)
async def ledger(harness: PostgresHarness) -> Any:
    await harness.execute("CREATE TABLE public.ledger (entry integer)")
    yield
    await harness.execute("DROP TABLE public.ledger")


WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def step(run: Held, isolation: Isolation = Isolation.READ_COMMITTED) -> StepTransaction:
    async def perform(connection: asyncpg.Connection) -> Any:
        await connection.execute("INSERT INTO ledger VALUES (1)")
        return delivery(run.run_key, "outcome", message_id="outcome:1:1:1")

    return StepTransaction(
        run_key=run.run_key,
        owner=run.owner,
        fencing_token=run.fencing_token,
        sequence=run.sequence,
        operation=Operation(1),
        isolation=isolation,
        perform=perform,
        is_async=True,
    )


async def entries(harness: PostgresHarness) -> object:
    return await harness.fetchval("SELECT count(*) FROM public.ledger")


@pytest.mark.parametrize("isolation", Isolation)
async def test_what_it_writes_comes_with_its_outcome(
    session: StoreSession, harness: PostgresHarness, isolation: Isolation
) -> None:
    run = await session.hold()
    assert await session.store.transact(step(run, isolation)) == Applied(run.run_key, session.worker)
    assert await session.signals(run.run_key) == ["outcome"]
    assert await entries(harness) == 1


async def test_of_a_run_that_somebody_else_has_by_now_nothing_is_saved(
    session: StoreSession, harness: PostgresHarness
) -> None:
    run = await session.hold()
    for late in (
        structs.replace(step(run), fencing_token=FencingToken(run.fencing_token - 1)),
        structs.replace(step(run), owner=session.worker + 1),
    ):
        assert await session.store.transact(late) == Stale(run.run_key)
    assert await session.signals(run.run_key) == []
    assert await entries(harness) == 0


async def test_of_two_outcomes_of_an_attempt_one_is_saved(session: StoreSession, harness: PostgresHarness) -> None:
    run = await session.hold()
    assert isinstance(await session.store.transact(step(run)), Applied)
    assert await session.store.transact(step(run)) == Stale(run.run_key)
    assert await session.signals(run.run_key) == ["outcome"]
    assert await entries(harness) == 1


@pytest.mark.parametrize("is_done", [True, False])
async def test_what_became_of_a_commit_without_an_answer_is_found_out(
    session: StoreSession, harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    run, commit = await session.hold(), Transaction.commit

    async def lose_the_answer(transaction: Any) -> None:
        monkeypatch.undo()
        if is_done:
            await commit(transaction)
        transaction._connection.terminate()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(Transaction, "commit", lose_the_answer)
    if is_done:
        assert await session.store.transact(step(run)) == Applied(run.run_key, session.worker)
    else:
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await session.store.transact(step(run))
    assert await entries(harness) == int(is_done)
    assert len(await session.signals(run.run_key)) == int(is_done)


async def test_what_became_of_a_commit_is_found_out_however_long_the_server_is_away(
    session: StoreSession, harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, commit, refused = await session.hold(), Transaction.commit, list[object]()

    async def lose_the_answer(transaction: Any) -> None:
        monkeypatch.undo()
        await commit(transaction)
        transaction._connection.terminate()
        monkeypatch.setattr(step_connections, "connect_plainly", refuse_twice)
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async def refuse_twice(*given: Any) -> Any:
        if len(refused) < 2:
            refused.append(given)
            raise ConnectionRefusedError
        return await connect_plainly(*given)

    monkeypatch.setattr(Transaction, "commit", lose_the_answer)
    assert await session.store.transact(step(run)) == Applied(run.run_key, session.worker)
    assert len(refused) == 2
    assert await entries(harness) == 1


async def test_an_attempt_that_was_given_up_meanwhile_saves_nothing(
    session: StoreSession, harness: PostgresHarness
) -> None:
    run = await session.hold()
    begun = step(run)
    await session.advance(run, what=ActivityCancelled(operation=Operation(2)))
    await session.advance(run, what=ActivityCancelled(operation=Operation(1)))
    assert await session.store.transact(begun) == Stale(run.run_key)
    assert await session.store.transact(structs.replace(begun, operation=Operation(3))) != Stale(run.run_key)
    assert await entries(harness) == 1


async def test_one_that_waits_for_whoever_gives_it_up_saves_nothing(
    session: StoreSession, harness: PostgresHarness
) -> None:
    run = await session.hold()
    giving_up = await harness.connection()
    async with giving_up.transaction():
        await giving_up.execute("SELECT FROM runs WHERE run_key = $1 FOR NO KEY UPDATE", run.run_key)
        making = asyncio.create_task(session.store.transact(step(run)))
        async with asyncio.timeout(10):
            while not await harness.fetchval(WAITING):  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.001)
        await giving_up.execute(
            "INSERT INTO history VALUES ($1, $2, 'activity_cancelled', 1, 0, $3, '')",
            run.run_key,
            run.sequence + 1,
            '{"operation":1}',
        )
    await giving_up.close()
    assert await making == Stale(run.run_key)
    assert await entries(harness) == 0


async def test_what_else_has_ended_meanwhile_does_not_matter_whatever_it_holds(session: StoreSession) -> None:
    run = await session.hold()
    begun = step(run)
    result = msgspec.Raw(b'"a\\u0000b"')
    await session.advance(run, what=ActivityCompleted(operation=Operation(11), result=result, attempt=1))
    assert isinstance(await session.store.transact(begun), Applied)


async def test_one_that_is_cancelled_at_any_moment_leaves_a_clean_connection_to_the_next(
    session: StoreSession, harness: PostgresHarness
) -> None:
    saved = 0
    for turns in range(12):
        run = await session.hold(f"cancelled {turns}")
        making = asyncio.create_task(session.store.transact(step(run)))
        for _ in range(turns):
            await asyncio.sleep(0)
        making.cancel()
        outcome = (await asyncio.gather(making, return_exceptions=True))[0]
        saved += isinstance(outcome, Applied)
        assert await entries(harness) == saved
        run = await session.hold(f"next {turns}")
        assert isinstance(await session.store.transact(step(run)), Applied)
        saved += 1
        assert await session.signals(run.run_key) == ["outcome"]
        assert await entries(harness) == saved


async def test_nothing_that_one_has_set_for_its_session_is_there_for_the_next(
    session: StoreSession, harness: PostgresHarness
) -> None:
    run, pids = await session.hold(), []

    async def leave_much(connection: asyncpg.Connection) -> Any:
        pids.append(await connection.fetchval("SELECT pg_backend_pid()"))
        await connection.execute("SELECT pg_advisory_lock(42)")
        await connection.execute("CREATE TEMP TABLE ledger (other text)")
        await connection.execute("SET statement_timeout = '17s'; SET search_path = nowhere; LISTEN news")
        await connection.add_listener("news", print)
        return delivery(run.run_key, "left", message_id="outcome:2:1:1")

    async def look(connection: asyncpg.Connection) -> Any:
        pids.append(await connection.fetchval("SELECT pg_backend_pid()"))
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        assert await connection.fetchval(locks) == 0
        assert await connection.fetchval("SHOW statement_timeout") == "30s"
        assert await connection.fetchval("SELECT count(*) FROM pg_listening_channels()") == 0
        await connection.execute("INSERT INTO ledger VALUES (1)")
        return delivery(run.run_key, "looked", message_id="outcome:3:1:1")

    begun = step(run)
    for operation, perform in enumerate((leave_much, look), 2):
        made = structs.replace(begun, operation=Operation(operation), perform=perform)
        assert isinstance(await session.store.transact(made), Applied)
    assert pids[0] == pids[1]
    assert await entries(harness) == 1


async def test_it_sees_the_tables_types_and_search_path_of_its_role_not_those_of_the_store(
    session: StoreSession,
) -> None:
    run = await session.hold()

    async def perform(connection: asyncpg.Connection) -> Any:
        assert await connection.fetchval("SHOW search_path") == '"$user", public'
        assert await connection.fetchval("SELECT 'a\x01b'::varchar") == "a\x01b"
        return delivery(run.run_key, "outcome")

    assert isinstance(await session.store.transact(structs.replace(step(run), perform=perform)), Applied)


async def test_one_that_is_undone_as_it_is_committed_is_made_again(
    session: StoreSession, harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that have read what the other writes, by the rules of serializable snapshot isolation."""
    commit, both, commits, made = Transaction.commit, asyncio.Barrier(2), list[object](), list[str]()

    async def commit_together(transaction: Any) -> None:
        commits.append(transaction)
        if len(commits) <= 2:
            await both.wait()
        await commit(transaction)

    def skewed(name: str, run: Held) -> StepTransaction:
        async def perform(connection: asyncpg.Connection) -> Any:
            made.append(name)
            await connection.fetchval("SELECT sum(entry) FROM ledger")
            await connection.execute("INSERT INTO ledger VALUES (1)")
            return delivery(run.run_key, "outcome", message_id="outcome:1:1:1")

        return structs.replace(step(run, Isolation.SERIALIZABLE), perform=perform)

    one, other = await session.hold("one"), await session.hold("other")
    monkeypatch.setattr(Transaction, "commit", commit_together)
    outcomes = await asyncio.gather(
        session.store.transact(skewed("one", one)), session.store.transact(skewed("other", other))
    )
    assert [*outcomes] == [Applied(one.run_key, session.worker), Applied(other.run_key, session.worker)]
    assert (len(made), sorted(set(made))) == (3, ["one", "other"])
    assert await entries(harness) == 2
