"""The home connection of a session: it shows others that the session lives, hears their news, and tells its own.

**News are told after a commit, in a statement of their own**: told within it they would let one transaction of all
sessions commit at a time (the server puts them in one order). What is quiet tells at once; then news are gathered for
five milliseconds, since each statement costs the engine and the server as much as a step. A process that dies in
between has told nothing: so who finds that it has died tells all to look at everything, and a session that cannot tell
its last news does not end in good order, but is found as a dead one is.

**A session lives** as long as this connection holds its advisory lock, which the server lets go when the connection
ends, be it since the process has died. A living one that has lost it, as all do when the server is started anew, comes
home soon, and looks at everything then. So who misses a session looks again, after `safety_check_seconds`, and takes it
for dead that has been missed for `absence_seconds` (`perdure.stores.postgres.absences`); at once where it was of a
process of this machine that is known to have ended (`perdure.stores.postgres.processes`).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from zlib import crc32

import msgspec

from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.identity import RunKey, WorkerId
from perdure.logs import Recurring
from perdure.ports.clock import Clock
from perdure.ports.store import Changes
from perdure.stores.memory.tables import News
from perdure.stores.postgres.absences import Absences
from perdure.stores.postgres.clock import ServerClock
from perdure.stores.postgres.connection import Connection, connect_for_session, driver_errors, end
from perdure.stores.postgres.faults import is_lost
from perdure.stores.postgres.processes import has_ended
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.standstill import Standing, end_standing, ripens_in
from perdure.stores.postgres.tasks import TakenTasks

__all__ = ["Home", "Notice", "absent_sessions", "decode_notice", "encode_notice", "lock_of"]


class Notice(msgspec.Struct, frozen=True):
    """What one session tells the others. `everything`, and no `runs`: more than fit, or not known.

    `due` and `queued` say whether a run, and whether a task, may be claimed. `ready` is either of them, which is all
    that libraries say and hear that know no more: what says it alone may mean both.
    """

    worker: int
    runs: tuple[int, ...] = ()
    ready: bool = False
    due: bool | None = None
    queued: bool | None = None
    parked: bool = False
    agenda: bool = False
    everything: bool = False


class Home:
    """A connection that is kept, and what comes and goes by it."""

    def __init__(
        self, url: str, settings: PostgresSettings, clock: Clock, *, on_changes: Callable[[Changes], None]
    ) -> None:
        """Prepare. What `clock` tells is compared with the server's if it is a `ServerClock`."""
        self._url: Final = url
        self._settings: Final = settings
        self._clock: Final = clock if isinstance(clock, ServerClock) else None
        self._loop: Final = asyncio.get_running_loop()
        self._channel: Final = f"perdure {settings.schema}"
        self._on_changes: Final = on_changes
        self._recurring: Final = Recurring("perdure.store", self._loop.time)
        self._worker_id = WorkerId(0)
        self._connection: Connection | None = None
        self._untold = News()
        self._is_everything_untold = False
        self._look_at = self._loop.time() + settings.safety_check_seconds
        self._telling = asyncio.Event()
        self._absences: Final = Absences(absence_seconds=settings.absence_seconds, now=self._loop.time)
        self._standing: Standing = {}
        self._has_found_dead: Final = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._looking_again: asyncio.TimerHandle | None = None
        self._passings = 0

    async def connect(self) -> Connection:
        """Connect, and learn the time. Raises what connecting raises."""
        self._connection = await connect_for_session(self._url, self._settings)
        await self._ask_time(self._connection)
        return self._connection

    async def _ask_time(self, connection: Connection) -> None:
        if self._clock is not None:
            await self._clock.ask(connection)

    async def begin(self, worker_id: WorkerId) -> None:
        """Show that the session lives, and listen; `keep` tells then."""
        self._worker_id = worker_id
        assert self._connection is not None
        await self._settle_in(self._connection)

    def keep(self) -> None:
        """Use the connection from now on, which nobody else may."""
        self._keeping = self._loop.create_task(self._keep(), name="perdure-home")

    async def _settle_in(self, connection: Connection) -> None:
        await connection.execute(_HOLD, lock_of(self._worker_id, schema=self._settings.schema))
        await connection.add_listener(self._channel, self._hear)

    def tell(self, news: News) -> None:
        """Have the others hear of a commit soon."""
        if not news:
            return
        self._untold.run_keys |= news.run_keys
        self._untold.is_ready |= news.is_ready
        self._untold.is_queued |= news.is_queued
        self._untold.is_parked |= news.is_parked
        self._untold.is_agenda |= news.is_agenda
        self._telling.set()

    def tell_everything(self) -> None:
        """Have all sessions, this one too, look at everything: what there is to tell is not known, as where one has
        died with what it had not told yet."""
        self._is_everything_untold = True
        self._telling.set()
        self._on_changes(_EVERYTHING)

    def hear_of_tasks(self, taken: TakenTasks) -> None:
        """Have this session hear of runs that its own claim has told something, and look for tasks once more, soon, if
        that has passed over locked ones: nobody tells when they are locked no more. The pauses grow while that goes on.
        """
        if taken.told:
            self._on_changes(Changes(run_keys=frozenset(taken.told), ready=True))
        if not taken.has_passed:
            self._passings = 0
        elif self._looking_again is None:
            pause = _PAUSE_AFTER_PASSING_SECONDS * 2**self._passings
            self._passings = min(self._passings + 1, _DOUBLINGS)
            self._looking_again = self._loop.call_later(pause, self._look_for_tasks)

    def _look_for_tasks(self) -> None:
        self._looking_again = None
        self._on_changes(Changes(queued=True))

    async def absent(self, connection: Connection) -> dict[WorkerId, str]:
        """Return which sessions do not show that they live; see `absent_sessions`."""
        return await absent_sessions(connection, self._worker_id, schema=self._settings.schema)

    async def find_dead(self, connection: Connection) -> set[WorkerId]:
        """Look who is absent; return who has been so for long, or is of a process that has ended. Look again when that
        can be said of one more."""
        absent = await self.absent(connection)
        dead = self._absences.note(absent) | {worker for worker, process in absent.items() if has_ended(process)}
        decides_at = self._absences.decides_at
        if decides_at is not None and decides_at < self._look_at:
            self._look_at = decides_at
            self._telling.set()  # whoever waits until it is time to look waits no longer than until then
        return dead

    async def wait_for_dead(self) -> None:
        """Wait until a look of the home connection has found somebody dead, be it the same one again."""
        self._has_found_dead.clear()
        await self._has_found_dead.wait()

    async def finish(self) -> bool:
        """Tell what is untold, and tell no more; return whether all of it is told."""
        await self._end_keeping()
        if self._connection is not None:
            with suppress(*driver_errors()):
                await self._tell(self._connection)
        return not self._has_untold

    async def close(self) -> None:
        """End the connection, and come home no more."""
        await self._end_keeping()
        connection, self._connection = self._connection, None
        if connection is not None:
            await end(connection)

    async def _end_keeping(self) -> None:
        self._look_no_more()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})

    def abandon(self) -> None:
        """Let go of the connection, as the death of a process does."""
        self._look_no_more()
        if self._keeping is not None:
            self._keeping.cancel()
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def _look_no_more(self) -> None:
        if self._looking_again is not None:
            self._looking_again.cancel()

    async def _keep(self) -> None:
        """Tell news as they come, and come home again when the connection is lost."""
        while True:
            try:
                connection = self._connection
                if connection is None or connection.is_closed():
                    connection = await self.connect()
                    await self._settle_in(connection)
                    self._on_changes(_EVERYTHING)
                if await self._tell(connection):
                    await asyncio.sleep(_BETWEEN_NEWS_SECONDS)
                await self._wait_for_news()
                if self._loop.time() >= self._look_at:
                    await self._look(connection)
            except driver_errors() as error:
                self._recurring.warning("the connection for news is lost, and made anew: %s", error, cause=error)
                if self._connection is not None:
                    self._connection.terminate()
                await asyncio.sleep(_PAUSE_SECONDS)

    @property
    def _has_untold(self) -> bool:
        return bool(self._untold) or self._is_everything_untold

    async def _wait_for_news(self) -> None:
        """Wait for news that are to be told, not longer than until it is time to look."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._look_at):
                await self._telling.wait()

    async def _look(self, connection: Connection) -> None:
        """Look at the server's clock, for those who have died, and for those who stand still in the way of others."""
        await self._ask_time(connection)
        self._look_at = self._loop.time() + self._settings.safety_check_seconds
        if await self.find_dead(connection):
            self._has_found_dead.set()
        await self._end_standing(connection)

    async def _end_standing(self, connection: Connection) -> None:
        settings = self._settings
        try:
            ended = await end_standing(
                connection, schema=settings.schema, idle_seconds=settings.idle_seconds, seen=self._standing
            )
        except driver_errors() as error:
            if is_lost(error):
                raise
            self._recurring.warning(_NOT_ENDED, error, cause=error)  # as where the server lets nobody see who waits
        else:
            if ended:
                self._recurring.warning(_ENDED, ended, cause=_ENDED)
            seconds = ripens_in(self._standing, idle_seconds=settings.idle_seconds)
            if seconds is not None:
                self._look_at = min(self._look_at, self._loop.time() + seconds)

    async def _tell(self, connection: Connection) -> bool:
        """Tell what is untold; return whether there was something."""
        self._telling.clear()
        if not self._has_untold:
            return False
        news, self._untold = self._untold, News()
        is_everything, self._is_everything_untold = self._is_everything_untold, False
        try:
            await connection.execute(_NOTIFY, self._channel, self._encoded(news, is_everything=is_everything))
        except BaseException:
            self._is_everything_untold |= is_everything
            self.tell(news)
            raise
        return True

    def _encoded(self, news: News, *, is_everything: bool) -> str:
        notice = Notice(
            worker=self._worker_id,
            runs=tuple(sorted(news.run_keys)),
            ready=news.is_ready or news.is_queued,
            due=news.is_ready,
            queued=news.is_queued,
            parked=news.is_parked,
            agenda=news.is_agenda,
        )
        text = encode_notice(notice)
        if is_everything or len(text) > _LONGEST_NOTICE:
            text = encode_notice(Notice(worker=self._worker_id, ready=True, parked=True, agenda=True, everything=True))
        return text

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: Any) -> None:  # noqa: ANN401 - a text
        notice = decode_notice(payload)
        if notice is not None and notice.worker != self._worker_id:
            self._on_changes(_changes_of(notice))


