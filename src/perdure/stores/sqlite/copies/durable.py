"""Files of a copy: written under another name, synced, and only then given their own."""

import errno
import os
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from perdure.stores.sqlite.disk import Disk

__all__ = ["UNFINISHED", "WITHOUT_LINKS", "name_durably", "sync_file", "unfinished_name", "write_durably"]


def write_durably(disk: Disk, path: Path, data: bytes, *, is_new: bool = False) -> None:
    """Make a file of `data` that is there whole or not at all, whatever happens. Raises OSError; then it is not.

    `is_new`: FileExistsError if another has the name. The caller sees to it that nobody gives that to a file meanwhile:
    there may be no hard links, by which alone it could be told for certain.
    """
    unnamed = unfinished_name(path)
    try:
        with closing(disk.create(unnamed)) as file:
            file.write(data, offset=0)
            file.sync()
        if is_new:
            _name_new(disk, unnamed, path)
        else:
            name_durably(disk, unnamed, path)
    except BaseException:
        _remove(disk, unnamed)
        raise


def name_durably(disk: Disk, unnamed: Path, path: Path, *, is_new: bool = False) -> None:
    """Give a synced file its name. Raises OSError; then it has none. `is_new`: FileExistsError if another has it."""
    if is_new:
        disk.link(unnamed, path)
        disk.remove(unnamed)
    else:
        disk.rename(unnamed, path)
    try:
        disk.sync_folder(path.parent)
    except BaseException:
        # Whether the name lasts nobody knows: what comes next must not rely on it, nor find it.
        _remove(disk, path)
        raise


def _name_new(disk: Disk, unnamed: Path, path: Path) -> None:
    try:
        name_durably(disk, unnamed, path, is_new=True)
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        name_durably(disk, unnamed, path)


def unfinished_name(path: Path) -> Path:
    """Return where the file `path` is made. Nobody else's file is called so."""
    return path.with_name(f".{path.name}{UNFINISHED}")


def sync_file(disk: Disk, path: Path) -> None:
    """Make durable what others wrote into a file. Raises OSError."""
    with closing(disk.open(path)) as file:
        file.sync()


def _remove(disk: Disk, path: Path) -> None:
    with suppress(OSError):
        disk.remove(path)


WITHOUT_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without hard links answer: vfat, exFAT, many networks'."""
UNFINISHED: Final = ".perdure-unfinished"
"""What the name of a file ends with while it is made."""
