"""Runs started within a transaction of a caller's on PostgreSQL, by whatever driver: there with the rest, or not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from perdure import Context, Engine, RunExistsError, Settings, UsageError, workflow
from perdure.errors import InvalidArgumentError, RunNotFoundError, StoreError

URL_SCHEME: Final = "postgresql://"
INSERT: Final = "INSERT INTO public.orders VALUES (1)"
HOSTILE: Final = "an\0id \1 with \\ and %s $1"


@workflow(name="ship within PostgreSQL")
async def ship(ctx: Context, order: str) -> str:
    return f"{ctx.info.id} ships {order}"


class Transaction:
    """A transaction of a user's: what is given to `start`, and how something is executed in it."""

    def __init__(self, given: Any, execute: Callable[[str], Any]) -> None:
        self.given = given
        self._execute = execute

    async def execute(self, statement: str) -> None:
        executed = self._execute(statement)
        if isinstance(executed, Awaitable):
            await executed


Opening = Callable[[str], AbstractAsyncContextManager[Transaction]]


@asynccontextmanager
async def by_asyncpg(url: str) -> AsyncIterator[Transaction]:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            yield Transaction(connection, connection.execute)
    finally:
        await connection.close()


@asynccontextmanager
async def by_a_pool_of_asyncpg(url: str) -> AsyncIterator[Transaction]:
    async with (
        asyncpg.create_pool(url, min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        yield Transaction(connection, connection.execute)


@asynccontextmanager
async def by_psycopg(url: str) -> AsyncIterator[Transaction]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield Transaction(connection, connection.execute)


@asynccontextmanager
async def by_psycopg_at_once(url: str) -> AsyncIterator[Transaction]:
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
        yield Transaction(connection, connection.execute)


def _of_alchemy(url: str, driver: str) -> str:
    return url.replace(URL_SCHEME, f"postgresql+{driver}://", 1)


def by_alchemy(driver: str) -> Opening:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Transaction]:
        engine = create_async_engine(_of_alchemy(url, driver))
        try:
            async with engine.begin() as connection:
                yield Transaction(connection, connection.exec_driver_sql)
        finally:
            await engine.dispose()

    return opened


@asynccontextmanager
async def by_a_session_of_alchemy(url: str) -> AsyncIterator[Transaction]:
    engine = create_async_engine(_of_alchemy(url, "asyncpg"))
    try:
        async with AsyncSession(engine) as session, session.begin():
            yield Transaction(session, lambda statement: session.execute(sqlalchemy.text(statement)))
    finally:
        await engine.dispose()


@asynccontextmanager
async def by_a_session_at_once(url: str) -> AsyncIterator[Transaction]:
    engine = sqlalchemy.create_engine(_of_alchemy(url, "psycopg"))
    try:
        with Session(engine) as session, session.begin():
            yield Transaction(session, lambda statement: session.execute(sqlalchemy.text(statement)))
    finally:
        engine.dispose()


OPENINGS: Final = {
    "asyncpg": by_asyncpg,
    "a pool of asyncpg": by_a_pool_of_asyncpg,
    "psycopg": by_psycopg,
    "psycopg, not asynchronous": by_psycopg_at_once,
    "SQLAlchemy over asyncpg": by_alchemy("asyncpg"),
    "SQLAlchemy over psycopg": by_alchemy("psycopg"),
    "a session of SQLAlchemy": by_a_session_of_alchemy,
    "a session of SQLAlchemy, not asynchronous": by_a_session_at_once,
}


@pytest.fixture
async def orders(postgres: str) -> AsyncIterator[str]:
    connection = await asyncpg.connect(postgres)
    await connection.execute("CREATE TABLE public.orders (id integer)")
    yield postgres
    await connection.execute("DROP TABLE public.orders")
    await connection.close()


async def count_of_orders(url: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT count(*) FROM public.orders")
    finally:
        await connection.close()


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
async def test_a_run_is_there_with_what_else_is_committed_and_goes_on_at_once(orders: str, opening: Opening) -> None:
    never_looking = Settings(lease_seconds=3_600, idle_seconds=3_600)
    async with Engine(orders, settings=never_looking) as engine:
        async with opening(orders) as transaction:
            run = await engine.start(ship, "a\0b", id=HOSTILE, labels={"a\1": "b\0"}, within=transaction.given)
            await transaction.execute(INSERT)
            assert await engine.list_runs() == await engine.list_runs(id_prefix="none")
            with pytest.raises(RunNotFoundError):
                await run.describe()
        assert await run.result() == f"{HOSTILE} ships a\0b"
        [found] = (await engine.list_runs()).runs
        assert (found.id, found.labels) == (HOSTILE, {"a\1": "b\0"})
        assert (await engine.verify()).is_sound
        assert await count_of_orders(orders) == 1


@pytest.mark.parametrize("opening", [by_asyncpg, by_psycopg, by_a_session_of_alchemy])
async def test_a_run_is_not_there_where_the_transaction_is_undone(orders: str, opening: Opening) -> None:
    async with Engine(orders) as engine:
        with suppress(ZeroDivisionError):
            async with opening(orders) as transaction:
                await transaction.execute(INSERT)
                await engine.start(ship, "one", id="one", within=transaction.given)
                raise ZeroDivisionError
        assert (await engine.list_runs()).runs == ()
        assert await count_of_orders(orders) == 0
        assert await (await engine.start(ship, "one", id="one")).result() == "one ships one"


@pytest.mark.parametrize("opening", [by_asyncpg, by_psycopg], ids=["asyncpg", "psycopg"])
async def test_a_run_that_is_there_already_is_returned_or_refused_and_the_transaction_goes_on(
    orders: str, opening: Opening
) -> None:
    async with Engine(orders) as engine:
        first = await engine.start(ship, "one", id="one", request_id="first")
        await first.result()
        async with opening(orders) as transaction:
            within = transaction.given
            assert (await engine.start(ship, "two", id="one", within=within)).id == "one"
            again = await engine.start(ship, "one", request_id="first", id_policy="fail", within=within)
            assert again.id == "one"
            new = await engine.start(ship, "three", request_id="second", within=within)
            assert (await engine.start(ship, "three", request_id="second", within=within)).id == new.id
            with pytest.raises(RunExistsError, match="a run default/one exists already"):
                await engine.start(ship, "two", id="one", id_policy="fail", within=within)
            await transaction.execute(INSERT)
        assert await count_of_orders(orders) == 1
        assert await new.result() == f"{new.id} ships three"


async def test_a_start_of_the_same_id_waits_for_the_transaction_and_finds_its_run(orders: str) -> None:
    async with Engine(orders) as engine:
        async with by_asyncpg(orders) as transaction:
            one = await engine.start(ship, "one", id="one", within=transaction.given)
            other = asyncio.ensure_future(engine.start(ship, "other", id="one"))
            while not await transaction.given.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                pass
            assert not other.done()
        assert (await other).id == one.id
        assert await one.result() == "one ships one"


async def test_the_search_path_is_the_callers_again(orders: str) -> None:
    async with Engine(orders) as engine, by_asyncpg(orders) as transaction:
        await transaction.execute("SET LOCAL search_path = pg_temp, public")
        await engine.start(ship, "one", within=transaction.given)
        assert await transaction.given.fetchval("SHOW search_path") == "pg_temp, public"
        await engine.start(ship, "one", id="one", within=transaction.given)
        await engine.start(ship, "one", id="one", within=transaction.given)
        assert await transaction.given.fetchval("SHOW search_path") == "pg_temp, public"


async def test_what_is_no_transaction_on_the_database_is_refused(orders: str) -> None:
    connection = await asyncpg.connect(orders)
    plain = await psycopg.AsyncConnection.connect(orders, autocommit=True)
    elsewhere = urlsplit(orders)._replace(path="/postgres").geturl()
    try:
        async with Engine(orders) as engine:
            for within, reason in (
                (connection, r"no transaction is open on this connection.*async with connection\.transaction"),
                (plain, "no transaction is open on this connection"),
                (orders, "no connection to PostgreSQL; take one of asyncpg or psycopg"),
            ):
                with pytest.raises(UsageError, match=reason):
                    await engine.start(ship, "one", within=within)
            async with by_asyncpg(elsewhere) as transaction:
                with pytest.raises(UsageError, match="another database than the engine's"):
                    await engine.start(ship, "one", within=transaction.given)
                assert await transaction.given.fetchval("SELECT 1") == 1
            with pytest.raises(InvalidArgumentError, match="id_policy='replace' cannot be given with within="):
                await engine.start(ship, "one", id="one", id_policy="replace", within=connection)
            with pytest.raises(InvalidArgumentError, match="singleton cannot be given with within="):
                await engine.start(ship, "one", singleton="one", within=connection)
    finally:
        await connection.close()
        await plain.close()


async def test_a_connection_that_is_lost_is_told_as_its_driver_tells_it(orders: str) -> None:
    async with Engine(orders) as engine:
        connection = await asyncpg.connect(orders)
        await connection.execute("BEGIN")
        with pytest.raises((asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError)):
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, UsageError)):
            await engine.start(ship, "one", within=connection)
        assert (await engine.list_runs()).runs == ()


