"""Questions: turns, those that are asked together, and those that are given up before they are answered."""

import asyncio

import pytest
from asyncpg import Connection, ConnectionDoesNotExistError
from msgspec import structs

from perdure.errors import DamagedHistoryError, StoreUnavailableError
from perdure.kernel.identity import RunKey
from perdure.torture.programs.postgres_harness import PostgresHarness


async def test_after_one_that_is_cancelled_at_any_moment_the_next_sees_what_is_there_now(
    postgres: str, harness: PostgresHarness
) -> None:
    """Of those that need a transaction, on the only connection for questions."""
    harness = PostgresHarness(postgres, structs.replace(harness.settings, readers=1))
    session = await harness.session()
    run = await session.hold()
    for turns in range(40):
        asking = asyncio.create_task(session.store.read_whole(run.run_key))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await session.row(run.run_key)
        await session.advance(run)
        assert (await session.row(run.run_key)).sequence == run.sequence, turns
    await harness.close()


async def test_who_asks_together_with_others_meets_no_damage_but_its_own(harness: PostgresHarness) -> None:
    session = await harness.session()
    runs = [await session.hold(name) for name in ("first", "damaged", "last")]
    await harness.execute("UPDATE history SET data = '{}' WHERE run_key = $1", runs[1].run_key)
    absent = RunKey(runs[-1].run_key + 1)
    keys = [*(run.run_key for run in runs), absent]
    found = await asyncio.gather(*map(session.store.read_history, keys), return_exceptions=True)
    assert isinstance(found[1], DamagedHistoryError)
    assert [len(events) for events in (found[0], found[2], found[3]) if isinstance(events, list)] == [1, 1, 0]
    assert [(await session.store.read_history(run.run_key)) for run in (runs[0], runs[2])] == [found[0], found[2]]
    by_key = await asyncio.gather(*(session.store.find(key) for key in keys))
    by_id = await asyncio.gather(*(session.store.find(run.ref) for run in runs))
    assert [row and row.run_key for row in (*by_key, *by_id)] == [*keys[:3], None, *keys[:3]]


async def test_a_question_is_asked_anew_where_all_connections_have_gone_unnoticed(
    harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await harness.session()
    run = await session.hold()
    opened = session.store._opened  # type: ignore[attr-defined]
    await asyncio.gather(session.store.next_agenda_at(), session.store.find(run.run_key))
    gone = list(opened._readers)
    assert len(gone) == harness.settings.readers
    fetch = Connection.fetch

    async def fetch_by_what_is_there(connection: Connection, query: str, *asked: object) -> object:
        if connection in gone:
            raise ConnectionDoesNotExistError
        return await fetch(connection, query, *asked)

    monkeypatch.setattr(Connection, "fetch", fetch_by_what_is_there)
    assert (await session.row(run.run_key)).run_key == run.run_key
    assert all(connection.is_closed() for connection in gone)


async def test_after_the_closing_no_connection_is_left_whatever_was_asked(harness: PostgresHarness) -> None:
    session = await harness.session()
    run = await session.hold()
    opened = session.store._opened  # type: ignore[attr-defined]
    asking = [asyncio.create_task(session.store.read_history(run.run_key)) for _ in range(30)]
    await asyncio.sleep(0)
    await session.store.close()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(one) for one in found} <= {StoreUnavailableError, list}
    assert all(connection.is_closed() for connection in (*opened._readers, *opened._reading))


async def test_who_asks_first_is_answered_first_however_many_come_later(
    postgres: str, harness: PostgresHarness
) -> None:
    """With questions that are not asked together, on the only connection."""
    harness = PostgresHarness(postgres, structs.replace(harness.settings, readers=1))
    session = await harness.session()
    answered: list[int] = []

    async def ask_again_and_again(number: int) -> None:
        for _ in range(3):
            await session.store.next_agenda_at()
            answered.append(number)

    await asyncio.gather(*map(ask_again_and_again, range(4)))
    assert answered == [0, 1, 2, 3] * 3
    await harness.close()
