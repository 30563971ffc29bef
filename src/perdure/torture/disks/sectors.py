"""A disk of which some sectors cannot be read, as one that dies: what is written is written, and lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

import apsw

from perdure.stores.sqlite.disk import LocalDisk

__all__ = ["PAGE", "BadSectorError", "DyingDisk", "dying_disk"]

PAGE: Final = 4_096


class BadSectorError(apsw.IOError):
    """What SQLite makes of EIO when it reads."""

    extendedresult = apsw.SQLITE_IOERR_CORRUPTFS


class DyingDisk(LocalDisk):
    """A disk that gives all but some pages of databases; `bad` has their numbers, from 1."""

    def __init__(self) -> None:
        """All can be read yet."""
        super().__init__(vfs=f"dying {next(_NUMBERS)}")
        self.bad: Final[set[int]] = set()

    def is_bad(self, offset: int, amount: int) -> bool:
        """Whether any of so many bytes from an offset on cannot be read."""
        return not self.bad.isdisjoint(range(offset // PAGE + 1, (offset + amount - 1) // PAGE + 2))


class _File(apsw.VFSFile):
    def __init__(self, disk: DyingDisk, name: apsw.URIFilename | str | None, flags: list[int]) -> None:
        self._disk = disk
        self._is_database = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - apsw's name
        if self._is_database and self._disk.is_bad(offset, amount):
            raise BadSectorError("a bad sector")
        return super().xRead(amount, offset)


class _FileSystem(apsw.VFS):
    def __init__(self, disk: DyingDisk) -> None:
        assert disk.vfs is not None
        self._disk = disk
        super().__init__(disk.vfs, "")

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - as above
        return _File(self._disk, name, flags)


@contextmanager
def dying_disk() -> Iterator[DyingDisk]:
    """Register a file system whose sectors the caller spoils."""
    disk = DyingDisk()
    system = _FileSystem(disk)
    try:
        yield disk
    finally:
        system.unregister()


_NUMBERS: Final = count(1)
