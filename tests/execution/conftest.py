"""Engines on one database in memory, and a place where activities of other processes report."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from perdure import Engine, Settings
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution.meeting import Meeting

MakeEngine = Callable[..., Engine]


@pytest.fixture
def make_engine() -> MakeEngine:
    """Return a factory of engines that all open the same database."""
    database = MemoryDatabase()

    def make(settings: Settings | None = None, *, works: bool = True) -> Engine:
        return Engine(MemoryStore(database), settings=settings, works=works)

    return make


@pytest.fixture
async def meeting() -> AsyncIterator[Meeting]:
    """Wait for visitors from other processes at a socket."""
    with TemporaryDirectory(prefix="perdure-") as folder:  # short: a socket's path has at most 107 characters
        async with Meeting(Path(folder) / "meeting") as opened:
            yield opened
