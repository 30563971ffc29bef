"""The SQLite store: the conformance suite on real files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure.testing.store_conformance import StoreConformance, StoreHarness
from perdure.torture.programs.harnesses import SqliteHarness


class TestSqliteStore(StoreConformance):
    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[StoreHarness]:
        harness = SqliteHarness(tmp_path / "perdure.db")
        yield harness
        await harness.close()


async def test_a_session_knows_that_it_is_alone(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "perdure.db")
    assert (await harness.session()).store.is_alone()
    await harness.close()
