"""The log of the database: room ahead of its records, and when it is copied into the database.

**Room.** A log that grows makes each sync write the file system's own records too, since the file's size has changed;
a sync of bytes that the file has already writes these bytes alone. So zeros are written ahead of the records, a chunk
at a time, and a commit takes a third less time until the log has once reached its full length. SQLite takes zeros for
the end of the log, as it takes what is left of an older one. They are written beyond the end of the file only, and
while the caller holds SQLite's write lock: nobody's record can come to stand there meanwhile.

Where the disk has no room for that the log is copied before its time: it begins anew then, where it has room already.
If that lacks room, too, what was written ahead is given back.

**Copying.** SQLite would copy a log that has grown long within the COMMIT that made it so, before anybody is answered.
Here the writer's thread does it after it has answered.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from perdure.stores.sqlite.disk import Disk

__all__ = [
    "FRAME_BYTES",
    "FRAME_HEADER_BYTES",
    "LOG_HEADER_BYTES",
    "PAGE_BYTES",
    "Log",
    "files_of",
    "log_of",
    "pages_in_log",
]

PAGE_BYTES: Final = 4_096
LOG_HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24
FRAME_BYTES: Final = FRAME_HEADER_BYTES + PAGE_BYTES

_CHUNK_FRAMES: Final = 256
_PARTS: Final = 16
_RESERVE_FRAMES: Final = 64
"""A transaction that writes more pages than these, at the end of the room, lets the file grow as ever."""


class Log:
    """The log as the writer's thread sees it; all methods are that thread's."""

    def __init__(self, disk: Disk, database: Path, *, checkpoint_pages: int) -> None:
        """Look after the log of `database`, to be copied when it has `checkpoint_pages` pages."""
        self._disk: Final = disk
        self._path: Final = log_of(database)
        self._checkpoint_pages: Final = checkpoint_pages
        self._due_at = checkpoint_pages
        self._pages = 0
        self._room = 0
        self.is_cramped = False
        """The disk had no room for the log to grow."""

    def watch(self, connection: apsw.Connection) -> None:
        """Learn from each commit of a connection how long the log is; SQLite itself no longer copies it then."""
        self._pages = self._room = 0
        connection.set_wal_hook(self._committed)

    def make_room(self) -> None:
        """Write zeros ahead if the room comes to its end. The caller has a write transaction open.

        A file that cannot grow is left as it is: whether the transaction itself finds room is for SQLite to say.
        """
        if self._pages + _RESERVE_FRAMES > self._room:
            try:
                self._grow()
            except OSError:
                self.is_cramped = self._pages > _RESERVE_FRAMES

    def give_room_back(self, connection: apsw.Connection) -> None:
        """Cut off what stands beyond the records. The caller holds the writer's lock, and has no transaction open.

        Raises apsw's errors and OSError.
        """
        connection.execute("BEGIN IMMEDIATE")  # so that no other program adds records meanwhile
        try:
            frames = self._frames(connection)
            with contextlib.closing(self._disk.open(self._path)) as log:
                if frames > 0 and LOG_HEADER_BYTES + frames * FRAME_BYTES < log.size:
                    log.truncate(LOG_HEADER_BYTES + frames * FRAME_BYTES)
                    self._room = frames
        finally:
            connection.execute("ROLLBACK")

    def begin_anew(self) -> None:
        """Note that all of the log is copied: unless somebody reads it still, the next record is its first."""
        self._pages = 0
        self._due_at = self._checkpoint_pages

    def put_off(self) -> None:
        """Note that not all could be copied, or nothing: it is tried again when the log has grown by a part."""
        self._due_at = self._pages + max(self._checkpoint_pages // _PARTS, 1)

    @property
    def size_bytes(self) -> int:
        """How long the log is, as far as it holds records."""
        return self._pages * FRAME_BYTES

    @property
    def is_due(self) -> bool:
        """Whether the log should be copied into the database."""
        return self._pages >= self._due_at or self.is_cramped

    def _committed(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        if not self._pages:
            self._room = 0  # not known
        elif pages <= self._pages:
            self._room = 0  # it has begun anew: SQLite may have cut it off, if it was very long
            self._due_at = self._checkpoint_pages
        self._pages = pages
        return apsw.SQLITE_OK

    def _grow(self) -> None:
        wanted = self._pages + _RESERVE_FRAMES + _CHUNK_FRAMES
        with contextlib.closing(self._disk.open(self._path)) as log:
            size = log.size
            if size < wanted * FRAME_BYTES:
                try:
                    log.write(bytes(wanted * FRAME_BYTES - size), offset=size)
                except OSError:
                    log.truncate(size)  # a part may have been written
                    raise
        self._room = max(wanted, size // FRAME_BYTES)

    def _frames(self, connection: apsw.Connection) -> int:
        """Return how many records count; another connection must be asked, since this one is within a transaction."""
        beside = apsw.Connection(connection.filename, flags=apsw.SQLITE_OPEN_READONLY, vfs=self._disk.vfs)
        with contextlib.closing(beside):
            _ = beside.execute("PRAGMA schema_version").get  # before it has read anything it says none
            frames, _ = beside.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_NOOP)
            return frames


def pages_in_log(disk: Disk, database: Path, *, frames: int) -> Iterator[tuple[int, bytes]]:
    """Yield the pages that the first `frames` of the log hold, by number, each as the last of them has it."""
    with contextlib.closing(disk.open(log_of(database))) as log:
        starts = range(LOG_HEADER_BYTES, LOG_HEADER_BYTES + frames * FRAME_BYTES, FRAME_BYTES)
        last = {int.from_bytes(log.read(4, offset=start)): start for start in starts}
        for page in sorted(last):
            yield page, log.read(PAGE_BYTES, offset=last[page] + FRAME_HEADER_BYTES)


def log_of(database: Path) -> Path:
    """Return where SQLite keeps the log of a database."""
    return database.with_name(f"{database.name}-wal")


def files_of(database: Path) -> tuple[Path, Path, Path]:
    """Return the files that SQLite takes for one database: itself, its log, and the journal of other modes."""
    return database, log_of(database), database.with_name(f"{database.name}-journal")
