"""Somebody else who uses the database at the worst moments: when a replication reads the log, or begins to hold it."""

import random
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import apsw

from perdure.stores.sqlite.connection import open_reading
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.copies.visit import Visit
from perdure.stores.sqlite.disk import LocalDisk, RawFile
from perdure.stores.sqlite.settings import SqliteSettings

__all__ = ["COUNTING", "MeddledVisit", "Meddler", "rows_of"]


COUNTING: Final = "UPDATE store_meta SET value = value + 1 WHERE name = 'last_worker_id'"
"""A change that a store does not mind."""


class Meddler:
    """Writes into the database, or copies its log, by SQLite alone; and knows all rows that there were meanwhile."""

    def __init__(self, database: Path, chance: random.Random) -> None:
        """Meddle with `database` as often as `chance` says, while `watch` is on."""
        self._database: Final = database
        self._chance: Final = chance
        self._is_on = False
        self.seen: set[bytes] = set()

    def watch(self) -> None:
        """Begin: what the rows are now, and become, is `seen`."""
        self._is_on = True
        self.seen = {rows_of(self._database)}

    def rest(self) -> None:
        """Meddle no more."""
        self._is_on = False

    def meddle(self) -> None:
        """Do something, or nothing."""
        if self._is_on and self._chance.random() < _SHARE:
            with suppress(apsw.BusyError, apsw.LockedError):
                self.write(checkpoint=self._chance.choice(_CHECKPOINTS))

    def copy_long_log(self, *, pages: int) -> None:
        """Copy the log if it has so many pages, as a store does it soon after an answer."""
        with closing(apsw.Connection(str(self._database))) as connection:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            frames, _ = connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_NOOP)
            if frames >= pages:
                connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)

    def write(self, statement: str = COUNTING, *, checkpoint: int | None = None) -> None:
        """Commit a change, or do a checkpoint, as another program. Raises apsw's errors."""
        with closing(apsw.Connection(str(self._database))) as connection:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.wal_autocheckpoint(0)
            if checkpoint is None:
                connection.execute(statement)
            else:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
                connection.wal_checkpoint("main", checkpoint)
        self.seen.add(rows_of(self._database))


class MeddledVisit(Visit):
    """A visit amid which somebody meddles."""

    def __init__(self, path: Path, *, settings: SqliteSettings, meddler: Meddler) -> None:
        """Visit the database at `path`."""
        super().__init__(path, settings=settings, disk=_MeddledDisk(meddler.meddle))
        self._meddle: Final = meddler.meddle

    def reading(self) -> apsw.Connection:
        """See `Visit`."""
        self._meddle()
        return super().reading()


class _MeddledDisk(LocalDisk):
    def __init__(self, meddle: Callable[[], None]) -> None:
        super().__init__()
        self._meddle: Final = meddle

    def open(self, path: Path) -> RawFile:
        self._meddle()
        return super().open(path)


def rows_of(database: Path) -> bytes:
    """Return a digest of all rows as they are now."""
    with closing(open_reading(database, settings=SqliteSettings())) as connection:
        return digest_of_contents(connection)


_SHARE: Final = 0.25
_CHECKPOINTS: Final = (
    None, None, None, apsw.SQLITE_CHECKPOINT_PASSIVE, apsw.SQLITE_CHECKPOINT_RESTART, apsw.SQLITE_CHECKPOINT_TRUNCATE,
)  # fmt: skip
