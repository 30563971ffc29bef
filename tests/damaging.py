"""Damage to the pages of a database in a file."""

from contextlib import closing
from pathlib import Path

import apsw

from perdure.torture.corruption.row_damage import columns_of_any_type

__all__ = ["break_leaves", "break_page", "change_any", "lose_page", "pages_of", "read_page", "write_page"]

PAGE = 4096


def break_leaves(path: Path, name: str, *, keeping_last: bool = False, only_first: bool = False) -> None:
    """Fill the leaves of a table or index with garbage: all, all but the last, or only the first."""
    for page in pages_of(path, name)[: 1 if only_first else -1 if keeping_last else None]:
        break_page(path, page)


def pages_of(path: Path, name: str, *, kind: str = "leaf") -> list[int]:
    """Return the numbers of pages of a table or index, in order, after all of the log was copied into the database."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ? ORDER BY path"
        return [int(page) for (page,) in connection.execute(query, (name, kind))]


def break_page(path: Path, page: int) -> None:
    """Fill a page with garbage."""
    write_page(path, page, b"\xff" * PAGE)


def change_any(path: Path, table: str, change: str) -> None:
    """Change rows of a table whose columns take what they never had, as flipped bits and old sectors make of them."""
    with closing(apsw.Connection(str(path))) as connection, columns_of_any_type(connection, table):
        connection.execute(change)


def lose_page(path: Path) -> None:
    """Add a page to which nothing leads to a database that nobody has open."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[28:32] = (len(content) // PAGE + 1).to_bytes(4)  # the header says that there is one page more
    path.write_bytes(content + bytes(PAGE))


def read_page(path: Path, page: int) -> bytes:
    """Return a page as the file has it."""
    with path.open("rb") as file:
        file.seek((page - 1) * PAGE)
        return file.read(PAGE)


def write_page(path: Path, page: int, data: bytes) -> None:
    """Fill a page of the file."""
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(data)
