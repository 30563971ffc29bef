"""The tables in a schema of a PostgreSQL database: are they ours, are they of our time, and the steps to today's.

All of it happens in one transaction, under a lock that every Perdure takes which opens the database: so old and new
libraries may open it at once, and a step that fails leaves nothing of itself.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from perdure.errors import SchemaTooNewError, StoreCorruptError
from perdure.kernel.time import Timestamp
from perdure.stores.postgres import row_security
from perdure.stores.postgres.connection import Connection
from perdure.stores.sql.migrations import Migration, read_migrations

__all__ = ["migrations", "prepare_schema"]

_FOLDER: Final = Path(__file__).with_name("migrations")


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all steps in order."""
    return read_migrations(_FOLDER)


async def prepare_schema(connection: Connection, *, schema: str, location: str, now: Timestamp) -> None:
    """Create or upgrade the tables.

    Raises StoreCorruptError for tables of another program, SchemaTooNewError for a newer Perdure's; both are left as
    they are.
    """
    async with connection.transaction():
        await connection.execute(_TAKE_TURN)
        if not await connection.fetchval(_IS_THERE, schema):  # or the role would need the right to make one
            await connection.execute(f'CREATE SCHEMA "{schema}"')
        applied = await _applied(connection, schema=schema, location=location)
        known = migrations()
        if len(applied) > len(known):
            raise SchemaTooNewError(
                f"the database {location} has schema version {len(applied)}; this Perdure knows versions up to "
                f"{len(known)}. Nothing was changed. Upgrade Perdure, or choose another database."
            )
        if applied != [(migration.number, migration.checksum) for migration in known[: len(applied)]]:
            raise StoreCorruptError(
                f"the tables of {location} were made by other migrations than those of this Perdure. Nothing was "
                f"changed. Use the Perdure that made them, or restore a backup."
            )
        missing = known[len(applied) :]
        if missing:
            await _migrate(connection, missing, schema=schema, now=now)


async def _migrate(connection: Connection, missing: Sequence[Migration], *, schema: str, now: Timestamp) -> None:
    await connection.execute(_DEMAND_ALL_ROWS)
    for migration in missing:
        await connection.execute(migration.text)
        await connection.execute(_RECORD, migration.number, migration.name, migration.checksum, now)
    if await row_security.is_on(connection, schema=schema):
        await row_security.secure_again(connection, schema=schema)


async def _applied(connection: Connection, *, schema: str, location: str) -> list[tuple[int, str]]:
    """Return number and checksum of each step that was applied; make the table that says so in an empty schema."""
    tables = {row["name"] for row in await connection.fetch(_TABLES, schema)}
    if not tables:
        await connection.execute(_MAKE_RECORD)
    elif "schema_migrations" not in tables:
        raise StoreCorruptError(
            f"the schema {schema!r} of {location} has tables of another program ({', '.join(sorted(tables)[:5])}). "
            f"Nothing was changed. Choose another schema or database for Perdure."
        )
    return [(row["number"], row["checksum"]) for row in await connection.fetch(_APPLIED)]


# by the letters of the name, so that no other program takes it
_TAKE_TURN: Final = f"SELECT pg_advisory_xact_lock({int.from_bytes(b'perdure', 'big')})"

# Rows that policies hide from who upgrades are an error: they would be left as they were.
_DEMAND_ALL_ROWS: Final = "SET LOCAL row_security = off"

# schema
_IS_THERE: Final = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"
_TABLES: Final = "SELECT tablename AS name FROM pg_tables WHERE schemaname = $1"

_MAKE_RECORD: Final = """
CREATE TABLE schema_migrations (
    number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at bigint NOT NULL
)
"""
_APPLIED: Final = "SELECT number, checksum FROM schema_migrations ORDER BY number"

# number, name, checksum, applied_at
_RECORD: Final = "INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)"
