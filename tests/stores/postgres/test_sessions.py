"""Who lives, who is missed, and what those hear whom somebody has died without telling."""

import asyncio
import json

import asyncpg
import pytest
from msgspec import structs

from perdure.errors import StoreUnavailableError
from perdure.kernel.identity import WorkerId
from perdure.ports.store import Changes
from perdure.stores.postgres import home, sessions
from perdure.stores.postgres.absences import Absences
from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.home import Home
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import LEASE_SECONDS, START, later
from perdure.testing.store_conformance.tasks import change, hear_of_queued, task
from perdure.torture.programs.postgres_harness import PostgresHarness
from tests.stores.postgres.other_process import process

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


async def test_who_is_missed_is_not_waited_for_and_the_late_are_freed_at_once(
    postgres: str, harness: PostgresHarness
) -> None:
    slow = PostgresHarness(postgres, structs.replace(harness.settings, absence_seconds=ABSENCE_SECONDS))
    finder, dying, late = [await slow.session(name) for name in ("finder", "dying", "late")]
    missed = await dying.hold("missed")
    now = later(LEASE_SECONDS - 1)
    assert await dying.store.renew_lease(now=now)
    freed = await late.hold("freed")
    await slow.kill(dying)
    async with asyncio.timeout(30):
        assert await finder.store.free_expired(now=START) == 0
        assert await finder.store.free_expired(now=later(LEASE_SECONDS + 1)) == 1
    assert (await finder.row(freed.run_key)).owner is None
    assert (await finder.row(missed.run_key)).owner == dying.worker
    await slow.close()


async def test_what_a_dead_session_owned_is_taken_over_without_anybody_asking(
    postgres: str, harness: PostgresHarness
) -> None:
    watchful = PostgresHarness(
        postgres, structs.replace(harness.settings, absence_seconds=0.05, safety_check_seconds=0.01)
    )
    finder, dying = [await watchful.session(name) for name in ("finder", "dying")]
    run = await dying.hold()
    await watchful.kill(dying)
    finder.changes.clear()
    await hear_of_everything(finder)
    assert (await finder.row(run.run_key)).owner is None
    await watchful.close()


async def test_who_misses_somebody_looks_again_as_soon_as_that_can_be_said_of_a_dead_one(
    postgres: str, harness: PostgresHarness
) -> None:
    calm = PostgresHarness(
        postgres, structs.replace(harness.settings, absence_seconds=0.05, safety_check_seconds=3_600.0)
    )
    dying = await calm.session("dying")
    run = await dying.hold()
    await calm.kill(dying)
    await calm.has_gone(dying.worker)
    finder = await calm.session("finder")
    assert await finder.store.free_expired(now=START) == 0, "it is missed for the first time"
    await hear_of_everything(finder)
    assert (await finder.row(run.run_key)).owner is None
    await calm.close()


async def test_a_session_of_a_process_that_has_ended_on_this_machine_is_not_missed_first(
    postgres: str, harness: PostgresHarness
) -> None:
    calm = PostgresHarness(
        postgres, structs.replace(harness.settings, absence_seconds=3_600.0, safety_check_seconds=3_600.0)
    )
    finder, dying, elsewhere = [await calm.session(name) for name in ("finder", "dying", "elsewhere")]
    freed, missed = await dying.hold("freed"), await elsewhere.hold("missed")
    with process() as ended:
        await calm.execute("UPDATE sessions SET process = $1 WHERE worker_id = $2", ended.name, dying.worker)
        await calm.execute("UPDATE sessions SET process = 'x' || $1 WHERE worker_id = $2", ended.name, elsewhere.worker)
        for session in (dying, elsewhere):
            await calm.kill(session)
            await calm.has_gone(session.worker)
        assert await finder.store.free_expired(now=START) == 0, "its process is there"
    assert await finder.store.free_expired(now=START) == 1
    assert (await finder.row(freed.run_key)).owner is None
    assert (await finder.row(missed.run_key)).owner == elsewhere.worker
    await calm.close()


async def test_news_that_follow_each_other_soon_are_told_together_and_the_first_at_once(
    harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "_BETWEEN_NEWS_SECONDS", 3_600.0)
    other, busy = [await harness.session(name) for name in ("other", "busy")]
    first = await busy.create("first")
    await other.hear_of(first)
    other.changes.clear()
    later = {await busy.create(name) for name in ("second", "third", "last")}
    await harness.end(busy)
    await other.hear_of(max(later))
    assert [changes.run_keys for changes in other.changes if changes.run_keys] == [later]


