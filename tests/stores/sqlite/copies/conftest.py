"""A database of which a copy was made, and one that is copied in the test."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.stores.sqlite.copies.live_database import POINTS, Trail, create, opened, replicating


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of which a copy was made, round by round."""
    folder = tmp_path_factory.mktemp("original")

    async def make() -> None:
        async with opened(folder / "data.db") as session:
            with replicating(folder / "data.db", folder / "copy") as replication:
                for round_ in range(POINTS):
                    await create(session, f"r{round_}", runs=3)
                    replication.follow()

    asyncio.run(make())
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original / "copy", tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def trail(tmp_path: Path) -> Trail:
    return Trail(tmp_path / "data.db", tmp_path / "copy", tmp_path / "scratch.db")
