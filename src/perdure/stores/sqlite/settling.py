"""The log made safe before a database is opened whose last processes may have died right after a failed sync.

**Why.** When a sync fails, the kernel reports it once, marks the pages it could not write as clean and forgets them.
Whatever still reads the file sees them; the disk never had them; a later sync succeeds and means nothing. A process
that lives on need not care: what its failed commit has written stands behind the end of the log as all connections know
it (the wal-index, in `<database>-shm`), and the next commit overwrites it. But when all connections are gone, SQLite
reads the log anew, takes what it finds there for committed, and a loss of power takes it away again.

**How.** What stands behind the end that the dead knew is read and written back in place: the pages are dirty again, and
the next sync writes them or fails. Nothing before that end is touched. It is on the disk; and a loss of power amid a
write may leave garbage in place of what is overwritten, be it by the same bytes. After the machine has started anew
nothing is done: what can be read then is what the disk has.

Crash simulations (`perdure.torture.fsyncgate`) find what is lost without this, and what the rewriting of the whole log
loses.
"""

import struct
from pathlib import Path
from typing import Final

from perdure.stores.sqlite.connection import APPLICATION_ID
from perdure.stores.sqlite.disk import Disk, RawFile
from perdure.stores.sqlite.log import FRAME_BYTES, LOG_HEADER_BYTES

__all__ = ["is_marked_as_ours", "make_log_durable"]

_BLOCK_BYTES: Final = 1 << 20
_INDEX_HEADER_BYTES: Final = 48
"""As in "WAL-mode File Format" of SQLite's documentation, which keeps it since 3.7: twice, one after the other."""
_MARK_OFFSET: Final = 68
_MARK_BYTES: Final = 4


def make_log_durable(disk: Disk, database: Path) -> None:
    """Make the log durable as it can be read. Nobody has the database open. Raises OSError when the disk refuses."""
    try:
        log = disk.open(database.with_name(f"{database.name}-wal"))
    except FileNotFoundError:
        return
    try:
        offset = _durable_bytes(database, log)
        while block := log.read(_BLOCK_BYTES, offset=offset):
            log.write(block, offset=offset)
            offset += len(block)
        log.sync()
    finally:
        log.close()
    disk.sync_folder(database.parent)


def _durable_bytes(database: Path, log: RawFile) -> int:
    """Return how much of the log those who died knew to be on the disk, by the wal-index; 0 if that tells nothing."""
    try:
        with database.with_name(f"{database.name}-shm").open("rb") as index:
            # SQLite's own connections lose their locks on it when it is closed: so there must be none.
            first, second = index.read(_INDEX_HEADER_BYTES), index.read(_INDEX_HEADER_BYTES)
    except FileNotFoundError:
        return 0
    if len(second) < _INDEX_HEADER_BYTES or first != second or first[32:40] != log.read(8, offset=16):
        return 0  # half written, or of another log: its salts differ
    (frames,) = struct.unpack_from("=I", first, 16)
    return LOG_HEADER_BYTES + frames * FRAME_BYTES if frames else 0


def is_marked_as_ours(database: Path) -> bool:
    """Whether the file's header names Perdure. Only such a database's log may be touched outside SQLite."""
    try:
        with database.open("rb") as file:
            file.seek(_MARK_OFFSET)
            return file.read(_MARK_BYTES) == APPLICATION_ID.to_bytes(_MARK_BYTES, "big")
    except FileNotFoundError:
        return False
