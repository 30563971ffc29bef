"""Copying the log into the database, and what to do before the next time if a sync of the database has failed.

**Why.** SQLite counts in the wal-index how much of the log it has copied. Where somebody still reads what came later it
copies a part, counts that, and syncs the database only when it has copied the rest. If that sync fails, the kernel
forgets the part as well; SQLite copies the rest again, the sync succeeds, the log begins anew over what it held, and
the disk has the part nowhere: a loss of power then leaves a torn database.

**How.** A mark stands beside the database while the log is copied. Who finds it before copying knows that a copying has
failed or its process died: every page that counts as copied is read from the database and written back in place. The
next sync writes them, or fails. A loss of power amid that does no harm: the log still holds these pages, all of them
durable, and what is recovered comes from it.

The mark needs no sync. It tells processes what others have met before the machine was started anew; then the wal-index
is made anew, too, and counts nothing as copied.
"""

from pathlib import Path
from typing import Final

import apsw

from perdure.stores.sqlite.disk import Disk
from perdure.stores.sqlite.log import PAGE_BYTES, pages_in_log

__all__ = ["copy_log"]


def copy_log(connection: apsw.Connection, disk: Disk, database: Path, *, mark: Path) -> None:
    """Copy the log into the database; what others still read of it stays for the next time.

    The caller holds the writer's lock, and has no transaction open. Raises apsw's errors and OSError.
    """
    if mark.exists():
        _, copied = connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_NOOP)
        _rewrite(disk, database, sorted(pages_in_log(disk, database, frames=copied)))
    mark.touch()
    connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)
    mark.unlink()


def _rewrite(disk: Disk, database: Path, pages: list[int]) -> None:
    """Write pages of the database onto themselves, and sync it.

    SQLite opens the file: were it opened past SQLite, all connections of this process would lose their locks on it when
    it is closed.
    """
    file = apsw.VFSFile(disk.vfs or "", str(database), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE, 0])
    try:
        end = file.xFileSize()
        for page in pages:
            if page * PAGE_BYTES <= end:
                offset = (page - 1) * PAGE_BYTES
                file.xWrite(file.xRead(PAGE_BYTES, offset), offset)
        file.xSync(_SYNC_NORMAL)
    finally:
        file.xClose()


_SYNC_NORMAL: Final = 2
