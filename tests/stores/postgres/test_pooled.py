"""The store through a real PgBouncer in transaction mode: it does everything that a store must do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import pytest
from msgspec import structs

from perdure import Context, Engine, Settings, Signal, activity, workflow
from perdure.errors import StoreUnavailableError, UsageError
from perdure.kernel.transition import Applied
from perdure.ports.store import RunQuery
from perdure.stores.opening import open_store
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.postgres.urls import read_url
from perdure.testing.store_conformance import StoreConformance, StoreHarness
from perdure.testing.store_conformance.harness import LEASE_SECONDS
from perdure.torture.programs.differential import difference_of
from perdure.torture.programs.harnesses import SessionClock
from perdure.torture.programs.postgres_harness import PATIENT, PostgresHarness
from perdure.torture.programs.prompt import PromptMemoryHarness
from perdure.torture.programs.steps import program
from tests.pgbouncer import pooler_of
from tests.postgres_server import PostgresServer, emptied, value
from tests.stores.postgres.test_transactions import step

POOL_SIZE: Final = 6
END_POOLED: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'perdure' AND NOT EXISTS (
    SELECT FROM pg_locks WHERE pg_locks.pid = pg_stat_activity.pid AND locktype = 'advisory'
)
"""
"""End all connections of stores but their home connections."""

go: Signal[str] = Signal("go on through a pooler", str)


def without_session_host(url: str) -> str:
    return url.partition("&session_host=")[0]


async def connections(harness: PostgresHarness) -> int:
    found = await harness.fetchval(_CONNECTIONS)
    assert isinstance(found, int)
    return found


_CONNECTIONS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'perdure' AND pid <> pg_backend_pid()
"""


async def signalled(engine: Engine, run_id: str) -> None:
    """Signal a run, again where a connection was tried that had ended."""
    while True:
        with suppress(StoreUnavailableError):
            run = await engine.get_run(run_id, through)
            await run.signal(go, "on", request_id="once")
            return


@pytest.fixture(scope="module")
def pooled_database(shared_database: str) -> Iterator[str]:
    """Give the URL of the process's database, through a pooler."""
    with asyncio.Runner() as runner:
        making = pooler_of(shared_database, pool_size=POOL_SIZE)
        yield runner.run(making.__aenter__()).url
        runner.run(making.__aexit__(None, None, None))


@pytest.fixture
async def url(pooled_database: str, shared_database: str) -> AsyncIterator[str]:
    """Give it without any rows."""
    yield pooled_database
    await emptied(shared_database)


class PooledHarness(PostgresHarness):
    """The stores' connections go through the pooler; what is done behind their backs is done at the server itself."""

    def __init__(self, url: str) -> None:
        read = read_url(url, PATIENT)
        super().__init__(read.settings.session_url, PATIENT)
        self._read: Final = read

    def new_store(self) -> PostgresStore:
        return PostgresStore(self._read.for_driver, settings=self._read.settings, clock=SessionClock())


@pytest.mark.another_way
class TestPooledStore(StoreConformance):
    @pytest.fixture
    async def harness(self, url: str) -> AsyncIterator[StoreHarness]:
        harness = PooledHarness(url)
        yield harness
        await harness.close()


@pytest.mark.parametrize("seed", range(1, 4))
async def test_random_programs_have_the_same_outcomes_and_rows_as_in_memory(seed: int, url: str) -> None:
    memory, stored = PromptMemoryHarness(), PooledHarness(url)
    try:
        assert await difference_of(memory, stored, program(seed)) is None
    finally:
        await memory.close()
        await stored.close()


async def test_stores_share_the_few_connections_of_a_pooler(url: str) -> None:
    """Eight stores with all their readers and lanes have no more than the pooler has, and one each of their own."""
    harness = PooledHarness(url)
    sessions = [await harness.session() for _ in range(8)]
    await asyncio.gather(
        *(one.create(f"run {number} of {one.worker}") for one in sessions for number in range(10)),
        *(one.store.count_runs(RunQuery()) for one in sessions for _ in range(10)),
    )
    assert await sessions[0].store.count_runs(RunQuery()) == 80
    async with asyncio.timeout(30):  # those of the test before may still be about to end
        while not len(sessions) < await connections(harness) <= len(sessions) + POOL_SIZE:
            pass
    await harness.close()


