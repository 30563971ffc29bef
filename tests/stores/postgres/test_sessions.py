"""Who lives, who is missed, and what those hear whom somebody has died without telling."""

import asyncio

import pytest
from msgspec import structs

from perdure.ports.store import Changes
from perdure.stores.postgres.home import Home, lock_of
from perdure.stores.postgres.store import PostgresStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import START
from perdure.torture.programs.postgres_harness import PostgresHarness

ABSENCE_SECONDS = 123.0


def is_everything(changes: Changes) -> bool:
    return changes.everything


async def hear_of_everything(session: StoreSession) -> None:
    await session.hear_of_parked()
    assert any(map(is_everything, session.changes)), "nothing was parked"


@pytest.fixture
def nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell_nobody(home: Home, connection: object) -> None:
        del connection
        home._telling.clear()

    monkeypatch.setattr(Home, "_tell", tell_nobody)


async def test_what_a_session_had_not_told_when_it_died_is_found_by_all(
    harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch, nobody_tells: None
) -> None:
    finder, other, dying = [await harness.session(name) for name in ("finder", "other", "dying")]
    await dying.create()
    await harness.kill(dying)
    monkeypatch.undo()
    assert not finder.changes
    assert not other.changes
    assert await finder.store.free_expired(now=START) == 0
    await hear_of_everything(finder)
    await hear_of_everything(other)


async def test_a_session_that_cannot_tell_its_last_news_is_found_as_a_dead_one_is(
    harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch, nobody_tells: None
) -> None:
    finder, leaving = [await harness.session(name) for name in ("finder", "leaving")]
    run = await leaving.hold()
    await harness.end(leaving)
    monkeypatch.undo()
    assert (await finder.row(run.run_key)).owner is None
    assert await harness.fetchval("SELECT count(*) FROM sessions") == 2
    assert await finder.store.free_expired(now=START) == 0
    await hear_of_everything(finder)
    assert await harness.fetchval("SELECT count(*) FROM sessions") == 1


async def test_a_session_that_has_told_all_leaves_nothing_and_has_nobody_look_at_everything(
    harness: PostgresHarness,
) -> None:
    other, leaving = [await harness.session(name) for name in ("other", "leaving")]
    await leaving.hold()
    await harness.end(leaving)
    await other.hear_of_ready()
    assert await other.store.free_expired(now=START) == 0
    assert not any(map(is_everything, other.changes))
    assert await harness.fetchval("SELECT count(*) FROM sessions") == 1


async def test_a_living_session_that_comes_home_soon_keeps_its_runs(
    postgres: str, harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = PostgresHarness(postgres, structs.replace(harness.settings, absence_seconds=ABSENCE_SECONDS))
    finder, owner = [await patient.session(name) for name in ("finder", "owner")]
    run = await owner.hold()
    store = owner.store
    assert isinstance(store, PostgresStore)
    lock, sleep = lock_of(owner.worker, schema="perdure"), asyncio.sleep
    in_its_way = await patient.connection()
    looked = asyncio.Event()

    async def let_it_come_home(seconds: float) -> None:
        if seconds != ABSENCE_SECONDS:
            await sleep(seconds)
            return
        looked.set()
        await in_its_way.execute("SELECT pg_advisory_unlock_shared($1)", lock)
        await hear_of_everything(owner)

    monkeypatch.setattr(asyncio, "sleep", let_it_come_home)
    await in_its_way.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    await in_its_way.execute("SELECT pg_advisory_lock_shared($1)", lock)
    try:
        assert await finder.store.free_expired(now=START) == 0
        assert looked.is_set()
        await owner.advance(run)
    finally:
        await in_its_way.close()
        await patient.close()
