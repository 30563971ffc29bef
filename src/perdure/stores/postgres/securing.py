"""What `perdure row-security` does to a database: see `perdure.stores.postgres.row_security`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from msgspec import structs

from perdure.errors import UsageError
from perdure.kernel.time import Timestamp
from perdure.stores.postgres.connection import Connection, connect_for_session, driver_errors, end
from perdure.stores.postgres.faults import is_contention, store_error
from perdure.stores.postgres.opening import demand_suitable, reached
from perdure.stores.postgres.row_security import (
    NAMES_OF_THE_SERVER,
    Binding,
    RowSecurity,
    forgotten_roles,
    is_there,
    read_row_security,
    refusing_statement,
    securing_statements,
)
from perdure.stores.postgres.schema import prepare_schema
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.urls import ServerUrl, location_of, read_url

__all__ = ["look_at_rows", "secure_rows", "securing_script"]


def securing_script(url: str, *, binding: Binding | None, forced: bool | None) -> str:
    """Return what `secure_rows` would run, for psql. Raises UsageError."""
    schema = _read(url).settings.schema
    statements = securing_statements(schema=schema, binding=binding, forced=forced)
    if binding is not None:
        statements.append(refusing_statement(schema=schema, role=binding.role))
    return "\n".join(["BEGIN;", *statements, "COMMIT;"])


async def secure_rows(url: str, *, binding: Binding | None, forced: bool | None, now: Timestamp) -> RowSecurity:
    """Secure the rows of a database, whose tables are made or upgraded first, and bind a role; return how it stands.

    It is done in one transaction, which locks all tables before anything else: it waits for whoever uses one as long as
    the URL's settings say, and engines wait for it. There is no order of tables that all of their transactions keep to,
    so that the server may have to end one of the two: an engine's is made again, and so is this one, for some times.
    Raises UsageError and StoreErrors.
    """
    schema, location = _read(url).settings.schema, location_of(url)
    async with _connected(url) as connection:
        await demand_suitable(connection, schema=schema, location=location)
        await prepare_schema(connection, schema=schema, location=location, now=now)
        for _ in range(_MOST_ATTEMPTS - 1):
            try:
                return await _secure(connection, schema=schema, binding=binding, forced=forced)
            except driver_errors() as error:
                if not is_contention(error):
                    raise
        return await _secure(connection, schema=schema, binding=binding, forced=forced)


_MOST_ATTEMPTS: Final = 5


async def _secure(connection: Connection, *, schema: str, binding: Binding | None, forced: bool | None) -> RowSecurity:
    async with connection.transaction():
        statements = securing_statements(schema=schema, binding=binding, forced=forced)
        if binding is not None and binding.namespaces and not await is_there(connection, role=binding.role):
            raise UsageError(f"the server has no role {binding.role!r}; create it first. Nothing was changed.")
        forgotten = await forgotten_roles(connection, schema=schema)
        await connection.execute("\n".join(statements))
        stands = await read_row_security(connection, schema=schema)
        reason = None if binding is None else stands.unbound.get(binding.role)
        if binding is not None and reason is not None:
            raise UsageError(
                f"the role {binding.role!r} cannot be bound to namespaces: {reason}. Nothing was changed. Name a role "
                f"that is not, or take that from it first."
            )
    named = None if binding is None else binding.role
    return structs.replace(stands, forgotten=tuple(role for role in forgotten if role != named))


async def look_at_rows(url: str) -> RowSecurity:
    """Return how it stands. Raises UsageError and StoreErrors."""
    async with _connected(url) as connection, connection.transaction():
        await connection.execute(NAMES_OF_THE_SERVER)
        return await read_row_security(connection, schema=_read(url).settings.schema)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connection]:
    read = _read(url)
    try:
        connection = await reached(connect_for_session(read.for_driver, read.settings))
        try:
            yield connection
        finally:
            await end(connection)
    except driver_errors() as error:
        raise store_error(error, location=location_of(url), doing="securing rows") from error


def _read(url: str) -> ServerUrl:
    return read_url(url, PostgresSettings())
