"""What a database holds, as far as damage to it must show: read past the store, by SQLite alone."""

from contextlib import closing
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from perdure.kernel.identity import RunKey

__all__ = ["Contents", "Rows", "contents_of"]

Rows = frozenset[tuple[Any, ...]]


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """Rows by table, the keys of the runs by their ids, the texts by which the tables were made, and the file's mark.

    Not what is of the moment, such as who owns a run, nor the ids of requests: another one shows nowhere.
    """

    rows: dict[str, Rows]
    keys: dict[str, RunKey]
    schema: frozenset[bytes] = frozenset()
    mark: int = 0

    def is_of_the_kind_of(self, original: "Contents") -> bool:
        """Whether it has the mark of Perdure's databases, and the same tables."""
        return (self.mark, self.schema) == (original.mark, original.schema)

    def unlike(self, original: "Contents") -> list[str]:
        """Return the tables in which something is not as it was, and must be noticed.

        A message, an entry or a request that is gone as a whole leaves no trace.
        """
        found = []
        for table, rows in self.rows.items():
            before = original.rows[table]
            if rows != before if table not in _MAY_LACK_ROWS else not rows <= before:
                found.append(table)
        return found

    def of_run(self, run_key: RunKey) -> dict[str, Rows]:
        """Return the rows of one run."""
        return {
            table: frozenset(row for row in rows if row[0] == run_key)
            for table, rows in self.rows.items()
            if table not in _OF_NO_RUN
        }


def contents_of(path: Path) -> Contents:
    """Return what a file holds. Raises apsw's errors."""
    with closing(apsw.Connection(str(path))) as connection:
        rows = {table: frozenset(connection.execute(query)) for table, query in _QUERIES.items()}
        keys = {str(run_id): RunKey(key) for key, run_id in connection.execute(_KEYS)}
        schema = frozenset(sql for (sql,) in connection.execute(_SCHEMA))
        mark = connection.execute("PRAGMA application_id").get
    return Contents(rows=rows, keys=keys, schema=schema, mark=mark)


def _query(table: str, numbers: str, texts: str) -> str:
    columns = [numbers, *(f"CAST({text} AS BLOB)" for text in texts.split())]
    return f"SELECT {', '.join(columns)} FROM {table} NOT INDEXED"  # noqa: S608 - the texts below


_QUERIES: Final = {
    "history": _query("history", "run_key, sequence, version, at", "type data"),
    "runs": _query(
        "runs",
        "run_key, generation, latest, progress, priority, parent_key, created_at, started_at, updated_at, closed_at, "
        "sequence",
        "namespace id workflow definition_version status stage tenant",
    ),
    "run_labels": _query("run_labels", "run_key, created_at", "name value namespace").replace("NOT INDEXED", ""),
    "inbox": _query("inbox", "run_key, at", "message_id data"),
    "locks": _query("locks", "run_key, operation, most, granted_at IS NULL", "namespace key"),
    "tasks": _query(
        "tasks",
        "run_key, operation, attempt, priority, queued_at, digest",
        "namespace queue activity data labels share",
    ),
    "agenda": _query("agenda", "version, due_at, waits", "namespace kind id data inputs").replace("NOT INDEXED", ""),
    "message_requests": _query("message_requests", "run_key", "namespace id").replace("NOT INDEXED", ""),
}
_KEYS: Final = "SELECT run_key, id FROM runs NOT INDEXED"
_SCHEMA: Final = "SELECT CAST(sql AS BLOB) FROM sqlite_schema WHERE sql IS NOT NULL"
_MAY_LACK_ROWS: Final = frozenset({"inbox", "agenda", "message_requests"})
_OF_NO_RUN: Final = frozenset({"agenda"})
