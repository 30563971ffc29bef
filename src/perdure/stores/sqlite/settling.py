"""The log made safe before a database is opened whose last processes may have died right after a failed sync.

**Why.** When a sync fails, the kernel reports it once, marks the pages it could not write as clean and forgets them.
Whatever still reads the file sees them; the disk never had them; a later sync succeeds and means nothing. A process
that lives on need not care: what its failed commit has written stands behind the end of the log as all connections know
it (the wal-index, in `<database>-shm`), and the next commit overwrites it. But when all connections are gone, SQLite
reads the log anew, takes what it finds there for committed, and a loss of power takes it away again.

**How.** What counts of the log, as SQLite reads it, is copied to a new file, synced, and put in the place of the log:
there is the old one or the new one, and never a mixture, whenever the power fails. Nobody may be connected meanwhile,
nor come: SQLite's own exclusive lock on the database says so. If somebody is (another program, or a look), or the disk
has no room for a copy, the log is written onto itself instead: the pages are dirty again, and the next sync writes them
or fails. A loss of power amid that may leave garbage in a sector of it, on disks that do not write sectors whole.

`perdure.torture.fsyncgate` finds what is lost without this.
"""

from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from perdure.stores.sqlite.connection import (
    APPLICATION_ID,
    demand_page_size,
    demand_writable,
    lock_exclusively,
    pragma,
)
from perdure.stores.sqlite.disk import Disk, open_database_file
from perdure.stores.sqlite.faults import is_for_want_of_room
from perdure.stores.sqlite.log import FRAME_BYTES, LOG_HEADER_BYTES, log_of

__all__ = ["is_marked_as_ours", "make_log_durable"]

_BLOCK_BYTES: Final = 1 << 20
_MARK_OFFSET: Final = 68
_MARK_BYTES: Final = 4
_PATIENCE_MILLISECONDS: Final = 1_000


def make_log_durable(disk: Disk, database: Path) -> None:
    """Make the log durable as it can be read. The caller holds the writer's lock, and no store has the database open.

    Raises apsw's errors, and OSError when the disk refuses.
    """
    if log_of(database).exists() and not _replace_alone(disk, database):
        _rewrite_log(disk, database)


def is_marked_as_ours(disk: Disk, database: Path) -> bool:
    """Whether the file's header names Perdure. Only such a database's log may be touched outside SQLite."""
    if not database.exists():
        return False
    with open_database_file(disk, database) as file:
        is_whole = file.xFileSize() >= _MARK_OFFSET + _MARK_BYTES
        return is_whole and file.xRead(_MARK_BYTES, _MARK_OFFSET) == APPLICATION_ID.to_bytes(_MARK_BYTES, "big")


def _connection(disk: Disk, database: Path) -> apsw.Connection:
    """Connect as one who copies nothing of the log when it closes."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE, vfs=disk.vfs)
    connection.set_busy_timeout(_PATIENCE_MILLISECONDS)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return connection


def _replace_alone(disk: Disk, database: Path) -> bool:
    """Put a copy in the place of the log; return False if somebody else is connected, or there is no room for one."""
    with closing(_connection(disk, database)) as connection:
        demand_writable(connection)
        lock_exclusively(connection)
        try:
            pragma(connection, "schema_version")  # reads, under the exclusive lock, without a wal-index that others see
        except apsw.BusyError:
            return False
        demand_page_size(connection)
        frames, _ = connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_NOOP)
        if frames <= 0:
            return True
        try:
            _replace_log(disk, database, size=LOG_HEADER_BYTES + frames * FRAME_BYTES)
        except OSError as error:
            if is_for_want_of_room(error):
                return False
            raise
    return True


def _replace_log(disk: Disk, database: Path, *, size: int) -> None:
    log, copy = log_of(database), database.with_name(f"{database.name}-wal-copy")
    try:
        with closing(disk.open(log)) as source, closing(disk.create(copy)) as target:
            for offset in range(0, size, _BLOCK_BYTES):
                target.write(source.read(min(_BLOCK_BYTES, size - offset), offset=offset), offset=offset)
            target.sync()
        disk.replace(log, copy)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    disk.sync_folder(database.parent)


def _rewrite_log(disk: Disk, database: Path) -> None:
    """Write the log onto itself; SQLite's write lock keeps every program from adding to it meanwhile."""
    with closing(_connection(disk, database)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with closing(disk.open(log_of(database))) as log:
            offset = 0
            while block := log.read(_BLOCK_BYTES, offset=offset):
                log.write(block, offset=offset)
                offset += len(block)
            log.sync()
        connection.execute("ROLLBACK")
    disk.sync_folder(database.parent)
