"""Giving free pages back to the disk: the database is rewritten, by SQLite's VACUUM, while nobody else has it open.

Pages of removed rows are used again, so a database under retention does not grow beyond its largest time; this is for
after an unusual one. VACUUM is one transaction: a crash leaves the old file or the new one.

**Rejected.** SQLite's incremental vacuum: it needs a map of all pages, whose upkeep costs every transaction (see
docs/design/performance.md), and moves the last pages of the file, which are the newest histories. A copy that takes the
file's place: who has the old one open goes on writing to it. A VACUUM beside others: it holds the writer's turn for as
long as it takes, and its log is as large as the database.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw
import msgspec

from perdure.errors import PerdureError, StoreLockedError, StoreUnavailableError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.faults import store_error
from perdure.stores.sqlite.integrity import forget_unused_pages
from perdure.stores.sqlite.opened import open_alone
from perdure.stores.sqlite.presence import demand_not_replaced
from perdure.stores.sqlite.settings import SqliteSettings

__all__ = ["Compaction", "compact"]


class Compaction(msgspec.Struct, frozen=True, kw_only=True):
    """What a compaction did: the size of the file in bytes, before and after."""

    bytes_before: int
    bytes_after: int


def compact(
    path: Path,
    *,
    now: Timestamp,
    disk: Disk | None = None,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Compaction:
    """Rewrite a database without its free pages; blocks.

    Needs room for a second copy, and as much for the log. `on_progress` is told how many pages are copied, and of how
    many, about; what it raises ends the work.

    Raises StoreLockedError while somebody has it open, StoreFullError and other StoreErrors; then it is as it was.
    """
    demand_not_replaced(path)
    if not path.is_file():
        raise StoreUnavailableError(
            f"there is no database at {path}; nothing was made. Name one that an engine has made."
        )
    settings = SqliteSettings()
    try:
        with open_alone(path, settings=settings, disk=disk or LocalDisk(), now=now) as database:
            if database is None:
                raise StoreLockedError(
                    f"{path} is open in another process. Stop all engines that use it, and commands that show it, then "
                    f"compact it."
                )
            connection, before = database.connection(), path.stat().st_size
            forget_unused_pages(connection)
            _vacuum(connection, on_progress)
            database.copy_log()
            # Who only looks may read the log still: then it stays long until the next one.
            with suppress(apsw.BusyError):
                connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
            return Compaction(bytes_before=before, bytes_after=path.stat().st_size)
    except PerdureError:
        raise
    except (apsw.Error, OSError) as error:
        raise store_error(error, path=path, doing="compacting") from error


def _vacuum(connection: apsw.Connection, on_progress: Callable[[int, int], object]) -> None:
    """Run VACUUM. It copies all rows into a database of its own first: how many pages of that are written is told."""
    before = _pages_written(connection)
    total = int(connection.pragma("page_count")) - int(connection.pragma("freelist_count"))

    def tell() -> bool:
        on_progress(min(_pages_written(connection) - before, total), total)
        return False

    connection.set_progress_handler(tell, _STEPS_BETWEEN_REPORTS)
    try:
        connection.execute("VACUUM")
    finally:
        connection.set_progress_handler(None)
    on_progress(total, total)


_STEPS_BETWEEN_REPORTS: Final = 10_000
"""Of SQLite's machine: some milliseconds."""


def _pages_written(connection: apsw.Connection) -> int:
    return connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]
