"""Commits whose answers are lost, that are in each other's way, or on connections that end."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from perdure.errors import StoreUnavailableError
from perdure.kernel.identity import FencingToken, Operation, RunKey, RunRef
from perdure.kernel.locking import LockRelease, LockRequest
from perdure.kernel.transition import Applied, Exists, Outcome, RunStatus, Stale
from perdure.ports.following import BEGINNING
from perdure.ports.store import LockQuery
from perdure.stores.postgres.chains import Heads, head_of
from perdure.stores.postgres.lanes import FencedError, Lane
from perdure.stores.postgres.plain import PlainCommit
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import FAR, Held, creation, delivery, transition
from perdure.torture.programs.postgres_harness import PostgresHarness
from tests.postgres_server import value


def lose_answers(monkeypatch: pytest.MonkeyPatch, *, of: str, is_done: bool) -> None:
    """Lose the next answer to a statement: the server has done what it says, or never got it."""
    real: dict[str, Callable[..., Awaitable[Any]]] = {
        name: getattr(asyncpg.Connection, name) for name in ("execute", "fetchval")
    }

    def losing(name: str) -> Callable[..., Awaitable[Any]]:
        async def call(connection: asyncpg.Connection, statement: str, *parameters: object, **options: object) -> Any:
            if of not in statement:
                return await real[name](connection, statement, *parameters, **options)
            monkeypatch.undo()
            if is_done:
                await real[name](connection, statement, *parameters, **options)
            connection.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

        return call

    for name in real:
        monkeypatch.setattr(asyncpg.Connection, name, losing(name))


@pytest.mark.parametrize("is_plain", [True, False])
@pytest.mark.parametrize("is_done", [True, False])
async def test_what_became_of_a_commit_without_an_answer_is_found_out(
    session: StoreSession, monkeypatch: pytest.MonkeyPatch, *, is_done: bool, is_plain: bool
) -> None:
    run = await session.hold()
    write = transition(run, events=2, end_at=None if is_plain else FAR)
    lose_answers(monkeypatch, of="lane AS MATERIALIZED" if is_plain else "COMMIT", is_done=is_done)
    assert await session.commit_one(write) == Applied(run.run_key, session.worker)
    run.sequence += 2
    assert (await session.row(run.run_key)).sequence == run.sequence
    await session.advance(run)
    assert len(await session.store.read_history(run.run_key)) == run.sequence


@pytest.mark.parametrize("is_plain", [True, False])
async def test_a_call_that_is_cancelled_when_it_has_committed_ends_and_what_it_wrote_stays(
    session: StoreSession, monkeypatch: pytest.MonkeyPatch, *, is_plain: bool
) -> None:
    run, committed, name = await session.hold(), asyncio.Event(), "fetchval" if is_plain else "execute"
    real: Callable[..., Awaitable[Any]] = getattr(asyncpg.Connection, name)

    async def execute(connection: asyncpg.Connection, statement: str, *parameters: object) -> Any:
        answer = await real(connection, statement, *parameters)
        if statement == "COMMIT" or "lane AS MATERIALIZED" in statement:
            committed.set()
            await asyncio.Event().wait()
        return answer

    monkeypatch.setattr(asyncpg.Connection, name, execute)
    writing = asyncio.create_task(session.commit_one(transition(run, end_at=None if is_plain else FAR)))
    await committed.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    monkeypatch.undo()
    run.sequence += 1
    await session.advance(run)
    assert len(await session.store.read_history(run.run_key)) == run.sequence


async def test_what_a_server_still_does_for_a_lost_connection_changes_nothing_once_that_is_settled(
    session: StoreSession, harness: PostgresHarness
) -> None:
    run = await session.hold()
    opened = session.store._open_now()  # type: ignore[attr-defined]
    late, write = Lane(0), transition(run)
    late.epoch = (await opened._lanes.take()).epoch
    connection = await late.connection(harness.url, harness.settings)
    await harness.execute("UPDATE lanes SET epoch = epoch + 1")
    with pytest.raises(FencedError):
        await PlainCommit([write], opened.commits.heads, in_blocks=True).execute(connection, late, session.worker)
    await late.close()
    assert (await session.row(run.run_key)).sequence == run.sequence
    await session.advance(run)


async def test_what_is_asked_and_written_on_connections_that_the_server_has_ended_is_so_on_new_ones(
    session: StoreSession, harness: PostgresHarness
) -> None:
    run = await session.hold()
    await session.advance(run)
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    end_all = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {others}"

    def end_all_before_the_driver_hears_of_it() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, value(harness.url, end_all)).result()

    end_all_before_the_driver_hears_of_it()
    await session.advance(run)
    end_all_before_the_driver_hears_of_it()
    assert (await session.row(run.run_key)).sequence == run.sequence


@pytest.mark.parametrize("is_plain", [True, False])
async def test_a_row_that_somebody_has_locked_is_no_cause_that_is_the_whole_stores(
    postgres: str, harness: PostgresHarness, *, is_plain: bool
) -> None:
    """`CommitQueue` looks for the line that fails only where an error names none that is."""
    harness = PostgresHarness(postgres, structs.replace(harness.settings, lock_seconds=0.05))
    session = await harness.session()
    locked, other = await session.hold("locked"), await session.hold("other")
    write = transition(locked, end_at=None if is_plain else FAR)
    connection = await harness.connection()
    async with connection.transaction():
        await connection.execute("SELECT FROM runs WHERE run_key = $1 FOR UPDATE", locked.run_key)
        with pytest.raises(StoreUnavailableError, match="Another transaction was in the way") as raised:
            await session.commit_one(write)
        assert type(raised.value) is StoreUnavailableError
        await session.advance(other)
    await connection.close()
    assert await session.commit_one(write) == Applied(locked.run_key, session.worker)
    await harness.close()


def test_what_the_next_event_is_linked_to_is_known_for_one_end_of_a_run_only() -> None:
    """The answers of commits under way come in any order, and others may have added to the run meanwhile."""
    heads, head = Heads(), head_of(RunRef(id="run"), 3, b"digest")
    heads.keep(RunKey(1), head)
    assert heads.at(RunKey(1), 3) is head
    assert heads.at(RunKey(1), 2) is heads.at(RunKey(1), 4) is heads.at(RunKey(2), 3) is None


async def test_heads_of_claimed_runs_are_learnt_where_their_histories_are_read_on(session: StoreSession) -> None:
    heads = session.store._open_now().commits.heads  # type: ignore[attr-defined]
    run_key = await session.create()
    (before,) = await session.store.read_on({run_key: BEGINNING}, limit=10)
    assert heads.at(run_key, 1) is None  # it is nobody's
    run = await session.take(run_key)
    assert await session.store.read_on({run_key: before.place}, limit=10)
    assert heads.at(run_key, 1) is not None
    await session.advance(run, events=2)
    assert [one.sequence for one in await session.store.read_history(run_key)] == [1, 2, 3]


@pytest.mark.parametrize("is_plain", [True, False])
async def test_of_runs_that_a_session_does_not_own_any_more_it_keeps_nothing(
    session: StoreSession, *, is_plain: bool
) -> None:
    heads = session.store._open_now().commits.heads  # type: ignore[attr-defined]
    closed, given_back = await session.hold("closed"), await session.hold("given back")
    for run in (closed, given_back):
        await session.advance(run)
        assert heads.at(run.run_key, run.sequence) is not None
    await session.advance(
        closed, status=RunStatus.COMPLETED, locks=[] if is_plain else [LockRelease(operation=Operation(1))]
    )
    await session.give_back(given_back)
    assert heads.at(closed.run_key, closed.sequence) is heads.at(given_back.run_key, given_back.sequence) is None


def test_a_head_that_was_read_late_takes_the_place_of_no_later_one() -> None:
    ref = RunRef(id="run")
    heads, read, written = Heads(), head_of(ref, 3, b"3"), head_of(ref, 4, b"4")
    heads.learn(RunKey(1), read)
    assert heads.at(RunKey(1), 3) is None  # it is another session's
    heads.expect(RunKey(1))
    heads.learn(RunKey(1), read)
    assert heads.at(RunKey(1), 3) is read
    heads.keep(RunKey(1), written)
    heads.learn(RunKey(1), read)
    assert heads.at(RunKey(1), 4) is written


async def test_what_a_woken_run_does_next_is_one_statement_and_takes_its_messages(
    session: StoreSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = await session.hold(), await session.hold("other")
    await session.commit(
        delivery(run.run_key, "first"), delivery(run.run_key, "second"), delivery(other.run_key, "third")
    )
    [first, second], [third] = await session.inbox(run.run_key), await session.inbox(other.run_key)
    others = transition(other, consumed=[third.position, second.position])
    stale = structs.replace(others, fencing_token=FencingToken(others.fencing_token + 1))
    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Connection, "execute", None)  # no transaction is begun
        assert await session.commit(transition(run, consumed=[first.position]), stale) == [
            Applied(run.run_key, session.worker),
            Stale(other.run_key),
        ]
        assert [entry.position for entry in await session.inbox(run.run_key)] == [second.position]
        assert await session.inbox(other.run_key) == [third]
        assert await session.commit_one(others) == Applied(other.run_key, session.worker)
    assert await session.inbox(other.run_key) == []
    assert await session.inbox(run.run_key) == [second]  # which was not that run's to take


async def test_messages_to_the_same_runs_in_either_order_all_arrive(harness: PostgresHarness) -> None:
    sessions = [await harness.session() for _ in range(3)]
    runs = [await sessions[0].create(f"run {number}") for number in range(10)]

    async def send(session: StoreSession, place: int) -> None:
        for number in range(10):
            keys = runs if (number + place) % 2 else runs[::-1]
            outcomes = await session.commit(*(delivery(key, f"{place} {number}") for key in keys))
            assert all(isinstance(outcome, Applied) for outcome in outcomes)

    await asyncio.gather(*(send(session, place) for place, session in enumerate(sessions) for _ in range(2)))
    for key in runs:
        assert len(await sessions[0].inbox(key)) == 30


async def test_of_many_who_create_the_same_run_at_once_one_does(harness: PostgresHarness) -> None:
    sessions = [await harness.session() for _ in range(3)]

    async def create(session: StoreSession, *, owned: bool) -> Outcome:
        if not owned:
            return await session.commit_one(creation(session.store.new_run_key(), "one"))
        run = harness.unborn(session, "one")
        return await session.commit_one(transition(run, begins=creation(run.run_key, "one")))

    outcomes = await asyncio.gather(*(create(session, owned=owned) for session in sessions for owned in (True, False)))
    [made] = [outcome.run_key for outcome in outcomes if isinstance(outcome, Applied)]
    assert [outcome.run_key for outcome in outcomes if isinstance(outcome, Exists)] == [made] * 5


async def test_of_many_who_ask_for_a_lock_at_once_one_gets_it_and_all_others_after_it(
    harness: PostgresHarness,
) -> None:
    sessions = [await harness.session() for _ in range(3)]
    owners: dict[RunKey, tuple[StoreSession, Held]] = {}
    for number in range(12):
        session = sessions[number % 3]
        run = await session.hold(f"run {number}")
        owners[run.run_key] = (session, run)

    async def ask(session: StoreSession, run: Held) -> None:
        await session.advance(run, locks=[LockRequest(key="shelf", operation=Operation(1), limit=1)])

    await asyncio.gather(*(ask(*owner) for owner in owners.values()))
    for left in range(12, 0, -1):
        entries = await sessions[0].store.list_locks(LockQuery(key="shelf"))
        assert len(entries) == left
        [held] = [entry for entry in entries if entry.is_held]
        assert held.position == min(entry.position for entry in entries)
        session, run = owners[held.run_key]
        await session.advance(run, status=RunStatus.COMPLETED, locks=[LockRelease(operation=Operation(1))])