async def test_the_looks_come_whatever_there_is_to_tell(
    postgres: str, harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, tell = asyncio.Event(), Home._tell

    async def tell_and_have_more(home: Home, connection: Connection) -> None:
        await tell(home, connection)
        await asyncio.sleep(0)
        home._telling.set()

    async def look(home: Home, connection: Connection) -> None:
        del home, connection
        looked.set()

    monkeypatch.setattr(Home, "_tell", tell_and_have_more)
    monkeypatch.setattr(Home, "_look", look)
    busy = PostgresHarness(postgres, structs.replace(harness.settings, safety_check_seconds=0.01))
    await busy.session()
    async with asyncio.timeout(30):
        await looked.wait()
    monkeypatch.undo()
    await busy.close()


async def test_when_a_call_is_cancelled_that_was_saved_all_look_at_everything(
    harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder, other, dying = [await harness.session(name) for name in ("finder", "other", "dying")]
    run = await dying.hold()
    await harness.kill(dying)
    execute, committed = asyncpg.Connection.execute, asyncio.Event()

    async def commit_unheard(connection: asyncpg.Connection, statement: str, *parameters: object) -> str:
        answer = await execute(connection, statement, *parameters)
        if statement == "COMMIT":
            committed.set()
            await asyncio.Event().wait()
        return answer

    other.changes.clear()
    monkeypatch.setattr(asyncpg.Connection, "execute", commit_unheard)
    freeing = asyncio.ensure_future(finder.store.free_expired(now=START))
    await committed.wait()
    monkeypatch.undo()
    freeing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await freeing
    await hear_of_everything(finder)
    await hear_of_everything(other)
    assert (await other.row(run.run_key)).owner is None


async def test_a_session_that_cannot_be_closed_in_good_order_lets_go_of_all(
    harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder, leaving = [await harness.session(name) for name in ("finder", "leaving")]
    run = await leaving.hold()

    async def no_answer(connection: asyncpg.Connection, *, timeout: float) -> None:
        del timeout
        connection.terminate()
        raise TimeoutError

    async def out_of_reach(*_: object, **__: object) -> None:
        raise StoreUnavailableError("the server is away")

    monkeypatch.setattr(asyncpg.Connection, "close", no_answer)
    monkeypatch.setattr(sessions, "give_back_all", out_of_reach)
    with pytest.raises(StoreUnavailableError, match="the server is away"):
        await harness.end(leaving)
    monkeypatch.undo()
    await harness.has_gone(leaving.worker)
    assert await finder.store.free_expired(now=START) == 1
    await finder.take(run.run_key)


def test_whoever_was_there_at_a_look_is_not_taken_for_dead() -> None:
    now, one, other = 0.0, WorkerId(1), WorkerId(2)
    absences = Absences(absence_seconds=2.0, now=lambda: now)
    assert absences.note({one, other}) == set()
    now = 1.0
    assert absences.note({one}) == set()
    assert absences.decides_at == 2.0
    now = 2.0
    assert absences.note({one, other}) == {one}
    assert absences.decides_at == 4.0
    now = 4.0
    assert absences.note({other}) == {other}
    assert absences.decides_at is None


async def test_a_library_that_knows_one_word_for_runs_and_tasks_is_told_of_both_and_heard_as_both(
    harness: PostgresHarness, session: StoreSession
) -> None:
    """So were the first libraries with task queues; who knows two words hears which of them it is."""
    other = await harness.session("other")
    run = await session.hold()
    await other.hear_of_ready()  # of the run
    other.changes.clear()
    told: asyncio.Queue[str] = asyncio.Queue()
    channel = f"perdure {harness.settings.schema}"
    older = await harness.connection()
    await older.add_listener(channel, lambda *heard: told.put_nowait(heard[-1]))
    await change(session, run, queued=[task(run)])
    await hear_of_queued(other)
    assert not any(news.ready for news in other.changes)
    while not (notice := json.loads(await told.get()))["queued"]:
        pass
    assert notice["ready"]
    await older.execute("SELECT pg_notify($1, $2)", channel, '{"worker": 99, "runs": [], "ready": true}')
    await other.hear_that(lambda news: news.ready and news.queued)
    await older.close()
