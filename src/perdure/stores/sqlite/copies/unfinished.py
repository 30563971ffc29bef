"""A file that is being made: under a hidden name until it is whole, and cleared away if whoever made it has died.

    FOLDER/.NAME.perdure-unfinished         what will be FOLDER/NAME
    FOLDER/.NAME.perdure-unfinished.lock    held by whoever makes it

Who begins to make any file of the folder removes what the dead have left there, be it of other names: a copy that is
made each night has another name each night.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from perdure.errors import StoreLockedError
from perdure.stores.sqlite.copies.durable import UNFINISHED, unfinished_name
from perdure.stores.sqlite.disk import Disk
from perdure.stores.sqlite.locks import FileLock
from perdure.stores.sqlite.log import files_of

__all__ = ["unfinished"]


@contextmanager
def unfinished(target: Path, disk: Disk) -> Iterator[Path]:
    """Yield where to make the file `target`; what is left there in the end is removed.

    Raises StoreLockedError if another process makes the same file, and OSError.
    """
    for path in target.parent.glob(f".*{UNFINISHED}{_LOCK}"):
        _clear_away(path, disk)
    unnamed = unfinished_name(target)
    with _held(unnamed.with_name(f"{unnamed.name}{_LOCK}"), target=target) as lock:
        _remove_made(unnamed, disk)  # a loss of power may have left that, and not the lock
        try:
            yield unnamed
        finally:
            _remove(lock.path, disk)


def _held(path: Path, *, target: Path) -> FileLock:
    """Make the lock file of `target` and lock it. Raises StoreLockedError if another process makes `target`.

    Who clears away holds it for a moment, too, and then it is gone: that is waited for, and another one is made.
    """
    while True:
        lock = FileLock(path)
        if not lock.wait_exclusive(patience_seconds=_PATIENCE_SECONDS):
            lock.close()
            raise StoreLockedError(f"another process is making {target}; wait until it ends, or choose another name.")
        if lock.is_at_its_place:
            return lock
        lock.close()


def _clear_away(path: Path, disk: Disk) -> None:
    """Remove a lock file and what was made under it, unless somebody still makes it."""
    with suppress(OSError), FileLock(path, makes=False) as lock:
        if lock.try_exclusive() and lock.is_at_its_place:
            _remove(path, disk)


def _remove(lock_path: Path, disk: Disk) -> None:
    with suppress(OSError):
        _remove_made(lock_path.with_name(lock_path.name.removesuffix(_LOCK)), disk)
        lock_path.unlink()  # last: without it the rest would stay


def _remove_made(unnamed: Path, disk: Disk) -> None:
    for left in reversed(files_of(unnamed)):  # a log or a journal without its database is nobody's
        disk.remove(left)


_LOCK: Final = ".lock"
_PATIENCE_SECONDS: Final = 0.2