def _changes_of(notice: Notice) -> Changes:
    return Changes(
        run_keys=frozenset(map(RunKey, notice.runs)),
        ready=notice.ready if notice.due is None else notice.due,
        queued=notice.ready if notice.queued is None else notice.queued,
        parked=notice.parked,
        agenda=notice.agenda,
        everything=notice.everything,
    )


def encode_notice(notice: Notice) -> str:
    """Return a notice as a text."""
    return msgspec.json.encode(notice).decode()


def decode_notice(text: str) -> Notice | None:
    """Read a notice; None for what is none: anybody may send to the channel."""
    try:
        return _NOTICES.decode(text)
    except UNDECODABLE:
        return None


def lock_of(worker_id: int, *, schema: str) -> int:
    """Return the number of the advisory lock that a living session holds. All schemas of a database share these
    numbers, and each has sessions from 1 on."""
    return (crc32(schema.encode()) << _BITS_OF_SESSIONS) + worker_id


async def absent_sessions(connection: Connection, worker_id: WorkerId, *, schema: str) -> dict[WorkerId, str]:
    """Return the sessions, but for this one, that do not hold their locks, which they do not get before the transaction
    that is open has ended, each with the process that it is of."""
    rows = await connection.fetch(_FREE_LOCKS, worker_id, lock_of(0, schema=schema))
    return {WorkerId(row["worker_id"]): row["process"] for row in rows if row["is_free"]}


_BITS_OF_SESSIONS: Final = 31
_PAUSE_SECONDS: Final = 0.2
_BETWEEN_NEWS_SECONDS: Final = 0.005
_PAUSE_AFTER_PASSING_SECONDS: Final = 0.02
_DOUBLINGS: Final = 4
_ENDED: Final = "connections whose clients stood still amid a message, in the way of others, were ended: processes %s"
_NOT_ENDED: Final = "whether clients stand still in the way of others cannot be found out: %s"
_EVERYTHING: Final = Changes(everything=True, ready=True, parked=True, agenda=True)
_LONGEST_NOTICE: Final = 7_900
"""The server takes no more than 8,000 bytes."""
_NOTICES: Final[msgspec.json.Decoder[Notice]] = msgspec.json.Decoder(Notice)

# number of the lock
_HOLD: Final = "SELECT pg_advisory_lock($1)"

# channel, payload
_NOTIFY: Final = "SELECT pg_notify($1, $2)"

# worker_id, the first number; shared, so that none who looks is taken by another for who holds it
_FREE_LOCKS: Final = """
SELECT worker_id, process, pg_try_advisory_xact_lock_shared($2::bigint + worker_id) AS is_free
FROM sessions WHERE worker_id <> $1
"""
