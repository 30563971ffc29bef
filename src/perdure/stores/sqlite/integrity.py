"""SQLite's own check of a file, line by line."""

from collections.abc import Iterator
from typing import Final, Literal

import apsw

__all__ = ["MOST_FAULTS", "faults"]

MOST_FAULTS: Final = 100
"""So many of one table are looked for."""


def faults(
    connection: apsw.Connection,
    *,
    table: str | None = None,
    check: Literal["integrity_check", "quick_check"] = "integrity_check",
) -> Iterator[str]:
    """Yield what SQLite finds out of place, in one table with its indexes, or in the whole file.

    That nobody uses a page is no fault: an index that was built anew elsewhere leaves such (see
    `perdure.stores.sqlite.verification.indexes`). Raises apsw's errors where the check cannot go on.
    """
    scope = _ALL_FAULTS if table is None else f'"{table}"'
    for (words,) in connection.execute(f"PRAGMA {check}({scope})"):
        for line in str(words).splitlines():
            if line != "ok" and not line.startswith("***") and not line.endswith(": never used"):
                yield line


_ALL_FAULTS: Final = 2**31 - 1
"""Where there are many pages that nobody uses, they must not hide the rest."""
