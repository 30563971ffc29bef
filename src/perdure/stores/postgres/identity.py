"""Which database it is: what a connection of a caller's, or of his pool, must be to."""

from typing import Final, NamedTuple

from perdure.stores.postgres.callers import CallersConnection
from perdure.stores.postgres.connection import Connection

__all__ = ["Identity", "identity_of", "is_of"]


class Identity(NamedTuple):
    """The server's number of the database, and when Perdure's tables were made in it."""

    database: int
    made_at: int


async def identity_of(connection: Connection) -> Identity:
    """Return the identity of the database of one of the store's own connections."""
    row = await connection.fetchrow(f"SELECT {_DATABASE}, applied_at FROM schema_migrations {_FIRST}")  # noqa: S608
    assert row is not None  # the tables were made before
    return Identity(*row)


async def is_of(connection: CallersConnection, identity: Identity, *, schema: str) -> bool:
    """Whether a connection is to a database: that holds for whatever its transaction sees. Raises the driver's errors
    where the tables are not there."""
    rows = await connection.fetch(
        f'SELECT {_DATABASE} AS database, applied_at FROM "{schema}".schema_migrations {_FIRST}'  # noqa: S608
    )
    return [tuple(row.values()) for row in rows] == [tuple(identity)]


_DATABASE: Final = "(SELECT oid::bigint FROM pg_database WHERE datname = current_database())"
_FIRST: Final = "WHERE number = 1"
