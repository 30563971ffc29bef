"""What of a store belongs to no run that could be named: the file's pages, rows of runs that are gone, the agenda."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final

import apsw

from perdure.kernel.identity import RunKey
from perdure.ports.verification import Defect
from perdure.stores.sql import verification as statements
from perdure.stores.sql.chain import Field, digest_of_entry
from perdure.stores.sql.migrations import migrations
from perdure.stores.sqlite.faults import UNREADABLE
from perdure.stores.sqlite.integrity import faults, misplaced_pages
from perdure.stores.sqlite.verification.runs import told_by_history

__all__ = [
    "ROW_CHECKS",
    "Check",
    "columns_of",
    "defects_by",
    "file_checks",
    "has_sound_trees",
    "indexes_of",
    "lost_runs",
    "rows_of",
    "table_of",
]

Check = Callable[[apsw.Connection], list[Defect]]
Finding = Callable[[apsw.Connection], Iterator[Defect]]

_TABLES: Final = "runs history inbox run_labels locks tasks task_shares agenda message_requests sessions store_meta"
_REBUILDING: Final = (
    "the indexes of the table are built anew, if nothing is lost by that; if all that is not known is which of table "
    "and index is the older one, with --accept-older-tables"
)
_NUMBERS: Final = {
    "last_worker_id": "the count of sessions",
    "identity": "the database's identity",
    "history_without_digests": "which events may have no digest",
    "inbox_without_digests": "which messages may have no digest",
}
# as texts: one that a flipped bit has made a blob is the same name to SQLite
_TABLE_NAMES: Final = "SELECT CAST(name AS TEXT) FROM sqlite_schema WHERE CAST(type AS TEXT) = 'table' ORDER BY 1"
_INDEX_NAMES: Final = """
SELECT CAST(name AS TEXT), CAST(coalesce(sql, '') AS TEXT) FROM sqlite_schema
WHERE CAST(type AS TEXT) = 'index' AND CAST(tbl_name AS TEXT) = ?
"""
_IN_BLOBS: Final = "SELECT CAST(name AS TEXT) FROM sqlite_schema WHERE typeof(type) != 'text'"
_IS_WITHOUT_ROWID: Final = "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?"
_ROOTS_OF_INDEXES: Final = "SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?"
_INDEX_COLUMNS: Final = "SELECT name FROM pragma_index_info(?) ORDER BY seqno"
_MOST: Final = 100
"""So many findings of a kind are told."""


def file_checks(connection: apsw.Connection) -> list[Check]:
    """Return what is to be looked at of the file, each a reading of its own; SQLite's own check one for each table."""
    tables = [name for (name,) in connection.execute(_TABLE_NAMES)]
    of_tables: list[Finding] = [partial(_pages, table=table) for table in tables]
    return [_listed(check) for check in (_schema, *of_tables, _roots, _partial_indexes, _misplaced_pages)]


def _pages(connection: apsw.Connection, *, table: str) -> Iterator[Defect]:
    """Have SQLite check the trees of a table and its indexes."""
    trees = tuple(f"Tree {root} " for (root,) in connection.execute(_ROOTS_OF_INDEXES, (table,)))
    lines, ended_by = _lines_of_check(connection, table)
    for line in lines:
        is_of_index = "from index" in line or "in index" in line or line.startswith(trees)
        yield Defect(place="file", what=f"{table}: {line}", repair=_REBUILDING if is_of_index else "")
    if ended_by:
        of_trees = [line for line in lines if line.startswith("Tree ")]
        are_of_indexes = bool(of_trees) and all(line.startswith(trees) for line in of_trees)
        yield Defect(place="file", what=f"{table}: {ended_by}", repair=_REBUILDING if are_of_indexes else "")


def _lines_of_check(connection: apsw.Connection, table: str) -> tuple[list[str], str]:
    """Return what SQLite's check says, and the error that ended it, which must not hide what was found before."""
    lines: list[str] = []
    try:
        for line in faults(connection, table=table):
            lines.append(line)  # noqa: PERF402 - what was found before an error stays
    except UNREADABLE as error:
        return lines, str(error)
    return lines, ""


