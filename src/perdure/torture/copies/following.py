"""Copies that follow a database, as they are made while somebody interrupts it: rounds, bases, merged parts."""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import StoreError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.merging import Spacing
from perdure.stores.sqlite.copies.points import Point, read_contents
from perdure.stores.sqlite.copies.rebuilding import rebuild
from perdure.stores.sqlite.copies.replication import Replication
from perdure.stores.sqlite.copies.visit import Visit
from perdure.stores.sqlite.copies.whole import unshared
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.log import log_of
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.torture.copies.meddling import COUNTING
from perdure.torture.copies.spacing import SPACINGS, may_be_gone
from perdure.torture.disks.life import DATABASE_NAME
from perdure.torture.disks.operations import Operation, Rename, SyncFolder
from perdure.torture.disks.recording import RecordingDisk

__all__ = ["NOW", "MakingOfACopy", "MakingOfAMergedCopy", "copied", "digest_at", "follow"]


class MakingOfACopy:
    """A copy that follows, in `place/copy`: its first base, increments, further bases, and old ones that go."""

    name = "replicate"

    def __init__(self, folder: Path, chance: random.Random) -> None:
        """See `Making`."""
        self.place: Final = folder / "place"
        self._database: Final = folder / "new" / DATABASE_NAME
        self._scratch: Final = folder / "scratch.db"
        self._chance: Final = chance
        self._rows: set[bytes] = set()
        self._newest: list[str] = []

    def prepare(self) -> None:
        """See `Making`."""

    def make(self, disk: RecordingDisk) -> list[int]:
        """See `Making`."""
        told: list[int] = []
        self._note_rows()
        rounds = self._chance.randrange(1, _ROUNDS)
        note = self._noting(disk, told)
        follow(self._database, self.place / "copy", disk, rounds=rounds, note=note, commit=self._commit_noted)
        return told

    def judge(self, left: Path, steps: int) -> Iterator[str]:
        """See `Making`."""
        folder = left / "copy"
        contents = read_contents(folder) if folder.exists() else None
        names = [f"{point.generation}/{point.number}" for point in contents.points] if contents else []
        if steps and self._newest[steps - 1] not in names:
            yield f"{self._newest[steps - 1]} was told of, and is not there"
        if contents is None:
            return
        yield from contents.breaks.values()
        yield from self._judge_rows(folder, contents.points[-_JUDGED:])

    def fail(self, left: Path) -> None:
        """See `Making`."""

    def once(self, left: Path, disk: Disk) -> None:
        """See `Making`."""
        self.again(left, disk)

    def again(self, left: Path, disk: Disk) -> None:
        """See `Making`."""
        follow(self._database, left / "copy", disk)

    def judge_end(self, left: Path) -> Iterator[str]:
        """See `Making`."""
        point = read_contents(left / "copy").points[-1]
        rebuild(left / "copy", point, self._scratch, on_progress=_ignore)
        if digest_at(self._scratch) != digest_at(copied(self._database, self._scratch.with_name("now.db"))):
            yield "its newest point is not the database as it is"
        names = {path.relative_to(left).as_posix() for path in left.rglob("*")}
        if others := {name for name in names if "unfinished" in name}:
            yield f"{others} are left"

    def _judge_rows(self, folder: Path, points: list[Point]) -> Iterator[str]:
        for point in points:
            rebuild(folder, point, self._scratch, on_progress=_ignore)
            with unshared(self._scratch) as connection:
                if digest_of_contents(connection) not in self._rows:
                    yield f"{point.generation}/{point.number} is what the database never was"
        self._scratch.unlink(missing_ok=True)

    def _noting(self, disk: RecordingDisk, told: list[int]) -> Callable[[str], None]:
        """Return what notes the newest point after each round, and after how many operations it was told."""

        def note(point: str) -> None:
            self._newest.append(point)
            told.append(len(disk.operations))

        return note

    def _commit_noted(self) -> None:
        _commit(self._database)
        self._note_rows()

    def _note_rows(self) -> None:
        self._rows.add(digest_at(copied(self._database, self._scratch)))


