"""A database for the tests of the PostgreSQL store: one for all tests of a process, which each leaves empty."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec import structs

from perdure.testing.store_conformance import StoreSession
from perdure.torture.programs.postgres_harness import PATIENT, PostgresHarness
from tests.postgres_server import PostgresServer, value


@pytest.fixture
def postgres(emptied_postgres: str) -> str:
    """Give the URL of a database without any rows."""
    return emptied_postgres


@pytest.fixture
async def harness(postgres: str) -> AsyncIterator[PostgresHarness]:
    """Give the database as tests of the store handle it."""
    harness = PostgresHarness(postgres, structs.replace(PATIENT, lanes=3, settling_pause_seconds=0.05))
    yield harness
    await harness.close()


@pytest.fixture
async def session(harness: PostgresHarness) -> StoreSession:
    """Give a session on it."""
    return await harness.session()


@pytest.fixture
async def transaction_timeout(postgres: str) -> None:
    """Skip what servers of before PostgreSQL 17 cannot do: they are tried where `PERDURE_POSTGRES_BIN` says so."""
    if not await value(postgres, "SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'"):
        pytest.skip("the server is older than transaction_timeout")


@pytest.fixture(scope="module")
def roles(postgres_server: PostgresServer) -> Iterator[tuple[str, str]]:
    """Give two roles that may log in, and nothing else."""
    names = (f"a_of_{id(postgres_server)}", f"b_of_{id(postgres_server)}")
    with asyncio.Runner() as runner:
        for name in names:
            runner.run(value(postgres_server.url(), f"CREATE ROLE {name} LOGIN"))
        yield names
        for name in names:
            runner.run(value(postgres_server.url(), f"DROP ROLE {name}"))
