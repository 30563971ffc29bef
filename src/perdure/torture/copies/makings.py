"""What is made while it is interrupted: whole copies, databases of copies, copies that follow, merged parts of them."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, Protocol

import apsw

from perdure.errors import CopyDamagedError, StateError, StoreUnavailableError
from perdure.stores.sqlite.copies.operations import back_up, restore
from perdure.stores.sqlite.copies.visit import Visit
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.log import log_of
from perdure.stores.sqlite.presence import replacing_mark, sidecar_folder
from perdure.torture.copies.following import (
    NOW,
    MakingOfACopy,
    MakingOfAMergedCopy,
    copied,
    digest_at,
    follow,
)
from perdure.torture.copies.target import RefusingDisk
from perdure.torture.disks.life import DATABASE_NAME, DiskHarness
from perdure.torture.disks.recording import RecordingDisk
from perdure.torture.programs.steps import program
from perdure.torture.programs.world import World

__all__ = ["MAKINGS", "Making", "make_databases"]


class Making(Protocol):
    """Something that is made in the folder `place`, and what it must be whenever it is interrupted."""

    @property
    def name(self) -> str:
        """What it is, for messages."""

    @property
    def place(self) -> Path:
        """The folder."""

    def prepare(self) -> None:
        """Put what is there before into `place`."""

    def make(self, disk: RecordingDisk) -> list[int]:
        """Make it; return after how many operations of the disk each step of it was told to be done."""

    def judge(self, left: Path, steps: int) -> Iterator[str]:
        """Yield what is wrong with what an interruption has left, when so many steps had been told to be done."""

    def fail(self, left: Path) -> None:
        """Let it be made again where it was interrupted, by somebody who cannot."""

    def once(self, left: Path, disk: Disk) -> None:
        """Make it in `left`, where nothing of it was made yet. Raises PerdureError."""

    def again(self, left: Path, disk: Disk) -> None:
        """Make it, or what comes next, where it was interrupted. Raises PerdureError."""

    def judge_end(self, left: Path) -> Iterator[str]:
        """Yield what is wrong with what was made in the end."""


async def make_databases(folder: Path, seed: int) -> None:
    """Make two databases in `folder`, named new and old, whose users have died: there are logs beside them."""
    for name in ("new", "old"):
        (folder / name).mkdir()
        harness = DiskHarness(folder / name, LocalDisk())
        world = World(harness)
        await world.open()
        for step in program(seed + (name == "old"), length=_STEPS):
            await world.do(step)
        await world.leave(harness.kill)
    (folder / "place").mkdir()


class _MakingOfADatabase:
    """A database `place/data.db`, from nothing or in the place of another: `before` says what is there before."""

    def __init__(self, folder: Path, chance: random.Random, *, source: str, before: str) -> None:
        self.name: Final = f"{_SOURCES[source]} {_BEFORE[before]}"
        self.place: Final = folder / "place"
        self._folder: Final = folder
        self._chance: Final = chance
        self._source: Final = source
        self._before: Final = before
        self._files: dict[str, bytes] = {}
        self._old: bytes | None = None
        self._new = b""

    def prepare(self) -> None:
        new, path = self._folder / "new" / DATABASE_NAME, self.place / _NAME
        if self._source == "file":
            back_up(new, self._folder / "copy.db", is_forced=False, on_progress=_ignore)
        elif self._source == "journal":
            back_up(new, self._folder / "copy.db", is_forced=False, on_progress=_ignore)
            _give_journal(self._folder / "copy.db")
            back_up(
                self._folder / "old" / DATABASE_NAME, self._folder / "next.db", is_forced=False, on_progress=_ignore
            )
        elif self._source == "folder":
            follow(new, self._folder / "copy", LocalDisk())
        if self._before == "nothing":
            return
        if self._chance.random() < _HALF:
            sidecar_folder(path).mkdir()
        for file in (self._folder / "old" / DATABASE_NAME, log_of(self._folder / "old" / DATABASE_NAME)):
            shutil.copyfile(file, self.place / file.name.replace(DATABASE_NAME, _NAME))
        match self._before:
            case "closed":
                digest_at(path)  # who reads it alone takes its log away
            case "damaged":
                path.write_bytes(self._chance.randbytes(100) + path.read_bytes()[100:])
            case "log":
                path.unlink()
            case _:
                pass

    def make(self, disk: RecordingDisk) -> list[int]:
        self._files = _files_of(self.place)
        self._old = None if self._before in _WITHOUT else digest_at(self._laid_aside())
        (self._folder / "made").mkdir()
        self._make(self._folder / "made", LocalDisk())
        self._new = digest_at(self._folder / "made" / _NAME)
        if self._before == "refused":
            with suppress(StoreUnavailableError):
                self._make(self.place, RefusingDisk(disk, self.place / _NAME))
            return []
        self._make(self.place, disk)
        return [len(disk.operations)]

    def judge(self, left: Path, steps: int) -> Iterator[str]:
        path = left / _NAME
        if replacing_mark(path).exists():
            yield from self._judge_refused(path)
        elif not path.exists():
            if _files_of(left) != self._files:
                yield "there is no database"
            elif steps:
                yield "what was made is not there"
        elif self._before == "damaged" and not steps and _files_of(left) == self._files:
            pass
        elif (found := digest_at(path)) != self._new and (steps or found != self._old):
            yield "it is neither the old database nor the new one" if found != self._old else "it is the old one again"

    def fail(self, left: Path) -> None:
        path = left / _NAME
        if replacing_mark(path).exists() and not path.exists():
            path.write_bytes(_STRANGE)
            self._restore_nothing(path)
            path.unlink()
        self._restore_nothing(path)

    def once(self, left: Path, disk: Disk) -> None:
        self._make(left, disk)

    def again(self, left: Path, disk: Disk) -> None:
        if self._source == "journal":
            self._restore(self._folder / "next.db", left, disk)
        else:
            self._make(left, disk)

    def judge_end(self, left: Path) -> Iterator[str]:
        expected = self._new
        if self._source == "journal":
            self._restore(self._folder / "next.db", self._folder / "made", LocalDisk())
            expected = digest_at(self._folder / "made" / _NAME)
        if digest_at(left / _NAME) != expected:
            yield "it is not the new database"
        if others := {path.name for path in left.iterdir()} - {_NAME, sidecar_folder(left / _NAME).name}:
            yield f"{others} are left"

    def _judge_refused(self, path: Path) -> Iterator[str]:
        if self._before not in ("damaged", "log"):
            yield "it is marked as one that is damaged"
        try:
            with Visit(path):
                yield "it is opened, and was being replaced"
        except StoreUnavailableError as error:
            if "Run `perdure restore --force` again" not in str(error):
                raise

    def _make(self, place: Path, disk: Disk) -> None:
        is_forced = place != self.place or self._before != "nothing"
        if self._source == "database":
            new = self._folder / "new" / DATABASE_NAME
            back_up(new, place / _NAME, is_forced=is_forced, on_progress=_ignore, disk=disk)
        else:
            source = self._folder / ("copy" if self._source == "folder" else "copy.db")
            self._restore(source, place, disk, is_forced=is_forced)

    def _restore(self, source: Path, place: Path, disk: Disk, *, is_forced: bool = True) -> None:
        restore(source, place / _NAME, at=None, is_forced=is_forced, now=NOW, on_progress=_ignore, disk=disk)

    def _restore_nothing(self, path: Path) -> None:
        source = self._folder / "no-copy"
        source.write_bytes(_STRANGE)
        with suppress(CopyDamagedError, StateError):
            restore(source, path, at=None, is_forced=True, now=NOW, on_progress=_ignore)

    def _laid_aside(self) -> Path:
        return copied(self.place / _NAME, self._folder / "before.db")


def _files_of(place: Path) -> dict[str, bytes]:
    """Return the bytes of a database and of its log."""
    return {path.name: path.read_bytes() for path in (place / _NAME, log_of(place / _NAME)) if path.exists()}


def _give_journal(database: Path) -> None:
    """Let a copy have another mode, as a tool may do."""
    with closing(apsw.Connection(str(database))) as tool:
        tool.execute("PRAGMA journal_mode = DELETE").fetchall()


def _ignore(_done: int, _total: int) -> None:
    pass


_NAME: Final = "data.db"
_STRANGE: Final = b"another program's"
_STEPS: Final = 8
_HALF: Final = 0.5
_WITHOUT: Final = ("nothing", "damaged", "log")
_SOURCES: Final = {
    "database": "back up",
    "file": "restore a file",
    "folder": "restore a folder",
    "journal": "restore a file with a journal, then another,",
}
_BEFORE: Final = {
    "nothing": "where nothing is",
    "used": "in the place of a database with a log",
    "closed": "in the place of a database without a log",
    "damaged": "in the place of a damaged database",
    "refused": "in the place of a database, which the disk refuses",
    "log": "beside a log that was left alone",
}


def _of_a_database(source: str, before: str) -> Callable[[Path, random.Random], Making]:
    return lambda folder, chance: _MakingOfADatabase(folder, chance, source=source, before=before)


MAKINGS: Final[tuple[Callable[[Path, random.Random], Making], ...]] = (
    _of_a_database("file", "used"),
    MakingOfACopy,
    _of_a_database("folder", "damaged"),
    _of_a_database("database", "nothing"),
    _of_a_database("database", "closed"),
    MakingOfACopy,
    _of_a_database("file", "nothing"),
    _of_a_database("file", "log"),
    _of_a_database("folder", "closed"),
    _of_a_database("folder", "used"),
    MakingOfAMergedCopy,
    _of_a_database("journal", "nothing"),
    _of_a_database("file", "refused"),
)
