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
