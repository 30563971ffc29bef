"""Whether a server that was reached can be used, asked when a store is opened: each error says what to change."""

from collections.abc import Awaitable
from typing import Final, TypeVar

from perdure.errors import StoreVersionError, UsageError
from perdure.redaction import redacted
from perdure.stores.postgres.connection import Connection, connect, driver_errors, end
from perdure.stores.postgres.faults import is_unknown_table
from perdure.stores.postgres.identity import Identity, identity_of
from perdure.stores.postgres.settings import PostgresSettings

__all__ = ["demand_same_database", "demand_suitable", "has_tables", "reached"]

Reached = TypeVar("Reached")


async def reached(connecting: Awaitable[Reached]) -> Reached:
    """Await a first connection. Raises UsageError where the URL has the fault, and `driver_errors`."""
    errors: tuple[type[Exception], ...] = (ValueError, *driver_errors())
    try:
        return await connecting
    except errors as error:
        advice = _advice(error)
        if not advice:
            raise
        said = redacted(str(error)).partition("\n")[0]
        raise UsageError(f"the URL of the PostgreSQL server cannot be used: {said}. {advice}") from error


def _advice(error: Exception) -> str:
    """Return what to do about an error that the URL has caused; empty for others."""
    if isinstance(error, ValueError) and not isinstance(error, OSError):  # as a certificate that is refused is
        return "Mend what it says there"
    return _ADVICE.get(getattr(error, "sqlstate", None) or "", "")


async def demand_suitable(connection: Connection, *, schema: str, location: str) -> None:
    """Raise UsageError and StoreVersionError for a server or database in which the store cannot do what it promises."""
    row = await connection.fetchrow(_FACTS)
    assert row is not None
    if row["version"] < _OLDEST_VERSION:
        raise StoreVersionError(
            f"the server of {location} is PostgreSQL {row['version_shown']}; Perdure needs "
            f"{_OLDEST_VERSION // 10_000} or newer"
        )
    if row["path"] != f'"{schema}"':
        raise UsageError(f"what is at {location} ignores the settings of a connection, as PgBouncer may. {_NO_POOLER}")
    if row["encoding"] != "UTF8":
        raise UsageError(
            f"the database {location} has the encoding {row['encoding']}, which lacks characters; "
            f"make one with `CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0`"
        )


async def demand_same_database(url: str, settings: PostgresSettings, identity: Identity) -> None:
    """Raise UsageError where a pooler leads to another database than the address of the server itself."""
    connection = await reached(connect(url, settings))
    try:
        found = await identity_of(connection)
    except driver_errors() as error:
        if not is_unknown_table(error):
            raise
        found = None
    finally:
        await end(connection)
    if found != identity:
        raise UsageError(
            "session_host= leads to another database than the URL, which is a pooler's: name the server that is behind "
            "the pooler, and the database by the name that it has there"
        )


async def has_tables(connection: Connection, *, schema: str) -> bool:
    """Whether a Perdure has made its tables in a schema."""
    are_there: bool = await connection.fetchval(_ARE_THERE, schema)
    return are_there


_OLDEST_VERSION: Final = 150_000

_NO_POOLER: Final = """\
A store listens, and shows by a lock of a session that it lives, which no pooler in transaction mode lets it. Say \
session_host=HOST:PORT, the server itself, in the query, or give the address of the server itself"""
_MEND_QUERY: Final = (
    "What the query says and Perdure and the driver do not know is set on the server: leave it out, or mend it"
)

_ADVICE: Final = {"42704": _MEND_QUERY, "22023": _MEND_QUERY, "08P01": _NO_POOLER}
"""Code of an error of a server on connecting -> what to do."""

# schema
_ARE_THERE: Final = """
SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'schema_migrations')
"""

_FACTS: Final = """
SELECT current_setting('server_version_num')::integer AS version, current_setting('server_version') AS version_shown,
    current_setting('search_path') AS path, current_setting('server_encoding') AS encoding
"""
