"""What a database holds, in few bytes: equal if and only if all rows of all tables are."""

import hashlib
from collections.abc import Iterator
from typing import Final

import apsw

__all__ = ["digest_of_contents"]


def digest_of_contents(connection: apsw.Connection) -> bytes:
    """Return a digest of all rows of all tables, SQLite's own included. Raises apsw's errors.

    It must not be compared with that of another schema version, nor of another version of this library.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    tables = [name for (name,) in connection.execute(_TABLES)]
    digest.update(repr(sorted(connection.execute(_SCHEMA), key=repr)).encode())
    for table in tables:
        digest.update(repr(table).encode())
        try:
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - a name that the database gave
                digest.update(repr(row).encode())
        except UnicodeDecodeError:
            for row in _rows_as_bytes(connection, table):
                digest.update(repr(row).encode())
    return digest.digest()


def _rows_as_bytes(connection: apsw.Connection, table: str) -> Iterator[tuple[int | float | str | bytes | None, ...]]:
    """Yield the rows of a table that holds damaged text, which has no value in Python: each value after its type."""
    columns = [str(column[1]) for column in connection.execute(f'PRAGMA table_info("{table}")')]
    value = """typeof("{0}"), iif(typeof("{0}") = 'text', CAST("{0}" AS BLOB), "{0}")"""
    values = ", ".join(value.format(column) for column in columns)
    yield from connection.execute(f'SELECT {values} FROM "{table}"')  # noqa: S608 - as above


# as texts: one that a flipped bit has made a blob is the same to SQLite
_TABLES: Final = "SELECT CAST(name AS TEXT) FROM sqlite_schema WHERE CAST(type AS TEXT) = 'table' ORDER BY 1"
# Without the pages where the trees begin: these may lie anywhere.
_SCHEMA: Final = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema"
_DIGEST_BYTES: Final = 16
