"""Connections by a pooler in transaction mode (PgBouncer): each transaction may be at another connection of the server.

**Promise.** What the store asks and writes by such a connection is what it would be by one of its own. A session at the
server is never relied on: every statement is in a transaction, whose first message says what a connection of the store
has set (`SET LOCAL`: search path, time-outs), and no statement is prepared for longer than its transaction.

**What needs a session** (the news, the lock by which others see that a session lives, upgrades) goes by the home
connection, to the server itself: `session_host` in the URL.

**What it costs**: four messages to and fro instead of one for a statement (BEGIN, parse, execute, COMMIT), and that
the server plans it each time. `bench/ways.py` measures it. What is decided on locked rows has a transaction anyway.

**Limits.** asyncpg names the statements of `prepare` and `cursor`, and another process gives the same names: PgBouncer
before 1.21 does not know of them, so the store uses neither, and nor may a transactional activity. What such an
activity sets for its session (`SET`, temporary tables, advisory locks that are not a transaction's) stays with a
connection that others get. Settings in the query that only the server knows are refused by the pooler: `ALTER ROLE ...
SET` takes their place.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.stores.postgres.connection import Connection, Record

    _Driver = Connection[Record]
else:
    _Driver = object

__all__ = ["Pooled"]

# Any in this file: parameters and answers are what asyncpg's own methods have.


class Pooled(_Driver):
    """What a connection of asyncpg, which comes after it among the bases, does otherwise: each of its statements is in
    a transaction, the one that is open or one of its own."""

    begin = "BEGIN"
    """What begins a transaction that names no isolation."""

    set_locally = ""
    """What each transaction sets for itself."""

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """See asyncpg."""
        async with self._transaction():
            return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """See asyncpg."""
        async with self._transaction():
            return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """See asyncpg."""
        async with self._transaction():
            return await super().fetchval(query, *args, **options)

    async def execute(self, query: str, *args: Any, **options: Any) -> str:  # noqa: ANN401
        """See asyncpg. `BEGIN`, with whatever follows it, is completed."""
        if not self.is_in_transaction() and query.startswith("BEGIN"):
            begun = f"{self.begin};{query.removeprefix('BEGIN;')}" if query.startswith("BEGIN;") else query
            return await super().execute(f"{begun.rstrip(';')}; {self.set_locally}")
        async with self._transaction():
            return await super().execute(query, *args, **options)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        if self.is_in_transaction():
            yield
            return
        try:
            await super().execute(f"{self.begin}; {self.set_locally}")
            yield
            await super().execute("COMMIT")
        except BaseException as error:
            if getattr(error, "sqlstate", None):  # the server's own word
                with suppress(Exception):  # what it was is told; a connection that has ended has no transaction
                    await super().execute("ROLLBACK")
            else:  # whoever is cancelled, or has waited in vain, does not wait once more
                self.terminate()
            raise
