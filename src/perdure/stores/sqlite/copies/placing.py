"""A finished file gets the name of a database: where none is, or in the place of one that nobody has open.

A log that lies beside a database belongs to it. So the old database goes first, then its log, then the new one comes;
in between there is none, and never one with the log of another.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import apsw

from perdure.errors import StateError, StoreLockedError
from perdure.stores.sqlite.connection import pragma
from perdure.stores.sqlite.copies.durable import name_durably
from perdure.stores.sqlite.disk import Disk
from perdure.stores.sqlite.log import log_of
from perdure.stores.sqlite.presence import Presence, copying_mark, sidecar_folder

__all__ = ["demand_free", "place", "reserved"]


def demand_free(path: Path, *, is_forced: bool) -> None:
    """Raise StateError if something has the name already, unless it is to be replaced; a folder never is."""
    if path.is_dir():
        raise StateError(f"{path} is a folder; name the file to be made.")
    found = [each for each in (path, log_of(path)) if each.exists()]
    if found and not is_forced:
        raise StateError(f"{found[0]} exists; nothing was changed. Name another file, or replace it with --force.")


@contextmanager
def reserved(path: Path) -> Iterator[None]:
    """Keep others from opening the database at `path`. Raises StoreLockedError if it is open, be it elsewhere."""
    if not path.exists() and not sidecar_folder(path).exists():
        yield
        return
    presence = Presence(path)
    try:
        presence.begin_opening(patience_seconds=_PATIENCE_SECONDS)
        if not presence.try_alone() or _is_connected(path):
            raise StoreLockedError(
                f"the database {path} is open, perhaps in another process; nothing was changed. Stop all programs "
                f"that use it: what they write would be lost."
            )
        yield
    finally:
        presence.close(None)


def place(unnamed: Path, path: Path, disk: Disk) -> None:
    """Give a synced file the name `path`, within `reserved`. Raises OSError; then what was there is there again."""
    aside = path.with_name(f".{path.name}.replaced")
    moved: list[tuple[Path, Path]] = []
    try:
        for old, kept in ((path, aside), (log_of(path), log_of(aside))):
            if old.exists():
                old.replace(kept)
                moved.append((old, kept))
                disk.sync_folder(path.parent)
        for left in (path.with_name(f"{path.name}-shm"), copying_mark(path)):
            left.unlink(missing_ok=True)
        name_durably(disk, unnamed, path)
    except BaseException:
        for old, kept in reversed(moved):
            kept.replace(old)
        raise
    for _, kept in moved:
        kept.unlink()


def _is_connected(path: Path) -> bool:
    """Whether another program has the database open, as SQLite's own locks say. A damaged file is nobody's."""
    if not path.exists():
        return False
    with suppress(apsw.NotADBError, apsw.CorruptError), closing(apsw.Connection(str(path))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_timeout(int(_PATIENCE_SECONDS * 1000))
        pragma(connection, "locking_mode = EXCLUSIVE")
        try:
            pragma(connection, "schema_version")
        except apsw.BusyError:
            return True
    return False


_PATIENCE_SECONDS = 1.0
