"""Rows that cannot be read, or not be written: whatever keeps them from it, all other runs are claimed and listed."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.errors import StoreCorruptError, StoreUnavailableError
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunOrder, RunQuery, RunSummary
from perdure.stores.sql.passing import NONE_PASSED
from perdure.stores.sqlite.scanning import UnreadableRun
from perdure.stores.sqlite.store import SqliteStore
from perdure.stores.sqlite.unreadable import MOST_WRITTEN, Unreadable, UnsoundRowsError
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
        writer = session.store._writer
        assert writer is not None
        writer._database.distrust()  # as after any error: nothing of it is in memory
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
            assert left == len(unreadable.unclaimable) > len(unreadable.keys) > 0
            assert opened < 10 * left + 200
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


def unreadable_of(session: StoreSession) -> Unreadable:
    assert isinstance(session.store, SqliteStore)
    return session.store._unreadable


# --- when it is tried again -----------------------------------------------------------------------------------------


class Clock:
    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Browsing:
    """Answers each question with the same runs, or fails; counts the questions."""

    def __init__(self, clock: Clock, *numbers: int, takes_seconds: float = 0.0) -> None:
        self.clock = clock
        self.runs = [unreadable_run(number) for number in numbers]
        self.takes_seconds = takes_seconds
        self.times = 0
        self.error: StoreUnavailableError | None = None
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def __call__(self, _question: Callable[[apsw.Connection], list[UnreadableRun]]) -> list[UnreadableRun]:
        self.times += 1
        await self.is_open.wait()
        self.clock.seconds += self.takes_seconds
        if self.error is not None:
            raise self.error
        return self.runs


def unreadable_run(number: int, *, is_damaged: bool = True) -> UnreadableRun:
    return UnreadableRun(run_key=RunKey(number), ref=RunRef(id=f"run {number}"), is_damaged=is_damaged)


async def well() -> str:
    return "well"


async def writable() -> bool:
    return True


async def unwritable() -> bool:
    return False


async def damaged() -> str:
    raise StoreCorruptError("damaged")


async def revised(unreadable: Unreadable) -> None:
    """Wait for what goes on beside the answers."""
    if unreadable._revision is not None:
        await unreadable._revision


async def test_what_is_passed_over_is_tried_again_after_pauses_that_double_up_to_an_hour() -> None:
    clock = Clock()
    unreadable = Unreadable(clock)
    unreadable.note([unreadable_run(1), unreadable_run(2, is_damaged=False)])
    assert unreadable.give_up([RunKey(3)], passed=NONE_PASSED)
    assert unreadable.keys == {1, 2}
    assert unreadable.unclaimable == {1, 3}
    browsing, revised_at = Browsing(clock, 1), list[float]()
    for _ in range(6 * 3600):
        before = browsing.times
        assert await unreadable.past_damage(well, browsing, writable) == "well"
        await revised(unreadable)
        if browsing.times > before:
            revised_at.append(clock.seconds - 1_000)
            assert unreadable.keys == unreadable.unclaimable == {1}
        clock.seconds += 1
    distances = [later - sooner for sooner, later in pairwise([0.0, *revised_at])]
    assert distances == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]
    browsing.runs = []
    clock.seconds += 3600
    await unreadable.past_damage(well, browsing, writable)
    await revised(unreadable)
    assert unreadable.keys == unreadable.unclaimable == set()


async def test_nobody_waits_for_what_is_tried_again_nor_fails_with_it(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    unreadable, browsing = Unreadable(clock), Browsing(clock, 1)
    unreadable.note([unreadable_run(1)])
    browsing.is_open.clear()  # behind a long list
    clock.seconds += 60
    for _ in range(2):
        assert await unreadable.past_damage(well, browsing, writable) == "well"
        await asyncio.sleep(0)
    browsing.error = StoreUnavailableError("a moment's trouble")
    browsing.is_open.set()
    await revised(unreadable)
    assert browsing.times == 1
    assert unreadable.keys == {1}
    assert "could not be tried again" in caplog.text


async def test_of_those_who_come_to_the_same_rows_at_once_none_fails() -> None:
    unreadable, browsing = Unreadable(Clock()), Browsing(Clock())

    async def ask() -> str:
        passing = unreadable.unclaimable
        await asyncio.sleep(0)
        for key in (RunKey(1), RunKey(2)):
            if key not in passing:
                raise UnsoundRowsError([key], apsw.CorruptError("damaged"))
        return "answered"

    asking = [unreadable.past_damage(ask, browsing, writable) for _ in range(2)]
    assert await asyncio.gather(*asking) == ["answered"] * 2


async def test_what_fails_though_it_is_passed_over_is_not_asked_for_ever() -> None:
    unreadable, browsing = Unreadable(Clock()), Browsing(Clock())

    async def ask() -> str:
        raise UnsoundRowsError([RunKey(1)], apsw.CorruptError("damaged"))

    with pytest.raises(UnsoundRowsError):
        await unreadable.past_damage(ask, browsing, writable)


async def test_a_row_that_cannot_be_written_is_not_passed_over_where_none_can_be() -> None:
    unreadable, browsing = Unreadable(Clock()), Browsing(Clock())

    async def ask() -> str:
        raise UnsoundRowsError([RunKey(1)], apsw.CorruptError("damaged"))

    with pytest.raises(UnsoundRowsError):
        await unreadable.past_damage(ask, browsing, unwritable)
    assert unreadable.unclaimable == set()


async def test_those_who_ask_at_once_try_again_once() -> None:
    clock = Clock()
    unreadable, browsing = Unreadable(clock), Browsing(clock, 1)
    unreadable.note([unreadable_run(1)])
    browsing.is_open.clear()
    looking = asyncio.ensure_future(unreadable.past_damage(damaged, browsing, writable))
    await asyncio.sleep(0)
    assert browsing.times == 1
    clock.seconds += 60
    waiting = [asyncio.ensure_future(unreadable.past_damage(well, browsing, writable)) for _ in range(5)]
    await asyncio.sleep(0)
    browsing.is_open.set()
    assert await asyncio.gather(*waiting) == ["well"] * 5
    with pytest.raises(StoreCorruptError):
        await looking
    assert browsing.times == 2


async def test_looking_takes_a_small_part_of_the_time_however_long_a_look_takes() -> None:
    clock = Clock()
    unreadable, browsing = Unreadable(clock), Browsing(clock, takes_seconds=2)
    looks: list[float] = []
    for _ in range(100):
        before, begun = browsing.times, clock.seconds
        with pytest.raises(StoreCorruptError):
            await unreadable.past_damage(damaged, browsing, writable)
        if browsing.times > before:
            looks.append(begun)
        clock.seconds += 1
    assert [later - sooner for sooner, later in pairwise(looks)] == [42, 42]


async def test_fewer_are_written_together_after_damage_and_more_again_after_none() -> None:
    unreadable = Unreadable(Clock())
    assert unreadable.narrow([RunKey(number) for number in range(5)], passed=NONE_PASSED)
    assert unreadable.most_written == 2
    assert unreadable.narrow([RunKey(0), RunKey(1)], passed=NONE_PASSED)
    assert unreadable.most_written == 1
    assert not unreadable.narrow([RunKey(0)], passed=NONE_PASSED)
    assert unreadable.give_up([RunKey(0)], passed=NONE_PASSED)
    assert unreadable.narrow([RunKey(0)], passed=NONE_PASSED)  # by another, who asked before that was known
    assert unreadable.unclaimable == {0}
    for _ in range(20):
        unreadable.widen()
    assert unreadable.most_written == MOST_WRITTEN
