"""The disk as the store reaches it: through SQLite, and past it where SQLite does not do what a promise needs.

What the store itself writes to the log goes through a `Disk`, as SQLite's writes go through its `vfs`: so tools can put
one in its place that fails, or that notes everything in order to lose it again.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import apsw

__all__ = ["Disk", "LocalDisk", "RawFile", "open_database_file"]


class RawFile(Protocol):
    """A file that was opened past SQLite. All methods raise OSError when the disk refuses."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    def read(self, count: int, *, offset: int) -> bytes:
        """Return up to `count` bytes; none at the end."""

    def write(self, data: bytes, *, offset: int) -> None:
        """Write all of `data`."""

    def truncate(self, size: int) -> None:
        """Cut off what stands beyond `size` bytes."""

    def sync(self) -> None:
        """Make what was written durable."""

    def close(self) -> None:
        """Let go of it."""


class Disk(Protocol):
    """Where the database's files are."""

    @property
    def vfs(self) -> str | None:
        """The name of apsw's file system that SQLite shall use; None: its own."""

    def open(self, path: Path) -> RawFile:
        """Open a file that exists. Raises FileNotFoundError if it does not, and OSError."""

    def create(self, path: Path) -> RawFile:
        """Open a new, empty file that only its user can read, in the place of one that may be there. Raises OSError."""

    def replace(self, path: Path, by: Path) -> None:
        """Let the file `by` take the place of `path`, with its owner and mode, at once and whole. Raises OSError."""

    def rename(self, path: Path, to: Path) -> None:
        """Give a file or a folder another name, at once; a file that has that name is replaced. Raises OSError."""

    def link(self, path: Path, to: Path) -> None:
        """Give a file a second name. Raises FileExistsError if something has it, and OSError."""

    def remove(self, path: Path) -> None:
        """Take a file's name away; it may be gone already. Raises OSError."""

    def make_folder(self, path: Path) -> None:
        """Make a folder. Raises FileExistsError if something is there, and OSError."""

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder. Raises OSError."""

    def sync_folder(self, folder: Path) -> None:
        """Make durable which files a folder has. Raises OSError."""


@contextmanager
def open_database_file(disk: Disk, database: Path, *, flag: int = apsw.SQLITE_OPEN_READONLY) -> Iterator[apsw.VFSFile]:
    """Open the bytes of a database file as SQLite does. Raises apsw's errors.

    Were it opened past SQLite, all connections of this process would lose their locks on it when it is closed.
    """
    file = apsw.VFSFile(disk.vfs or "", str(database), [apsw.SQLITE_OPEN_MAIN_DB | flag, 0])
    try:
        yield file
    finally:
        file.xClose()


class LocalDisk:
    """The disk as the operating system has it."""

    def __init__(self, *, vfs: str | None = None) -> None:
        """`vfs` is the name of apsw's file system by which SQLite reaches it."""
        self.vfs: Final = vfs

    def open(self, path: Path) -> RawFile:
        """See `Disk.open`."""
        return _LocalFile(os.open(path, os.O_RDWR | os.O_CLOEXEC))

    def create(self, path: Path) -> RawFile:
        """See `Disk.create`."""
        path.unlink(missing_ok=True)
        return _LocalFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def replace(self, path: Path, by: Path) -> None:
        """See `Disk.replace`."""
        was = path.stat()
        by.chmod(was.st_mode & 0o777)
        os.chown(by, was.st_uid, was.st_gid)
        by.replace(path)

    def rename(self, path: Path, to: Path) -> None:
        """See `Disk.rename`."""
        path.replace(to)

    def link(self, path: Path, to: Path) -> None:
        """See `Disk.link`."""
        to.hardlink_to(path)

    def remove(self, path: Path) -> None:
        """See `Disk.remove`."""
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """See `Disk.make_folder`."""
        path.mkdir()

    def remove_folder(self, path: Path) -> None:
        """See `Disk.remove_folder`."""
        path.rmdir()

    def sync_folder(self, folder: Path) -> None:
        """See `Disk.sync_folder`."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _LocalFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor: Final = descriptor

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read(self, count: int, *, offset: int) -> bytes:
        return os.pread(self._descriptor, count, offset)

    def write(self, data: bytes, *, offset: int) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self._descriptor, data[done:] if done else data, offset + done)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)
