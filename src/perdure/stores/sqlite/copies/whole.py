"""A whole copy of a database that is in use, by SQLite's own means, in pieces."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from typing import Final
from urllib.parse import quote

import apsw

from perdure.errors import SchemaTooNewError, SchemaTooOldError, StoreCorruptError, StoreFullError
from perdure.logs import logger_named
from perdure.stores.sqlite.connection import pragma
from perdure.stores.sqlite.copies.durable import sync_file
from perdure.stores.sqlite.disk import Disk
from perdure.stores.sqlite.integrity import faults, is_of_unused_page
from perdure.stores.sqlite.log import PAGE_BYTES
from perdure.stores.sqlite.schema import demand_current_schema

__all__ = [
    "Progress",
    "copy_whole",
    "demand_integrity",
    "demand_openable",
    "demand_room",
    "digest_of_file",
    "log_lost_pages",
    "mode_of",
    "said_of_lost_pages",
    "size_of",
    "unshared",
]

Progress = Callable[[int, int], None]
"""Told how many pages are done, and of how many."""


def copy_whole(source: apsw.Connection, target: Path, disk: Disk, *, on_progress: Progress) -> None:
    """Copy what `source` sees in its read transaction, which it must have, into the new file `target`, and sync it.

    Nobody but its user can read it yet.
    Others may write meanwhile: a transaction that is held sees none of it, and so the copy need not begin again.
    Raises apsw's errors, OSError.
    """
    disk.create(target).close()
    with closing(apsw.Connection(str(target), vfs=disk.vfs)) as copy:
        # The file has no name yet: what a crash leaves of it is thrown away.
        pragma(copy, "journal_mode = OFF")
        pragma(copy, "synchronous = OFF")
        with copy.backup("main", source, "main") as backup:
            for step in count(1):
                if backup.step(_PAGES_AT_ONCE):
                    break
                if step % _STEPS_TO_SYNC == 0:
                    sync_file(disk, target)  # all of it at once in the end would take long
                on_progress(backup.page_count - backup.remaining, backup.page_count)
            on_progress(backup.page_count, backup.page_count)
    sync_file(disk, target)


def size_of(connection: apsw.Connection) -> int:
    """Return how many bytes a copy of what a connection sees has."""
    pages = pragma(connection, "page_count")
    assert isinstance(pages, int)
    return pages * PAGE_BYTES


def demand_room(folder: Path, size_bytes: int) -> None:
    """Raise StoreFullError unless there is room for a file of `size_bytes`, and a tenth of it beside."""
    free = shutil.disk_usage(folder).free
    needed = size_bytes + size_bytes // 10
    if free < needed:
        raise StoreFullError(
            f"a copy needs {needed / 1e6:,.1f} MB in {folder}, which has {free / 1e6:,.1f} MB free. Nothing was "
            f"written. Make room, or choose another place."
        )


def demand_integrity(connection: apsw.Connection, path: Path, *, meanwhile: Callable[[], None] = lambda: None) -> int:
    """Raise StoreCorruptError if SQLite finds a page or a row of the database out of place.

    Return how many pages are lost: never used, and more than repairs have left. They keep nothing that is there from
    being used. `meanwhile` is called now and then, and must not use the connection.
    """

    def go_on() -> bool:
        meanwhile()
        return False

    connection.set_progress_handler(go_on, _STEPS_AT_ONCE)
    lines = faults(connection)
    found = list(islice(lines, _FAULTS_TOLD))
    if damaged := [line for line in found if not is_of_unused_page(line)]:
        raise StoreCorruptError(f"what was copied into {path} is damaged: {'; '.join(damaged)}. It was not kept.")
    return len(found) + sum(1 for _ in lines)


def demand_openable(connection: apsw.Connection, place: Path) -> None:
    """Raise StoreCorruptError if the tables of the database at `place` are not those that its version of Perdure made:
    nothing opens it. Those of a newer version are not known."""
    with suppress(SchemaTooOldError, SchemaTooNewError):
        demand_current_schema(connection, path=place)


def said_of_lost_pages(count: int) -> tuple[str, ...]:
    """Return what is said of so many lost pages; nothing if there are none."""
    return (f"pages that are never used: {count}, more than repairs have left; rows may have been on them",) * (
        count > 0
    )


def log_lost_pages(count: int, place: Path) -> None:
    """Log that the database at `place` has so many lost pages, if it has any."""
    for what in said_of_lost_pages(count):
        _LOGGER.warning("of %s: %s; `perdure verify` says what else it has", place, what)


@contextmanager
def unshared(path: Path) -> Iterator[apsw.Connection]:
    """Read a database file that nobody else has open, as it lies there: no log is looked for, nothing put beside it."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with closing(apsw.Connection(f"file:{quote(str(path))}?immutable=1", flags=flags)) as connection:
        yield connection


def mode_of(path: Path) -> int:
    """Return who may read and write a file: a copy is for no more eyes than what it was copied from."""
    return path.stat().st_mode & 0o777


def digest_of_file(path: Path, *, meanwhile: Callable[[], None] = lambda: None) -> str:
    """Return the digest of a file's bytes, in hexadecimal. `meanwhile` is called now and then."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            meanwhile()
    return digest.hexdigest()


_LOGGER: Final = logger_named("perdure.copies")
_PAGES_AT_ONCE: Final = 1_024
_STEPS_TO_SYNC: Final = 16
_STEPS_AT_ONCE: Final = 100_000
"""Of SQLite's virtual machine, which does them in a few milliseconds."""
_DIGEST_BYTES: Final = 32
_FAULTS_TOLD: Final = 5
_BLOCK_BYTES: Final = PAGE_BYTES * 256