def _roots(connection: apsw.Connection) -> Iterator[Defect]:
    """Look where each tree begins: an empty page of another kind passes SQLite's own check, and no write."""
    for table in _TABLES.split():
        yield from _roots_of(connection, table=table)


def _roots_of(connection: apsw.Connection, *, table: str) -> Iterator[Defect]:
    for name, query in list(_first_rows(connection, table)):
        try:
            list(connection.execute(query))
        except UNREADABLE as error:
            repair = _REBUILDING if name != table else ""
            yield Defect(place="file", what=f"{table}: {name} does not begin as it must: {error}", repair=repair)


def _first_rows(connection: apsw.Connection, table: str) -> Iterator[tuple[str, str]]:
    """Yield the trees of a table, each with a query that reads it where it begins."""
    yield table, f"SELECT 1 FROM {rows_of(connection, table)} LIMIT 1"  # noqa: S608 - names of ours
    for name, where in indexes_of(connection, table):
        column = connection.execute(f'SELECT name FROM pragma_index_info("{name}") WHERE seqno = 0').get  # noqa: S608
        query = f'SELECT 1 FROM "{table}" INDEXED BY "{name}" {where} ORDER BY "{column}" LIMIT 1'  # noqa: S608
        yield name, query


def rows_of(connection: apsw.Connection, table: str) -> str:
    """Return how a statement names a table that is to read its rows themselves. A table WITHOUT ROWID lies in an index
    of its own, and without a word SQLite takes any other that has what is asked for."""
    is_an_index = connection.execute(_IS_WITHOUT_ROWID, (table,)).get
    return f'"{table}" INDEXED BY "sqlite_autoindex_{table}_1"' if is_an_index else f'"{table}" NOT INDEXED'


def indexes_of(connection: apsw.Connection, table: str) -> list[tuple[str, str]]:
    """Return the indexes of a table, each with the condition of the rows that it holds, if not all."""
    found = [(name, text.partition("WHERE")) for name, text in connection.execute(_INDEX_NAMES, (table,))]
    return [(name, f"{word}{condition}") for name, (_, word, condition) in found]


def columns_of(connection: apsw.Connection, index: str) -> list[str]:
    """Return the columns of an index, in its order."""
    return [column for (column,) in connection.execute(_INDEX_COLUMNS, (index,))]


def _partial_indexes(connection: apsw.Connection) -> Iterator[Defect]:
    """Count what is in those indexes that do not hold all rows: SQLite's own check finds what they lack, not more."""
    for table in _TABLES.split():
        yield from _partial_indexes_of(connection, table=table)


def _partial_indexes_of(connection: apsw.Connection, *, table: str) -> Iterator[Defect]:
    for name, where in indexes_of(connection, table):
        if where:
            with suppress(*UNREADABLE):  # which `_pages` tells
                indexed, counted = _counts(connection, table, name, where)
                if indexed != counted:
                    what = f"{table}: {name} has {indexed} entries for {counted} rows"
                    yield Defect(place="file", what=what, repair=_REBUILDING)


def _counts(connection: apsw.Connection, table: str, name: str, where: str) -> tuple[int, int]:
    """Return how many entries an index has, and how many rows are to be in it, at one moment."""
    counts = (
        f'SELECT (SELECT count(*) FROM "{table}" INDEXED BY "{name}" {where}), '  # noqa: S608
        f"(SELECT count(*) FROM {rows_of(connection, table)} {where})"
    )
    [(indexed, counted)] = connection.execute(counts)
    return indexed, counted


def _misplaced_pages(connection: apsw.Connection) -> Iterator[Defect]:
    for line in islice(misplaced_pages(connection), _MOST):
        yield Defect(place="file", what=line)


