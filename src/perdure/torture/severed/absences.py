"""Workers are severed again and again, whose runs the others take over, and come back."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from perdure.kernel.time import MICROSECONDS_PER_SECOND
from perdure.local_postgres import LocalPostgres
from perdure.torture.kills.databases import SERVER_SETTINGS, ServerDatabase
from perdure.torture.kills.ledger import SEVERED, Severance, append
from perdure.torture.kills.process import name_of
from perdure.torture.options import Options
from perdure.torture.processes.household import Household, Process
from perdure.torture.severed.campaign import LEASE_SECONDS, Company, SeveredReport, campaign, company
from perdure.torture.severed.proxy import Proxy, proxied, socket_of

__all__ = ["cut_off", "stand_still"]

WHAT: Final = f"times all runs of a severed worker were taken over (lease {LEASE_SECONDS:g} s)"


def stand_still(name: str, options: Options, *, count: int) -> SeveredReport:
    """Stop workers for longer than their leases, `count` times in all."""
    return campaign(name, WHAT, options, partial(_strike, make_way=_Standstill, options=options), count=count)


def cut_off(name: str, options: Options, *, count: int) -> SeveredReport:
    """Cut workers off from the server for longer than their leases, `count` times in all."""
    return campaign(name, WHAT, options, partial(_strike, make_way=_Partition, options=options), count=count)


class _Way(Protocol):
    """In which way processes are severed."""

    def url(self, name: str) -> str: ...

    def sever(self, process: Process) -> None: ...

    def mend(self, process: Process) -> None: ...

    async def close(self) -> None: ...


class _Standstill:
    """The process is stopped, with its connections open."""

    def __init__(self, household: Household, url: Callable[[str], str]) -> None:
        self._household: Final = household
        self.url: Final = url

    def sever(self, process: Process) -> None:
        self._household.stop(process)

    def mend(self, process: Process) -> None:
        self._household.let_go_on(process)

    async def close(self) -> None: ...


class _Partition:
    """The process works on, and no packet comes or goes between it and the server."""

    def __init__(self, household: Household, url: Callable[[str], str]) -> None:
        del household
        self._url: Final = url
        self._proxies: Final[dict[str, Proxy]] = {}

    def url(self, name: str) -> str:
        url = self._url(name)
        proxy = self._proxies[name] = Proxy(lambda: socket_of(url))
        return proxied(url, proxy, name=name)

    def sever(self, process: Process) -> None:
        self._proxies[name_of(process.order.number)].cut()

    def mend(self, process: Process) -> None:
        self._proxies[name_of(process.order.number)].mend()

    async def close(self) -> None:
        for proxy in self._proxies.values():
            await proxy.close()


async def _strike(
    count: int,
    folder: Path,
    report: SeveredReport,
    on_progress: Callable[[int], None],
    *,
    make_way: Callable[[Household, Callable[[str], str]], _Way],
    options: Options,
) -> None:
    with LocalPostgres(settings=SERVER_SETTINGS) as server:
        database = ServerDatabase(folder, server.url())
        async with AsyncExitStack() as undo, company(folder, database, report) as them:
            way = make_way(them.household, database.url)
            undo.push_async_callback(way.close)
            await them.begin(way.url, customers_url=database.url)
            while report.runs < count and not (options.stops_at_first and report.violations):
                await asyncio.sleep(them.chance.uniform(*_LIFE_SECONDS))
                victims = them.chance.sample(them.workers, them.chance.randint(1, len(them.workers) - 1))
                await asyncio.gather(*(_sever(victim, way, them, database, report) for victim in victims))
                on_progress(report.runs)
                if them.household.mishaps:
                    break
            await them.end(database.url, count=count)


async def _sever(process: Process, way: _Way, them: Company, database: ServerDatabase, report: SeveredReport) -> None:
    """Sever a worker until the others have all its runs, and a while longer."""
    name, now, since = name_of(process.order.number), time.monotonic, _microseconds()
    way.sever(process)
    begun = now()
    owned = left = await database.owned_by(name)
    while left and now() - begun < _LONGEST_SECONDS:
        await asyncio.sleep(_LOOK_SECONDS)
        left = owned & await database.owned_by(name)
    took = now() - begun
    report.runs += 1
    if owned and not left:
        report.times.append(took)
    if owned and took > _GOAL_SECONDS:
        report.is_late(f"{len(left)} of {len(owned)} runs of a severed worker were still its own after {took:.1f} s")
    await asyncio.sleep(them.chance.uniform(*_ABSENCE_SECONDS))
    way.mend(process)
    until = _microseconds() + round(LEASE_SECONDS * MICROSECONDS_PER_SECOND)
    append(them.folder / SEVERED, Severance(process.process, since, until))


def _microseconds() -> int:
    return time.time_ns() // 1_000


_LIFE_SECONDS: Final = (0.2, 1.5)
_ABSENCE_SECONDS: Final = (0.0, 2.0)
_LOOK_SECONDS: Final = 0.05
_GOAL_SECONDS: Final = LEASE_SECONDS + 2.0
_LONGEST_SECONDS: Final = 30.0
