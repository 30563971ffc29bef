"""The tables in a schema of a PostgreSQL database: are they ours, are they of our time, and the steps to today's.

All of it happens in one transaction, under a lock that every Perdure takes which opens the database: so old and new
libraries may open it at once, and a step that fails leaves nothing of itself. Who comes while another one upgrades the
tables waits for as long as that may take, and says so.

**Engines at work** are upgraded under: whoever is open looks at no version again. A migration that only expands (adds
tables, columns that have a default or may be NULL, indexes) says in its text which version a library must know to work
on its tables; such libraries go on, and begin anew, beside the newer one. One that takes something away, or gives it
another meaning, says nothing: it comes a version after the code has ceased to use that (contract), and refuses
libraries that do not know it. `docs/how-to/upgrading.md` says what an operator sees of this.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Final

from perdure.errors import SchemaTooNewError, StoreCorruptError, StoreUnavailableError
from perdure.kernel.time import Timestamp
from perdure.logs import logger_named
from perdure.stores.postgres import row_security
from perdure.stores.postgres.connection import Connection, driver_errors, milliseconds
from perdure.stores.postgres.faults import is_contention
from perdure.stores.sql.migrations import Migration, read_migrations

__all__ = ["migrations", "oldest_library", "prepare_schema"]

_LOGGER: Final = logger_named("perdure.store")

_FOLDER: Final = Path(__file__).with_name("migrations")


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all steps in order."""
    return read_migrations(_FOLDER)


async def prepare_schema(connection: Connection, *, schema: str, location: str, now: Timestamp) -> None:
    """Create or upgrade the tables.

    Raises StoreCorruptError for tables of another program, SchemaTooNewError for a newer Perdure's that this one cannot
    use; both are left as they are. Raises UsageError for a role that may not use all of them. Where the server ends it,
    as the one of two that are in each other's way, it is done once more.
    """
    for attempt in range(1, _MOST_ATTEMPTS + 1):
        try:
            await _prepare(connection, schema=schema, location=location, now=now)
            break
        except driver_errors() as error:
            if attempt == _MOST_ATTEMPTS or not is_contention(error):
                raise
    await row_security.demand_rights(connection, schema=schema, location=location)


async def _prepare(connection: Connection, *, schema: str, location: str, now: Timestamp) -> None:
    async with _turn(connection, location=location):
        if not await connection.fetchval(_IS_THERE, schema):  # or the role would need the right to make one
            await connection.execute(f'CREATE SCHEMA "{schema}"')
        applied = await _applied(connection, schema=schema, location=location)
        known = migrations()
        common = min(len(applied), len(known))
        if applied[:common] != [(migration.number, migration.checksum) for migration in known[:common]]:
            raise StoreCorruptError(
                f"the tables of {location} were made by other migrations than those of this Perdure. Nothing was "
                f"changed. Use the Perdure that made them, or restore a backup."
            )
        if len(applied) > len(known):
            await _demand_expanded(connection, len(applied), location=location)
        elif len(applied) < len(known):
            await _migrate(connection, known[common:], schema=schema, now=now)


@asynccontextmanager
async def _turn(connection: Connection, *, location: str) -> AsyncIterator[None]:
    """Give a transaction during which nobody else is at this; wait for it with the patience that an upgrade needs.

    Each try is a short transaction of its own: a server that has gone without a word is noticed as by any question, and
    no snapshot keeps dead rows in place meanwhile.
    """
    telling = asyncio.get_running_loop().call_later(_TOLD_AFTER_SECONDS, _LOGGER.warning, _WAITING, location)
    try:
        for pause_seconds in _pauses():
            async with connection.transaction():
                if await connection.fetchval(_TRY_TURN):
                    telling.cancel()
                    yield
                    return
            await asyncio.sleep(pause_seconds)
    finally:
        telling.cancel()
    raise StoreUnavailableError(
        f"the tables of {location} have been upgraded by another process for an hour, and it is not done. Nothing was "
        f"changed. See in pg_stat_activity what it does, and open the database again."
    )


def _pauses() -> Iterator[float]:
    """Yield the pauses after tries, in seconds, as many as an upgrade may take."""
    waited, pause = 0.0, _FIRST_PAUSE_SECONDS
    while waited < _UPGRADE_SECONDS:
        yield pause
        waited += pause
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


async def _demand_expanded(connection: Connection, version: int, *, location: str) -> None:
    """Raise SchemaTooNewError where newer migrations have changed what this library uses."""
    known = len(migrations())
    oldest = await connection.fetchval(_OLDEST_LIBRARY)
    if oldest is None or oldest > known:
        raise SchemaTooNewError(
            f"the database {location} has schema version {version}; this Perdure knows versions up to {known}. Nothing "
            f"was changed. Upgrade Perdure, or choose another database."
        )
    _LOGGER.info(
        "the database %s has schema version %s, which this Perdure does not know and can use", location, version
    )


async def _migrate(connection: Connection, missing: Sequence[Migration], *, schema: str, now: Timestamp) -> None:
    await connection.execute(f"{_DEMAND_ALL_ROWS}; SET LOCAL statement_timeout = {milliseconds(_UPGRADE_SECONDS)}")
    is_secured = await row_security.is_on(connection, schema=schema)
    if is_secured:
        await row_security.lock_all(connection, schema=schema)
    for migration in missing:
        await connection.execute(migration.text, timeout=_UPGRADE_SECONDS)
        await connection.execute(_RECORD, migration.number, migration.name, migration.checksum, now)
        await connection.execute(_NOTE_OLDEST_LIBRARY, oldest_library(migration))
    if is_secured:
        await row_security.secure_again(connection, schema=schema)


def oldest_library(migration: Migration) -> int:
    """Return the schema version that a library must know to go on, and to begin, on tables that a migration has made.

    It says so in its text if that is an older one than its own: it only adds, and what it adds has a default.
    """
    said = _EXPANDS.search(migration.text)
    return int(said["version"]) if said else migration.number


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


_EXPANDS: Final = re.compile(r"^-- Libraries go on that know version (?P<version>\d+)\.$", re.MULTILINE)
"""What a migration says that only expands."""

_MOST_ATTEMPTS: Final = 5
_TOLD_AFTER_SECONDS: Final = 1.0
_FIRST_PAUSE_SECONDS: Final = 0.01
_LONGEST_PAUSE_SECONDS: Final = 1.0
_UPGRADE_SECONDS: Final = 3_600.0
"""So long a migration may take: an index of a large table takes minutes, and one that is given up never comes."""

_WAITING: Final = (
    "the tables of %s are being upgraded by another process, as it seems: it has opened the database a while ago, and "
    "is not done; this one waits until it is"
)

# by the letters of the name, so that no other program takes it
_TURN: Final = int.from_bytes(b"perdure", "big")
_TRY_TURN: Final = f"SELECT pg_try_advisory_xact_lock({_TURN})"

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

_OLDEST_LIBRARY: Final = "SELECT value FROM store_meta WHERE name = 'oldest_library'"

# schema version
_NOTE_OLDEST_LIBRARY: Final = """
INSERT INTO store_meta (name, value) VALUES ('oldest_library', $1)
ON CONFLICT (name) DO UPDATE SET value = greatest(store_meta.value, excluded.value)
"""
