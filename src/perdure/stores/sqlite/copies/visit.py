"""A visit: the database open in this process without a session, and without a change to it.

Whoever visits is present like any other, so that nobody who opens the database meanwhile takes the log for nobody's;
and settles the log like any other if nobody is there, so that nothing counts as durable that only the kernel has.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw

from perdure.errors import PerdureError, StoreLockedError, StoreUnavailableError
from perdure.stores.sqlite.connection import demand_page_size, demand_sound_sqlite, open_reading
from perdure.stores.sqlite.database import Database
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.faults import store_error
from perdure.stores.sqlite.locks import demand_file_locks
from perdure.stores.sqlite.log import log_of
from perdure.stores.sqlite.opened import connect_settled
from perdure.stores.sqlite.presence import Presence, demand_not_replaced, sidecar_folder
from perdure.stores.sqlite.schema import demand_ours, schema_version
from perdure.stores.sqlite.settings import SqliteSettings

__all__ = ["Visit", "demand_tables", "faults_named"]


class Visit:
    """``with Visit(path) as visit:``. Blocks; not safe for use by several threads at once."""

    def __init__(self, path: Path, *, settings: SqliteSettings | None = None, disk: Disk | None = None) -> None:
        """Prepare; nothing is opened yet."""
        self.path: Final = path.resolve()
        self._settings: Final = settings or SqliteSettings()
        self.database: Final = Database(self.path, settings=self._settings, disk=disk or LocalDisk())
        self._presence: Presence | None = None

    def __enter__(self) -> Self:
        """Open the file. Raises StoreErrors, UsageError on a platform without file locks."""
        demand_file_locks()
        demand_sound_sqlite()
        with faults_named(self.path, "opening"):
            demand_not_replaced(self.path)
            if not self.path.is_file():
                raise StoreUnavailableError(f"there is no database at {self.path}; nothing was changed.")
            self._demand_ours()
            self._presence = presence = Presence(self.path)
            try:
                presence.begin_opening(patience_seconds=self._settings.lock_patience_seconds)
                with self.turn():
                    connect_settled(self.database, presence)
                    connection = self.database.connection()
                    demand_tables(connection, self.path)
                    demand_page_size(connection)
                presence.end_opening()
            except BaseException:
                self._leave()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the file; nothing is copied from its log."""
        self._leave()

    @contextmanager
    def turn(self, *, patience_seconds: float | None = None) -> Iterator[None]:
        """Hold the writer's lock: no store writes meanwhile. Raises StoreLockedError."""
        assert self._presence is not None
        lock = self._presence.writer_lock
        patience = self._settings.lock_patience_seconds if patience_seconds is None else patience_seconds
        if not lock.wait_exclusive(patience_seconds=patience):
            raise StoreLockedError(f"another process has been writing to {self.path} for more than {patience:g} s.")
        try:
            yield
        finally:
            lock.unlock()

    def reading(self) -> apsw.Connection:
        """Return a new connection that reads. Raises apsw's errors."""
        return open_reading(self.path, settings=self._settings, vfs=self.database.disk.vfs)

    def _demand_ours(self) -> None:
        """Put nothing beside another program's database. Raises StoreCorruptError."""
        if not (sidecar_folder(self.path).exists() or log_of(self.path).exists()):
            with closing(open_reading(self.path, settings=self._settings)) as connection:
                demand_ours(connection, path=self.path)

    def _leave(self) -> None:
        presence, self._presence = self._presence, None
        if presence is not None:
            presence.leave()
            self.database.disconnect()
            presence.close(None)


def demand_tables(connection: apsw.Connection, path: Path) -> None:
    """Raise StoreCorruptError for another program's database, StoreUnavailableError for an empty one."""
    demand_ours(connection, path=path)
    if not schema_version(connection):
        raise StoreUnavailableError(f"no engine has used the database {path} yet: there is nothing to copy.")


@contextmanager
def faults_named(path: Path, doing: str) -> Iterator[None]:
    """Raise errors of SQLite's and of the operating system as StoreErrors that name the file."""
    try:
        yield
    except PerdureError:
        raise
    except (apsw.Error, OSError) as error:
        raise store_error(error, path=path, doing=doing) from error
