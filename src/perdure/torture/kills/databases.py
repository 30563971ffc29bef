"""The databases on which processes are killed: a file, or one of a PostgreSQL server that is the campaign's own."""

import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final, Protocol

import msgspec

from perdure.local_postgres import LocalPostgres
from perdure.torture.kills.clocks import SKEWS_SECONDS
from perdure.torture.kills.rows import BUSIEST, DATABASE, OWNED, connected, keep_rows, rows_of_server
from perdure.torture.kills.transfers import TABLES

__all__ = ["SERVER_SETTINGS", "Database", "FileDatabase", "Pace", "ServerDatabase", "opened"]


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How processes come and go: how long workers live once all are ready, how long after its fork one is killed that
    opens the database, how many there are and die at a time, at most, how often one more comes, and how many are killed
    for a control."""

    life_seconds: tuple[float, float]
    longest_opening_seconds: float
    most_workers: int
    most_deaths: int
    company_share: float
    control_kills: int


class Database(Protocol):
    """Where a campaign's workers and customers work."""

    @property
    def pace(self) -> Pace:
        """How processes come and go on it."""
        ...

    @property
    def has_copies(self) -> bool:
        """Whether a copy of it can be kept."""
        ...

    @property
    def clock_skews(self) -> tuple[int, ...]:
        """By how many seconds the clocks of its processes' machines may be ahead."""
        ...

    def url(self, name: str) -> str:
        """Return the URL by which the process of a name opens it."""
        ...

    async def busiest(self) -> str:
        """Return the name of the session that has most runs, "" if none has any; the database may be in use."""
        ...

    async def cut_off(self, name: str, chance: random.Random) -> int:
        """End connections of the process of a name, if it has any; return how many."""
        ...

    async def keep(self) -> None:
        """See to it that what it holds can be read in the folder afterwards."""
        ...


@asynccontextmanager
async def opened(folder: Path, *, on_postgres: bool) -> AsyncIterator[Database]:
    """Give out a database for a campaign in a folder."""
    if not on_postgres:
        yield FileDatabase(folder)
        return
    with LocalPostgres(settings=SERVER_SETTINGS) as server:
        database = ServerDatabase(folder, server.url())
        await database.prepare()
        yield database


class FileDatabase:
    """A file in the folder."""

    pace: Final = Pace(
        life_seconds=(0.005, 0.15),
        longest_opening_seconds=0.06,
        most_workers=2,
        most_deaths=1,
        company_share=0.3,
        control_kills=30,
    )
    has_copies: Final = True
    clock_skews: Final = (0,)

    def __init__(self, folder: Path) -> None:
        """Describe it; nothing is made yet."""
        self._path: Final = folder / DATABASE

    def url(self, name: str) -> str:
        """See `Database`."""
        del name
        return f"sqlite:///{self._path}"

    async def busiest(self) -> str:
        """See `Database`."""
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute(BUSIEST).fetchone()
            return "" if row is None else str(row[0])

    async def cut_off(self, name: str, chance: random.Random) -> int:
        """See `Database`: a file has no connections."""
        del name, chance
        return 0

    async def keep(self) -> None:
        """See `Database`: the file stays."""


class ServerDatabase:
    """The database of a server that lives as long as the campaign.

    A death is noticed after a second or two: processes live longer than on a file, and several come and die at a time.
    """

    pace: Final = Pace(
        life_seconds=(0.0, 1.2),
        longest_opening_seconds=0.3,
        most_workers=6,
        most_deaths=5,
        company_share=0.8,
        control_kills=10,
    )
    has_copies: Final = False
    clock_skews: Final = SKEWS_SECONDS

    def __init__(self, folder: Path, url: str) -> None:
        """Describe that at `url`."""
        self._folder: Final = folder
        self._url: Final = url

    async def prepare(self) -> None:
        """Make the tables of transfers."""
        async with connected(self._url) as connection:
            for statement in TABLES:
                await connection.execute(statement)

    def url(self, name: str) -> str:
        """See `Database`: the server's list shows by the name whose a connection is."""
        return f"{self._url}&application_name={name}"

    async def busiest(self) -> str:
        """See `Database`."""
        async with connected(self._url) as connection:
            return str(await connection.fetchval(BUSIEST) or "")

    async def owned_by(self, name: str) -> set[int]:
        """Return the keys of the open runs that the process of a name owns."""
        async with connected(self._url) as connection:
            return {row["run_key"] for row in await connection.fetch(OWNED, name)}

    async def cut_off(self, name: str, chance: random.Random) -> int:
        """See `Database`: one of them, or all at once."""
        async with connected(self._url) as connection:
            found = [row["pid"] for row in await connection.fetch(_CONNECTIONS, name)]
            chosen = chance.sample(found, min(len(found), 1)) if chance.random() < _ONE_SHARE else found
            return int(await connection.fetchval(_END, chosen))

    async def keep(self) -> None:
        """See `Database`."""
        keep_rows(self._folder, await rows_of_server(self._url))


SERVER_SETTINGS: Final[dict[str, str | int]] = {
    "track_commit_timestamp": "on",
    "deadlock_timeout": "50ms",
    "max_connections": 300,
}
_ONE_SHARE: Final = 0.7

# application_name
_CONNECTIONS: Final = "SELECT pid FROM pg_stat_activity WHERE application_name = $1"

# their process ids
_END: Final = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM unnest($1::integer[]) AS pid"
