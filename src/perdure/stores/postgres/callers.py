"""Connections of callers, asyncpg's or psycopg's, as the store's own functions want them.

Texts are escaped and unescaped here: the store's connections have a codec for that, and a caller's are left as they
are. What has nothing to escape, as JSON has not, stays as it is.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Protocol

from perdure.errors import UsageError
from perdure.stores.callers import driver_connection, is_of
from perdure.stores.postgres.names import escaped, unescaped

__all__ = ["CallersConnection", "callers_connection"]

Row = Mapping[str, Any]
# Any in this file: parameters and columns of all types, and connections of drivers that may not be installed.


class CallersConnection(Protocol):
    """What of a connection the store's functions use."""

    @property
    def key(self) -> int:
        """The same for all that are one connection."""
        ...

    async def fetch(self, statement: str, *parameters: object) -> Sequence[Row]:
        """Execute a statement; return its rows."""
        ...

    async def fetchrow(self, statement: str, *parameters: object) -> Row | None:
        """Execute a statement; return its first row, None if it has none."""
        ...

    async def execute(self, statement: str, *parameters: object) -> object:
        """Execute a statement."""
        ...


async def callers_connection(given: object) -> CallersConnection:
    """Return a connection of a caller's, on which a transaction is open. Raises UsageError for what is none."""
    connection = await driver_connection(given)
    if is_of(connection, "asyncpg") and hasattr(connection, "is_in_transaction"):
        if connection.is_closed() or not connection.is_in_transaction():
            raise UsageError(_NO_TRANSACTION.format(how="`async with connection.transaction():`"))
        return _OfAsyncpg(connection)
    if is_of(connection, "psycopg") and hasattr(connection, "pgconn"):
        if connection.autocommit and not connection.info.transaction_status:
            raise UsageError(_NO_TRANSACTION.format(how="`with connection.transaction():`"))
        if connection.pgconn.pipeline_status:
            raise UsageError("within=: the connection is in pipeline mode, where answers come later; leave that first")
        return _OfPsycopg(connection)
    raise UsageError(
        f"within={connection!r:.80}: no connection to PostgreSQL; take one of asyncpg or psycopg, or a connection or "
        f"session of SQLAlchemy over one of these"
    )


class _Adapter(ABC):
    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - see above
        self._connection: Final[Any] = connection

    @property
    def key(self) -> int:
        return id(self._connection)

    async def fetch(self, statement: str, *parameters: object) -> Sequence[Row]:
        rows = await self._fetch(statement, [_sent(parameter) for parameter in parameters])
        return [{name: _received(value) for name, value in row.items()} for row in rows]

    async def fetchrow(self, statement: str, *parameters: object) -> Row | None:
        return next(iter(await self.fetch(statement, *parameters)), None)

    async def execute(self, statement: str, *parameters: object) -> None:
        await self.fetch(statement, *parameters)

    @abstractmethod
    async def _fetch(self, statement: str, parameters: list[object]) -> Sequence[Row]: ...


class _OfAsyncpg(_Adapter):
    async def _fetch(self, statement: str, parameters: list[object]) -> Sequence[Row]:
        rows: Sequence[Row] = await self._connection.fetch(statement, *parameters)
        return rows

    async def execute(self, statement: str, *parameters: object) -> None:
        if parameters:
            await super().execute(statement, *parameters)
        else:  # one way to the server and back
            await self._connection.execute(statement)


class _OfPsycopg(_Adapter):
    """One that is not asynchronous works in a thread, while its caller waits."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - see above
        import psycopg.rows  # noqa: PLC0415 - whoever brings the connection has it

        super().__init__(connection)
        self._is_async: Final = isinstance(connection, psycopg.AsyncConnection)
        kind = psycopg.AsyncRawCursor if self._is_async else psycopg.RawCursor
        self._cursor: Final[Any] = kind(connection, row_factory=psycopg.rows.dict_row)

    async def _fetch(self, statement: str, parameters: list[object]) -> Sequence[Row]:
        if not self._is_async:
            return await asyncio.to_thread(self._fetch_at_once, statement, parameters)
        await self._cursor.execute(statement, parameters)
        rows: Sequence[Row] = await self._cursor.fetchall() if self._cursor.description else ()
        return rows

    def _fetch_at_once(self, statement: str, parameters: list[object]) -> Sequence[Row]:
        self._cursor.execute(statement, parameters)
        return self._cursor.fetchall() if self._cursor.description else ()


def _sent(value: object) -> object:
    if isinstance(value, list):
        return [_sent(one) for one in value]
    if isinstance(value, Enum):
        value = value.value
    return escaped(value) if isinstance(value, str) else value


def _received(value: object) -> object:
    return unescaped(value) if isinstance(value, str) else value


_NO_TRANSACTION: Final = (
    "within=: no transaction is open on this connection, so that the run would be started at once, whatever becomes of "
    "the rest; use {how}"
)
