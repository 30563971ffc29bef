"""Giving free pages back to the disk: the database is rewritten, by SQLite's VACUUM, while nobody else has it open.

Pages of removed rows are used again, so a database under retention does not grow beyond its largest time; this is for
after an unusual one. VACUUM is one transaction: a crash leaves the old file or the new one.

What is damaged is not rewritten. VACUUM keeps what can be reached, so no page is lost to nobody afterwards: where rows
have gone with the page that led to them, that may have been the only sign of it.

**Rejected.** SQLite's incremental vacuum: it needs a map of all pages, whose upkeep costs every transaction (see
docs/design/performance.md), and moves the last pages of the file, which are the newest histories. A copy that takes the
file's place: who has the old one open goes on writing to it. A VACUUM beside others: it holds the writer's turn for as
long as it takes, and its log is as large as the database.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final

import apsw
import msgspec

from perdure.errors import PerdureError, StoreCorruptError, StoreLockedError, StoreUnavailableError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.connection import pragma
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.faults import store_error
from perdure.stores.sqlite.integrity import (
    forget_unused_pages,
    is_of_unused_page,
    known_unused_pages,
    note_unused_pages,
)
from perdure.stores.sqlite.opened import open_alone
from perdure.stores.sqlite.presence import demand_not_replaced
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.verification.tables import file_checks

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
    accepts_lost_pages: bool = False,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Compaction:
    """Rewrite a database without its free pages, once nothing is found damaged in it; blocks.

    Needs room for a second copy, and as much for the log. `accepts_lost_pages`: pages that are never used, more than
    repairs have left, are given back, too, and whatever was on them. `on_progress` is told how many pages are copied,
    and of how many, about: none while it is looked for damage. What it raises ends the work.

    Raises StoreLockedError while somebody has it open, StoreCorruptError where `perdure verify` finds something in the
    file, StoreFullError and other StoreErrors; then it is as it was.
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
            total = int(connection.pragma("page_count")) - int(connection.pragma("freelist_count"))
            with _telling(connection, lambda: on_progress(0, total)):
                _demand_sound(connection, path, accepts_lost_pages=accepts_lost_pages)
            written = _pages_written(connection)
            _vacuum(connection, lambda: on_progress(min(_pages_written(connection) - written, total), total))
            on_progress(total, total)
            database.copy_log()
            # Who only looks may read the log still: then it stays long until the next one.
            with suppress(apsw.BusyError):
                connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
            return Compaction(bytes_before=before, bytes_after=path.stat().st_size)
    except PerdureError:
        raise
    except (apsw.Error, OSError, UnicodeDecodeError) as error:
        raise store_error(error, path=path, doing="compacting") from error


@contextmanager
def _telling(connection: apsw.Connection, tell: Callable[[], object]) -> Iterator[None]:
    """Tell something now and then while statements run; what that raises ends them."""

    def go_on() -> bool:
        tell()
        return False

    connection.set_progress_handler(go_on, _STEPS_BETWEEN_REPORTS)
    try:
        yield
    finally:
        connection.set_progress_handler(None)


def _demand_sound(connection: apsw.Connection, path: Path, *, accepts_lost_pages: bool) -> None:
    """Raise StoreCorruptError where a verification finds something in the file, be it lost pages only, which come last,
    unless these are accepted."""
    defects = (defect for check in file_checks(connection) for defect in check(connection))
    found = [defect.what for defect in islice(defects, _FAULTS_TOLD)]
    if damaged := [what for what in found if not is_of_unused_page(what)]:
        raise StoreCorruptError(
            f"{path} is damaged: {'; '.join(damaged)}. It was not compacted: what shows that rows are lost would go. "
            f"Keep a copy of it with its -wal; then `perdure verify --repair`, or restore a backup."
        )
    if found and not accepts_lost_pages:
        raise StoreCorruptError(
            f"{path} has more pages that nothing leads to than repairs have left: {'; '.join(found)}. Rows may have "
            f"been on them, so it was not compacted. If `perdure verify --repair` has built an index anew of which a "
            f"page was damaged, and `perdure verify` finds nothing else, say --accept-lost-pages (in a program "
            f"accepts_lost_pages=True); else keep a copy of it with its -wal, and restore a backup."
        )


def _vacuum(connection: apsw.Connection, tell: Callable[[], object]) -> None:
    """Run VACUUM. It copies all rows into a database of its own first, which writes as many pages.

    Unused pages are forgotten before it, lest who dies in between leave a number that hides lost ones later on; should
    it fail they are known again.
    """
    known, tables = known_unused_pages(connection), pragma(connection, "schema_version")
    forget_unused_pages(connection)
    try:
        with _telling(connection, tell):
            connection.execute("VACUUM")
    except BaseException:
        with suppress(apsw.Error):  # as on a full disk; then they are told of until the next compaction
            if known and pragma(connection, "schema_version") == tables:  # an error of a commit may say nothing
                note_unused_pages(connection, known)
        raise


def _pages_written(connection: apsw.Connection) -> int:
    return connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]


_STEPS_BETWEEN_REPORTS: Final = 10_000
"""Of SQLite's machine: some milliseconds."""
_FAULTS_TOLD: Final = 5
