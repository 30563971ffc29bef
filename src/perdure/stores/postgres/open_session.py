"""What an open PostgreSQL store has: its session, and the connections of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from perdure.errors import PerdureError
from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.stores.memory.tables import News
from perdure.stores.postgres import sessions
from perdure.stores.postgres.commits import Commits
from perdure.stores.postgres.connection import Connection, connect, end
from perdure.stores.postgres.home import Home
from perdure.stores.postgres.identity import Identity
from perdure.stores.postgres.lanes import Lanes
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.step_connections import OwnConnections, StepConnections
from perdure.stores.postgres.transactions import Transactions

__all__ = ["OpenSession"]

Result = TypeVar("Result")


class OpenSession:
    """What an open store has."""

    def __init__(
        self,
        url: str,
        settings: PostgresSettings,
        session: sessions.SessionRow,
        home: Home,
        *,
        known_time: Timestamp,
        location: str,
        identity: Identity,
        pool: StepConnections | None,
    ) -> None:
        """Prepare; connections besides `home` are made when they are first needed. `pool`: see `PostgresStore`."""
        self.session: Final = session
        self.home: Final = home
        self.known_time = known_time
        self._url: Final = url
        self._settings: Final = settings
        now = asyncio.get_running_loop().time
        self._lanes: Final = Lanes(url, settings, session.worker_id, now=now)
        self.commits: Final = Commits(self._lanes, session.worker_id, location=location)
        connections = pool or OwnConnections(url, settings, location=location)
        self.identity: Final = identity
        self.transactions: Final = Transactions(connections, settings, location=location, identity=identity)
        self._readers: Final[asyncio.LifoQueue[Connection | None]] = asyncio.LifoQueue()
        for _ in range(settings.readers):
            self._readers.put_nowait(None)
        self._reading: Final[set[Connection]] = set()
        self._taking_over: asyncio.Task[None] | None = None

    def take_over(self, work: Coroutine[None, None, None]) -> None:
        """Let work go on for as long as this is open."""
        self._taking_over = asyncio.get_running_loop().create_task(work, name="perdure-takeover")

    async def finish(self) -> None:
        """End what goes on by itself."""
        if self._taking_over is not None:
            self._taking_over.cancel()
            await asyncio.wait({self._taking_over})

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Connection]:
        """Give out a connection for questions, and end it where one was not answered: the server may still begin the
        transaction of one that was cancelled, and would show the same moment to all who ask after it."""
        connection = await self._readers.get()
        try:
            if connection is None or connection.is_closed():
                connection = await connect(self._url, self._settings)
                self._reading.add(connection)
            yield connection
        except PerdureError:  # that is an answer
            raise
        except BaseException:
            if connection is not None:
                connection.terminate()
                self._reading.discard(connection)
            raise
        finally:
            self._readers.put_nowait(connection)

    async def change(self, change: Callable[[Connection, News], Awaitable[Result]], *, is_last: bool = False) -> Result:
        """Change something in one transaction, and let others hear of it."""

        async def work(connection: Connection) -> tuple[Result, News]:
            news = News()
            return await change(connection, news), news

        return await self.tell_of(lambda commits: commits.transact(work, is_last=is_last))

    async def tell_of(self, write: Callable[[Commits], Awaitable[tuple[Result, News]]]) -> Result:
        """Write, and let others hear of it; of everything if that is cancelled: it may be saved all the same."""
        try:
            answer, news = await write(self.commits)
        except asyncio.CancelledError:
            self.home.tell_everything()
            raise
        self.home.tell(news)
        return answer

    async def tell_of_run(self, run_key: RunKey) -> None:
        """Let others hear of a run that may be claimed."""
        news = News()
        news.run_keys.add(run_key)
        news.is_ready = True
        self.home.tell(news)

    async def close(self) -> None:
        """Let go of all connections."""
        await self.home.close()
        await self._lanes.close()
        await self.transactions.close()
        for connection in self._reading:
            if not connection.is_closed():
                await end(connection)

    def abandon(self) -> None:
        """Let go of all connections, as the death of a process does."""
        if self._taking_over is not None:
            self._taking_over.cancel()
        self.home.abandon()
        self._lanes.abandon()
        self.transactions.abandon()
        for connection in self._reading:
            connection.terminate()
