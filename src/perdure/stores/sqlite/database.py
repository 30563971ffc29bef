"""The writer's connection through its life: opened, lost to an error, found again; and what became of a COMMIT.

**An error from COMMIT says nothing.** In fault sweeps 77 to 149 of 333 to 376 commits that raised were in the file.
So each transaction has a mark: a number of its session (`sessions.last_commit`), and after such an error `settle` opens
the file anew and looks for it. If the transaction is not there, it must also never come: its records may stand in the
log behind the last valid one, where a recovery after a crash would find them. `settle` therefore commits a transaction
of its own, which overwrites them, before it says no.

**The old connection goes after the new one has come.** If there were none in between SQLite would read the log anew,
and take for committed what only the kernel has (see `settling`); what all connections know of the log ends before it.

Writing the number costs a page of each transaction, an eleventh of a lone commit's time. While no other session is in
the file an event that the transaction adds is mark enough: nobody can change it as long as the writer's lock is kept,
which a session that begins needs, too. Sessions that came or went show in SQLite's `data_version`.

Until that is done nothing is answered; every attempt that fails is followed by another, after a pause.
"""

import contextlib
from pathlib import Path
from typing import Final

import apsw
import msgspec

from perdure.logs import logger_named
from perdure.stores.sql import histories as history_statements
from perdure.stores.sql import sessions as session_statements
from perdure.stores.sqlite.connection import open_writing, pragma, use_log
from perdure.stores.sqlite.copying import copy_log
from perdure.stores.sqlite.disk import Disk
from perdure.stores.sqlite.encoding import Column
from perdure.stores.sqlite.faults import is_for_want_of_room, named
from perdure.stores.sqlite.log import Log
from perdure.stores.sqlite.onlookers import onlookers
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.sessions import Session, number_commit
from perdure.stores.sqlite.settings import SqliteSettings

__all__ = ["Database", "Mark"]

_LOGGER: Final = logger_named(__name__)


class Mark(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What shows whether a transaction is in the file: the key of an event of it, else its number."""

    number: int
    event: list[Column] = []


class Database:
    """The database file as the writer's thread has it open. All methods are that thread's."""

    def __init__(self, path: Path, *, settings: SqliteSettings, disk: Disk) -> None:
        """Prepare; nothing is opened yet."""
        self.path: Final = path
        self.settings: Final = settings
        self.disk: Final = disk
        self.log: Final = Log(disk, path, checkpoint_pages=settings.checkpoint_pages)
        self._connection: apsw.Connection | None = None
        self._is_distrusted = False
        self._data_version: int | None = None
        self._is_alone = False
        self._told_bytes = 0
        self.last_commit = 0
        self.last_notice = 0

    def open(self) -> None:
        """Open the file, and connect: a database in WAL mode has a wal-index as long as this is open."""
        self._connection = connection = open_writing(self.path, settings=self.settings, vfs=self.disk.vfs)
        pragma(connection, "schema_version")
        self.log.watch(connection)

    def disconnect(self) -> None:
        """Close as a dead process does: nothing is copied from the log."""
        if self._connection is not None:
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            self.close()

    def connection(self) -> apsw.Connection:
        """Return the connection. After `distrust` the file is opened anew first.

        The caller holds the writer's lock. Raises apsw's errors and OSError while the cause of the trouble lasts.
        """
        if self._connection is None or self._is_distrusted:
            connection = open_writing(self.path, settings=self.settings, vfs=self.disk.vfs)
            try:
                use_log(connection)
            except BaseException:
                connection.close(force=True)
                raise
            self.close()
            self.log.watch(connection)
            self._data_version = None
            self._connection = connection
            self._is_distrusted = False
        return self._connection

    def named(self, error: Exception) -> Exception:
        """Return an error that was met with the database, as what it is."""
        return error if self._connection is None else named(error, self._connection)

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
        self.log.is_cramped = False
        try:
            if self._copy_log(self.connection()):
                self.log.begin_anew()
                self._told_bytes = 0
            else:
                self.log.put_off()
                self._tell_of_a_long_log()
        except Exception as error:  # noqa: BLE001 - whatever it is, the writer's thread must go on
            _LOGGER.warning("the log of %s could not be copied into it, and is kept: %s", self.path, error)
            self.log.put_off()
            self.distrust()

    def _tell_of_a_long_log(self) -> None:
        """Say that the log grows on, and who keeps it from beginning anew; again when it is twice as long."""
        size = self.log.size_bytes
        if size >= max(self.settings.long_log_bytes, 2 * self._told_bytes):
            self._told_bytes = size
            _LOGGER.warning(
                "the log of %s has grown to %.0f MB and cannot begin anew while it is read: by %s. End what reads for "
                "so long; until then the log takes up what is written",
                self.path,
                size / 1e6,
                ", ".join(onlookers(self.path)) or "another process, or this one",
            )

    def _copy_log(self, connection: apsw.Connection) -> bool:
        try:
            return copy_log(connection, self.disk, self.path)
        except (apsw.Error, OSError) as error:
            if not is_for_want_of_room(self.named(error)):
                raise
            self.log.give_room_back(connection)  # to the database
            return copy_log(connection, self.disk, self.path)

    def mark(self, connection: apsw.Connection, session: Session, news: News, *, is_last: bool) -> Mark:
        """Mark the transaction that is open, so that `settle` can find it; `is_last` says that it ends the session."""
        self.last_commit += 1
        if news:
            self.last_notice += 1
        if news.witness and self._is_alone_in(connection, session):
            return Mark(number=self.last_commit, event=news.witness)
        if not is_last:
            number_commit(connection, session, number=self.last_commit, notice=self.last_notice)
        return Mark(number=self.last_commit)

    def settle(self, session: Session, mark: Mark) -> bool:
        """Find out whether a transaction is in the file, and make that final. Raises apsw's errors and OSError.

        The caller holds the writer's lock, since before the transaction began if its mark is an event, and has called
        `distrust` after the error.
        """
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            is_there = _find(connection, session, mark)
            if is_there is not None:
                connection.execute("ROLLBACK")
                return is_there
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

    def _is_alone_in(self, connection: apsw.Connection, session: Session) -> bool:
        """Whether the transaction that is open sees no session but this one."""
        version = connection.execute("PRAGMA data_version").get
        if not self._is_alone or version != self._data_version:
            self._data_version = version
            self._is_alone = not connection.execute(session_statements.HAS_OTHER_SESSIONS, (session.worker_id,)).get
        return self._is_alone


def _find(connection: apsw.Connection, session: Session, mark: Mark) -> bool | None:
    """Whether the marked transaction is in the file; None if it is not, and might still come."""
    if mark.event:
        return bool(connection.execute(history_statements.HAS_EVENT, mark.event).get) or None
    found: int = connection.execute(session_statements.LAST_COMMIT, (session.worker_id,)).get or 0
    return found == mark.number if found >= mark.number else None
