"""A server whose connections end, that is stopped, or crashes, and is there again, or its standby is: all go on, and
nothing is lost."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from perdure.local_postgres import LocalPostgres
from perdure.stores.postgres.connection import driver_errors
from perdure.torture.kills.databases import SERVER_SETTINGS, ServerDatabase
from perdure.torture.kills.process import name_of
from perdure.torture.kills.rows import connected
from perdure.torture.options import Options
from perdure.torture.severed.campaign import SeveredReport, campaign, company
from perdure.torture.severed.proxy import Proxy, proxied, socket_of

__all__ = ["RESTART_SHARE", "strike_server"]

RESTART_SHARE: Final = 15 / 115
"""So many of the strikes take the server away; the others end a connection."""


def strike_server(name: str, options: Options, *, count: int) -> SeveredReport:
    """Strike a server `count` times."""
    what = "times commits succeeded again once the server was back"
    return campaign(name, what, options, partial(_strike, options=options), count=count)


async def _strike(
    count: int, folder: Path, report: SeveredReport, on_progress: Callable[[int], None], *, options: Options
) -> None:
    async with AsyncExitStack() as undo:
        server = _Server(undo.enter_context(_open_folder()))
        undo.push_async_callback(server.close)
        database = ServerDatabase(folder, server.url("campaign"))
        async with company(folder, database, report) as them:
            await them.begin(server.url, customers_url=server.url)
            while report.runs < count and not (options.stops_at_first and report.violations):
                await asyncio.sleep(them.chance.uniform(*_LIFE_SECONDS))
                if (report.runs + 1) % _STRIKES_PER_FAILOVER == 0:
                    await _take_away(server.fail_over(life=them.chance.uniform(*_LIFE_SECONDS)), database, report)
                elif them.chance.random() < RESTART_SHARE:
                    crashes, pause = them.chance.random() < _CRASH_SHARE, them.chance.uniform(*_PAUSE_SECONDS)
                    await _take_away(server.restart(crashes=crashes, pause=pause), database, report)
                else:
                    await database.cut_off(name_of(them.chance.choice(them.workers).order.number), them.chance)
                report.runs += 1
                on_progress(report.runs)
                if them.household.mishaps:
                    break
            await them.end(server.url, count=count)


async def _take_away(outage: Awaitable[None], database: ServerDatabase, report: SeveredReport) -> None:
    """Let the server be away, and back in some way; wait until something is committed again."""
    await outage
    begun, before = time.monotonic(), await _commits(database)
    took = 0.0
    while took < _LONGEST_SECONDS and await _commits(database) <= before:
        await asyncio.sleep(_LOOK_SECONDS)
        took = time.monotonic() - begun
    report.times.append(took)
    if took > _GOAL_SECONDS:
        report.is_late(f"{took:.1f} s after the server was back nothing was committed yet")


async def _commits(database: ServerDatabase) -> int:
    """Return how many commits all sessions have made; as many as none if the server does not say."""
    with suppress(*driver_errors()):
        async with connected(database.url("campaign")) as connection:
            return int(await connection.fetchval(_COMMITS))
    return -1


@contextmanager
def _open_folder() -> Iterator[Path]:
    """Give out a folder that whoever runs the server can enter."""
    with TemporaryDirectory(prefix="perdure-pg-server-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


class _Server:
    """A server that keeps its clusters, and is reached by proxies, as its address is another one after each start."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._proxies: Final[dict[str, Proxy]] = {}
        self._failovers = 0
        self._server = self._new_server()
        self._server.start()
        self._url = self._server.url()

    def _new_server(self, *, standby_of: str | None = None) -> LocalPostgres:
        return LocalPostgres(self._folder / str(self._failovers), settings=SERVER_SETTINGS, standby_of=standby_of)

    def url(self, name: str) -> str:
        """Return the URL for the process of a name."""
        if name not in self._proxies:
            self._proxies[name] = Proxy(lambda: socket_of(self._url))
        return proxied(self._url, self._proxies[name], name=name)

    async def restart(self, *, crashes: bool, pause: float) -> None:
        """Stop the server, or have it crash, and start it again after a pause."""
        if crashes:
            self._crash()
        await asyncio.to_thread(self._server.stop)
        await asyncio.sleep(pause)
        await asyncio.to_thread(self._server.start)
        self._url = self._server.url()

    async def fail_over(self, *, life: float) -> None:
        """Give the server a synchronous standby; after a while have it crash for ever, and promote that one."""
        self._failovers += 1
        standby = self._new_server(standby_of=self._url)
        await asyncio.to_thread(standby.start)
        async with AsyncExitStack() as undo:
            undo.callback(standby.stop)
            async with connected(self._url) as connection:
                for statement in _WAIT_FOR_STANDBY:
                    await connection.execute(statement)
                while not await connection.fetchval(_IS_WAITED_FOR):  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.sleep(life)
            self._crash()
            await asyncio.to_thread(self._server.stop)
            async with connected(standby.url()) as connection:
                await connection.execute(_PROMOTE)
            undo.pop_all()
        self._server, self._url = standby, standby.url()

    def _crash(self) -> None:
        os.kill(self._server.process, signal.SIGQUIT)  # which ends all its processes as they are

    async def close(self) -> None:
        """Stop the server, and end the proxies."""
        for proxy in self._proxies.values():
            await proxy.close()
        self._server.stop()


_LIFE_SECONDS: Final = (0.1, 0.8)
_CRASH_SHARE: Final = 0.6
_PAUSE_SECONDS: Final = (0.0, 2.0)
_LOOK_SECONDS: Final = 0.02
_GOAL_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 60.0

_STRIKES_PER_FAILOVER: Final = 50

_WAIT_FOR_STANDBY: Final = ("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
_IS_WAITED_FOR: Final = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')"
_PROMOTE: Final = "SELECT pg_promote()"
_COMMITS: Final = "SELECT coalesce(sum(last_commit), 0) FROM perdure.lanes"
