"""Locks on files between processes, by flock: they belong to an opening of a file and end with the process.

Not POSIX record locks: those vanish as soon as any code of the process opens and closes the same file.

A forked child has a share in all openings of its parent, and would keep the parent's locks when that dies. So it lets
go of them at once; what it wants to lock it must open itself.
"""

import os
import random
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from perdure.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["FileLock", "demand_file_locks"]

_FIRST_PAUSE_SECONDS: Final = 0.0002
_LONGEST_PAUSE_SECONDS: Final = 0.005


def demand_file_locks() -> None:
    """Raise UsageError on a platform that cannot lock files in the way the SQLite store needs."""
    if fcntl is None:
        raise UsageError(
            "the SQLite store needs flock, which this platform lacks. Use Linux or macOS (on Windows: WSL), "
            "or the url 'memory:' for trials."
        )


class FileLock:
    """A lock file, opened now and locked when asked. Not safe for use by several threads at once."""

    def __init__(self, path: Path, *, makes: bool = True) -> None:
        """Open the file; if the caller `makes` it, one that is not there is made. Raises OSError."""
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if makes else 0), 0o644)
        _OPEN.add(self)

    @property
    def is_at_its_place(self) -> bool:
        """Whether the file is still the one of its path: if that was removed or replaced the lock keeps nobody out."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def try_exclusive(self) -> bool:
        """Take the lock alone, without waiting; a shared one held so far is given up either way."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Take the lock together with others, without waiting."""
        return self._try(fcntl.LOCK_SH)

    def wait_exclusive(self, *, patience_seconds: float) -> bool:
        """Take the lock alone; return False if others held it for longer than `patience_seconds`.

        Asks again and again, in pauses of at most 5 ms, because a waiting flock cannot be given a limit.
        """
        if self.try_exclusive():
            return True
        give_up_at = time.monotonic() + patience_seconds
        pause = _FIRST_PAUSE_SECONDS
        while time.monotonic() < give_up_at:
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads the waiting processes, keeps no secret
            if self.try_exclusive():
                return True
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        return False

    def unlock(self) -> None:
        """Let others have the lock."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the lock and the file. Closing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _try(self, mode: int) -> bool:
        try:
            fcntl.flock(self._descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


_OPEN: Final[weakref.WeakSet[FileLock]] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for lock in _OPEN:
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
