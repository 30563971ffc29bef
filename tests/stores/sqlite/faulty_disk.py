"""A file system of apsw's that fails when a test says so."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import apsw


@dataclass
class FaultyDisk:
    """Numbers the operations of each kind (`write log`, `sync database`, ...) from 1 and fails the planned ones.

    `after`: the operation is done before it fails, as a sync whose error the kernel reports late.
    """

    name: str
    failing: str = ""
    first: int = 0
    length: int = 0
    error: type[apsw.Error] = apsw.IOError
    after: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    _happened: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    async def has_failed(self, times: int) -> None:
        """Wait for so many failures."""
        for _ in range(times):
            assert await asyncio.to_thread(self._happened.acquire, timeout=30)

    def plan(self, failing: str, *, first: int, length: int) -> None:
        """Fail the operations `failing` from number `first` on, counted from now."""
        self.failing, self.first, self.length = failing, first, length
        self.counts.clear()

    def heal(self) -> None:
        """Fail nothing more."""
        self.length = 0

    def meet(self, operation: str, act: Callable[[], None]) -> None:
        number = self.counts[operation] = self.counts.get(operation, 0) + 1
        if operation != self.failing or not self.first <= number < self.first + self.length:
            act()
            return
        self.failed.append(operation)
        self._happened.release()
        if self.after:
            act()
        raise self.error(f"a planned failure of {operation}")


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: apsw.URIFilename | str | None, flags: list[int]) -> None:
        self._disk = disk
        self._place = "log" if flags[0] & apsw.SQLITE_OPEN_WAL else "database"
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's name
        self._disk.meet(f"write {self._place}", lambda: super(_File, self).xWrite(data, offset))

    def xSync(self, flags: int) -> None:  # noqa: N802 - as above
        self._disk.meet(f"sync {self._place}", lambda: super(_File, self).xSync(flags))


class _FileSystem(apsw.VFS):
    def __init__(self, disk: FaultyDisk) -> None:
        self._disk = disk
        super().__init__(disk.name, "")

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - as above
        return _File(self._disk, name, flags)


_NUMBERS = count(1)


@contextmanager
def faulty_disk() -> Iterator[FaultyDisk]:
    """Register a file system whose disk the test commands."""
    disk = FaultyDisk(name=f"faulty {next(_NUMBERS)}")
    system = _FileSystem(disk)
    try:
        yield disk
    finally:
        system.unregister()
