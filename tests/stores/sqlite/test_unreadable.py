"""Rows that cannot be read, or not be written: whatever keeps them from it, all other runs are claimed and listed."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from itertools import combinations
from pathlib import Path
from typing import Any, NoReturn

import apsw
import pytest

from perdure.errors import StoreCorruptError, StoreUnavailableError
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunOrder, RunQuery, RunSummary
from perdure.stores.sqlite.database import Database
from perdure.stores.sqlite.ownership import Ownership
from perdure.stores.sqlite.store import SqliteStore
from perdure.stores.sqlite.unreadable import Unreadable
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import FAR, NEVER, code_of, later
from perdure.torture.disks.sectors import DyingDisk, dying_disk
from tests.damaging import break_page, pages_of, read_page, write_page
from tests.stores.sqlite.test_plans import CONDITIONS
from tests.stores.sqlite.tracing import told_of

RUNS = 150


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def disk() -> Iterator[DyingDisk]:
    with dying_disk() as disk:
        yield disk


@asynccontextmanager
async def session_on(path: Path, disk: DyingDisk | None = None) -> AsyncIterator[StoreSession]:
    session = StoreSession(SqliteStore(path, disk=disk))
    await session.open(name="worker", lease_seconds=30)
    try:
        yield session
    finally:
        await session.store.close()


async def begun(path: Path, *, count: int = RUNS) -> None:
    async with session_on(path) as session:
        for number in range(count):
            await session.create(f"run {number:03}", labels={"lot": "all"})


async def killed_owner_of(path: Path, count: int) -> None:
    """Let a session own runs, whose pages are full, and die."""
    session = StoreSession(SqliteStore(path))
    await session.open(name="dies", lease_seconds=30)
    await session.hold("run")
    session.store.abandon()  # type: ignore[attr-defined]
    multiply(path, count)


def multiply(path: Path, count: int) -> None:
    """Let there be so many runs: copies of the one that is there, on pages without room for rows that grow."""
    with closing(apsw.Connection(str(path))) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
        values = {"run_key": "run_key + n", "id": "'run ' || n"}
        copied = ", ".join(values.get(column, column) for column in columns)
        connection.execute(
            f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
            f" INSERT INTO runs ({', '.join(columns)}) SELECT {copied} FROM runs, numbers",
            (count - 1,),
        )


async def claimed_by(session: StoreSession, *, now: Timestamp = FAR) -> int:
    """Claim until nothing more is due."""
    count = 0
    while claimed := await session.claim(now=now):
        count += len(claimed)
    return count


async def listed_by(session: StoreSession, **conditions: Any) -> list[RunSummary]:
    found: list[RunSummary] = []
    cursor = ""
    while True:
        page = await session.store.list_runs(RunQuery(cursor=cursor, limit=40, **conditions))
        found += page.runs
        cursor = page.next_cursor
        if not cursor:
            return found


def asked(path: Path, statement: str) -> Any:
    with closing(apsw.Connection(str(path))) as connection:
        return connection.execute(statement).get


def owners(path: Path) -> dict[int, int]:
    """Return how many runs each session owns, as the index says."""
    query = "SELECT owner, count(*) FROM runs INDEXED BY runs_by_owner WHERE owner IS NOT NULL GROUP BY owner"
    with closing(apsw.Connection(str(path))) as connection:
        return dict(connection.execute(query))


# --- what cannot be read --------------------------------------------------------------------------------------------


def of_rows(path: Path, _disk: DyingDisk) -> None:
    break_page(path, pages_of(path, "runs")[1])


def of_labels(path: Path, _disk: DyingDisk) -> None:
    break_page(path, pages_of(path, "run_labels")[0])


def of_a_long_row(path: Path, _disk: DyingDisk) -> None:
    """The reason for which a run is parked needs further pages; what stands behind it in the row is NULL."""
    asked(path, "UPDATE runs SET parked = hex(zeroblob(6000)) WHERE id = 'run 070'")
    break_page(path, pages_of(path, "runs", kind="overflow")[0])


def of_a_long_row_with_an_end(path: Path, disk: DyingDisk) -> None:
    asked(path, f"UPDATE runs SET end_at = {NEVER} WHERE id = 'run 070'")
    of_a_long_row(path, disk)


def of_a_sector(path: Path, disk: DyingDisk) -> None:
    disk.bad.add(pages_of(path, "runs")[1])


Damage = Callable[[Path, DyingDisk], None]
DAMAGES = (
    of_rows,
    of_labels,
    of_a_long_row,
    of_a_long_row_with_an_end,
    of_a_sector,
)
SEARCHES: tuple[dict[str, Any], ...] = (
    {},
    {"order": RunOrder.OLDEST_FIRST},
    {"labels": {"lot": "all"}},
    {"id_prefix": "run"},
    {"priorities": frozenset({Priority.NORMAL})},
    {"statuses": frozenset(RunStatus), "workflows": frozenset({"order"})},
)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_cannot_be_read_keeps_no_other_run_from_being_claimed_and_listed(
    damage: Damage, path: Path, disk: DyingDisk
) -> None:
    await begun(path)
    damage(path, disk)
    async with session_on(path, disk) as session:
        claimed = await claimed_by(session)
        assert RUNS // 2 < claimed < RUNS
        for search in SEARCHES:
            assert len(await listed_by(session, **search)) == claimed
            assert await session.store.count_runs(RunQuery(**search)) == claimed
        assert await session.store.next_wake_at(workflows=code_of("order")) is None
    assert asked(path, "SELECT count(*) FROM runs INDEXED BY runs_to_claim WHERE owner IS NULL AND wake_at > 0") == RUNS


async def test_a_row_whose_text_is_none_is_not_listed_and_is_parked_by_a_claim(path: Path) -> None:
    await begun(path)
    asked(path, "UPDATE runs SET stage = CAST(x'66ff66' AS TEXT) WHERE id = 'run 070'")
    async with session_on(path) as session:
        for search in SEARCHES:
            assert len(await listed_by(session, **search)) == RUNS - 1
        assert await claimed_by(session) == RUNS - 1
    assert asked(path, "SELECT count(*) FROM runs WHERE parked IS NOT NULL") == 1


async def test_each_search_is_answered_past_what_cannot_be_read(path: Path, disk: DyingDisk) -> None:
    await begun(path)
    of_rows(path, disk)
    async with session_on(path) as session:
        for one, other in combinations(CONDITIONS.values(), 2):
            search: dict[str, Any] = {**one, **other}
            assert len(await listed_by(session, **search)) == await session.store.count_runs(RunQuery(**search))


@pytest.mark.parametrize("damage", DAMAGES)
async def test_parked_runs_are_claimed_past_what_cannot_be_read(damage: Damage, path: Path, disk: DyingDisk) -> None:
    await begun(path)
    asked(path, """UPDATE runs SET wake_at = NULL, parked = '{"tried": []}'""")
    damage(path, disk)
    async with session_on(path, disk) as session:
        claimed = 0
        while found := await session.store.claim(now=FAR, limit=100, workflows=code_of("order"), code="new"):
            claimed += len(found)
        assert RUNS // 2 < claimed == len(await listed_by(session)) < RUNS


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_cannot_be_read_is_not_hastened_nor_ended(damage: Damage, path: Path, disk: DyingDisk) -> None:
    """After the clock was set back, and where all runs have ends that are due."""
    await begun(path)
    asked(path, f"UPDATE runs SET end_at = {later(1)}, wake_at = {later(5)}, recovering = 1")
    damage(path, disk)
    asked(path, f"UPDATE store_meta SET value = {later(60)} WHERE name = 'latest_time'")
    async with session_on(path, disk) as session:
        assert RUNS // 2 < await claimed_by(session, now=later(2)) < RUNS
        assert await session.store.next_wake_at(workflows=code_of("order")) is None


async def test_that_no_run_can_be_read_is_not_answered_as_if_there_were_none(path: Path, disk: DyingDisk) -> None:
    await begun(path)
    disk.bad.update(pages_of(path, "runs"))
    async with session_on(path, disk) as session:
        with pytest.raises(StoreUnavailableError):
            await listed_by(session)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await session.claim()
        disk.bad.clear()
        assert len(await listed_by(session)) == RUNS
        assert await claimed_by(session) == RUNS


async def test_a_claim_that_meets_a_bad_sector_fails_no_commit_of_the_same_transaction(
    path: Path, disk: DyingDisk
) -> None:
    await begun(path)
    of_a_sector(path, disk)
    async with session_on(path, disk) as session:
        assert isinstance(session.store, SqliteStore)
        gathered = threading.Event()
        busy = session.store._writing().call(lambda _connection, _news: gathered.wait())
        creating, claiming = (asyncio.ensure_future(one) for one in (session.create("new"), session.claim()))
        await asyncio.sleep(0)  # for both to ask
        gathered.set()
        await asyncio.gather(busy, creating, claiming)


async def test_a_moment_in_which_the_disk_gives_no_page_of_an_index_has_no_run_passed_over(
    path: Path, disk: DyingDisk
) -> None:
    await begun(path)
    async with session_on(path, disk) as session:
        assert isinstance(session.store, SqliteStore)
        await listed_by(session)
        bad = pages_of(path, "runs_by_owner")
        distrust(session)
        disk.bad.update(bad)
        for _ in range(2):
            with pytest.raises(StoreCorruptError, match="a bad sector"):
                await session.claim()
        assert unreadable_of(session).unclaimable == set()
        disk.bad.clear()
        assert await claimed_by(session) == RUNS


# --- what cannot be given back --------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [of_rows, of_a_sector])
async def test_a_session_stays_as_long_as_it_owns_what_could_not_be_given_back(
    damage: Damage, path: Path, disk: DyingDisk
) -> None:
    dead = StoreSession(SqliteStore(path))
    await dead.open(name="dies", lease_seconds=30)
    for number in range(RUNS):
        await dead.create(f"run {number:03}")
    assert await claimed_by(dead) == RUNS
    async with session_on(path, disk) as stays:
        dead.store.abandon()  # type: ignore[attr-defined]
        [_, page, *_] = pages_of(path, "runs")
        sound = read_page(path, page)
        damage(path, disk)
        freed = await stays.store.free_expired(now=later(1))
        assert RUNS // 2 < freed < RUNS
        assert await stays.store.free_expired(now=later(1)) == 0
        assert owners(path) == {dead.worker: RUNS - freed}
        write_page(path, page, sound)
        disk.bad.clear()
        async with session_on(path, disk) as comes:
            assert await comes.store.free_expired(now=later(1)) == RUNS - freed
            assert await claimed_by(comes) == RUNS
            assert asked(path, f"SELECT count(*) FROM sessions WHERE worker_id = {dead.worker}") == 0


@pytest.mark.parametrize("count", [1_000, 4_000])
async def test_an_opening_beside_a_damaged_page_costs_what_is_damaged_not_what_was_owned(
    path: Path, count: int
) -> None:
    await killed_owner_of(path, count)
    break_page(path, pages_of(path, "runs")[9])
    statements: list[str] = []
    with told_of(lambda text, _bindings: statements.append(text)):
        async with session_on(path) as session:
            opened = len(statements)
            left = owners(path).popitem()[1]
            unreadable = unreadable_of(session)
            assert left == len(unreadable.unclaimable) > 0
            assert opened < 20 * left + 200
            assert asked(path, "SELECT count(*) FROM sessions") == 2
            assert await claimed_by(session) == count - left


async def test_an_opening_leaves_what_a_dead_session_owned_where_an_index_is_damaged(path: Path) -> None:
    await killed_owner_of(path, 1_000)
    break_page(path, pages_of(path, "runs_to_claim")[0])
    store = SqliteStore(path)
    await store.open(session_name="comes", lease_seconds=30, on_changes=lambda _changes: None)
    try:
        assert list(owners(path).values()) == [1_000]
        assert store._unreadable.unclaimable == set()
        with pytest.raises(StoreCorruptError):
            await store.free_expired(now=later(1))
    finally:
        await store.close()


async def test_what_a_dead_session_owned_is_given_back_beside_a_damaged_page(path: Path) -> None:
    async with session_on(path) as session:
        await killed_owner_of(path, 1_000)
        break_page(path, pages_of(path, "runs")[9])
        freed = await session.store.free_expired(now=later(1))
        assert_only_what_is_unwritable_is_left(session, path, 1_000 - freed)
        assert await claimed_by(session) == freed


async def test_what_a_late_session_owned_is_given_back_beside_a_damaged_page(path: Path) -> None:
    async with session_on(path) as session:
        await session.hold("run")
        multiply(path, 1_000)
        break_page(path, pages_of(path, "runs")[9])
        assert not await session.store.renew_lease(now=later(60))
        [left] = owners(path).values()
        assert_only_what_is_unwritable_is_left(session, path, left)
        assert await session.store.renew_lease(now=later(61))


@pytest.mark.parametrize("damage", [of_rows, of_a_sector])
async def test_what_a_late_session_could_not_give_back_it_gives_back_when_it_can(
    damage: Damage, path: Path, disk: DyingDisk
) -> None:
    async with session_on(path, disk) as session:
        for number in range(RUNS):
            await session.create(f"run {number:03}")
        assert await claimed_by(session) == RUNS
        [_, page, *_] = pages_of(path, "runs")
        sound = read_page(path, page)
        damage(path, disk)
        distrust(session)
        assert not await session.store.renew_lease(now=later(60))
        left = owners(path)[session.worker]
        assert 0 < left < RUNS
        assert await claimed_by(session, now=later(60)) == RUNS - left  # are its own again, and stay so
        write_page(path, page, sound)
        disk.bad.clear()
        distrust(session)
        await revised_now(session)
        assert await session.store.renew_lease(now=later(61))
        assert owners(path) == {session.worker: RUNS - left}
        assert await claimed_by(session, now=later(61)) == left
        assert await session.store.renew_lease(now=later(62))
        assert owners(path) == {session.worker: RUNS}


async def test_what_a_renewal_has_left_is_given_back_though_its_caller_gave_up(path: Path) -> None:
    """As the slower the disk is, and the later the lease."""
    async with session_on(path) as session:
        for number in range(RUNS):
            await session.create(f"run {number:03}")
        assert await claimed_by(session) == RUNS
        [_, page, *_] = pages_of(path, "runs")
        sound = read_page(path, page)
        break_page(path, pages_of(path, "runs")[1])
        distrust(session)
        assert isinstance(session.store, SqliteStore)
        gathered = threading.Event()
        busy = session.store._writing().call(lambda _connection, _news: gathered.wait())
        renewal = asyncio.ensure_future(session.store.renew_lease(now=later(60)))
        await asyncio.sleep(0)  # for it to ask
        renewal.cancel()
        gathered.set()
        await asyncio.gather(busy, renewal, return_exceptions=True)
        await ownership_of(session)._renewed()
        assert 0 < owners(path)[session.worker] < RUNS
        write_page(path, page, sound)
        distrust(session)
        await revised_now(session)
        assert not await session.store.renew_lease(now=later(61)), "which nobody has been told of yet"
        assert owners(path) == {}


async def test_a_renewal_ends_where_what_an_earlier_one_has_left_is_damaged_again(path: Path) -> None:
    """However many these are, and though no look is taken at once."""
    await begun(path)
    async with session_on(path) as session:
        assert await claimed_by(session) == RUNS
        ownership = ownership_of(session)
        ownership._left = dict.fromkeys(run.run_key for run in await listed_by(session))
        break_page(path, pages_of(path, "runs")[1])
        distrust(session)
        unreadable_of(session)._looks_at = math.inf
        assert await session.store.renew_lease(now=later(1))
        assert 0 < len(ownership._left) < RUNS


async def test_what_is_claimed_beside_a_renewal_stays_claimed_also_where_their_transaction_is_undone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that an earlier lease has left, and another has given back meanwhile."""
    async with session_on(path) as session:
        for number in range(5):
            await session.create(f"run {number}")
        left = await session.claim()
        ownership = ownership_of(session)
        ownership._left = dict.fromkeys(run.summary.run_key for run in left)
        for fails in (True, False):
            asked(path, "UPDATE runs SET owner = NULL, wake_at = 1")
            distrust(session)
            with monkeypatch.context() as patch:
                if fails:
                    patch.setattr(Database, "mark", full_disk)
                claimed, _ = await asyncio.gather(
                    session.claim(), session.store.renew_lease(now=later(1)), return_exceptions=True
                )
            assert fails == isinstance(claimed, StoreUnavailableError), claimed
        assert await session.store.renew_lease(now=later(2))
        assert owners(path) == {session.worker: 5}
        assert ownership._left == {}