class MakingOfAMergedCopy(MakingOfACopy):
    """Parts of a copy that follows are merged: whoever does it dies before he is certain of a name, another goes on."""

    name = "merge parts of a copy"

    def __init__(self, folder: Path, chance: random.Random) -> None:
        """See `Making`."""
        super().__init__(folder, chance)
        self._known: list[Point] = []

    def prepare(self) -> None:
        """See `Making`."""
        self._make_rounds(LocalDisk(), rounds=_PARTS_TO_MERGE, clock=Clock(), spacings=_NEVER)
        self._known = read_contents(self.place / "copy").points

    def make(self, disk: RecordingDisk) -> list[int]:
        """See `Making`."""
        told: list[int] = []
        clock, note = Clock(_LATER), self._noting(disk, told)
        disk.die_before(_is_about_to_be_certain(self._chance.randrange(_DEATHS)))
        for _ in range(2):
            with suppress(StoreError):  # from the disk of one who is dead
                self._make_rounds(disk, rounds=_ROUNDS_TO_MERGE, clock=clock, spacings=SPACINGS, note=note)
            disk.revive()
        return told

    def judge(self, left: Path, steps: int) -> Iterator[str]:
        """See `Making`."""
        yield from super().judge(left, steps)
        points = read_contents(left / "copy").points
        there = {point.taken_at for point in points}
        for point in self._known:
            if point.taken_at not in there and not may_be_gone(point.taken_at, there, now=_MUCH_LATER):
                yield f"{point.name} is gone, and was to stay"
        yield from self._judge_rows(left / "copy", points[1:-_JUDGED:_JUDGED])

    def again(self, left: Path, disk: Disk) -> None:
        """See `Making`."""
        follow(
            self._database,
            left / "copy",
            disk,
            rounds=_ROUNDS_TO_MERGE,
            clock=Clock(_LATER),
            spacings=SPACINGS,
            every=_EVERY_MINUTE,
        )

    def judge_end(self, left: Path) -> Iterator[str]:
        """See `Making`."""
        yield from super().judge_end(left)
        for generation in CopyFolder(left / "copy").generations():
            yield from (f"{file.path.name} is left" for file in generation.leftovers())

    def _make_rounds(
        self,
        disk: Disk,
        *,
        rounds: int,
        clock: "Clock",
        spacings: Sequence[Spacing],
        note: Callable[[str], None] = lambda _point: None,
    ) -> None:
        self._note_rows()
        follow(
            self._database,
            self.place / "copy",
            disk,
            rounds=rounds,
            clock=clock,
            spacings=spacings,
            note=note,
            commit=self._commit_noted,
            every=_EVERY_MINUTE,
        )


def _is_about_to_be_certain(number: int) -> Callable[[Operation], bool]:
    """Return what tells the sync that makes the name of a merged part certain, of that whose number it is."""
    named: list[str] = []

    def tells(operation: Operation) -> bool:
        match operation:
            case Rename(new=new) if "-" in Path(new).name and new.endswith(".part"):
                named.append(new)
            case SyncFolder(file=folder) if named[number:]:
                return Path(named[number]).parent == Path(folder)
            case _:
                pass
        return False

    return tells


class Clock:
    """Goes on by a second at each look."""

    def __init__(self, begin: Timestamp | None = None) -> None:
        self._time = begin or NOW

    def now(self) -> Timestamp:
        self._time = Timestamp(self._time + _SECOND)
        return self._time


def follow(
    database: Path,
    folder: Path,
    disk: Disk,
    *,
    rounds: int = 1,
    note: Callable[[str], None] = lambda _point: None,
    commit: Callable[[], None] = lambda: None,
    clock: Clock | None = None,
    spacings: Sequence[Spacing] | None = None,
    every: int = 1_000_000,
) -> None:
    """Make rounds of a replication; between them, and while a base is made, something is committed."""
    with Visit(database, settings=_SETTINGS) as visit:
        replication = Replication(
            visit,
            folder,
            clock=clock or Clock(),
            every_microseconds=every,
            keep_microseconds=(_KEEP_SECONDS if spacings is None else _LONG_SECONDS) * _SECOND,
            target_disk=disk,
            longest_log_pages=_SETTINGS.checkpoint_pages,
            spacings=spacings or _NEVER,
            on_progress=lambda _done, _total: commit(),
        )
        replication.begin()
        try:
            for number in range(rounds):
                if number:
                    commit()
                replication.follow()
                assert replication.standing is not None
                note(replication.standing.point)
        finally:
            replication.end()


def _commit(database: Path) -> None:
    connection = apsw.Connection(str(database))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.wal_autocheckpoint(0)
    connection.execute(COUNTING)
    connection.close()


def digest_at(path: Path) -> bytes:
    """Return the digest of a database's rows, with what is in its log; alone with it."""
    connection = apsw.Connection(str(path), vfs="unix-none")
    try:
        connection.pragma("locking_mode", "exclusive")
        connection.pragma("synchronous", 0)
        return digest_of_contents(connection)
    finally:
        connection.close()


def copied(database: Path, to: Path) -> Path:
    """Copy a database's file, and its log, if there is one; return `to`."""
    for source, target in ((database, to), (log_of(database), log_of(to))):
        target.unlink(missing_ok=True)
        if source.exists():
            shutil.copyfile(source, target)
    return to


def _ignore(_done: int, _total: int) -> None:
    pass


_SECOND: Final = 1_000_000
NOW: Final = Timestamp(1_764_000_000 * _SECOND)
_LATER: Final = Timestamp(NOW + 60 * _SECOND)
"""When some of what was made before is to be merged, with two spacings."""
_EVERY_MINUTE: Final = 60 * _SECOND
"""So that all that time counts: nothing gets much older between two looks than there is between two rounds."""
_MUCH_LATER: Final = Timestamp(NOW + 1_000 * _SECOND)
_SETTINGS: Final = SqliteSettings(checkpoint_pages=12, settling_pause_seconds=0.002)
_NEVER: Final = (Spacing(after=1_000_000 * _SECOND, width=_SECOND),)
_KEEP_SECONDS: Final = 12
_LONG_SECONDS: Final = 100_000
_ROUNDS: Final = 10
_PARTS_TO_MERGE: Final = 14
_ROUNDS_TO_MERGE: Final = 3
_DEATHS: Final = 3
_JUDGED: Final = 3
"""So many of the newest points are restored; the others are as they were when they were among these."""
