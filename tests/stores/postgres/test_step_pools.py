"""Transactional activities by connections of a user's own pool, of whatever library."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from perdure import Context, Engine, Retry, RunFailedError, UsageError, activity, current_connection, workflow

BOOK: Final = "INSERT INTO public.booked VALUES (1)"
ISOLATION: Final = "SHOW transaction_isolation"


async def execute(statement: str) -> Any:
    """Execute a statement by whatever connection there is; return its first value, None if it has none."""
    connection = current_connection()
    if isinstance(connection, asyncpg.Connection | asyncpg.pool.PoolConnectionProxy):
        return await connection.fetchval(statement)
    if hasattr(connection, "exec_driver_sql"):
        result = await connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None
    cursor = await connection.execute(statement)
    row = await cursor.fetchone() if cursor.description else None
    return None if row is None else row[0]


@activity(name="book by a pool", transaction="serializable", retry=Retry.never())
async def book(how: str) -> str:
    isolation: str = await execute(ISOLATION)
    await execute(BOOK)
    if how == "fail":
        raise ValueError(how)
    if how == "commit":
        connection: Any = current_connection()
        await (connection.execute("COMMIT") if not hasattr(connection, "commit") else connection.commit())
    if how == "hang":
        await execute("SELECT pg_sleep(60)")
    return isolation


@workflow(name="book by a pool")
async def booking(_ctx: Context, how: str) -> str:
    return await book(how)


@workflow(name="book by a pool, in time")
async def booking_in_time(_ctx: Context) -> str:
    return await book.options(timeout=timedelta(seconds=0.2))("hang")


Opening = Callable[[str], AbstractAsyncContextManager[Any]]


def by_asyncpg(url: str) -> AbstractAsyncContextManager[Any]:
    pool: AbstractAsyncContextManager[Any] = asyncpg.create_pool(url, min_size=1, max_size=2)
    return pool


def by_psycopg(url: str) -> AbstractAsyncContextManager[Any]:
    return AsyncConnectionPool(url, min_size=1, max_size=2, open=False)


def by_alchemy(driver: str) -> Opening:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Any]:
        engine = create_async_engine(url.replace("postgresql://", f"postgresql+{driver}://", 1), pool_size=2)
        try:
            yield engine
        finally:
            await engine.dispose()

    return opened


def by_psycopg_with_autocommit(url: str) -> AbstractAsyncContextManager[Any]:
    return AsyncConnectionPool(url, min_size=1, max_size=2, open=False, kwargs={"autocommit": True})


OPENINGS: Final = {
    "asyncpg": by_asyncpg,
    "psycopg": by_psycopg,
    "psycopg with autocommit": by_psycopg_with_autocommit,
    "SQLAlchemy over asyncpg": by_alchemy("asyncpg"),
    "SQLAlchemy over psycopg": by_alchemy("psycopg"),
}


@pytest.fixture
async def url(postgres: str) -> AsyncIterator[str]:
    connection = await asyncpg.connect(postgres)
    await connection.execute("CREATE TABLE public.booked (entry integer)")
    yield postgres
    await connection.execute("DROP TABLE public.booked")
    await connection.close()


async def count_of_entries(url: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT count(*) FROM public.booked")
    finally:
        await connection.close()


async def result_of(engine: Engine, how: str) -> str:
    return await (await engine.start(booking, how)).result()


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
async def test_what_it_writes_by_a_pool_of_ones_own_comes_with_its_outcome(url: str, opening: Opening) -> None:
    async with opening(url) as pool, Engine(url, transaction_pool=pool) as engine:
        assert await result_of(engine, "well") == "serializable"
        assert await count_of_entries(url) == 1
        with pytest.raises(RunFailedError, match="ValueError: fail"):
            await result_of(engine, "fail")
        with pytest.raises(RunFailedError, match="has ended the transaction that it was given"):
            await result_of(engine, "commit")
        entries = await count_of_entries(url)
        with pytest.raises(RunFailedError, match="time"):
            await (await engine.start(booking_in_time)).result()
        assert await count_of_entries(url) == entries == 2  # that of its own COMMIT, and none of the others
        assert await asyncio.gather(*(result_of(engine, "well") for _ in range(5))) == ["serializable"] * 5
        assert await count_of_entries(url) == 7


@pytest.mark.parametrize("opening", [by_psycopg, by_alchemy("asyncpg")], ids=["psycopg", "SQLAlchemy"])
async def test_the_connections_are_as_they_were_when_they_come_back(url: str, opening: Opening) -> None:
    async with opening(url) as pool:
        async with Engine(url, transaction_pool=pool) as engine:
            assert await result_of(engine, "well") == "serializable"
        if isinstance(pool, AsyncConnectionPool):
            async with pool.connection() as connection:
                assert await (await connection.execute(ISOLATION)).fetchone() == ("read committed",)
        else:
            async with pool.connect() as connection:
                assert (await connection.execute(text(ISOLATION))).scalar() == "read committed"


async def test_what_is_no_pool_on_the_database_is_refused(url: str) -> None:
    for given in (url, ConnectionPool(url, open=False), create_engine("sqlite://")):
        with pytest.raises(UsageError, match=r"transaction_pool=.*from a pool of asyncpg"):
            async with Engine(url, transaction_pool=given):
                pass
    with pytest.raises(UsageError, match="transaction_pool= is for PostgreSQL"):
        async with Engine("memory:", transaction_pool=object()):
            pass
    elsewhere = urlsplit(url)._replace(path="/postgres").geturl()
    async with by_asyncpg(elsewhere) as pool, Engine(url, transaction_pool=pool) as engine:
        await pool.execute("CREATE TABLE public.booked (entry integer)")
        try:
            with pytest.raises(RunFailedError, match="to another database than the engine's"):
                await result_of(engine, "well")
            async with Engine(elsewhere):
                pass  # which makes tables there, too
            with pytest.raises(RunFailedError, match="to another database than the engine's"):
                await result_of(engine, "well")
            assert await count_of_entries(elsewhere) == 0
        finally:
            await pool.execute("DROP TABLE public.booked; DROP SCHEMA IF EXISTS perdure CASCADE")
