"""The size of the file: pages of removed runs are used again, and can be given back to the disk."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from perdure import Engine, SyncEngine
from perdure.archiving.pruning import Pruning
from perdure.configuration import Retention
from perdure.errors import StoreCorruptError, StoreLockedError, StoreUnavailableError, UsageError
from perdure.kernel.history import encode_event
from perdure.kernel.transition import RunStatus
from perdure.ports.keeping import REMOVED_ROWS, ClosedQuery
from perdure.ports.verification import VerificationWish
from perdure.stores.memory import MemoryStore
from perdure.stores.opening import compact_store
from perdure.stores.sql.keeping import listing_closed, naming_by_forks
from perdure.stores.sqlite import keeping
from perdure.stores.sqlite.compaction import compact
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import START, later
from tests.archiving.test_pruning import Watch
from tests.damaging import lose_page


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[StoreSession]:
    session = StoreSession(SqliteStore(tmp_path / "data.db", settings=SqliteSettings(checkpoint_pages=50)))
    await session.open(name="worker", lease_seconds=30)
    yield session
    await session.store.close()


async def pages(session: StoreSession) -> int:
    return int((await session.store.status()).facts["page_count"])


async def hour_of_load(session: StoreSession, hour: int, *, runs: int = 20) -> None:
    for number in range(runs):
        run = await session.hold(f"run {hour} {number}", labels={"hour": str(hour)}, at=later(hour * 3_600))
        await session.advance(run, events=20, at=later(hour * 3_600))
        await session.advance(run, status=RunStatus.COMPLETED, at=later(hour * 3_600))


async def test_under_constant_load_and_retention_the_file_stops_growing(session: StoreSession) -> None:
    sizes = []
    for hour in range(24):
        await hour_of_load(session, hour)
        pruning = Pruning(session.store, Watch(hour), Retention(keep=timedelta(hours=3)))
        await pruning.run(holder="test")
        sizes.append(await pages(session))
    assert max(sizes[12:]) <= max(sizes[:12])
    assert sizes[-1] < 3 * sizes[3]


async def test_without_retention_it_would_grow(session: StoreSession) -> None:
    sizes = []
    for hour in range(10):
        await hour_of_load(session, hour)
        sizes.append(await pages(session))
    assert all(later > earlier for earlier, later in pairwise(sizes[3:]))


async def test_a_removal_deletes_so_many_rows_at_a_time(session: StoreSession) -> None:
    run = await session.hold()
    await session.advance(run, events=2 * REMOVED_ROWS + 10, status=RunStatus.COMPLETED)
    store = session.store
    assert isinstance(store, SqliteStore)
    removed = await store._writing().call(lambda connection, news: keeping.remove(connection, news, [run.run_key]))
    assert removed == [run.run_key]
    deleted: list[int] = []

    def sweep(connection: apsw.Connection, _news: object) -> bool:
        before = connection.total_changes()
        may_be_more = keeping.sweep(connection)
        deleted.append(connection.total_changes() - before)
        return may_be_more

    while await store._writing().call(sweep):
        pass
    assert deleted == [REMOVED_ROWS, REMOVED_ROWS, 11 + 1]


async def test_a_removal_deletes_no_more_bytes_at_a_time_than_fit(
    session: StoreSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await session.hold()
    await session.advance(run, events=9, status=RunStatus.COMPLETED)
    store = session.store
    assert isinstance(store, SqliteStore)
    sizes = [len(encode_event(event)[4]) for event in await store.read_history(run.run_key)]
    monkeypatch.setattr(keeping, "REMOVED_BYTES", sizes[0] + sizes[1] + 1)
    await store._writing().call(lambda connection, news: keeping.remove(connection, news, [run.run_key]))
    left = [await store._reading().ask(_rows)]
    while await store._writing().call(lambda connection, _news: keeping.sweep(connection)):
        left.append(await store._reading().ask(_rows))
    deleted = [before[0] - after[0] for before, after in pairwise(left)]
    assert deleted[0] == 3  # the one that does not fit is the last of its transaction
    assert len(deleted) > 1
    assert await store._reading().ask(_rows) == (0, 0)


async def test_rows_that_an_interrupted_removal_left_go_with_the_next(session: StoreSession) -> None:
    run = await session.hold("one")
    await session.advance(run, events=30, status=RunStatus.COMPLETED)
    store = session.store
    assert isinstance(store, SqliteStore)
    await store._writing().call(lambda connection, news: keeping.remove(connection, news, [run.run_key]))
    assert await store._reading().ask(_rows) == (31, 1)
    assert (await store.verify(VerificationWish(now=START))).defects == ()
    assert await store.remove_runs([]) == []
    assert await store._reading().ask(_rows) == (0, 0)


async def test_a_run_that_comes_back_amid_its_removal_has_its_rows_once(session: StoreSession) -> None:
    run = await session.hold("one")
    await session.advance(run, events=30, status=RunStatus.COMPLETED)
    store = session.store
    assert isinstance(store, SqliteStore)
    whole = await store.read_whole(run.run_key)
    assert whole is not None
    await store._writing().call(lambda connection, news: keeping.remove(connection, news, [run.run_key]))
    await store.bring_in(whole, sealed_as=run.run_key)
    await store.remove_runs([])
    assert await store._reading().ask(_rows) == (31, 0)
    assert len(await store.read_history(run.run_key)) == 31


def _rows(connection: apsw.Connection) -> tuple[int, int]:
    events: int = connection.execute("SELECT count(*) FROM history").get
    removals: int = connection.execute("SELECT count(*) FROM removals").get
    return events, removals


async def test_closed_runs_are_found_by_their_index_in_the_order_of_their_ends(session: StoreSession) -> None:
    store = session.store
    assert isinstance(store, SqliteStore)

    def plan(connection: apsw.Connection, text: str, parameters: list[int | str]) -> list[str]:
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]

    query = ClosedQuery(closed_until=START, after=(START, 1), namespace="default", workflows=frozenset({"w"}))  # type: ignore[arg-type]
    steps = await store._reading().ask(lambda connection: plan(connection, *listing_closed(query)))
    assert any("USING INDEX runs_closed (closed_at" in step for step in steps)
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN runs") for step in steps)
    steps = await store._reading().ask(lambda connection: plan(connection, naming_by_forks(), []))
    assert "SCAN history USING INDEX history_forks" in steps


# --- giving pages back -------------------------------------------------------------------------------------------


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all tables, and the texts of all indexes and triggers."""
    connection = apsw.Connection(str(path))
    try:
        schema = [*connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name")]
        tables = [name for kind, name, _ in schema if kind == "table"]
        rows = {name: [*connection.execute(f'SELECT * FROM "{name}" ORDER BY 1')] for name in tables}
        return {**rows, "schema": schema}
    finally:
        connection.close()


async def grown(path: Path) -> None:
    """Make a database most of whose pages are free."""
    session = StoreSession(SqliteStore(path))
    await session.open(name="worker", lease_seconds=30)
    for hour in range(6):
        await hour_of_load(session, hour)
    await Pruning(session.store, Watch(101), Retention(keep=timedelta(hours=97))).run(holder="test")
    await session.store.close()


async def test_a_database_that_is_compacted_is_smaller_and_holds_the_same(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    await grown(path)
    before = contents(path)
    done = compact(path, now=START)
    assert done.bytes_after < done.bytes_before / 2
    assert path.stat().st_size == done.bytes_after
    assert contents(path) == before
    session = StoreSession(SqliteStore(path))
    await session.open(name="worker", lease_seconds=30)
    assert int((await session.store.status()).facts["free_pages"]) == 0
    await hour_of_load(session, 200)
    await session.store.close()


async def test_a_database_that_somebody_has_open_is_not_compacted(session: StoreSession, tmp_path: Path) -> None:
    await session.create()
    with pytest.raises(StoreLockedError, match=r"is open in another process\. Stop"):
        compact(tmp_path / "data.db", now=START)
    await session.create("other")


def test_a_database_that_is_not_there_is_not_made_by_compacting_it(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="there is no database"):
        compact(tmp_path / "none.db", now=START)
    assert list(tmp_path.iterdir()) == []


def test_only_a_database_of_ours_is_compacted(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE other (a)")
    connection.close()
    with pytest.raises(StoreCorruptError, match="another program"):
        compact(path, now=START)
    with pytest.raises(UsageError, match="names no database file"):
        compact_store("memory:")


async def test_an_engine_that_is_not_open_compacts_its_database_and_says_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    await grown(path)
    engine = Engine(f"sqlite:///{path}")
    told: list[tuple[int, int]] = []
    done = await engine.compact(on_progress=lambda *progress: told.append(progress))
    assert done.bytes_after < done.bytes_before / 2
    assert told[-1][0] == told[-1][1] > 0
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    async with engine:
        assert await engine.count_runs() > 0


def test_a_program_without_an_event_loop_compacts_its_database(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    asyncio.run(grown(path))
    engine = SyncEngine(f"sqlite:///{path}")
    with engine, pytest.raises(UsageError, match="this engine is open"):
        engine.compact()
    done = engine.compact()
    assert done.bytes_after < done.bytes_before / 2


@pytest.mark.parametrize("is_sync", [False, True])
def test_an_engine_gives_back_pages_that_nothing_leads_to_if_that_is_said(tmp_path: Path, *, is_sync: bool) -> None:
    path = tmp_path / "data.db"
    asyncio.run(grown(path))
    lose_page(path)
    url = f"sqlite:///{path}"
    with pytest.raises(StoreCorruptError, match="accepts_lost_pages=True"):
        SyncEngine(url).compact() if is_sync else asyncio.run(Engine(url).compact())
    if is_sync:
        SyncEngine(url).compact(accepts_lost_pages=True)
    else:
        asyncio.run(Engine(url).compact(accepts_lost_pages=True))


async def test_an_engine_compacts_nothing_that_somebody_has_open(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/data.db"
    async with Engine(url) as engine:
        with pytest.raises(UsageError, match="this engine is open"):
            await engine.compact()
        with pytest.raises(StoreLockedError, match="is open in another process"):
            await Engine(url).compact()
    with pytest.raises(UsageError, match="was given a store"):
        await Engine(MemoryStore()).compact()
    with pytest.raises(UsageError, match="names no database file"):
        await Engine("memory:").compact()


async def test_a_compaction_that_is_cancelled_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    await grown(path)
    before = contents(path)
    loop, began = asyncio.get_running_loop(), asyncio.Event()
    may_go_on = threading.Event()

    def wait(_done: int, _total: int) -> None:
        loop.call_soon_threadsafe(began.set)
        may_go_on.wait()

    compacting = asyncio.create_task(Engine(f"sqlite:///{path}").compact(on_progress=wait))
    await began.wait()
    compacting.cancel()
    await asyncio.sleep(0)
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await compacting
    assert contents(path) == before
