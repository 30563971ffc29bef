"""A database that is in use, what its rows are at a moment, and a copy that follows it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.connection import open_reading
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.merging import SPACINGS, Spacing
from perdure.stores.sqlite.copies.points import Point, read_contents
from perdure.stores.sqlite.copies.rebuilding import rebuild
from perdure.stores.sqlite.copies.replication import Replication
from perdure.stores.sqlite.copies.visit import Visit
from perdure.stores.sqlite.copies.whole import unshared
from perdure.stores.sqlite.disk import Disk, LocalDisk, RawFile
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession

SECOND = 1_000_000
# Small, so that the log begins anew within a test; or as large as usual, so that it does not.
SETTINGS = SqliteSettings(checkpoint_pages=12, settling_pause_seconds=0.002)
PATIENT = SqliteSettings()
POINTS = 5
UNREADABLE = Path("/proc/self/mem")
NOW = Timestamp(1_764_000_000_000_000)


class TickingClock:
    """A clock that goes on by a second at each look."""

    def __init__(self) -> None:
        self.time = 1_700_000_000 * SECOND

    def now(self) -> Timestamp:
        self.time += SECOND
        return Timestamp(self.time)


class FailingTarget(LocalDisk):
    """A disk for copies that fails while somebody says so."""

    def __init__(self) -> None:
        super().__init__()
        self.fails_to_write = self.fails_to_sync = self.fails_to_sync_folder = False

    def open(self, path: Path) -> RawFile:
        return _FailingFile(self, super().open(path))

    def create(self, path: Path) -> RawFile:
        return _FailingFile(self, super().create(path))

    def sync_folder(self, folder: Path) -> None:
        if self.fails_to_sync_folder:
            raise OSError(5, "planned")
        super().sync_folder(folder)


class _FailingFile:
    def __init__(self, disk: FailingTarget, file: RawFile) -> None:
        self._disk, self._file = disk, file
        self.read, self.truncate, self.close = file.read, file.truncate, file.close

    @property
    def size(self) -> int:
        return self._file.size

    def write(self, data: bytes, *, offset: int) -> None:
        if self._disk.fails_to_write:
            self._file.write(data[: len(data) // 2], offset=offset)
            raise OSError(28, "planned")
        self._file.write(data, offset=offset)

    def sync(self) -> None:
        if self._disk.fails_to_sync:
            raise OSError(5, "planned")
        self._file.sync()


@asynccontextmanager
async def opened(
    path: Path, *, settings: SqliteSettings = SETTINGS, disk: Disk | None = None
) -> AsyncIterator[StoreSession]:
    session = StoreSession(SqliteStore(path, settings=settings, disk=disk))
    await session.open(name="worker", lease_seconds=3_600)
    try:
        yield session
    finally:
        await session.store.close()


async def create(session: StoreSession, prefix: str, *, runs: int = 1) -> None:
    for number in range(runs):
        await session.create(f"{prefix}-{number}")


@contextmanager
def replicating(
    database: Path,
    target: Path,
    *,
    disk: Disk | None = None,
    keep_seconds: int = 10_000_000,
    every_seconds: int = 1,
    settings: SqliteSettings = SETTINGS,
    spacings: Sequence[Spacing] = SPACINGS,
    clock: TickingClock | None = None,
) -> Iterator[Replication]:
    with Visit(database, settings=settings) as visit:
        replication = Replication(
            visit,
            target,
            clock=clock or TickingClock(),
            every_microseconds=every_seconds * SECOND,
            keep_microseconds=keep_seconds * SECOND,
            target_disk=disk,
            longest_log_pages=settings.checkpoint_pages,
            spacings=spacings,
        )
        replication.begin()
        try:
            yield replication
        finally:
            replication.end()


def rows_of(database: Path) -> bytes:
    """Return a digest of all rows of a database in use, as they are now."""
    with closing(open_reading(database, settings=SETTINGS)) as connection:
        return digest_of_contents(connection)


def rows_at(folder: Path, point: Point, scratch: Path) -> bytes:
    """Return a digest of all rows as a copy has them at a point."""
    rebuild(folder, point, scratch, on_progress=lambda _done, _total: None)
    with unshared(scratch) as connection:
        return digest_of_contents(connection)


def make_unreadable(path: Path) -> None:
    """Let a file have a bad sector where it begins, by a link to one that has no byte there; only Linux has such."""
    if not UNREADABLE.exists():
        pytest.skip("no file of this system is known that cannot be read")
    path.unlink()
    path.symlink_to(UNREADABLE)


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def point_of(replication: Replication) -> str:
    assert replication.standing is not None
    return replication.standing.point


class Trail:
    """What the rows were at each point of a copy."""

    def __init__(self, database: Path, target: Path, scratch: Path) -> None:
        self.database, self.target, self.scratch = database, target, scratch
        self.rows: dict[str, bytes] = {}

    def follow(self, replication: Replication) -> None:
        replication.follow()
        self.rows[point_of(replication)] = rows_of(self.database)

    def check(self) -> None:
        points = read_contents(self.target).points
        assert {f"{point.generation}/{point.number}" for point in points} >= self.rows.keys()
        found = {f"{point.generation}/{point.number}": point for point in points}
        for name, rows in self.rows.items():
            assert rows_at(self.target, found[name], self.scratch) == rows, name


def generations(trail: Trail) -> int:
    return len(CopyFolder(trail.target).generations())


def runs_in(database: Path) -> int:
    with unshared(database) as connection:
        count: int = connection.execute("SELECT count(*) FROM runs").get
    return count