def _schema(connection: apsw.Connection) -> Iterator[Defect]:
    steps = "SELECT number, CAST(checksum AS BLOB) FROM schema_migrations ORDER BY number"
    applied = list(connection.execute(steps))
    known = [(migration.number, migration.checksum.encode()) for migration in migrations()]
    if applied != known:
        yield Defect(place="file", what="schema_migrations does not say by which steps these tables were made")
    for (name,) in connection.execute(_IN_BLOBS):  # VACUUM would leave it out, with its rows
        yield Defect(place="file", what=f"the schema says in no text whether {name} is a table or an index")


def _sessions(connection: apsw.Connection) -> Iterator[Defect]:
    """Check the numbers that the store keeps of itself."""
    numbers = dict(connection.execute(statements.STORE_NUMBERS))
    for name, meaning in _NUMBERS.items():
        if name not in numbers:
            yield Defect(place="counters", what=f"{meaning} is lost")
    highest = connection.execute(statements.HIGHEST_SESSION).get
    if numbers.get("last_worker_id", highest) < highest:
        what = f"the count of sessions is behind session {highest}: run keys would be given twice"
        yield Defect(place="counters", what=what)


def defects_by(check: Check, connection: apsw.Connection) -> list[Defect]:
    """Return what a check finds; what keeps it from looking is damage, too."""
    try:
        return check(connection)
    except UNREADABLE as error:
        what = str(error)
    except apsw.Error:
        raise
    except Exception as error:  # noqa: BLE001 - no row is of a form that may keep others from being verified
        what = f"there are rows that no Perdure wrote: {error!r}"
    return [Defect(place="file", what=what)]


def table_of(defect: Defect) -> str:
    """Return the table whose tree or index a defect of the file is about."""
    return defect.what.partition(":")[0]


def has_sound_trees(connection: apsw.Connection, table: str) -> bool:
    """Whether nothing is found in the trees of a table and its indexes. Trees of others are not read: whoever writes
    and meets damage in one cannot commit."""
    return not any(list(check(connection, table=table)) for check in (_pages, _roots_of, _partial_indexes_of))


def lost_runs(connection: apsw.Connection, *, most: int | None = None) -> Iterator[tuple[RunKey, str]]:
    """Yield the keys of runs that are gone without having been removed, and what is to be told of each; `most`: of how
    many by each table that has rows of them."""
    for table, statement in statements.ORPHANS.items():
        for (run_key,) in islice(connection.execute(statement), most):
            told = f": {told_by_history(connection, run_key)}" if table == "history" else ""
            yield RunKey(run_key), f"{table} has rows of the run key {run_key}, and there is no such run{told}"


def _orphans(connection: apsw.Connection) -> Iterator[Defect]:
    for _, what in lost_runs(connection, most=_MOST):
        yield Defect(place="row", what=what)


def _requests(connection: apsw.Connection) -> Iterator[Defect]:
    for row in islice(connection.execute(statements.STRAY_REQUESTS), _MOST):
        namespace, run_id, request_id = map(_decoded, row)
        what = f"the request {request_id!r} to {namespace!s}/{run_id!s} names a run that is none of that id"
        yield Defect(place="requests", what=what)


def _agenda(connection: apsw.Connection) -> Iterator[Defect]:
    for *columns, digest in connection.execute(statements.AGENDA):
        texts = [_decoded(value) for value in columns]
        if digest is not None and digest != digest_of_entry(texts):
            namespace, kind, name = texts[:3]
            what = f"the {kind!s} {name!s} of {namespace!s} is not what was written: its digest differs"
            yield Defect(place="agenda", what=what)


def _counters(connection: apsw.Connection) -> Iterator[Defect]:
    for name, is_behind in connection.execute(statements.COUNTERS):
        if is_behind:
            what = f"the counter of {name} is behind its rows: positions would be given twice"
            yield Defect(place="counters", what=what, repair="it is set to the last position")


def _decoded(value: Field) -> Field:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _listed(check: Finding) -> Check:
    return lambda connection: list(check(connection))


ROW_CHECKS: Final = tuple(map(_listed, (_sessions, _orphans, _requests, _agenda, _counters)))
"""Functions of a connection that return what they found."""
