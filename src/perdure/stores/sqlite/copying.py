"""Copying the log into the database, and what to do if a sync of the database fails.

**Why.** SQLite counts in the wal-index how much of the log it has copied. Where somebody still reads what came later it
copies a part, counts that, and syncs the database only when it has copied the rest. If that sync fails, the kernel
forgets the part as well; SQLite copies the rest again, the sync succeeds, the log begins anew over what it held, and
the disk has the part nowhere: a loss of power then leaves a torn database. Readers, too, look up in the database what
counts as copied, and a kernel that drops what it could not write shows them the old pages.

**How.** After a failure every page that counts as copied is taken from the log once more, at once, and the database
synced. A loss of power amid that does no harm: the log still holds these pages, all of them durable, and what is
recovered comes from it. If that fails as well, or the process dies before, a mark that stands beside the database while
the log is copied says so to whoever copies next.

The mark needs no sync. It tells processes what others have met before the machine was started anew; then the wal-index
is made anew, too, and counts nothing as copied.
"""

from pathlib import Path
from typing import Final

import apsw

from perdure.stores.sqlite.disk import Disk, open_database_file
from perdure.stores.sqlite.log import PAGE_BYTES, pages_in_log
from perdure.stores.sqlite.presence import copying_mark

__all__ = ["copy_log"]


def copy_log(connection: apsw.Connection, disk: Disk, database: Path) -> bool:
    """Copy the log into the database, but for what others still read of it; return whether all is copied.

    The caller holds the writer's lock, and has no transaction open. Raises apsw's errors and OSError.
    """
    mark = copying_mark(database)
    if mark.exists():
        _copy_again(connection, disk, database)
    mark.touch()
    try:
        frames, copied = connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.Error:
        _copy_again(connection, disk, database)
        mark.unlink()
        raise
    mark.unlink()
    return frames == copied


def _copy_again(connection: apsw.Connection, disk: Disk, database: Path) -> None:
    """Write the pages that count as copied into the database as the log has them, and sync it."""
    _, copied = connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_NOOP)
    with open_database_file(disk, database, flag=apsw.SQLITE_OPEN_READWRITE) as file:
        end = file.xFileSize()
        for page, data in pages_in_log(disk, database, frames=copied):
            if page * PAGE_BYTES <= end:
                file.xWrite(data, (page - 1) * PAGE_BYTES)
        file.xSync(_SYNC_NORMAL)


_SYNC_NORMAL: Final = 2
