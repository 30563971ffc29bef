"""A database for the tests of the PostgreSQL store: one for all tests of a process, which each leaves empty."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from perdure.stores.postgres.settings import PostgresSettings
from perdure.testing.store_conformance import StoreSession
from perdure.torture.programs.postgres_harness import PostgresHarness
from tests.postgres_server import PostgresServer

EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'perdure' AND tablename <> 'schema_migrations' LOOP
        EXECUTE format('DELETE FROM perdure.%I', name);
    END LOOP;
END $$
"""
"""For so few rows this takes a hundredth of what another database does."""


@pytest.fixture(scope="session")
def shared_database(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of a database for all tests of this process."""
    with asyncio.Runner() as runner:
        making = postgres_server.database()
        yield runner.run(making.__aenter__())
        runner.run(making.__aexit__(None, None, None))


@pytest.fixture
async def postgres(shared_database: str) -> AsyncIterator[str]:
    """Give the URL of a database without any rows."""
    yield shared_database
    connection = await asyncpg.connect(shared_database)
    try:
        await connection.execute(EMPTY)
    finally:
        await connection.close()


@pytest.fixture
async def harness(postgres: str) -> AsyncIterator[PostgresHarness]:
    """Give the database as tests of the store handle it."""
    harness = PostgresHarness(postgres, PostgresSettings(lanes=3, settling_pause_seconds=0.05, absence_seconds=0.0))
    yield harness
    await harness.close()


@pytest.fixture
async def session(harness: PostgresHarness) -> StoreSession:
    """Give a session on it."""
    return await harness.session()
