"""Indexes built anew from their tables, if what could be read by the indexes can be read afterwards.

Where a table and its index contradict each other either may be the damaged one, and SQLite trusts the table. If a bit
of a row's key has changed there, the index is the last that says where the row belongs. So all runs and messages are
counted that are sound before and after, by their digests and histories: this takes as long as two verifications, in one
transaction. An error of reading would end it: what comes before is asked of a connection that reads, what comes after
only of what could be read before.

Each index begins anew elsewhere: a twin is made, whose tree becomes its own. REINDEX would free the pages of the old
one by following it: it fails on a page that is none of an index, and frees what others need where the old tree leads
there, which SQLite's own check may not say of it. What was its tree belongs to nobody from then on: SQLite calls such
pages never used; how many are known to be is noted (`perdure.stores.sqlite.integrity`), and `perdure compact` gives
them back.
"""

from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

import apsw

from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.connection import open_reading, pragma
from perdure.stores.sqlite.faults import UNREADABLE
from perdure.stores.sqlite.integrity import misplaced_pages, note_unused_pages
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.verification.runs import CheckedRun, try_run
from perdure.stores.sqlite.verification.tables import (
    ROW_CHECKS,
    Check,
    columns_of,
    defects_by,
    has_sound_trees,
    indexes_of,
)
from perdure.stores.sqlite.verification.witnesses import has_more_entries_than_rows, names_others

__all__ = ["rebuild_indexes"]


def rebuild_indexes(connection: apsw.Connection, table: str, *, now: Timestamp, accepts_older: bool = False) -> bool:
    """Build the indexes of a table anew; return whether they agree with it then. If not, nothing has changed.

    `accepts_older`: also where the table may be older than its indexes.

    The caller has begun a transaction that writes. Raises StoreErrors, and apsw's errors.
    """
    path = Path(connection.filename)
    try:
        with closing(open_reading(path, settings=SqliteSettings(), vfs=connection.open_vfs)) as reading:
            if _may_lose(reading, table) or (not accepts_older and names_others(reading, table)):
                return False
            left, before = _pages_left(reading, table), _Readable.by(reading, now=now)
        with connection:
            for name, where in indexes_of(connection, table):
                _begin_elsewhere(connection, table, name, where)
            note_unused_pages(connection, left)
            _demand(before.is_kept(connection, now=now) and has_sound_trees(connection, table))
    except (_LossError, apsw.ConstraintError, *UNREADABLE):
        return False
    return True


def _may_lose(connection: apsw.Connection, table: str) -> bool:
    """Whether a free page may be another's, or an index the last to know of rows whose pages are lost."""
    own = tuple(f"Tree {root} " for (root,) in connection.execute(_ROOTS, (table,)))
    lines = [line for line in misplaced_pages(connection) if not line.startswith(own)]
    is_lost = any(line.startswith("Page ") for line in lines)
    if pragma(connection, "freelist_count") and not all(line.startswith("Page ") for line in lines):
        return True
    return is_lost and has_more_entries_than_rows(connection, table)


def _pages_left(connection: apsw.Connection, table: str) -> int:
    """Return how many pages the indexes of a table have to themselves, which are nobody's afterwards; 0 where that
    cannot be told."""
    with suppress(apsw.SQLError, *UNREADABLE):  # by a library without this table, or for damage of others
        return int(connection.execute(_OWN_PAGES, (table, table)).get)
    return 0


class _LossError(Exception):
    """Something could be read before that cannot be read any more, or nothing is mended."""


def _demand(is_better: bool) -> None:  # noqa: FBT001 - what is demanded
    if not is_better:
        raise _LossError


class _Readable(NamedTuple):
    """What could be read: of each run how much, and by each check what belonged to no run."""

    worths: "dict[RunKey, _Worth]"
    strays: list[tuple[Check, set[str]]]

    @classmethod
    def by(cls, connection: apsw.Connection, *, now: Timestamp) -> Self:
        """Find it out."""
        keys = [RunKey(key) for (key,) in connection.execute(_KEYS)]
        worths = {key: worth for key in keys if (worth := _worth(connection, key, now=now)) is not None}
        strays = [(check, found) for check in ROW_CHECKS if (found := _strays(connection, check)) is not None]
        return cls(worths, strays)

    def is_kept(self, connection: apsw.Connection, *, now: Timestamp) -> bool:
        """Whether all of it can be read by another connection, and no more rows belong to nobody."""
        for key, before in self.worths.items():
            worth = _worth(connection, key, now=now)
            if worth is None or any(left < right for left, right in zip(worth, before, strict=True)):
                return False
        for check, strays in self.strays:
            found = _strays(connection, check)
            if found is None or not found <= strays:
                return False
        return True


_Worth = tuple[int, int, bool]
"""How many events and messages of a run are sound, and whether all of it is, but for its row."""


def _worth(connection: apsw.Connection, key: RunKey, *, now: Timestamp) -> _Worth | None:
    checked = try_run(connection, key, now=now)
    if not isinstance(checked, CheckedRun) or not checked.is_readable:
        return None
    places = [defect.place for defect in checked.defects]
    is_sound = checked.is_sound and set(places) <= {"row"}  # which is repaired by the history
    return checked.state.sequence, checked.messages - places.count("inbox"), is_sound


def _strays(connection: apsw.Connection, check: Check) -> set[str] | None:
    """Return what is found of rows that belong to no run; None if there is something that cannot be read."""
    found = defects_by(check, connection)
    return None if any(defect.place == "file" for defect in found) else {defect.what for defect in found}


def _begin_elsewhere(connection: apsw.Connection, table: str, name: str, where: str) -> None:
    """Give an index the tree of a twin. An index that is UNIQUE has no other entries than one that is not."""
    columns = ", ".join(f'"{column}"' for column in columns_of(connection, name))
    connection.execute(f'CREATE INDEX "{_TWIN}" ON "{table}" ({columns}) {where}')
    pragma(connection, "writable_schema = ON")
    try:
        connection.execute(_TAKE_TREE, (_TWIN, name))
        connection.execute(_FORGET, (_TWIN,))
    finally:
        pragma(connection, "writable_schema = RESET")  # which reads the schema anew, too


_KEYS: Final = "SELECT run_key FROM runs NOT INDEXED"
_TWIN: Final = "twin_of_a_damaged_index"

_ROOTS: Final = "SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?"

# table, table
_OWN_PAGES: Final = """
SELECT count(*) FROM (
    SELECT pageno FROM dbstat WHERE name IN (SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?)
    EXCEPT
    SELECT pageno FROM dbstat WHERE name NOT IN (SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?)
)
"""

# the index that gives its tree, that which takes it
_TAKE_TREE: Final = """
UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND name = ?)
WHERE type = 'index' AND name = ?
"""

# index
_FORGET: Final = "DELETE FROM sqlite_schema WHERE type = 'index' AND name = ?"