def full_disk(*_: object, **__: object) -> NoReturn:
    raise apsw.FullError("disk full")


async def test_what_can_be_read_again_is_told_to_those_who_claim(path: Path, disk: DyingDisk) -> None:
    await begun(path)
    async with session_on(path, disk) as session:
        of_a_sector(path, disk)
        assert await claimed_by(session) < RUNS
        session.changes.clear()
        await revised_now(session)
        assert not session.changes
        disk.bad.clear()
        await revised_now(session)
        assert any(changes.ready for changes in session.changes)


async def test_runs_are_claimed_beside_a_damaged_page(path: Path) -> None:
    async with session_on(path) as session:
        await session.create("run")
    asked(path, "UPDATE runs SET wake_at = 1")  # a row that grows when it is claimed
    asked(path, "UPDATE store_meta SET value = 1000000 WHERE name = 'last_worker_id'")
    async with session_on(path) as session:
        multiply(path, 1_000)
        break_page(path, pages_of(path, "runs")[9])
        claimed = await claimed_by(session)
        unreadable = unreadable_of(session)
        assert 0 < len(unreadable.keys) < len(unreadable.unclaimable) == 1_000 - claimed
        assert len(await listed_by(session)) == 1_000 - len(unreadable.keys)


async def test_a_session_that_ends_gives_back_all_that_it_can_and_stays_for_the_rest(path: Path) -> None:
    async with session_on(path) as session:
        await session.hold("run")
        multiply(path, 1_000)
        break_page(path, pages_of(path, "runs")[9])
        assert not await session.store.renew_lease(now=later(60))
        unwritable = len(unreadable_of(session).unclaimable)
        assert await claimed_by(session) == 1_000 - unwritable
    [(owner, left)] = owners(path).items()
    assert owner == session.worker
    assert unwritable <= left < 1_000 // 2
    assert asked(path, "SELECT count(*) FROM sessions") == 1


def assert_only_what_is_unwritable_is_left(session: StoreSession, path: Path, left: int) -> None:
    unreadable = unreadable_of(session)
    assert sum(owners(path).values()) == left == len(unreadable.unclaimable)
    assert 0 < len(unreadable.keys) < left


def distrust(session: StoreSession) -> None:
    """Have nothing of the file in memory, as after any error."""
    assert isinstance(session.store, SqliteStore)
    session.store._writing()._database.distrust()


async def revised_now(session: StoreSession) -> None:
    """Let what is passed over be tried again."""
    unreadable = unreadable_of(session)
    unreadable._revises_at = 0.0
    await session.store.next_wake_at(workflows=frozenset())
    if unreadable._revision is not None:
        await unreadable._revision


def ownership_of(session: StoreSession) -> Ownership:
    assert isinstance(session.store, SqliteStore)
    return session.store._owning()


def unreadable_of(session: StoreSession) -> Unreadable:
    assert isinstance(session.store, SqliteStore)
    return session.store._unreadable
