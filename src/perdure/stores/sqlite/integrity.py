"""SQLite's own check of a file, line by line, but for pages that are known to be nobody's.

That a page is never used harms nobody by itself, and may be the only sign that the page which led to it is another one
now: rows of a table without indexes are lost then. An index that is built anew leaves such pages (see
`perdure.stores.sqlite.verification.indexes`): how many there were after it is noted in the database.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, Literal

import apsw

__all__ = ["ANY_NUMBER", "count_unused_pages", "faults", "forget_unused_pages", "note_unused_pages", "shared_pages"]

ANY_NUMBER: Final = 2**31 - 1
"""More than there are: until they are counted."""

_Check = Literal["integrity_check", "quick_check"]


def faults(
    connection: apsw.Connection, *, table: str | None = None, check: _Check = "integrity_check"
) -> Iterator[str]:
    """Yield what SQLite finds out of place, in one table with its indexes, or in the whole file.

    Raises apsw's errors where the check cannot go on.
    """
    unused: list[str] = []
    for line in _lines(connection, check, table):
        if line.endswith(_UNUSED):
            unused.append(line)
        else:
            yield line
    if len(unused) > _known_unused(connection):
        yield from unused


def shared_pages(connection: apsw.Connection) -> list[str]:
    """Return what SQLite says of pages that two have, and of the list of free ones, from which whoever writes takes."""
    with suppress(apsw.CorruptError):  # of rows, which are looked at after all pages
        for (words,) in connection.execute(f"PRAGMA quick_check({ANY_NUMBER})"):
            return [line for line in str(words).splitlines() if line.startswith("Freelist") or _SHARED in line]
    return []


def count_unused_pages(connection: apsw.Connection) -> int:
    """Return how many pages are nobody's."""
    count = 0
    with suppress(apsw.CorruptError):  # of rows, which are looked at after all pages
        for line in _lines(connection, "quick_check", None):
            count += line.endswith(_UNUSED)
    return count


def note_unused_pages(connection: apsw.Connection, count: int) -> None:
    """Note how many pages are nobody's now, within a transaction."""
    connection.execute(_NOTE, (count,))


def forget_unused_pages(connection: apsw.Connection) -> None:
    """Note that each page is somebody's, or free."""
    connection.execute(_FORGET)


def _lines(connection: apsw.Connection, check: _Check, table: str | None) -> Iterator[str]:
    scope = ANY_NUMBER if table is None else f'"{table}"'  # many pages that nobody uses must not hide the rest
    for (words,) in connection.execute(f"PRAGMA {check}({scope})"):
        yield from (line for line in str(words).splitlines() if line != "ok" and not line.startswith("***"))


def _known_unused(connection: apsw.Connection) -> int:
    with suppress(apsw.Error, TypeError, ValueError):  # the check says by itself that this cannot be read
        return int(connection.execute(_KNOWN).get or 0)
    return 0


_UNUSED: Final = ": never used"
_SHARED: Final = "2nd reference to page"

_KNOWN: Final = "SELECT value FROM store_meta WHERE name = 'unused_pages'"

# how many
_NOTE: Final = """
INSERT INTO store_meta (name, value) VALUES ('unused_pages', ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_FORGET: Final = "DELETE FROM store_meta WHERE name = 'unused_pages'"
