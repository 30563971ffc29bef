"""Which of a table and its indexes is right where they name other rows: whatever else says which rows there were.

Either may be older than the other, as after a write that the disk has lost, and an index may be the last to know of a
row that was acknowledged, or that was removed.
"""

from contextlib import suppress
from typing import Final

import apsw

from perdure.stores.sqlite.faults import UNREADABLE
from perdure.stores.sqlite.verification.tables import columns_of, indexes_of, rows_of

__all__ = ["has_more_entries_than_rows", "names_others"]


def has_more_entries_than_rows(connection: apsw.Connection, table: str) -> bool:
    """Whether an index of a table that can be read has more than the table. Raises apsw's errors for the table."""
    counted = connection.execute(f"SELECT count(*) FROM {rows_of(connection, table)}").get  # noqa: S608 - as above
    for name, where in indexes_of(connection, table):
        rows, entries = counted, f'"{table}" INDEXED BY "{name}" {where}'
        if where:
            rows = connection.execute(f"SELECT count(*) FROM {rows_of(connection, table)} {where}").get  # noqa: S608
        with suppress(*UNREADABLE):
            if connection.execute(f"SELECT count(*) FROM {entries}").get > rows:  # noqa: S608
                return True
    return False


def names_others(connection: apsw.Connection, table: str) -> bool:
    """Whether an index of a table that can be read names rows which the table has not, or lacks some that it has, and
    it is not known which of both is right. Raises apsw's errors for the table.

    Of most rows histories tell which there were, and a verification asks them; so they do of the runs themselves. Of
    messages and entries of the agenda nothing tells but another index that has them.
    """
    if table == "runs":
        return any(_has_lost_runs(connection, name, where) for name, where in indexes_of(connection, table))
    if table not in _WITNESSED_BY_INDEXES:
        return False
    more, fewer, agreeing = _compared(connection, table)
    if "inbox_by_run" in agreeing or not (more or fewer):
        return False
    return bool(more) or "inbox_by_message" not in agreeing or bool(connection.execute(_UNWITNESSED_MESSAGES).get)


def _compared(connection: apsw.Connection, table: str) -> tuple[set[str], set[str], set[str]]:
    """Return which of the indexes that can be read name rows that their table has not, which lack some that it has, and
    which agree with it."""
    more, fewer, readable = set[str](), set[str](), set[str]()
    for name, where in indexes_of(connection, table):
        columns = ", ".join(dict.fromkeys([*columns_of(connection, name), *_WITNESSED_BY_INDEXES[table]]))
        entries = f'SELECT {columns} FROM "{table}" INDEXED BY "{name}" {where}'  # noqa: S608 - names of ours
        rows = f"SELECT {columns} FROM {rows_of(connection, table)} {where}"  # noqa: S608
        if _can_be_read(connection, entries):
            readable.add(name)
            if connection.execute(f"SELECT EXISTS ({entries} EXCEPT {rows})").get:
                more.add(name)
            if connection.execute(f"SELECT EXISTS ({rows} EXCEPT {entries})").get:
                fewer.add(name)
    return more, fewer, readable - more - fewer


def _has_lost_runs(connection: apsw.Connection, name: str, where: str) -> bool:
    """Whether an index names a run that is gone without having been removed: its history is there."""
    entries = f'SELECT run_key FROM runs INDEXED BY "{name}" {where}'  # noqa: S608
    return _can_be_read(connection, entries) and bool(connection.execute(_LOST_RUNS.format(entries=entries)).get)


def _can_be_read(connection: apsw.Connection, entries: str) -> bool:
    with suppress(*UNREADABLE):
        for _ in connection.execute(entries):
            pass
        return True
    return False


_WITNESSED_BY_INDEXES: Final = {"inbox": ("run_key", "position"), "agenda": ("namespace", "kind", "id")}
"""Tables of whose rows only indexes tell which there were, and the columns by which each of these names them, beside
those that it orders them by."""
_UNWITNESSED_MESSAGES: Final = """
SELECT EXISTS (
    SELECT run_key, position FROM inbox NOT INDEXED
    EXCEPT SELECT run_key, position FROM inbox INDEXED BY inbox_by_run
    EXCEPT SELECT run_key, position FROM inbox INDEXED BY inbox_by_message WHERE message_id <> ''
)
"""
_LOST_RUNS: Final = """
SELECT EXISTS (
    SELECT 1 FROM (
        {entries} EXCEPT SELECT run_key FROM runs NOT INDEXED EXCEPT SELECT run_key FROM removals
    ) AS gone
    WHERE EXISTS (SELECT 1 FROM history WHERE history.run_key = gone.run_key)
)
"""
