"""One PostgreSQL server for all processes of a test session, started when the first test asks for it.

`postgres` of `tests/conftest.py` gives
each test a database of its own.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.sharing import shared

__all__ = ["PostgresServer", "emptied", "shared_server", "until_waiting", "value"]


class PostgresServer:
    """A server that several processes use."""

    def __init__(self, url: str) -> None:
        self._url: Final = url
        self._numbers: Final = itertools.count(1)

    def url(self, database: str = "postgres") -> str:
        return self._url.replace("/postgres?", f"/{database}?")

    @asynccontextmanager
    async def database(self, *, like: str = "/template1") -> AsyncIterator[str]:
        """Make a database, a copy of that at a URL, to which nobody is connected; yield its URL; drop it at the end."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        await value(self.url(), f"CREATE DATABASE {name} TEMPLATE {urlsplit(like).path[1:]}")
        try:
            yield self.url(name)
        finally:
            await value(self.url(), f"DROP DATABASE {name} WITH (FORCE)")


async def value(url: str, query: str) -> object:
    """Ask a database for one value, over a connection for this alone."""
    import asyncpg  # by those tests only that have a database

    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def until_waiting(url: str, count: int) -> None:
    """Return when so many backends wait for locks."""
    import asyncpg  # as above

    connection = await asyncpg.connect(url)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    try:
        async with asyncio.timeout(10):
            while await connection.fetchval(waiting) < count:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
    finally:
        await connection.close()


async def emptied(url: str) -> None:
    """Empty the tables of a Perdure: for few rows that takes a hundredth of what another database does."""
    import asyncpg  # as above

    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_EMPTY)
    finally:
        await connection.close()


_EMPTY: Final = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'perdure' AND tablename <> 'schema_migrations' LOOP
        EXECUTE format('DELETE FROM perdure.%I', name);
    END LOOP;
END $$
"""


@contextmanager
def shared_server(folder: Path) -> Iterator[PostgresServer]:
    """Yield the server of all processes that name this folder; the first one starts it."""
    from perdure.local_postgres import LocalPostgres  # conftest imports this module before anything may be imported

    def begin(end: ExitStack) -> str:
        server = LocalPostgres()
        server.start()
        end.callback(server.stop)
        return server.url()

    with shared(folder, "postgres", begin) as url:
        yield PostgresServer(url)