@pytest.mark.parametrize(
    "opening", [by_psycopg, by_psycopg_at_once, by_asyncpg], ids=["psycopg", "psycopg, not asynchronous", "asyncpg"]
)
async def test_starts_at_once_on_one_connection_come_one_after_the_other(orders: str, opening: Opening) -> None:
    async with Engine(orders) as engine:
        await (await engine.start(ship, "taken", id="taken")).result()
        async with opening(orders) as transaction:
            ids = ("a", "taken", "b", "taken", "c")
            runs = await asyncio.gather(*(engine.start(ship, "one", id=id, within=transaction.given) for id in ids))
        assert [await run.result() for run in runs][::2] == ["a ships one", "b ships one", "c ships one"]


async def test_temporary_tables_of_the_callers_hide_nothing(orders: str) -> None:
    async with Engine(orders) as engine:
        async with by_asyncpg(orders) as transaction:
            await transaction.execute("CREATE TEMP TABLE history (LIKE perdure.history)")
            await transaction.execute("CREATE TEMP TABLE run_labels (LIKE perdure.run_labels)")
            run = await engine.start(ship, "one", id="one", labels={"a": "b"}, within=transaction.given)
        assert await run.result() == "one ships one"
        assert (await run.describe()).labels == {"a": "b"}


async def test_a_transaction_may_be_older_than_the_engine(orders: str) -> None:
    async with Engine(orders):
        pass  # which makes the tables
    connection = await asyncpg.connect(orders)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("SELECT count(*) FROM perdure.runs")
            async with Engine(orders) as engine:
                await engine.start(ship, "one", id="one", within=connection)
    finally:
        await connection.close()
    async with Engine(orders) as engine:
        assert await (await engine.get_run("one")).result() == "one ships one"


