"""An opening after a failed sync and a death: what is answered from then on is on the disk, whoever came in between."""

import asyncio
import random
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from perdure.stores.sqlite.locks import FileLock
from perdure.stores.sqlite.log import log_of
from perdure.stores.sqlite.looking import SqliteLook
from perdure.stores.sqlite.presence import Presence
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.torture.disks.life import DATABASE_NAME, DiskHarness
from perdure.torture.disks.losses import lose_power
from perdure.torture.disks.recording import RecordingDisk

LOOKS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM runs").fetchall()
connection.close()
"""


@pytest.fixture
def life(tmp_path: Path) -> Path:
    """Where the database is."""
    folder = tmp_path / "life"
    folder.mkdir()
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where it is looked at as a loss of power would leave it."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


async def dying(folder: Path, disk: RecordingDisk) -> StoreSession:
    """Return a session that is as good as dead: in its first commit after a failed sync, to which nobody listens."""
    session = StoreSession(DiskHarness(folder, disk).new_store())
    await session.open(name="first", lease_seconds=30)
    for number in range(3):
        await session.create(f"before {number}")
    died, loop = asyncio.Event(), asyncio.get_running_loop()
    disk.fail_sync(f"{DATABASE_NAME}-wal", 1, on_death=lambda: loop.call_soon_threadsafe(died.set))
    committing: asyncio.Task[object] = asyncio.create_task(session.create("only the kernel has it"))
    await died.wait()
    committing.cancel()
    return session


def abandon(session: StoreSession) -> None:
    assert isinstance(session.store, SqliteStore)
    session.store.abandon()


async def answered_after(folder: Path, disk: RecordingDisk) -> list[int]:
    """Open the database and create runs; return after how many operations of the disk each was answered."""
    session = StoreSession(DiskHarness(folder, disk).new_store())
    await session.open(name="second", lease_seconds=30)
    answered = [len(disk.operations)]
    for number in range(4):
        await session.create(f"after {number}")
        answered.append(len(disk.operations))
    await session.store.close()
    return answered


async def wrong_after(disk: RecordingDisk, answered: list[int], folder: Path) -> list[str]:
    disk.close()
    assert disk.failed_at is not None
    losses = lose_power(disk.operations, answered, folder, random.Random(1), share=1.0, draws=3, begins=disk.failed_at)
    return [str(loss) for loss in await asyncio.to_thread(list, losses) if loss.wrong is not None]


async def looks(path: Path) -> None:
    async with SqliteLook(path):
        pass


@pytest.mark.parametrize("comes_between", [None, looks], ids=["nobody", "a look"])
async def test_what_follows_a_death_is_answered_from_the_disk(
    life: Path, scratch: Path, comes_between: Callable[[Path], Awaitable[None]] | None
) -> None:
    disk = RecordingDisk()
    session = await dying(life, disk)
    abandon(session)
    disk.revive()
    if comes_between is not None:
        await comes_between(life / DATABASE_NAME)
    assert await wrong_after(disk, await answered_after(life, disk), scratch) == []


async def test_who_dies_while_another_opens_is_settled_by_that(
    life: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = RecordingDisk()
    session = await dying(life, disk)
    ask, waits = FileLock.wait_exclusive, threading.Event()

    def tell_and_ask(lock: FileLock, *, patience_seconds: float) -> bool:
        if lock.path.name == "writer.lock" and patience_seconds:
            waits.set()
        return ask(lock, patience_seconds=patience_seconds)

    monkeypatch.setattr(FileLock, "wait_exclusive", tell_and_ask)
    of_the_second = RecordingDisk(disk.operations)
    opening = asyncio.create_task(answered_after(life, of_the_second))
    assert await asyncio.to_thread(waits.wait, 30)
    abandon(session)
    answered = await opening
    of_the_second.close()
    assert await wrong_after(disk, answered, scratch) == []


async def test_who_dies_after_another_has_looked_who_is_there_is_settled_by_that(
    life: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = RecordingDisk()
    session = await dying(life, disk)
    abandon(session)
    disk.revive()
    ask, asked = Presence.try_alone, [False]  # as if it had lived a little longer

    def ask_late(presence: Presence) -> bool:
        asked.append(asked[-1] or (ask(presence) and len(asked) > 1))
        return asked[-1]

    monkeypatch.setattr(Presence, "try_alone", ask_late)
    answered = await answered_after(life, disk)
    assert asked[1:4] == [False, True, True]
    assert await wrong_after(disk, answered, scratch) == []


async def test_an_opening_costs_no_connection_of_the_process_its_locks(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    first = StoreSession(SqliteStore(path))
    await first.open(name="first", lease_seconds=30)
    await first.store.close()
    async with SqliteLook(path):
        session = StoreSession(SqliteStore(path))
        await session.open(name="worker", lease_seconds=30)
        await session.create("before")
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", LOOKS, str(path)], check=True)
        assert await asyncio.to_thread(log_of(path).exists), "another program took it for nobody's, and removed the log"
        await session.create("after")
        await session.store.close()
