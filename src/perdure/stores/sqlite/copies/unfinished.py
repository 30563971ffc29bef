"""A file that is being made: under a hidden name until it is whole, and cleared away if whoever made it has died.

    FOLDER/.NAME.unfinished         what will be FOLDER/NAME
    FOLDER/.NAME.unfinished.lock    held by whoever makes it

Who begins to make any file of the folder removes what the dead have left there, be it of other names: a copy that is
made each night has another name each night.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from perdure.errors import StoreLockedError
from perdure.stores.sqlite.disk import Disk
from perdure.stores.sqlite.locks import FileLock
from perdure.stores.sqlite.log import log_of

__all__ = ["unfinished"]


@contextmanager
def unfinished(target: Path, disk: Disk) -> Iterator[Path]:
    """Yield where to make the file `target`; what is left there in the end is removed.

    Raises StoreLockedError if another process makes the same file, and OSError.
    """
    for path in sorted({_lock_of(left) for left in target.parent.glob(f".*{_MADE}*")}):
        _clear_away(path, disk)
    with FileLock(target.with_name(f".{target.name}{_MADE}{_LOCK}")) as lock:
        if not (lock.try_exclusive() and _is_at_its_place(lock)):
            raise StoreLockedError(f"another process is making {target}; wait until it ends, or choose another name.")
        try:
            yield _made_under(lock.path)
        finally:
            _remove(lock.path, disk)


def _clear_away(path: Path, disk: Disk) -> None:
    """Remove a lock file and what was made under it, unless somebody still makes it."""
    with suppress(OSError), FileLock(path) as lock:
        if lock.try_exclusive() and _is_at_its_place(lock):
            _remove(path, disk)


def _is_at_its_place(lock: FileLock) -> bool:
    """Whether the file that was locked has not been removed meanwhile: then the lock keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(lock.descriptor), lock.path.stat())
    except FileNotFoundError:
        return False


def _remove(lock_path: Path, disk: Disk) -> None:
    unnamed = _made_under(lock_path)
    for left in (log_of(unnamed), unnamed):
        with suppress(OSError):
            disk.remove(left)
    with suppress(OSError):
        lock_path.unlink()


def _made_under(lock_path: Path) -> Path:
    return lock_path.with_name(lock_path.name.removesuffix(_LOCK))


def _lock_of(left: Path) -> Path:
    """Return the lock file of what was left, which may be that itself, or the log of what was made."""
    return left.with_name(f"{left.name.partition(_MADE)[0]}{_MADE}{_LOCK}")


_MADE: Final = ".unfinished"
_LOCK: Final = ".lock"
