"""The tables of one database file: is it ours, is it of our time, and the steps that bring it up to date.

Nothing is written into a file before it is known to be empty or Perdure's, and of a version that this library knows.
"""

from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import SchemaTooNewError, SchemaTooOldError, StoreCorruptError
from perdure.kernel.time import Timestamp
from perdure.stores.sql.migrations import Migration, migrations
from perdure.stores.sqlite.connection import APPLICATION_ID, demand_page_size, pragma, use_log

__all__ = ["demand_current_schema", "demand_ours", "is_current", "our_tables", "prepare_schema", "schema_version"]

_RECORD: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL
) STRICT
"""


# as texts: a flipped bit may have made one a blob
_COLUMNS: Final = """
SELECT CAST(tables.name AS TEXT), CAST(columns.name AS TEXT)
FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns WHERE CAST(tables.type AS TEXT) = 'table'
"""


def schema_version(connection: apsw.Connection) -> int:
    """Return the number of the last migration applied, 0 for an empty database."""
    version = pragma(connection, "user_version")
    assert isinstance(version, int)
    return version


def is_current(connection: apsw.Connection) -> bool:
    """Whether the tables are of this library's version, as their number says."""
    return schema_version(connection) == len(migrations())


def prepare_schema(connection: apsw.Connection, *, path: Path, now: Timestamp) -> None:
    """Create or upgrade the tables. The caller holds the locks that keep every other process out of the file.

    Raises StoreCorruptError for another program's file, SchemaTooNewError for a newer Perdure's; both are left as
    they are.
    """
    known, found = migrations(), _known_version(connection, path=path)
    if pragma(connection, "application_id") != APPLICATION_ID:
        # Before the log exists, so that the mark stands in the file itself, where `settling` looks for it.
        pragma(connection, f"application_id = {APPLICATION_ID}")
    demand_page_size(connection)
    use_log(connection)
    _forget_statistics(connection)
    _demand_same_texts(connection, path=path, applied=known[:found])
    _demand_columns(connection, path=path, version=found)
    for migration in known[found:]:
        _apply(connection, migration, now=now)


def demand_current_schema(connection: apsw.Connection, *, path: Path) -> None:
    """Demand that a database can be read as it is, which an upgrade would change.

    Raises SchemaTooOldError, and what `prepare_schema` raises.
    """
    known, found = len(migrations()), _known_version(connection, path=path)
    _demand_columns(connection, path=path, version=found)
    if found < known:
        raise SchemaTooOldError(
            f"the database {path} has schema version {found}; this Perdure reads version {known}. Nothing was changed. "
            f"Open it once with an engine or `perdure doctor` of this version, which upgrade it, or look with the "
            f"Perdure that wrote it."
        )


def _known_version(connection: apsw.Connection, *, path: Path) -> int:
    demand_ours(connection, path=path)
    known, found = len(migrations()), schema_version(connection)
    if found > known:
        raise SchemaTooNewError(
            f"the database {path} has schema version {found}; this Perdure knows versions up to {known}. "
            f"Nothing was changed. Upgrade Perdure, or choose another database."
        )
    return found


def demand_ours(connection: apsw.Connection, *, path: Path) -> None:
    """Raise StoreCorruptError for another program's database; an empty one is nobody's."""
    if pragma(connection, "application_id") == APPLICATION_ID:
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if tables or schema_version(connection):
        raise StoreCorruptError(
            f"{path} is an SQLite database of another program (it holds {tables} tables and indexes and lacks "
            f"Perdure's mark). Nothing was changed. Choose another path for Perdure's database."
        )


def _demand_same_texts(connection: apsw.Connection, *, path: Path, applied: tuple[Migration, ...]) -> None:
    if not applied:
        return
    recorded = list(connection.execute("SELECT number, checksum FROM schema_migrations ORDER BY number"))
    if recorded != [(migration.number, migration.checksum) for migration in applied]:
        raise StoreCorruptError(
            f"the tables of {path} were made by other migrations than those of this Perdure, though they carry the "
            f"same version {len(applied)}. Nothing was changed. Use the Perdure that made it, or restore a backup."
        )


def _demand_columns(connection: apsw.Connection, *, path: Path, version: int) -> None:
    """Raise StoreCorruptError where a table or a column has another name, as by one bit of the text that made it."""
    missing = _columns(version) - _columns_of(connection)
    if missing:
        names = ", ".join(f"{table}.{column}" for table, column in sorted(missing))
        raise StoreCorruptError(
            f"the tables of {path} are not those that Perdure made: there is no {names}. Nothing was changed. Keep a "
            f"copy of it with its -wal, and restore a backup."
        )


@cache
def _columns(version: int) -> frozenset[tuple[str, str]]:
    """Return the columns of all tables, as so many migrations make them."""
    with closing(apsw.Connection(":memory:")) as connection:
        for migration in migrations()[:version]:
            for _ in connection.execute(migration.text):
                pass
        return _columns_of(connection)


@cache
def our_tables() -> frozenset[str]:
    """Return the names of the tables that Perdure makes."""
    return frozenset(table for table, _ in _columns(len(migrations()))) | {"schema_migrations"}


def _columns_of(connection: apsw.Connection) -> frozenset[tuple[str, str]]:
    return frozenset(connection.execute(_COLUMNS))


def _forget_statistics(connection: apsw.Connection) -> None:
    """Drop what an ANALYZE has found: of a database that was nearly empty then, it has every table read whole."""
    found = connection.execute("SELECT name FROM sqlite_schema WHERE name GLOB 'sqlite_stat[14]'")
    for table in [name for (name,) in found]:
        connection.execute(f"DROP TABLE {table}")
        pragma(connection, "writable_schema = RESET")  # reads the schema anew, without the statistics


def _apply(connection: apsw.Connection, migration: Migration, *, now: Timestamp) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_RECORD)
        # Exhausted, since apsw runs a text of several statements lazily.
        for _ in connection.execute(migration.text):
            pass
        connection.execute(
            "INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
            (migration.number, migration.name, migration.checksum, now),
        )
        pragma(connection, f"user_version = {migration.number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
