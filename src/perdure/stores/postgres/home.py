"""The home connection of a session: it shows others that the session lives, hears their news, and tells its own.

**News are told after a commit, in a statement of their own**: told within it they would let one transaction of all
sessions commit at a time (the server puts them in one order). A process that dies in between has told nothing: whoever
waits for it learns of it by its end, or by the next look.

**A session lives** as long as this connection holds its advisory lock, which the server lets go when the connection
ends, be it since the process has died. After the connection was lost it is made anew, and all is looked at.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.identity import RunKey, WorkerId
from perdure.logs import Recurring
from perdure.ports.store import Changes
from perdure.stores.memory.tables import News
from perdure.stores.postgres.connection import Connection, connect, driver_errors
from perdure.stores.postgres.settings import PostgresSettings

__all__ = ["Home", "Notice", "dead_sessions", "decode_notice", "encode_notice", "lock_of"]


class Notice(msgspec.Struct, frozen=True):
    """What one session tells the others. No `runs` and `everything`: more than fit."""

    worker: int
    runs: tuple[int, ...] = ()
    ready: bool = False
    parked: bool = False
    agenda: bool = False
    everything: bool = False


class Home:
    """A connection that is kept, and what comes and goes by it."""

    def __init__(
        self, url: str, settings: PostgresSettings, *, on_changes: Callable[[Changes], None], now: Callable[[], float]
    ) -> None:
        """Prepare."""
        self._url: Final = url
        self._settings: Final = settings
        self._channel: Final = f"perdure {settings.schema}"
        self._on_changes: Final = on_changes
        self._recurring: Final = Recurring("perdure.store", now)
        self._worker_id = WorkerId(0)
        self._connection: Connection | None = None
        self._untold = News()
        self._telling = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    async def connect(self) -> Connection:
        """Connect, for the opening; raises what connecting raises."""
        self._connection = await connect(self._url, self._settings)
        return self._connection

    async def begin(self, worker_id: WorkerId) -> None:
        """Show that the session lives, and listen."""
        self._worker_id = worker_id
        assert self._connection is not None
        await self._settle_in(self._connection)
        self._keeping = asyncio.get_running_loop().create_task(self._keep(), name="perdure-home")

    async def _settle_in(self, connection: Connection) -> None:
        await connection.execute(_HOLD, lock_of(self._worker_id))
        await connection.add_listener(self._channel, self._hear)

    def tell(self, news: News) -> None:
        """Have the others hear of a commit soon."""
        if not (news.run_keys or news.is_ready or news.is_agenda):
            return
        self._untold.run_keys |= news.run_keys
        self._untold.is_ready |= news.is_ready
        self._untold.is_parked |= news.is_parked
        self._untold.is_agenda |= news.is_agenda
        self._telling.set()

    async def close(self) -> None:
        """Tell what is untold, and end the connection."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*driver_errors()):
                await self._tell(connection)
                await connection.close(timeout=1.0)

    def abandon(self) -> None:
        """Let go of the connection, as the death of a process does."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _keep(self) -> None:
        """Tell news as they come, and come home again when the connection is lost."""
        while True:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connect(self._url, self._settings)
                    await self._settle_in(self._connection)
                    self._on_changes(Changes(everything=True, ready=True, parked=True, agenda=True))
                await self._tell(self._connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.safety_check_seconds):
                        await self._telling.wait()
            except driver_errors() as error:
                self._recurring.warning("the connection for news is lost, and made anew: %s", error, cause=error)
                if self._connection is not None:
                    self._connection.terminate()
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _tell(self, connection: Connection) -> None:
        self._telling.clear()
        news, self._untold = self._untold, News()
        if not (news.run_keys or news.is_ready or news.is_agenda):
            return
        try:
            await connection.execute(_NOTIFY, self._channel, self._encoded(news))
        except BaseException:
            self.tell(news)
            raise

    def _encoded(self, news: News) -> str:
        notice = Notice(
            worker=self._worker_id,
            runs=tuple(sorted(news.run_keys)),
            ready=news.is_ready,
            parked=news.is_parked,
            agenda=news.is_agenda,
        )
        text = encode_notice(notice)
        if len(text) > _LONGEST_NOTICE:
            text = encode_notice(msgspec.structs.replace(notice, runs=(), everything=True))
        return text

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: Any) -> None:  # noqa: ANN401 - a text
        notice = decode_notice(payload)
        if notice is not None and notice.worker != self._worker_id:
            self._on_changes(
                Changes(
                    run_keys=frozenset(map(RunKey, notice.runs)),
                    ready=notice.ready,
                    parked=notice.parked,
                    agenda=notice.agenda,
                    everything=notice.everything,
                )
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


def lock_of(worker_id: int) -> int:
    """Return the number of the advisory lock that a living session holds."""
    return _LOCKS + worker_id


async def dead_sessions(connection: Connection, worker_id: WorkerId) -> list[WorkerId]:
    """Return the sessions, but for this one, that do not hold their locks: within a transaction, whose end lets go of
    what was found free."""
    rows = await connection.fetch(_FREE_LOCKS, worker_id, _LOCKS)
    return [WorkerId(row["worker_id"]) for row in rows if row["is_free"]]


_LOCKS: Final = int.from_bytes(b"perd", "big") << 32
"""The advisory locks of sessions: this, and the session's number."""
_PAUSE_SECONDS: Final = 0.2
_LONGEST_NOTICE: Final = 7_900
"""The server takes no more than 8,000 bytes."""
_NOTICES: Final[msgspec.json.Decoder[Notice]] = msgspec.json.Decoder(Notice)

# number of the lock
_HOLD: Final = "SELECT pg_advisory_lock($1)"

# channel, payload
_NOTIFY: Final = "SELECT pg_notify($1, $2)"

# worker_id, the first number
_FREE_LOCKS: Final = """
SELECT worker_id, pg_try_advisory_xact_lock($2::bigint + worker_id) AS is_free FROM sessions WHERE worker_id <> $1
"""