async def test_what_a_transaction_has_set_is_not_set_for_the_next_one(url: str, shared_database: str) -> None:
    """So a client of the pooler that is no store finds the role's own settings, and a store its own after that one."""
    async with pooler_of(shared_database, pool_size=1) as narrow:
        harness = PooledHarness(narrow.url)
        session = await harness.session()
        for number in range(3):
            await session.create(f"run {number}")
            assert await value(without_session_host(narrow.url), "SELECT current_setting('search_path')") != '"perdure"'
            assert await value(without_session_host(narrow.url), "SET search_path = pg_catalog") is None
        await harness.close()


async def test_a_step_writes_through_the_pooler_and_leaves_its_connection_as_it_was(url: str) -> None:
    harness = PooledHarness(url)
    session = await harness.session()
    await harness.execute("CREATE TABLE public.ledger (entry integer)")
    try:
        for number in range(3):
            run = await session.hold(f"run {number}")
            assert await session.store.transact(step(run)) == Applied(run.run_key, session.worker)
            assert await session.signals(run.run_key) == ["outcome"]
        assert await harness.fetchval("SELECT count(*) FROM public.ledger") == 3
    finally:
        await harness.execute("DROP TABLE public.ledger")
        await harness.close()


async def test_without_the_address_of_the_server_a_pooler_is_refused_and_the_reason_says_what_to_do(url: str) -> None:
    with pytest.raises(UsageError, match=r"unsupported startup parameter.* session_host=HOST:PORT"):
        await open_store(without_session_host(url)).open(
            session_name="store", lease_seconds=LEASE_SECONDS, on_changes=lambda _: None
        )


async def test_a_pooler_that_leads_to_another_database_is_refused(url: str, postgres_server: PostgresServer) -> None:
    async with postgres_server.database() as other:
        elsewhere = url.replace(f"/{urlsplit(url).path[1:]}?", f"/{urlsplit(other).path[1:]}?")
        read = read_url(elsewhere, PATIENT)
        settings = structs.replace(read.settings, session_url=read_url(url, PATIENT).settings.session_url)
        store = PostgresStore(read.for_driver, settings=settings)
        with pytest.raises(UsageError, match="another database"):
            await store.open(session_name="store", lease_seconds=LEASE_SECONDS, on_changes=lambda _: None)


@pytest.mark.usefixtures("transaction_timeout")
async def test_a_transaction_through_the_pooler_may_take_so_long_and_no_longer(url: str) -> None:
    harness = PooledHarness(url)
    session = await harness.session()
    assert isinstance(session.store, PostgresStore)
    asking = session.store._open_now().change
    asked = "SELECT current_setting('transaction_timeout')"
    assert await asking(lambda connection, _: connection.fetchval(asked)) == "1min"
    await harness.close()


@workflow(name="through a pooler")
async def through(ctx: Context, name: str) -> str:
    word = await ctx.wait_for(go)
    return f"{name} {word}"


async def test_engines_go_on_when_the_connections_of_the_pooler_have_ended(shared_database: str, url: str) -> None:
    """What is under way waits, or fails and says so; nothing is lost."""
    async with asyncio.timeout(60), Engine(url) as one, Engine(url) as other:
        runs = [await one.start(through, f"run {number}") for number in range(5)]
        await value(shared_database, END_POOLED)
        for run in runs:
            await signalled(other, run.id)
        assert [await run.result() for run in runs] == [f"run {number} on" for number in range(5)]


@workflow(name="counted through a pooler")
async def counted(ctx: Context, count: int) -> int:
    for number in range(count):
        await noted(ctx.info.id, number)
    return count


NOTES: Final[list[tuple[str, int]]] = []


@activity(name="noted through a pooler")
async def noted(run_id: str, number: int) -> None:
    NOTES.append((run_id, number))


async def test_what_is_under_way_when_a_pooler_is_killed_goes_on_when_there_is_another(
    url: str, shared_database: str
) -> None:
    """What became of commits of which no answer came is found out by it."""
    NOTES.clear()
    settings = Settings(retry_store_maximum_seconds=0.2)
    async with (
        asyncio.timeout(60),
        pooler_of(shared_database) as pooler,
        Engine(pooler.url, settings=settings) as engine,
    ):
        runs = [await engine.start(counted, 40, id=f"run {number}") for number in range(10)]
        for dead in range(1, 4):
            while len(NOTES) < dead * 80:  # noqa: ASYNC110 - activities tell
                await asyncio.sleep(0)
            await pooler.kill()
            await pooler.start()
        assert [await run.result() for run in runs] == [40] * 10
    counts = Counter(NOTES)
    assert set(counts) == {(run.id, number) for run in runs for number in range(40)}
    assert set(counts.values()) == {1}, "no process has died, so no attempt is made again"
