"""Where steps of users get their connections: the store's own here, pools of users in `step_pools`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, NamedTuple, Protocol

from perdure.kernel.isolation import Isolation
from perdure.stores.postgres.callers import CallersConnection, callers_connection
from perdure.stores.postgres.connection import Connection, connect_plainly, driver_errors, end
from perdure.stores.postgres.faults import store_error
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.to_the_end import to_its_end

__all__ = ["OpenTransaction", "OwnConnections", "StepConnections", "begun_on", "give_up"]


class OpenTransaction(NamedTuple):
    """A transaction that is open: `given` is what the function of a user writes by, `own` the same for the store."""

    given: object
    own: CallersConnection
    commit: Callable[[], Awaitable[object]]
    roll_back: Callable[[], Awaitable[object]]


class StepConnections(Protocol):
    """Gives out connections, each with a transaction."""

    def begin(self, isolation: Isolation) -> AbstractAsyncContextManager[OpenTransaction]:
        """Begin a transaction; the block commits it, or rolls it back. Whatever leaves the block as an error ends the
        connection, and so what is open on it. Raises StoreErrors, and what the driver does."""
        ...

    async def close(self) -> None:
        """End the connections that are the store's."""
        ...

    def abandon(self) -> None:
        """Let go of them, as the death of a process does."""
        ...


class OwnConnections:
    """Connections of asyncpg that the store makes, and keeps for the next step.

    They are of the user's own kind: the search path and the types are those of the role and the database, not those of
    the store's other connections. Before one is used again all that a step may have set for its session is undone.
    """

    def __init__(self, url: str, settings: PostgresSettings, *, location: str) -> None:
        """Prepare; connections are made when they are first needed."""
        self._url: Final = url
        self._settings: Final = settings
        self._location: Final = location
        self._all: Final[set[Connection]] = set()
        self._free: Final[list[Connection]] = []
        self._is_closed = False

    @asynccontextmanager
    async def begin(self, isolation: Isolation) -> AsyncIterator[OpenTransaction]:
        """Begin a transaction on a connection on which nothing is left of a step; see `StepConnections`."""
        connection = await self._take()
        self._all.add(connection)
        try:
            yield await begun_on(connection, isolation)
        except BaseException:
            await give_up(connection)
            raise
        else:
            if self._is_closed:
                connection.terminate()
            else:
                self._free.append(connection)
        finally:
            self._all.discard(connection)

    async def _take(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if self._settings.session_url:  # what is set at a pooler's connections is nothing that this one would have
                if not connection.is_closed():
                    return connection
            elif await _is_cleaned(connection):
                return connection
        try:
            return await connect_plainly(self._url, self._settings)
        except driver_errors() as error:
            raise store_error(error, location=self._location, doing="connecting for a step") from error

    async def close(self) -> None:
        """End all connections, and keep none any more."""
        self._is_closed = True
        for connection in (*self._free, *self._all):
            if not connection.is_closed():
                await end(connection)

    def abandon(self) -> None:
        """Let go of all connections, as the death of a process does."""
        for connection in (*self._free, *self._all):
            connection.terminate()


async def begun_on(connection: Connection, isolation: Isolation) -> OpenTransaction:
    """Begin a transaction on a connection of asyncpg's."""
    transaction = connection.transaction(isolation=isolation.value)
    await transaction.start()
    own = await callers_connection(connection)
    return OpenTransaction(connection, own, transaction.commit, transaction.rollback)


async def give_up(connection: Connection) -> None:
    """End a connection, and before that what the server still does on it for whoever was cancelled: it holds locks."""
    try:
        await to_its_end(end(connection))
    finally:
        connection.terminate()


async def _is_cleaned(connection: Connection) -> bool:
    """Undo what is set for the session of a connection, or end it."""
    try:
        await connection.reset()
        await connection.execute(_CLEAN)
    except driver_errors():
        connection.terminate()
        return False
    except BaseException:
        connection.terminate()
        raise
    return True


# What asyncpg's own `reset` leaves: settings of a role come back by RESET ALL only once it is that role again.
_CLEAN: Final = """
SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; DISCARD TEMP; DISCARD SEQUENCES
"""
