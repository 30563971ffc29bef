"""A disk whose operations fail when somebody says so."""

import asyncio
import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, TypeVar

import apsw

from perdure.stores.sqlite.disk import LocalDisk, RawFile

__all__ = ["FailingDisk", "QuotaError", "failing_disk"]

T = TypeVar("T")


class QuotaError(apsw.IOError):
    """What SQLite makes of a write that is refused since the user's quota is used up: it knows a full disk only."""

    extendedresult = apsw.SQLITE_IOERR_WRITE


class FailingDisk(LocalDisk):
    """Numbers the operations of each kind (`write log`, `sync database`, ...) from 1 and fails the planned ones.

    The kinds are `write`, `sync`, `truncate` of the `log`, the `database` or the `journal`, by SQLite. What the store
    itself does past SQLite is `write room` ahead of the log, `write copy` and `sync copy` of the log when it is opened,
    `replace log` and `sync folder`. `failed` names what has failed, and
    `counts` says how often each was asked for since the last plan.
    """

    def __init__(self) -> None:
        """Fail nothing yet."""
        super().__init__(vfs=f"failing {next(_NUMBERS)}")
        self.error: type[apsw.Error] = apsw.IOError
        self.after = False
        """The operation is done before it fails, as a sync whose error the kernel reports late."""
        self.failed: Final[list[str]] = []
        self.counts: Final[dict[str, int]] = {}
        self._failing = ""
        self._numbers = range(0)
        self._happened: Final = threading.Semaphore(0)

    async def has_failed(self, times: int) -> None:
        """Wait for so many failures."""
        for _ in range(times):
            assert await asyncio.to_thread(self._happened.acquire, timeout=30)

    def plan(self, failing: str, *, first: int, length: int) -> None:
        """Fail the operations `failing` from number `first` on, counted from now."""
        self._failing, self._numbers = failing, range(first, first + length)
        self.counts.clear()

    def heal(self) -> None:
        """Fail nothing more."""
        self._numbers = range(0)

    def open(self, path: Path) -> RawFile:
        """See `Disk`."""
        return _PastSqlite(self, "room", super().open(path))

    def create(self, path: Path) -> RawFile:
        """See `Disk`."""
        return _PastSqlite(self, "copy", super().create(path))

    def replace(self, path: Path, by: Path) -> None:
        """See `Disk`."""
        self.meet_past_sqlite("replace log", lambda: super(FailingDisk, self).replace(path, by))

    def sync_folder(self, folder: Path) -> None:
        """See `Disk`."""
        self.meet_past_sqlite("sync folder", lambda: super(FailingDisk, self).sync_folder(folder))

    def meet(self, operation: str, act: Callable[[], T]) -> T:
        """Act, unless the operation is to fail. Raises `error`."""
        number = self.counts[operation] = self.counts.get(operation, 0) + 1
        if operation != self._failing or number not in self._numbers:
            return act()
        self.failed.append(operation)
        self._happened.release()
        if self.after:
            act()
        raise self.error(f"a planned failure of {operation}")

    def meet_past_sqlite(self, operation: str, act: Callable[[], T]) -> T:
        """As `meet`, where the operating system tells of the failure. Raises OSError."""
        try:
            return self.meet(operation, act)
        except apsw.Error as error:
            raise OSError(_NUMBERS_OF_ERRORS[self.error], str(error)) from error


class _PastSqlite:
    def __init__(self, disk: FailingDisk, what: str, file: RawFile) -> None:
        self._disk, self._what, self._file = disk, what, file
        self.read, self.truncate, self.close = file.read, file.truncate, file.close

    @property
    def size(self) -> int:
        return self._file.size

    def write(self, data: bytes, *, offset: int) -> None:
        self._disk.meet_past_sqlite(f"write {self._what}", lambda: self._file.write(data, offset=offset))

    def sync(self) -> None:
        self._disk.meet_past_sqlite(f"sync {self._what}", self._file.sync)


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: apsw.URIFilename | str | None, flags: list[int]) -> None:
        self._disk = disk
        self._place = next((place for flag, place in _PLACES.items() if flags[0] & flag), "database")
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's name
        self._disk.meet(f"write {self._place}", lambda: super(_File, self).xWrite(data, offset))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - as above
        self._disk.meet(f"truncate {self._place}", lambda: super(_File, self).xTruncate(newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - as above
        self._disk.meet(f"sync {self._place}", lambda: super(_File, self).xSync(flags))


class _FileSystem(apsw.VFS):
    def __init__(self, disk: FailingDisk) -> None:
        assert disk.vfs is not None
        self._disk = disk
        super().__init__(disk.vfs, "")

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - as above
        return _File(self._disk, name, flags)

    def xGetLastError(self) -> tuple[int, str]:  # noqa: N802 - as above
        return _NUMBERS_OF_ERRORS[self._disk.error], ""


@contextmanager
def failing_disk() -> Iterator[FailingDisk]:
    """Register a file system whose disk the caller commands."""
    disk = FailingDisk()
    system = _FileSystem(disk)
    try:
        yield disk
    finally:
        system.unregister()


_PLACES: Final = {apsw.SQLITE_OPEN_WAL: "log", apsw.SQLITE_OPEN_MAIN_JOURNAL: "journal"}
_NUMBERS_OF_ERRORS: Final[dict[type[apsw.Error], int]] = {
    apsw.IOError: errno.EIO,
    apsw.FullError: errno.ENOSPC,
    QuotaError: errno.EDQUOT,
    apsw.ReadOnlyError: errno.EROFS,
    apsw.NoMemError: errno.ENOMEM,
}
_NUMBERS: Final = count(1)
