"""SQLite's own check of a file, line by line, but for pages that are known to be nobody's.

That a page is never used harms nobody by itself, and may be the only sign that the page which led to it is another one
now: rows of a table without indexes are lost then. An index that is built anew leaves such pages (see
`perdure.stores.sqlite.verification.indexes`): how many it has left is noted in the database.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, Literal

import apsw

from perdure.stores.sqlite.faults import UNREADABLE

__all__ = [
    "faults",
    "forget_unused_pages",
    "is_of_unused_page",
    "known_unused_pages",
    "misplaced_pages",
    "note_unused_pages",
]

_Check = Literal["integrity_check", "quick_check"]


def faults(
    connection: apsw.Connection, *, table: str | None = None, check: _Check = "integrity_check"
) -> Iterator[str]:
    """Yield what SQLite finds out of place, in one table with its indexes, or in the whole file; pages that are never
    used, if there are more than are known, in the end.

    Raises apsw's errors where the check cannot go on.
    """
    unused: list[str] = []
    for line in _lines(connection, check, table):
        if is_of_unused_page(line):
            unused.append(line)
        else:
            yield line
    if len(unused) > known_unused_pages(connection):
        yield from unused


def is_of_unused_page(line: str) -> bool:
    """Whether a line says that a page is nobody's."""
    return line.endswith(_UNUSED)


def misplaced_pages(connection: apsw.Connection) -> list[str]:
    """Return what SQLite says of pages that two trees have, of the list of free ones, and of those that are nobody's
    though nothing is known of that."""
    lines = _lines_of_pages(connection)
    unused = [line for line in lines if is_of_unused_page(line)]
    found = [line for line in lines if line.startswith("Freelist") or _SHARED in line]
    return [*found, *unused] if len(unused) > known_unused_pages(connection) else found


def _lines_of_pages(connection: apsw.Connection) -> list[str]:
    """Return what SQLite says of pages, which is its first answer: rows are looked at after all of them."""
    with suppress(*UNREADABLE):
        [words] = next(connection.execute(f"PRAGMA quick_check({_ANY_NUMBER})"))
        return str(words).splitlines()
    return []


def known_unused_pages(connection: apsw.Connection) -> int:
    """Return how many pages are known to be nobody's."""
    with suppress(apsw.Error, TypeError, ValueError):  # the check says by itself that this cannot be read
        return int(connection.execute(_KNOWN).get or 0)
    return 0


def note_unused_pages(connection: apsw.Connection, more: int) -> None:
    """Note within a transaction that it leaves so many pages to nobody."""
    connection.execute(_NOTE, (more,))


def forget_unused_pages(connection: apsw.Connection) -> None:
    """Note that each page is somebody's, or free."""
    connection.execute(_FORGET)


def _lines(connection: apsw.Connection, check: _Check, table: str | None) -> Iterator[str]:
    scope = _ANY_NUMBER if table is None else f'"{table}"'  # many pages that nobody uses must not hide the rest
    for (words,) in connection.execute(f"PRAGMA {check}({scope})"):
        yield from (line for line in str(words).splitlines() if line != "ok" and not line.startswith("***"))


_UNUSED: Final = ": never used"
_ANY_NUMBER: Final = 2**31 - 1
_SHARED: Final = "2nd reference to page"

_KNOWN: Final = "SELECT value FROM store_meta WHERE name = 'unused_pages'"

# how many more
_NOTE: Final = """
INSERT INTO store_meta (name, value) VALUES ('unused_pages', ?)
ON CONFLICT (name) DO UPDATE SET value = value + excluded.value
"""
_FORGET: Final = "DELETE FROM store_meta WHERE name = 'unused_pages'"
