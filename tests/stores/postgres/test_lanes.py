"""Several commits under way at once: engines whose store has several lanes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from perdure import Context, Engine, Settings, activity, workflow
from perdure.errors import StoreUnavailableError
from perdure.kernel.identity import WorkerId
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied, Outcome, Write
from perdure.ports.verification import VerificationWish
from perdure.stores.memory.tables import News
from perdure.stores.postgres import keeping
from perdure.stores.postgres.connection import BY_INDEX, Connection, connect_to_write
from perdure.stores.postgres.lanes import Lane, Lanes
from perdure.stores.postgres.open_session import OpenSession
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.store import PostgresStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import later, transition
from perdure.torture.programs.postgres_harness import PostgresHarness
from tests.execution.waiting_workflows import go
from tests.postgres_server import until_waiting


@pytest.fixture
async def harness(postgres: str) -> AsyncIterator[PostgresHarness]:
    harness = PostgresHarness(postgres, PostgresSettings(lanes=2))
    yield harness
    await harness.close()


async def test_who_asks_for_a_lane_first_has_one_first() -> None:
    lanes = Lanes("", PostgresSettings(lanes=0), WorkerId(1), now=asyncio.get_running_loop().time)
    had: list[int] = []

    async def take_again_and_again(number: int) -> None:
        for _ in range(3):
            lane = await lanes.take()
            await asyncio.sleep(0)
            had.append(number)
            lanes.give_back(lane)

    await asyncio.gather(*map(take_again_and_again, range(4)))
    assert had == [0, 1, 2, 3] * 3


async def test_the_connections_that_write_find_rows_by_indexes(harness: PostgresHarness) -> None:
    connection = await connect_to_write(harness.url, harness.settings)
    assert {name: await connection.fetchval(f"SHOW {name}") for name in BY_INDEX} == BY_INDEX
    await connection.close()


@pytest.mark.parametrize(("lease_seconds", "idle"), [(1.0, "500ms"), (15.0, "3s")])
async def test_a_transaction_that_stands_still_is_over_before_the_lease_of_whoever_has_begun_it(
    postgres: str, lease_seconds: float, idle: str
) -> None:
    store = PostgresStore(postgres)
    await store.open(session_name="any", lease_seconds=lease_seconds, on_changes=lambda _: None)
    lanes = store._open_now()._lanes
    connection = await lanes.connection_of(lane := await lanes.take())
    assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == idle
    lanes.give_back(lane)
    await store.close()


async def test_runs_are_locked_in_the_order_of_their_keys_however_a_commit_has_them(harness: PostgresHarness) -> None:
    session = await harness.session()
    runs = [await session.hold(f"run {number}") for number in range(3)]
    connection = await asyncpg.connect(harness.url)
    lock = "SELECT FROM perdure.runs WHERE run_key = $1 FOR UPDATE NOWAIT"
    async with connection.transaction():
        await connection.execute(lock, runs[1].run_key)
        committing = asyncio.create_task(session.commit(*(transition(run) for run in reversed(runs))))
        await until_waiting(harness.url, 1)
        await connection.execute("SAVEPOINT first")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await connection.execute(lock, runs[0].run_key)
        await connection.execute("ROLLBACK TO first")
        await connection.execute(lock, runs[2].run_key)
    await connection.close()
    assert [type(outcome) for outcome in await committing] == [Applied] * 3


async def test_while_all_commits_that_may_be_under_way_wait_leases_are_renewed_and_runs_claimed(
    harness: PostgresHarness,
) -> None:
    session = await harness.session()
    assert session.store.commits_at_once == 2
    runs = [await session.hold(f"run {number}") for number in range(2)]
    connection = await asyncpg.connect(harness.url)
    async with connection.transaction():
        await connection.execute("SELECT FROM perdure.runs FOR UPDATE")
        commits = [asyncio.ensure_future(session.commit_one(transition(run))) for run in runs]
        await until_waiting(harness.url, 2)
        assert await session.store.renew_lease(now=later(1.0))
        assert await session.claim() == []
        assert not any(commit.done() for commit in commits)
    await connection.close()
    assert [type(outcome) for outcome in await asyncio.gather(*commits)] == [Applied, Applied]


@activity(name="lanes_double")
async def double(number: int) -> int:
    await asyncio.sleep(number % 5 / 1_000)
    return number * 2


@workflow(name="lanes_child")
async def child(ctx: Context, number: int) -> int:
    async with ctx.lock(f"shelf {number % 3}"):
        doubled = await double(number)
    return doubled + await ctx.wait_for(go)


@workflow(name="lanes_parent")
async def parent(ctx: Context, number: int, generation: int) -> int:
    children = [ctx.start_child(child, number + place, id=f"{ctx.info.id}/{generation}/{place}") for place in range(2)]
    for place in range(2):
        ctx.signal(f"{ctx.info.id}/{generation}/{place}", go, 1)
    total = sum([await one.result() for one in children])
    if generation:
        ctx.continue_as_new(total, generation - 1)
    return total


class CountingStore(PostgresStore):
    """Counts how many commits were under way whenever another began."""

    def __init__(self, url: str, settings: PostgresSettings) -> None:
        super().__init__(url, settings=settings)
        self.under_way = 0
        self.met: Counter[int] = Counter()

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        self.met[self.under_way] += 1
        self.under_way += 1
        try:
            return await super().commit(writes)
        finally:
            self.under_way -= 1


@pytest.mark.parametrize("lanes", [1, 4])
async def test_runs_that_start_signal_wait_for_and_follow_each_other_end_alike_in_any_number_of_lanes(
    postgres: str, lanes: int
) -> None:
    store = CountingStore(postgres, PostgresSettings(lanes=lanes))
    async with Engine(store, settings=Settings(idle_seconds=0.01, commit_batch=7)) as engine:
        runs = [await engine.start(parent, number, 1, id=f"family {number}") for number in range(8)]
        async with asyncio.timeout(60):
            assert [await run.result() for run in runs] == [expected(expected(number)) for number in range(8)]
        found = await store.verify(VerificationWish(now=Timestamp(0)))
        assert found.defects == ()
    assert set(store.met) <= set(range(lanes))
    assert bool(store.met[1]) == (lanes > 1)


def expected(number: int) -> int:
    return 2 * number + 2 * (number + 1) + 2


def opened_by(session: StoreSession) -> OpenSession:
    assert isinstance(session.store, PostgresStore)
    return session.store._open_now()


@pytest.mark.usefixtures("transaction_timeout")
async def test_a_transaction_that_takes_too_long_is_ended_by_the_server(harness: PostgresHarness) -> None:
    """Whatever it does: this one works."""
    short = PostgresHarness(harness.url, PostgresSettings(transaction_seconds=1.0))
    session = await short.session()
    with pytest.raises(StoreUnavailableError, match="transaction timeout"):
        await opened_by(session).change(lambda connection, _: connection.execute("SELECT pg_sleep(60)"))
    await short.close()


@pytest.mark.usefixtures("transaction_timeout")
async def test_no_transaction_is_begun_where_its_time_cannot_be_limited(harness: PostgresHarness) -> None:
    lane = Lane(1)
    settings = PostgresSettings(transaction_seconds=1e9)  # which the server refuses
    for _ in range(2):
        with pytest.raises(asyncpg.PostgresError, match="transaction_timeout"):
            await lane.connection(harness.url, settings)
        assert not lane.is_connected
    connection = await lane.connection(harness.url, PostgresSettings())
    assert await connection.fetchval("SELECT current_setting('transaction_timeout')") == "1min"
    await lane.close()


@pytest.mark.usefixtures("transaction_timeout")
async def test_a_run_that_is_brought_in_may_take_longer(harness: PostgresHarness) -> None:
    session = await harness.session()

    async def last(connection: Connection, _: News) -> object:
        before = await connection.fetchval("SELECT current_setting('transaction_timeout')")
        await connection.fetch(keeping._LET_LAST)
        return before, await connection.fetchval("SELECT current_setting('transaction_timeout')")

    assert await opened_by(session).change(last) == ("1min", "0")
