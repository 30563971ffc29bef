"""The writer's connection through its life: opened, lost to an error, found again; and what became of a COMMIT.

**An error from COMMIT says nothing.** In fault sweeps 77 to 149 of 333 to 376 commits that raised were in the file.
So each transaction carries a number of its session (`sessions.last_commit`), and after such an error `settle` makes the
log durable, opens the file anew and reads the number. If the transaction is not there, it must also never come: its
records may stand in the log behind the last valid one, where a recovery after a crash would find them. `settle`
therefore commits a transaction of its own, which overwrites them, before it says no.

Until that is done nothing is answered; every attempt that fails is followed by another, after a pause.
"""

import contextlib
import logging
from pathlib import Path
from typing import Final

import apsw

from perdure.stores.sql import statements
from perdure.stores.sqlite.connection import open_writing, use_log
from perdure.stores.sqlite.log import Log
from perdure.stores.sqlite.sessions import Session, number_commit
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.settling import make_log_durable

__all__ = ["Database"]

_LOGGER: Final = logging.getLogger(__name__)


class Database:
    """The database file as the writer's thread has it open. All methods are that thread's."""

    def __init__(self, path: Path, *, settings: SqliteSettings, vfs: str | None = None) -> None:
        """Prepare; nothing is opened yet."""
        self.path: Final = path
        self.settings: Final = settings
        self._vfs: Final = vfs
        self.log: Final = Log(path, checkpoint_pages=settings.checkpoint_pages)
        self._connection: apsw.Connection | None = None
        self._is_distrusted = False
        self.last_commit = 0
        self.last_notice = 0

    def open(self) -> apsw.Connection:
        """Open the file for the first time."""
        self._connection = connection = open_writing(self.path, settings=self.settings, vfs=self._vfs)
        self.log.watch(connection)
        return connection

    def connection(self) -> apsw.Connection:
        """Return the connection. After `distrust` the log is made durable and the file opened anew first.

        The caller holds the writer's lock. Raises apsw's errors and OSError while the cause of the trouble lasts.
        """
        if self._connection is None or self._is_distrusted:
            # Before the old connection closes: closing may copy the log into the database.
            make_log_durable(self.path)
            self.close()
            connection = open_writing(self.path, settings=self.settings, vfs=self._vfs)
            try:
                use_log(connection)
            except BaseException:
                connection.close(force=True)
                raise
            self.log.watch(connection)
            self._connection = connection
            self._is_distrusted = False
        return self._connection

    def roll_back(self) -> None:
        """End the transaction without a trace. Raises apsw's errors: then the connection must be distrusted."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def distrust(self) -> None:
        """Note an input or output error: what SQLite and the kernel hold in memory may not be what the disk holds."""
        self._is_distrusted = True

    def copy_log(self) -> None:
        """Copy the log into the database; what others still read of it stays for the next time.

        The caller holds the writer's lock, and has no transaction open.
        """
        if self._connection is not None and not self._is_distrusted:
            try:
                self._connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.Error as error:
                _LOGGER.warning("the log of %s could not be copied into it, and is kept: %s", self.path, error)
                self.distrust()

    def settle(self, session: Session, *, number: int) -> bool:
        """Find out whether transaction `number` is in the file, and make that final. Raises apsw's errors and OSError.

        The caller holds the writer's lock, and has called `distrust` after the error.
        """
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            found: int = connection.execute(statements.LAST_COMMIT, (session.worker_id,)).get or 0
            if found >= number:
                connection.execute("ROLLBACK")
                return found == number
            self.last_commit += 1
            number_commit(connection, session, number=self.last_commit, notice=self.last_notice)
            connection.execute("COMMIT")
        except BaseException:
            self.distrust()
            raise
        return False

    def close(self) -> None:
        """Let go of the file. Everything acknowledged is durable already, so an error in closing harms nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                connection.close(force=True)
