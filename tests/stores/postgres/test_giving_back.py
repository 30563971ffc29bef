"""What a session owned that has ended, or died, while the server was still at work on its transactions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from perdure.kernel.transition import Applied, Stale
from perdure.stores.memory.tables import News
from perdure.stores.postgres import sessions, statements
from perdure.stores.postgres.store import PostgresStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import FAR, LEASE_SECONDS, START, Held, code_of, later, transition
from perdure.torture.programs.postgres_harness import PostgresHarness
from tests.postgres_server import until_waiting

ONE_ROW = "UPDATE 1"


@asynccontextmanager
async def claim_under_way(
    harness: PostgresHarness, session: StoreSession, *, is_numbered: bool
) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Have the server amid a claim of a session; yield what ends that, and returns whether it is committed."""
    assert isinstance(session.store, PostgresStore)
    own = session.store._open_now().session
    connection = await harness.connection()
    number = partial(connection.execute, statements.NUMBER_COMMIT, own.worker_id, 2, 0, 7, [])
    await connection.execute("BEGIN")
    await sessions.claim(connection, own, News(), now=START, limit=1, workflows=code_of("order"), code=None)
    numbered = await number() if is_numbered else None

    async def end() -> bool:
        is_committed = (numbered or await number()) == ONE_ROW
        await connection.execute("COMMIT" if is_committed else "ROLLBACK")
        return is_committed

    try:
        yield end
    finally:
        await connection.close()


@pytest.mark.parametrize("is_numbered", [True, False])
async def test_a_claim_that_the_server_commits_for_a_dead_process_is_freed_or_fails(
    harness: PostgresHarness, *, is_numbered: bool
) -> None:
    finder, dying = [await harness.session(name) for name in ("finder", "dying")]
    run_key = await finder.create()
    async with claim_under_way(harness, dying, is_numbered=is_numbered) as end_claim:
        await harness.kill(dying)
        freeing = asyncio.ensure_future(finder.store.free_expired(now=START))
        if is_numbered:
            await until_waiting(harness.url, 1)
        else:
            assert await freeing == 0
        assert await end_claim() == is_numbered
        assert await freeing == is_numbered
    await finder.take(run_key)


@pytest.mark.parametrize("is_numbered", [True, False])
async def test_a_claim_that_the_server_commits_while_its_session_is_closed_is_given_back_or_fails(
    harness: PostgresHarness, *, is_numbered: bool
) -> None:
    other, leaving = [await harness.session(name) for name in ("other", "leaving")]
    run_key = await other.create()
    async with claim_under_way(harness, leaving, is_numbered=is_numbered) as end_claim:
        closing = asyncio.ensure_future(harness.end(leaving))
        if is_numbered:
            await until_waiting(harness.url, 1)
        else:
            await closing
        assert await end_claim() == is_numbered
        await closing
    await other.take(run_key)


async def test_a_run_of_an_owner_that_has_no_session_is_freed(harness: PostgresHarness) -> None:
    finder, cut_off, owner = [await harness.session(name) for name in ("finder", "cut off", "owner")]
    await harness.execute("DELETE FROM sessions WHERE worker_id = $1", cut_off.worker)
    kept = await owner.hold("kept")
    left = await cut_off.hold("left")
    assert await finder.store.free_expired(now=START) == 1
    assert (await finder.row(left.run_key)).owner is None
    await owner.advance(kept)


@pytest.mark.parametrize("is_plain", [True, False])
async def test_a_session_whose_lease_has_passed_but_that_lives_goes_on(
    harness: PostgresHarness, *, is_plain: bool
) -> None:
    late, finder = [await harness.session(name) for name in ("late", "finder")]
    lost, now = await late.hold(), later(LEASE_SECONDS + 1)
    assert not await finder.store.renew_lease(now=now)
    assert await finder.store.free_expired(now=now) == 1
    write = transition(lost, end_at=None if is_plain else FAR)
    assert await late.commit_one(write) == Stale(lost.run_key)
    [claimed] = await late.claim()
    await late.advance(Held.of(claimed))


async def test_a_call_that_comes_too_late_for_a_session_that_is_closed_saves_nothing(harness: PostgresHarness) -> None:
    other, leaving = [await harness.session(name) for name in ("other", "leaving")]
    run = await leaving.hold()
    connection = await harness.connection()
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM runs FOR UPDATE")
            late = asyncio.ensure_future(leaving.commit_one(transition(run, end_at=FAR)))
            await until_waiting(harness.url, 1)
            closing = asyncio.ensure_future(harness.end(leaving))
            await until_waiting(harness.url, 2)
    finally:
        await connection.close()
    await closing
    outcome = (await asyncio.gather(late, return_exceptions=True))[0]
    row = await other.row(run.run_key)
    assert row.owner is None
    assert row.sequence == run.sequence + (outcome == Applied(run.run_key, leaving.worker))
