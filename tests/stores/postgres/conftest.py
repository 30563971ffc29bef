"""A database for the tests of the PostgreSQL store: one for all tests of a process, which each leaves empty."""

from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from perdure.testing.store_conformance import StoreSession
from perdure.torture.programs.postgres_harness import PATIENT, PostgresHarness


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
