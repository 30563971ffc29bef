"""The disk of the copies: it fails, or its user dies, at an operation that somebody plans."""

import errno
import os
import signal
from pathlib import Path
from typing import Final, Literal

from perdure.stores.sqlite.disk import Disk, LocalDisk, RawFile

__all__ = ["DeadlyDisk", "DeathError", "RefusingDisk", "TargetDisk"]


class DeathError(BaseException):
    """Whoever replicates is dead."""


class TargetDisk(LocalDisk):
    """Counts its operations down to the planned one; what comes after fails too, until `heal`."""

    def __init__(self) -> None:
        """Fail nothing yet."""
        super().__init__()
        self.has_failed = False
        self._left = -1
        self._kind: Literal["fails", "dies"] = "fails"
        self._unfinished: tuple[Path, bytes] | None = None

    def plan(self, kind: Literal["fails", "dies"], *, after: int) -> None:
        """Let it fail, or its user die, after so many operations."""
        self._kind, self._left = kind, after

    def heal(self) -> None:
        """Fail nothing more."""
        self._left, self.has_failed = -1, False

    def leave_unfinished(self) -> None:
        """Put back what a dead process would have left of the file that it was writing."""
        if self._unfinished is not None:
            path, data = self._unfinished
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            self._unfinished = None

    def open(self, path: Path) -> RawFile:
        """See `Disk`."""
        return _TargetFile(self, super().open(path), path)

    def create(self, path: Path) -> RawFile:
        """See `Disk`."""
        self.meet()
        return _TargetFile(self, super().create(path), path)

    def sync_folder(self, folder: Path) -> None:
        """See `Disk`."""
        self.meet()
        super().sync_folder(folder)

    def meet(self, path: Path | None = None, data: bytes = b"") -> None:
        """Count an operation. Raises OSError, DeathError."""
        if self._left > 0:
            self._left -= 1
        elif self._left == 0:
            self.has_failed = True
            if self._kind == "dies":
                self._unfinished = None if path is None else (path, data)
                raise DeathError
            raise OSError(_NO_SPACE, "planned")


class DeadlyDisk(LocalDisk):
    """Kills its process at an operation; those that are done through SQLite are not counted."""

    def __init__(self, after: int) -> None:
        """Kill it after so many operations."""
        super().__init__()
        self._left = after

    def meet(self, path: Path | None = None, data: bytes = b"") -> None:
        """Count an operation, or die."""
        del path, data
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1

    def open(self, path: Path) -> RawFile:
        """See `Disk`."""
        return _TargetFile(self, super().open(path), path)

    def create(self, path: Path) -> RawFile:
        """See `Disk`."""
        self.meet()
        return _TargetFile(self, super().create(path), path)

    def rename(self, path: Path, to: Path) -> None:
        """See `Disk`."""
        self.meet()
        super().rename(path, to)

    def link(self, path: Path, to: Path) -> None:
        """See `Disk`."""
        self.meet()
        super().link(path, to)

    def remove(self, path: Path) -> None:
        """See `Disk`."""
        self.meet()
        super().remove(path)

    def make_folder(self, path: Path) -> None:
        """See `Disk`."""
        self.meet()
        super().make_folder(path)

    def remove_folder(self, path: Path) -> None:
        """See `Disk`."""
        self.meet()
        super().remove_folder(path)

    def sync_folder(self, folder: Path) -> None:
        """See `Disk`."""
        self.meet()
        super().sync_folder(folder)


class _TargetFile:
    def __init__(self, disk: "TargetDisk | DeadlyDisk", file: RawFile, path: Path) -> None:
        self._disk, self._file, self._path = disk, file, path
        self.read, self.truncate, self.close = file.read, file.truncate, file.close

    @property
    def size(self) -> int:
        return self._file.size

    def write(self, data: bytes, *, offset: int) -> None:
        self._disk.meet(self._path, data[: len(data) // 2])
        self._file.write(data, offset=offset)

    def sync(self) -> None:
        self._disk.meet(self._path, b"never synced")
        self._file.sync()


_NO_SPACE: Final = 28


class RefusingDisk:
    """Another disk, which refuses to sync a folder as soon as a file has been given a name."""

    def __init__(self, disk: Disk, named: Path) -> None:
        """Refuse once something has been renamed to `named`."""
        self._disk: Final = disk
        self._named: Final = named
        self._refuses = False
        self.vfs: Final = disk.vfs
        self.open, self.create, self.replace = disk.open, disk.create, disk.replace
        self.link, self.remove = disk.link, disk.remove
        self.make_folder, self.remove_folder = disk.make_folder, disk.remove_folder

    def rename(self, path: Path, to: Path) -> None:
        """See `Disk`."""
        self._disk.rename(path, to)
        self._refuses |= to == self._named

    def sync_folder(self, folder: Path) -> None:
        """See `Disk`."""
        if self._refuses:
            raise OSError(errno.EIO, "planned")
        self._disk.sync_folder(folder)
