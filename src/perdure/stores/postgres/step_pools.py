"""Pools of users, from which steps get their connections: asyncpg's, psycopg's, or an engine of SQLAlchemy's.

What they set for their connections, time-outs and types among it, is theirs. They are not closed here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from perdure.errors import UsageError
from perdure.kernel.isolation import Isolation
from perdure.stores.callers import is_of
from perdure.stores.postgres.callers import callers_connection
from perdure.stores.postgres.step_connections import OpenTransaction, StepConnections, begun_on, give_up

__all__ = ["connections_of"]


def connections_of(pool: object) -> StepConnections:
    """Return the pool of a user as a source of connections. Raises UsageError for what is none."""
    if is_of(pool, "asyncpg") and hasattr(pool, "acquire"):
        return _AsyncpgPool(pool)
    if is_of(pool, "psycopg_pool") and _is_async(pool):
        return _PsycopgPool(pool)
    if is_of(pool, "sqlalchemy") and hasattr(pool, "sync_engine"):
        return _AlchemyEngine(pool)
    raise UsageError(
        f"transaction_pool={pool!r:.80}: transactional activities take their connections from a pool of asyncpg, an "
        f"AsyncConnectionPool of psycopg, or an AsyncEngine of SQLAlchemy"
    )


def _is_async(pool: object) -> bool:
    return any(kind.__name__.startswith("Async") for kind in type(pool).__mro__)


class _Pool:
    """What concerns no connection of ours."""

    def __init__(self, pool: Any) -> None:  # noqa: ANN401 - of a library that may not be installed
        self._pool: Final[Any] = pool

    async def close(self) -> None:
        """Leave the pool to its owner."""

    def abandon(self) -> None:
        """As `close`."""


class _AsyncpgPool(_Pool):
    @asynccontextmanager
    async def begin(self, isolation: Isolation) -> AsyncIterator[OpenTransaction]:
        async with self._pool.acquire() as connection:
            try:
                yield await begun_on(connection, isolation)
            except BaseException:
                await give_up(connection)
                raise


class _PsycopgPool(_Pool):
    @asynccontextmanager
    async def begin(self, isolation: Isolation) -> AsyncIterator[OpenTransaction]:
        async with self._pool.connection() as connection:
            try:
                begin = "BEGIN" if connection.autocommit else "SET TRANSACTION"
                await connection.execute(f"{begin} ISOLATION LEVEL {_name_of(isolation)}")
                own = await callers_connection(connection)
                yield OpenTransaction(connection, own, connection.commit, connection.rollback)
            except BaseException:
                await connection.close()
                raise


def _name_of(isolation: Isolation) -> str:
    return isolation.name.replace("_", " ")


class _AlchemyEngine(_Pool):
    @asynccontextmanager
    async def begin(self, isolation: Isolation) -> AsyncIterator[OpenTransaction]:
        async with self._pool.connect() as connection:
            try:
                await connection.execution_options(isolation_level=_name_of(isolation))
                own = await callers_connection(connection)
                yield OpenTransaction(connection, own, connection.commit, connection.rollback)
            except BaseException:
                with suppress(Exception):  # what it was is told
                    await connection.invalidate()
                raise
