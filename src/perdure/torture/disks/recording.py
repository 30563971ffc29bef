"""A disk that notes all that is done to its files, and whose syncs can be made to fail."""

import errno
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

import apsw

from perdure.stores.sqlite.disk import LocalDisk, RawFile
from perdure.torture.disks.operations import (
    Create,
    Delete,
    Grow,
    Link,
    LostSync,
    MakeFolder,
    Operation,
    RemoveFolder,
    Rename,
    Sync,
    SyncFolder,
    Truncate,
    Write,
)

__all__ = ["RecordingDisk"]


class RecordingDisk:
    """A `Disk` on the files of one folder. Nothing is really synced: what that does is played by a `Platter`, or for
    folders within the folder by a `Shelf`."""

    def __init__(self, operations: list[Operation] | None = None, *, root: Path | None = None) -> None:
        """Become a file system of apsw's, until `close`. Processes that share a disk note in the same `operations`.

        Files are noted by their names; with a `root` by their paths below it.
        """
        self._root: Final = root
        self.vfs: Final = f"recording {next(_NUMBERS)}"
        self.operations: Final[list[Operation]] = [] if operations is None else operations
        self.failed_at: int | None = None
        self._fails = ""
        self._failing = range(0)
        self._syncs = 0
        self._on_death: Callable[[], object] | None = None
        self._is_dead = False
        self._dies_before: Callable[[Operation], bool] = lambda _operation: False
        self._system = _FileSystem(self)

    def open(self, path: Path) -> RawFile:
        """See `Disk`."""
        return _PastSqlite(self, self.name(path), LocalDisk().open(path))

    def create(self, path: Path) -> RawFile:
        """See `Disk`."""
        self.note(Create(self.name(path)))
        return _PastSqlite(self, self.name(path), LocalDisk().create(path))

    def replace(self, path: Path, by: Path) -> None:
        """See `Disk`."""
        self.note(Rename(self.name(by), self.name(path)))
        LocalDisk().replace(path, by)

    def rename(self, path: Path, to: Path) -> None:
        """See `Disk`."""
        self.note(Rename(self.name(path), self.name(to)))
        LocalDisk().rename(path, to)

    def link(self, path: Path, to: Path) -> None:
        """See `Disk`."""
        self.note(Link(self.name(path), self.name(to)))
        LocalDisk().link(path, to)

    def remove(self, path: Path) -> None:
        """See `Disk`."""
        if path.exists():
            self.note(Delete(self.name(path), is_durable=False))
            LocalDisk().remove(path)

    def make_folder(self, path: Path) -> None:
        """See `Disk`."""
        self.note(MakeFolder(self.name(path)))
        LocalDisk().make_folder(path)

    def remove_folder(self, path: Path) -> None:
        """See `Disk`."""
        self.note(RemoveFolder(self.name(path)))
        LocalDisk().remove_folder(path)

    def sync_folder(self, folder: Path) -> None:
        """See `Disk`."""
        self.note(SyncFolder("" if self._root is None else self.name(folder)))

    def name(self, path: Path) -> str:
        """Return how a file, or a folder, is noted."""
        return path.name if self._root is None else path.relative_to(self._root).as_posix()

    def close(self) -> None:
        """Be no file system any more."""
        self._system.unregister()

    def fail_sync(self, file: str, number: int, times: int = 1, *, on_death: Callable[[], object] | None) -> None:
        """Let the sync of `file` fail that is the `number`-th from now, and those that follow, `times` in all.

        With `on_death`, which is told of it in whatever thread that is, all that is done after it fails, too, unnoted,
        until `revive`: the process is as good as dead.
        """
        self._fails, self._failing, self._on_death = file, range(number, number + times), on_death
        self._syncs = 0

    def die_before(self, is_last: Callable[[Operation], bool]) -> None:
        """Let the process be as good as dead before the first operation of which `is_last` says so, until `revive`."""
        self._dies_before = is_last

    def revive(self) -> None:
        """Let another process work on the files."""
        self._is_dead, self._dies_before = False, lambda _operation: False

    def note(self, operation: Operation) -> None:
        """Take note of what is about to be done. Raises OSError if it cannot be done any more."""
        self._is_dead = self._is_dead or self._dies_before(operation)
        if self._is_dead:
            raise OSError(errno.EIO, "the process is dead")
        self.operations.append(operation)

    def sync(self, file: str, *, enters_folder: bool) -> None:
        """Take note of a sync. Raises OSError if it fails."""
        self._syncs += file == self._fails
        if file != self._fails or self._syncs not in self._failing:
            self.note(Sync(file, enters_folder))
            return
        self.failed_at = len(self.operations) if self.failed_at is None else self.failed_at
        self.note(LostSync(file))
        if self._on_death is not None:
            self._is_dead = True
            self._on_death()
        raise OSError(errno.EIO, "a planned failure of a sync")


class _PastSqlite:
    def __init__(self, disk: RecordingDisk, name: str, file: RawFile) -> None:
        self._disk, self._name, self._file = disk, name, file

    @property
    def size(self) -> int:
        return self._file.size

    def read(self, count: int, *, offset: int) -> bytes:
        return self._file.read(count, offset=offset)

    def write(self, data: bytes, *, offset: int) -> None:
        is_growth = offset == self._file.size and not any(data)
        self._disk.note(Grow(self._name, offset + len(data)) if is_growth else Write(self._name, offset, data))
        self._file.write(data, offset=offset)

    def truncate(self, size: int) -> None:
        self._disk.note(Truncate(self._name, size))
        self._file.truncate(size)

    def sync(self) -> None:
        self._disk.sync(self._name, enters_folder=False)

    def close(self) -> None:
        self._file.close()


class _File(apsw.VFSFile):
    """SQLite syncs the folder of a log or a journal that it has made together with the file, at its first sync."""

    def __init__(self, disk: RecordingDisk, given: apsw.URIFilename | str, flags: list[int]) -> None:
        self._disk = disk
        path = Path(given.filename() if isinstance(given, apsw.URIFilename) else given)
        self._name = disk.name(path)
        is_new = not path.exists()
        super().__init__("", given, flags)
        if is_new:
            _as_sqlite(lambda: disk.note(Create(self._name)))
        self._enters_folder = is_new and bool(flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's name
        _as_sqlite(lambda: self._disk.note(Write(self._name, offset, bytes(data))))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - as above
        _as_sqlite(lambda: self._disk.note(Truncate(self._name, newsize)))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - as above
        del flags
        _as_sqlite(lambda: self._disk.sync(self._name, enters_folder=self._enters_folder))
        self._enters_folder = False


class _FileSystem(apsw.VFS):
    def __init__(self, disk: RecordingDisk) -> None:
        self._disk = disk
        super().__init__(disk.vfs, "")

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - as above
        if not name:  # a temporary file, which no crash leaves
            return apsw.VFSFile("", name, flags)
        return _File(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001 - as above
        _as_sqlite(lambda: self._disk.note(Delete(self._disk.name(Path(filename)), syncdir)))
        super().xDelete(filename, syncdir)


def _as_sqlite(act: Callable[[], None]) -> None:
    try:
        act()
    except OSError as error:
        raise apsw.IOError(str(error)) from error


_NUMBERS: Final = count(1)
