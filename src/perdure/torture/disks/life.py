"""A store's life on a disk that takes notes: a random program, and where each of its steps was answered."""

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from contextlib import closing
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import StoreError
from perdure.stores.sqlite.connection import open_reading
from perdure.stores.sqlite.disk import Disk
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.torture.disks.recording import RecordingDisk
from perdure.torture.programs.harnesses import SessionClock, SqliteHarness
from perdure.torture.programs.prompt import PromptMemoryHarness, PromptSqliteStore
from perdure.torture.programs.steps import Step
from perdure.torture.programs.world import Observation, World

__all__ = [
    "DATABASE_NAME",
    "AfterFailure",
    "DiskHarness",
    "UntrueAnswerError",
    "live",
    "live_alone_through_a_failure",
    "live_through_a_failure",
]

DATABASE_NAME: Final = "torture.db"


class UntrueAnswerError(Exception):
    """The store has answered what is not so, or not yet."""


class AfterFailure(Enum):
    """What the process does whose sync has failed: it goes on, opens the file anew, or is dead at once."""

    CONTINUE = "goes on"
    CONTINUE_ALONE = "goes on, and has been the only one to have the file open"
    REOPEN = "opens the file anew"
    KILL = "is killed at once"


class DiskHarness(SqliteHarness):
    """A database file on a given disk, whose log is copied often, unless the settings say otherwise."""

    def __init__(self, folder: Path, disk: Disk, *, settings: SqliteSettings | None = None) -> None:
        """Begin with an empty `folder`."""
        super().__init__(folder / DATABASE_NAME)
        self._disk = disk
        self._settings = settings or _SETTINGS

    def new_store(self) -> SqliteStore:
        """See `StoreHarness`."""
        return PromptSqliteStore(self.path, settings=self._settings, disk=self._disk, clock=SessionClock())


class SlowReader:
    """Somebody who reads for a while, now and then: what came after is not copied, and the log does not begin anew."""

    def __init__(self, folder: Path, disk: Disk, chance: random.Random) -> None:
        """Read the database in `folder` when `chance` says so."""
        self._path = folder / DATABASE_NAME
        self._disk = disk
        self._chance = chance
        self._connection: apsw.Connection | None = None

    def turn(self) -> None:
        """Begin to read, or end, or leave it as it is."""
        if self._chance.random() < _CALM:
            return
        if self._connection is not None:
            self.close()
            return
        self._connection = open_reading(self._path, settings=_SETTINGS, vfs=self._disk.vfs)
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT count(*) FROM runs").fetchall()

    def look(self) -> None:
        """Read once, as the first perhaps after a death; nothing is written that the disk should note."""
        with closing(open_reading(self._path, settings=_SETTINGS)) as connection:
            connection.execute("SELECT count(*) FROM runs").fetchall()

    def close(self) -> None:
        """Read no more."""
        if self._connection is not None:
            self._connection.close(force=True)
            self._connection = None


async def live(steps: list[Step], folder: Path, disk: RecordingDisk, chance: random.Random) -> list[int]:
    """Carry a program out in `folder`; return after how many operations of the disk each step was answered.

    Raises UntrueAnswerError where a store in memory gives another answer, or has other rows then.
    """
    harness, reader = DiskHarness(folder, disk), SlowReader(folder, disk, chance)
    world, twin = World(harness), World(PromptMemoryHarness())
    await world.open()
    await twin.open()
    answered = [len(disk.operations)]
    for step in steps:
        reader.turn()
        if await world.do(step) != await twin.do(step):
            raise UntrueAnswerError(f"{step.verb} was answered otherwise than in memory")
        answered.append(len(disk.operations))
    reader.close()
    await harness.close()
    return [*answered, len(disk.operations)]


async def live_through_a_failure(
    steps: list[Step],
    folder: Path,
    disk: RecordingDisk,
    chance: random.Random,
    *,
    fails: tuple[str, int, int],
    then: AfterFailure,
) -> list[int]:
    """As `live`, but a sync after the opening fails, of a file and by its number, or some in a row; return some steps
    after that.

    An error is not judged here: what became of a step that met one is taken from the store, and must then stay so.
    """
    harness, reader = DiskHarness(folder, disk), SlowReader(folder, disk, chance)
    world = World(harness)
    await world.open()
    answered = [len(disk.operations)]
    died = asyncio.Event()
    tell = partial(asyncio.get_running_loop().call_soon_threadsafe, died.set)
    disk.fail_sync(*fails, on_death=tell if then is AfterFailure.KILL else None)
    left = _STEPS_AFTER_FAILURE
    for step in steps:
        had_failed = disk.failed_at is not None
        if not had_failed:
            reader.turn()
        await _answer_or_death(world.do(step), died)
        if disk.failed_at is not None and not had_failed and then is not AfterFailure.CONTINUE:
            reader.close()
            await world.leave(harness.kill if then is AfterFailure.KILL else harness.end)
            disk.revive()
            if chance.random() < _LOOK_SHARE:
                reader.look()
            await world.come_back()
        answered.append(len(disk.operations))
        left -= disk.failed_at is not None
        if not left:
            break
    reader.close()
    with contextlib.suppress(StoreError):  # the sync that fails, or the death with it, may be one of the end
        await harness.close()
    return [*answered, len(disk.operations)]


async def live_alone_through_a_failure(folder: Path, disk: RecordingDisk, *, fails: tuple[str, int, int]) -> list[int]:
    """As above, of a store that only writes, and that nobody has open beside it: it has one connection to the file."""
    harness = DiskHarness(folder, disk)
    session = await harness.session("alone", lease_seconds=30)
    answered = [len(disk.operations)]
    disk.fail_sync(*fails, on_death=None)
    left = _STEPS_AFTER_FAILURE
    while left:
        with contextlib.suppress(StoreError):
            await session.create(f"run {len(answered)}")
        answered.append(len(disk.operations))
        left -= disk.failed_at is not None
    await harness.close()
    return [*answered, len(disk.operations)]


async def _answer_or_death(step: Coroutine[None, None, Observation], died: asyncio.Event) -> None:
    """Wait until a step is answered, be it by an error of the store's, or the process is as good as dead."""
    doing, dying = asyncio.create_task(step), asyncio.create_task(died.wait())
    await asyncio.wait({doing, dying}, return_when=asyncio.FIRST_COMPLETED)
    doing.cancel()
    dying.cancel()
    for outcome in await asyncio.gather(doing, dying, return_exceptions=True):
        if isinstance(outcome, Exception) and not isinstance(outcome, StoreError):
            raise outcome


_SETTINGS: Final = SqliteSettings(checkpoint_pages=12, settling_pause_seconds=0.002)
_STEPS_AFTER_FAILURE: Final = 10
_CALM: Final = 0.7
_LOOK_SHARE: Final = 0.3
