"""Damage to the pages of a database in a file."""

from contextlib import closing
from pathlib import Path

import apsw

__all__ = ["break_leaves"]


def break_leaves(path: Path, name: str, *, keeping_last: bool = False, only_first: bool = False) -> None:
    """Fill the leaves of a table or index with garbage: all, all but the last, or only the first."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path"
        pages = [int(page) for (page,) in connection.execute(query, (name,))]
    with path.open("r+b") as file:
        for page in pages[: 1 if only_first else -1 if keeping_last else None]:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 4096)
