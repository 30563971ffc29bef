"""The databases whose histories are checked: a file, or one of a PostgreSQL server that is the round's own."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import apsw

from perdure.local_postgres import LocalPostgres
from perdure.torture.kills.rows import connected

__all__ = ["Database", "opened"]


class Database(Protocol):
    """Where the processes of a round work."""

    @property
    def url(self) -> str:
        """By which they open it."""
        ...

    async def disturb(self, chance: random.Random) -> None:
        """Be in the way of all of them for a while, as another program might."""
        ...


@asynccontextmanager
async def opened(folder: Path, *, on_postgres: bool) -> AsyncIterator[Database]:
    """Give out a database for a round in a folder."""
    if not on_postgres:
        yield _File(folder / "check.db")
        return
    with LocalPostgres(settings=_SERVER) as server:
        yield _OfServer(server.url())


class _File:
    def __init__(self, path: Path) -> None:
        self._path: Final = path

    @property
    def url(self) -> str:
        return f"sqlite:///{self._path}"

    async def disturb(self, chance: random.Random) -> None:
        await asyncio.to_thread(_block, self._path, chance.uniform(*_BLOCKING_SECONDS))


class _OfServer:
    def __init__(self, url: str) -> None:
        self._url: Final = url

    @property
    def url(self) -> str:
        return self._url

    async def disturb(self, chance: random.Random) -> None:
        """Hold all rows of runs for a while, or end connections amid whatever they do."""
        async with connected(self._url) as connection:
            if chance.random() < _ENDING_SHARE:
                await connection.execute(_END_SOME)
                return
            async with connection.transaction():
                await connection.execute(_HOLD_ALL)
                await asyncio.sleep(chance.uniform(*_BLOCKING_SECONDS))


def _block(database: Path, seconds: float) -> None:
    """Hold the database's lock for writing for longer than engines wait for it."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(1_000)
        connection.execute("BEGIN IMMEDIATE")
        apsw.sleep(round(seconds * 1_000))
        connection.execute("ROLLBACK")
    except apsw.BusyError:
        return
    finally:
        connection.close()


_BLOCKING_SECONDS: Final = (0.15, 0.4)
_ENDING_SHARE: Final = 0.6
_SERVER: Final[dict[str, str | int]] = {"deadlock_timeout": "50ms", "max_connections": 200}
_HOLD_ALL: Final = "LOCK TABLE perdure.runs IN SHARE ROW EXCLUSIVE MODE"
_END_SOME: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < 0.3
"""
