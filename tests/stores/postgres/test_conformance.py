"""The PostgreSQL store does everything that a store must do, and what the memory store does."""

import os
from collections.abc import AsyncIterator

import pytest

from perdure.testing.store_conformance import StoreConformance, StoreHarness
from perdure.torture.programs.differential import difference_of
from perdure.torture.programs.postgres_harness import PostgresHarness
from perdure.torture.programs.prompt import PromptMemoryHarness
from perdure.torture.programs.steps import program

PROGRAMS = int(os.environ.get("PERDURE_DIFFERENTIAL_PROGRAMS", "8"))


class TestPostgresStore(StoreConformance):
    @pytest.fixture
    async def harness(self, postgres: str) -> AsyncIterator[StoreHarness]:
        harness = PostgresHarness(postgres)
        yield harness
        await harness.close()


@pytest.mark.parametrize("seed", range(PROGRAMS))
async def test_random_programs_have_the_same_outcomes_and_rows_as_in_memory(seed: int, postgres: str) -> None:
    memory, stored = PromptMemoryHarness(), PostgresHarness(postgres)
    try:
        assert await difference_of(memory, stored, program(seed)) is None
    finally:
        await memory.close()
        await stored.close()
