"""Group commit: what travels together, what a refusal costs the others, and what damage costs."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import msgspec
import pytest

from perdure.errors import InternalError, StoreCorruptError
from perdure.kernel.identity import RunRef
from perdure.kernel.transition import Applied, Exists, Missing, Stale, Write
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import Held, creation, delivery, release, transition


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[StoreSession]:
    session = StoreSession(SqliteStore(tmp_path / "data.db", settings=SqliteSettings(writes_per_transaction=500)))
    await session.open(name="worker", lease_seconds=30)
    yield session
    await session.store.close()


async def many(session: StoreSession, count: int) -> list[Held]:
    await session.commit(*(creation(session.store.new_run_key(), f"run {number}") for number in range(count)))
    return sorted((Held.of(claimed) for claimed in await session.claim(limit=count)), key=lambda run: run.run_key)


def commits(session: StoreSession) -> int:
    store = session.store
    assert isinstance(store, SqliteStore)
    assert store._opened is not None
    return store._opened.database.last_commit


async def test_calls_that_wait_together_share_transactions(session: StoreSession) -> None:
    runs = await many(session, 200)
    before = commits(session)
    answers = await asyncio.gather(*(session.commit(transition(run)) for run in runs))
    assert [outcome for (outcome,) in answers] == [Applied(run.run_key, session.worker) for run in runs]
    assert commits(session) - before < 20


async def test_a_transaction_has_a_limit_and_nothing_beyond_it_is_lost(session: StoreSession) -> None:
    runs = await many(session, 1_300)
    before = commits(session)
    answers = await asyncio.gather(*(session.commit(*map(transition, runs[n : n + 300])) for n in range(0, 1_300, 300)))
    assert sum(len(answer) for answer in answers) == 1_300
    assert all(isinstance(outcome, Applied) for answer in answers for outcome in answer)
    assert commits(session) - before >= 4


async def test_a_call_larger_than_the_limit_is_still_one_transaction(session: StoreSession) -> None:
    runs = await many(session, 700)
    before = commits(session)
    await session.commit(*map(transition, runs))
    assert commits(session) - before == 1


async def test_transactions_carry_a_number_only_while_others_could_come_between(
    session: StoreSession, tmp_path: Path
) -> None:
    def numbered() -> int:
        connection = apsw.Connection(str(tmp_path / "data.db"), flags=apsw.SQLITE_OPEN_READONLY)
        number = connection.execute("SELECT last_commit FROM sessions WHERE worker_id = ?", (session.worker,)).get
        connection.close()
        assert isinstance(number, int)
        return number

    before = numbered()
    await session.create("alone")
    assert numbered() == before
    another = StoreSession(SqliteStore(tmp_path / "data.db"))
    await another.open(name="another", lease_seconds=30)
    await session.create("accompanied")
    assert numbered() == commits(session)
    await another.store.close()
    await session.create("alone again")
    assert numbered() < commits(session)


@pytest.mark.parametrize("count", [1, 2, 7, 128, 129, 300])
async def test_every_number_of_writes_fits_the_prepared_statements(session: StoreSession, count: int) -> None:
    runs = await many(session, count)
    outcomes = await session.commit(*(transition(run, events=3) for run in runs))
    assert outcomes == [Applied(run.run_key, session.worker) for run in runs]
    assert [event.sequence for event in await session.store.read_history(runs[-1].run_key)] == [1, 2, 3, 4]


async def test_refused_writes_take_nothing_with_them(session: StoreSession) -> None:
    runs = await many(session, 60)
    stale = Held(**{name: getattr(runs[7], name) for name in runs[7].__struct_fields__})
    stale.sequence += 5
    taken = creation(session.store.new_run_key(), "run 0")
    nobody = RunRef(id="nobody")
    writes: list[Write] = [transition(run) for run in runs if run is not runs[7]]
    writes[3:3] = [transition(stale), taken, delivery(nobody)]
    outcomes = await session.commit(*writes)
    assert outcomes[3:6] == [Stale(stale.run_key), Exists(runs[0].run_key), Missing(nobody)]
    assert sum(isinstance(outcome, Applied) for outcome in outcomes) == 59
    assert (await session.row(runs[7].run_key)).sequence == 1
    assert (await session.row(runs[8].run_key)).sequence == 2


async def test_writes_of_one_run_in_one_call_are_applied_in_their_order(session: StoreSession) -> None:
    (run,) = await many(session, 1)
    first = transition(run, events=2)
    run.sequence = 3
    second = transition(run, events=1)
    run.sequence = 4
    outcomes = await session.commit(first, delivery(run.run_key), second, release(run))
    assert all(isinstance(outcome, Applied) for outcome in outcomes)
    row = await session.row(run.run_key)
    assert (row.sequence, row.owner) == (4, None)
    assert row.wake_at is not None, "a message waits"


async def test_a_value_that_cannot_be_encoded_harms_its_caller_alone(session: StoreSession) -> None:
    one, two = await many(session, 2)
    broken = transition(one, events=2)
    broken = msgspec.structs.replace(broken, events=broken.events[1:])
    answers = await asyncio.gather(session.commit(broken), session.commit(transition(two)), return_exceptions=True)
    assert isinstance(answers[0], InternalError)
    assert answers[1] == [Applied(two.run_key, session.worker)]


async def test_a_caller_that_is_cancelled_stops_nobody(session: StoreSession) -> None:
    one, two = await many(session, 2)
    cancelled = asyncio.ensure_future(session.commit(transition(one)))
    waiting = asyncio.ensure_future(session.commit(transition(two)))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await waiting == [Applied(two.run_key, session.worker)]
    assert (await session.row(one.run_key)).sequence in {1, 2}


async def opened_and_claimed(path: Path) -> None:
    session = StoreSession(SqliteStore(path))
    await session.open(name="worker", lease_seconds=30)
    try:
        await session.claim(limit=1_000)
    finally:
        await session.store.close()


@pytest.mark.parametrize("times", [1, 2])
async def test_what_looks_damaged_is_looked_at_once_more_by_another_connection(
    session: StoreSession, times: int
) -> None:
    store = session.store
    assert isinstance(store, SqliteStore)
    connections: list[apsw.Connection] = []

    def meet_damage(connection: apsw.Connection, _news: News) -> str:
        connections.append(connection)
        if len(connections) <= times:
            raise apsw.CorruptError("database disk image is malformed")
        return "sound"

    asked = store._writing().call(meet_damage)
    if times == 1:
        assert await asked == "sound"
    else:
        with pytest.raises(StoreCorruptError):
            await asked
    assert len(connections) == 2
    assert connections[0] is not connections[1]
    await session.create("afterwards")


async def test_an_error_that_undoes_a_transaction_and_is_survived_undoes_nothing_that_was_answered(
    session: StoreSession,
) -> None:
    """SQLite ends a transaction by itself for some errors of reading, and whoever verifies takes them for a finding."""
    store = session.store
    assert isinstance(store, SqliteStore)
    gathered = threading.Event()
    busy = store._writing().call(lambda _connection, _news: gathered.wait())
    creating = asyncio.ensure_future(session.create("before"))
    await asyncio.sleep(0)  # for it to ask
    verifying = store._writing().call(lambda connection, _news: connection.execute("ROLLBACK").get)
    gathered.set()
    await busy
    with pytest.raises(StoreCorruptError):
        await verifying
    assert (await session.row(await creating)).id == "before"


async def test_a_damaged_file_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    session = StoreSession(SqliteStore(path))
    await session.open(name="worker", lease_seconds=30)
    await many(session, 500)
    await session.store.close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * (size - 4096 * 20))
    with pytest.raises(StoreCorruptError, match="restore a backup"):
        await opened_and_claimed(path)