async def test_whoever_is_cancelled_as_the_run_is_created_finds_it_there_or_not_as_he_was_told(orders: str) -> None:
    async with Engine(orders, works=False) as engine:
        for turns in range(0, 60, 3):
            async with by_asyncpg(orders) as transaction:
                starting = asyncio.ensure_future(
                    engine.start(ship, "one", id=f"cancelled {turns}", within=transaction.given)
                )
                for _ in range(turns):
                    await asyncio.sleep(0)
                starting.cancel()
                [outcome] = await asyncio.gather(starting, return_exceptions=True)
                assert await transaction.given.fetchval("SELECT 1") == 1
            is_there = bool((await engine.list_runs(id_prefix=f"cancelled {turns}")).runs)
            assert is_there is not isinstance(outcome, BaseException)


async def test_an_engine_that_is_closed_meanwhile_leaves_the_run_to_the_transaction(orders: str) -> None:
    async with by_asyncpg(orders) as transaction:
        async with Engine(orders, works=False) as engine:
            store = engine.worker.store
            await engine.start(ship, "one", id="one", within=transaction.given)
        with pytest.raises(StoreError, match="is not open"):
            await store.create_within(transaction.given, None)  # type: ignore[arg-type]
    async with Engine(orders) as engine:
        assert await (await engine.get_run("one")).result() == "one ships one"
