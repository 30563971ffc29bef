"""What an open PostgreSQL store has: its session, and the connections of it.

**Questions** take turns on few connections, in the order in which they came. Those that runs ask when they are woken or
loaded, and clients when they look for a run, are asked together with others of their kind that wait
(`perdure.stores.postgres.together`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from operator import attrgetter
from typing import Final, TypeVar

from perdure.errors import PerdureError
from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.stores.memory.tables import News
from perdure.stores.postgres import reading, sessions
from perdure.stores.postgres.commits import Commits
from perdure.stores.postgres.connection import Connection, connect, driver_errors, end
from perdure.stores.postgres.faults import has_ended, is_contention
from perdure.stores.postgres.home import Home
from perdure.stores.postgres.identity import Identity
from perdure.stores.postgres.lanes import Lanes
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.step_connections import OwnConnections, StepConnections
from perdure.stores.postgres.together import Together
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
        surroundings: sessions.Surroundings,
        location: str,
        identity: Identity,
        pool: StepConnections | None,
    ) -> None:
        """Prepare; connections besides `home` are made when they are first needed. `pool`: see `PostgresStore`."""
        self.session: Final = session
        self.home: Final = home
        self._url: Final = url
        self._settings: Final = settings
        now = asyncio.get_running_loop().time
        self._lanes: Final = Lanes(url, settings, session.worker_id, now=now)
        self.commits: Final = Commits(self._lanes, session.worker_id, location=location)
        self._heed(surroundings)
        connections = pool or OwnConnections(url, settings, location=location)
        self.identity: Final = identity
        self.transactions: Final = Transactions(connections, settings, location=location, identity=identity)
        self._turns: Final = asyncio.Semaphore(settings.readers)
        self._readers: Final[list[Connection]] = []
        self._reading: Final[set[Connection]] = set()
        self.runs_of_keys: Final = Together(self.ask, reading.runs_of_keys, most=_MOST_RUNS)
        self.latest_runs: Final = Together(self.ask, reading.latest_runs, most=_MOST_RUNS)
        self.histories: Final = Together(self.ask, reading.pages_of_histories, most=_MOST_ROWS, size=_limit)
        self.inboxes: Final = Together(self.ask, reading.pages_of_inboxes, most=_MOST_ROWS, size=_limit)
        self._questions: Final = (self.runs_of_keys, self.latest_runs, self.histories, self.inboxes)
        self._taking_over: asyncio.Task[None] | None = None

    def _heed(self, surroundings: sessions.Surroundings) -> None:
        self._known_time = surroundings.known_time
        self.commits.in_blocks = surroundings.read_blocks

    async def renew(self, now: Timestamp) -> bool:
        """Extend the lease, or begin a new one; return whether it was kept."""
        renewing = partial(sessions.renew, session=self.session, now=now, known_time=self._known_time)
        is_kept, surroundings = await self.change(lambda connection, news: renewing(connection, news=news))
        self._heed(surroundings)
        return is_kept

    def take_over(self, work: Coroutine[None, None, None]) -> None:
        """Let work go on for as long as this is open."""
        self._taking_over = asyncio.get_running_loop().create_task(work, name="perdure-takeover")

    async def finish(self) -> None:
        """End what goes on by itself."""
        if self._taking_over is not None:
            self._taking_over.cancel()
            await asyncio.wait({self._taking_over})

    async def ask(self, work: Callable[[Connection], Awaitable[Result]], /) -> Result:
        """Ask on a connection for questions; once more if that had ended, or others were in the way. Raises the
        driver's errors."""
        try:
            async with self._reader() as connection:
                return await work(connection)
        except driver_errors() as error:
            if not (has_ended(error) or is_contention(error)):
                raise
            if has_ended(error):
                self._distrust_readers()
        async with self._reader() as connection:
            return await work(connection)

    def _distrust_readers(self) -> None:
        """End the connections that nobody uses: one has ended unnoticed, and so may they have."""
        while self._readers:
            self._readers.pop().terminate()

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[Connection]:
        """Give out a connection for questions, and end it where one was not answered: the server may still begin the
        transaction of one that was cancelled, and would show the same moment to all who ask after it."""
        async with self._turns:
            connection = self._readers.pop() if self._readers else None
            if connection is None or connection.is_closed():
                connection = await connect(self._url, self._settings)
            self._reading.add(connection)
            try:
                yield connection
            except PerdureError:  # that is an answer
                raise
            except BaseException:
                connection.terminate()
                raise
            finally:
                self._reading.discard(connection)
                if not connection.is_closed():
                    self._readers.append(connection)

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
        for questions in self._questions:
            await questions.close()
        for connection in (*self._readers, *self._reading):
            if not connection.is_closed():
                await end(connection)

    def abandon(self) -> None:
        """Let go of all connections, as the death of a process does."""
        if self._taking_over is not None:
            self._taking_over.cancel()
        self.home.abandon()
        self._lanes.abandon()
        self.transactions.abandon()
        for questions in self._questions:
            questions.abandon()
        for connection in (*self._readers, *self._reading):
            connection.terminate()


_MOST_RUNS: Final = 100
_MOST_ROWS: Final = 8_000
"""Eight pages of a thousand events, which are all in memory before the first is read."""

_limit: Final[Callable[[reading.Page], int]] = attrgetter("limit")
