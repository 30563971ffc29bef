"""Opening a database: the order of locks, checks and first writes; and closing it.

1. Wait for the turn to open (`opening.lock`), and to write (`writer.lock`).
2. If no other store has the file open, make the log durable before anybody connects as usual; ask once more who is
   there after connecting, since who was there may have died in between.
3. Open, check whose the file is and of which version, upgrade the tables.
4. If nobody else is there, all sessions in the file are dead: give back their runs now.
5. Begin the session: number, lock, row, in one transaction.
6. Show the presence to others, and give up the turn.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw
import msgspec

from perdure.errors import PerdureError, StoreCorruptError, StoreUnavailableError
from perdure.kernel.identity import RunKey, WorkerId
from perdure.kernel.time import Timestamp
from perdure.logs import logger_named
from perdure.stores.sql import sessions as session_statements
from perdure.stores.sql.passing import Passing
from perdure.stores.sql.verification import HIGHEST_SESSION
from perdure.stores.sqlite.connection import demand_sound_sqlite
from perdure.stores.sqlite.database import Database
from perdure.stores.sqlite.disk import Disk
from perdure.stores.sqlite.faults import is_damage, store_error
from perdure.stores.sqlite.forks import new_passage
from perdure.stores.sqlite.locks import demand_file_locks
from perdure.stores.sqlite.notices import Mailbox
from perdure.stores.sqlite.presence import Presence
from perdure.stores.sqlite.schema import prepare_schema
from perdure.stores.sqlite.sessions import Session, free_all, put_session
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.settling import is_marked_as_ours, make_log_durable
from perdure.stores.sqlite.trials import runs_to_try, try_out
from perdure.stores.sqlite.unreadable import Stale, Unreadable, UnsoundRowsError

__all__ = ["OpenedDatabase", "connect_settled", "open_alone", "open_database"]

_LOGGER: Final = logger_named("perdure.store")


class OpenedDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """A database file that is open with a session on it, the other sessions with the numbers of their notices, and the
    latest time that was noted when the session began."""

    database: Database
    presence: Presence
    session: Session
    mailbox: Mailbox | None
    others: dict[WorkerId, int]
    known_time: Timestamp

    def close(self) -> None:
        """Leave and close the file."""
        self.presence.leave()
        try:
            self.database.close()
        finally:
            self.presence.close(self.session.worker_id)


def open_database(
    path: Path,
    *,
    settings: SqliteSettings,
    disk: Disk,
    session_name: str,
    lease_microseconds: int,
    unreadable: Unreadable,
    now: Timestamp,
) -> OpenedDatabase:
    """Open a database and begin a session; blocks. What is found unreadable is noted.

    Raises UsageError and StoreErrors.
    """
    demand_file_locks()
    demand_sound_sqlite()
    try:
        path = _resolved(path)
        presence = Presence(path)
        database = Database(path, settings=settings, disk=disk)
        try:
            presence.begin_opening(patience_seconds=settings.lock_patience_seconds)
            with new_passage():
                opened = _open(
                    database,
                    presence,
                    session_name=session_name,
                    lease_microseconds=lease_microseconds,
                    unreadable=unreadable,
                    now=now,
                )
            presence.end_opening()
        except BaseException as error:
            named = database.named(error) if isinstance(error, apsw.Error) else error
            database.disconnect()
            presence.close(None)
            if named is not error:
                raise named from error
            raise
    except PerdureError:
        raise
    except UnicodeDecodeError as error:
        message = f"{path} holds text that is not UTF-8: {error}. `perdure verify` says what is damaged."
        raise StoreCorruptError(message) from error
    except (apsw.Error, OSError) as error:
        raise store_error(error, path=path, doing="opening") from error
    return opened


@contextmanager
def open_alone(path: Path, *, settings: SqliteSettings, disk: Disk, now: Timestamp) -> Iterator[Database | None]:
    """Open a database without a session, while nobody else has it open, nor can open it; None where somebody has.

    Blocks. Raises StoreErrors, apsw's errors and OSError.
    """
    demand_file_locks()
    demand_sound_sqlite()
    path = path.resolve()
    presence = Presence(path)
    database = Database(path, settings=settings, disk=disk)
    try:
        presence.begin_opening(patience_seconds=settings.lock_patience_seconds)
        if not (presence.try_alone() and presence.writer_lock.try_exclusive()):
            yield None
            return
        connect_settled(database, presence)
        prepare_schema(database.connection(), path=path, now=now)
        yield database
        presence.leave()
    finally:
        database.close()
        presence.close(None)


def _resolved(path: Path) -> Path:
    """Return the one path by which all processes name the file, making its folder if only that is missing."""
    resolved = path.resolve()
    folder = resolved.parent
    if not folder.exists():
        if not folder.parent.is_dir():
            raise StoreUnavailableError(
                f"the folder {folder} of the database {path} does not exist, nor does the one above it. "
                f"Create it, or choose another path."
            )
        folder.mkdir(exist_ok=True)
    if resolved.is_dir():
        raise StoreUnavailableError(f"{path} is a folder; the database must be a file. Choose a path within it.")
    return resolved


def _open(
    database: Database,
    presence: Presence,
    *,
    session_name: str,
    lease_microseconds: int,
    unreadable: Unreadable,
    now: Timestamp,
) -> OpenedDatabase:
    patience = database.settings.lock_patience_seconds
    if not presence.writer_lock.wait_exclusive(patience_seconds=patience):
        raise apsw.BusyError("another process holds the writer's lock")
    try:
        is_alone = connect_settled(database, presence)
        connection = database.connection()
        prepare_schema(connection, path=database.path, now=now)
        _begin(connection, unreadable, frees_all=is_alone, now=now)
        worker_id = _next_worker_id(connection, database.path)
        presence.begin_session(worker_id)
        session = Session(worker_id=worker_id, name=session_name, started_at=now, lease_microseconds=lease_microseconds)
        others = {WorkerId(other): number for other, number in connection.execute(session_statements.LAST_NOTICES)}
        known_time = put_session(connection, session, now=now)
        connection.execute(session_statements.NOTE_ORIGIN, (worker_id,))
        connection.execute("COMMIT")
        mailbox = _mailbox(presence, worker_id)  # before anybody can commit who would send to it
    finally:
        presence.writer_lock.unlock()
    return OpenedDatabase(
        database=database, presence=presence, session=session, mailbox=mailbox, others=others, known_time=known_time
    )


def _begin(connection: apsw.Connection, unreadable: Unreadable, *, frees_all: bool, now: Timestamp) -> None:
    """Begin a transaction, and give back what dead sessions owned if there are none but these: damage keeps only those
    runs in their hands that it strikes. What can be given back is committed as it is, and not tried again.

    Others wait meanwhile who open the file: so nothing is looked for, and if it is more than a little that cannot be
    given back, or all, for an index is damaged, the rest stays theirs until the lease is renewed.
    """
    while True:
        connection.execute("BEGIN IMMEDIATE")
        passed, most = unreadable.unclaimable | unreadable.unowned, unreadable.most_written
        stale: set[RunKey] = set()
        try:
            freed = free_all(connection, stale=stale, passing=passed, most=most) if frees_all else 0
        except apsw.Error as error:
            if not is_damage(error):
                raise
            _roll_back(connection)
            _LOGGER.error("what dead sessions owned cannot be looked for: %s", error)  # noqa: TRY400
            frees_all = False
            continue
        except UnsoundRowsError as error:
            _roll_back(connection)
            if not _narrow(connection, unreadable, error, passed=passed, now=now):
                _LOGGER.error("not all that dead sessions owned is given back yet: %s", error.__cause__)  # noqa: TRY400
                frees_all = False
            continue
        unreadable.widen()
        unreadable.tell()
        if freed < most or (stale and not unreadable.leave(stale, Stale.OWNED)):
            return
        connection.execute("COMMIT")


def _narrow(
    connection: apsw.Connection, unreadable: Unreadable, error: UnsoundRowsError, *, passed: Passing, now: Timestamp
) -> bool:
    """Note what could not be given back; return whether it may be tried again without that, or with fewer."""
    if unreadable.narrow(error.run_keys, passed=passed):
        return True
    has_room = len(unreadable.unclaimable) < _MOST_GIVEN_UP
    return has_room and _can_write(connection, passed, now=now) and unreadable.give_up(error.run_keys, passed=passed)


def _can_write(connection: apsw.Connection, passing: Passing, *, now: Timestamp) -> bool:
    """Whether any run can be written that is not passed over."""
    with suppress(apsw.Error):
        for run_key in runs_to_try(connection, passing):
            connection.execute("BEGIN IMMEDIATE")
            with suppress(apsw.Error):
                try_out(connection, run_key, owner=_NOBODY, now=now)
                connection.execute("ROLLBACK")
                return True
            _roll_back(connection)
    return False


def _roll_back(connection: apsw.Connection) -> None:
    if connection.in_transaction:  # not after an error of reading
        connection.execute("ROLLBACK")


def connect_settled(database: Database, presence: Presence) -> bool:
    """Open the file, its log made safe before if nobody else has it open; return whether that is so.

    The caller has the turn to open, and holds the writer's lock. Who had it open may die meanwhile: then SQLite may
    have read the log anew that is not safe, and it is done again.
    """
    while True:
        is_alone = presence.try_alone()
        if is_alone and is_marked_as_ours(database.disk, database.path):
            make_log_durable(database.disk, database.path)
        database.open()
        if is_alone or not presence.try_alone():
            return is_alone
        database.disconnect()


def _next_worker_id(connection: apsw.Connection, path: Path) -> WorkerId:
    """Count the session. A number that another has had would give its run keys once more."""
    highest = connection.execute(HIGHEST_SESSION).get
    found: object = connection.execute(session_statements.NEXT_WORKER_ID).get
    if not isinstance(found, int) or found <= highest:
        raise StoreCorruptError(
            f"{path} has lost the count of its sessions. Keep a copy of it with its -wal; `perdure verify` says what "
            f"else is damaged; restore a backup."
        )
    return WorkerId(found)


_NOBODY: Final = WorkerId(0)
_MOST_GIVEN_UP: Final = 300
"""So many runs cannot be given back if two pages of rows are damaged, or three."""


def _mailbox(presence: Presence, worker_id: WorkerId) -> Mailbox | None:
    """Return the session's socket, None where the file system or the platform has no sockets in folders."""
    try:
        return Mailbox(presence.folder, presence.socket_path(worker_id))
    except OSError:
        return None
