"""What all campaigns have in common: processes on one server, the last of which settles; and the oracle judges."""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from perdure.torture import planting
from perdure.torture.kills.databases import ServerDatabase
from perdure.torture.kills.oracle import judge
from perdure.torture.kills.portfolio import WORKLOADS
from perdure.torture.kills.process import Order, name_of
from perdure.torture.options import Options
from perdure.torture.processes.household import Household, Process
from perdure.torture.processes.nursery import nursery_of
from perdure.torture.report import Progress, Report

__all__ = ["LEASE_SECONDS", "Company", "SeveredReport", "campaign", "company"]

LEASE_SECONDS: Final = 3.0

Strikes = Callable[[int, Path, "SeveredReport", Callable[[int], None]], Coroutine[Any, Any, None]]
"""Strikes so many times, in a folder, on a server of its own; notes what is late, and tells of its progress."""


class SeveredReport(Report, kw_only=True):
    """The outcome. `times`: after how many seconds all went on; `what`: what these are."""

    what: str = ""
    times: list[float] = msgspec.field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0
    transfers: int = 0

    def line(self, unit: str) -> str:
        """Return the result as one line."""
        took = sorted(self.times) or [0.0]
        return (
            f"{super().line(unit)}; {len(self.times)} {self.what} after {took[len(took) // 2]:.1f} s, at most "
            f"{took[-1]:.1f} s; {self.acknowledged} acknowledged operations, {self.lost} lost, "
            f"{self.transfers} transfers"
        )

    def is_late(self, what: str) -> None:
        """Note that something took too long."""
        self.violations.append(f"python -m perdure.torture {self.name} --seed {self.seed}\n    late: {what}")


def campaign(name: str, what: str, options: Options, strikes: Strikes, *, count: int) -> SeveredReport:
    """Have a server and its workers struck `count` times, and judge what is left; then try the controls, if wished."""
    begun = time.monotonic()
    report = SeveredReport(name=name, what=what, seed=options.seed, violations=[], mishaps=[], times=[], details=[])
    folder = Path(tempfile.mkdtemp(prefix=f"perdure-{name}-"))
    progress = Progress(name, count)
    asyncio.run(strikes(count, folder, report, progress.show))
    progress.end()
    report.seconds = time.monotonic() - begun
    verdict = judge(folder)
    again = f"python -m perdure.torture kill --history {folder}"
    report.violations += [f"{again}\n    {found}" for found in verdict.violations]
    report.acknowledged, report.lost = verdict.acknowledged, verdict.count("lost")
    report.transfers = verdict.transfers
    is_kept = bool(report.violations or report.mishaps)
    if is_kept:
        report.details.append(f"the rows of the database and what was noted are kept in {folder}")
    if not is_kept or planting.is_planted():
        shutil.rmtree(folder)
    if options.is_ci or options.is_long:
        from perdure.torture import mutants  # noqa: PLC0415 - it runs the tools in other processes

        mutants.add_controls(report, options)
    return report


class Company:
    """Workers, and customers in a process of their own."""

    def __init__(self, folder: Path, household: Household, *, seed: int) -> None:
        """Begin with nobody."""
        self.household: Final = household
        self.chance: Final = random.Random(seed)
        self.workers: list[Process] = []
        self.folder: Final = folder
        self._customers: Process | None = None

    async def begin(self, url: Callable[[str], str], *, customers_url: Callable[[str], str]) -> None:
        """Fork all; each opens the database at the URL for its name. Return when they are at work."""
        self._customers = self._fork(customers_url, works=False, customers=_CUSTOMERS)
        self.workers = [self._fork(url) for _ in range(_WORKERS)]
        for process in (self._customers, *self.workers):
            await self.household.hear(process.ready, "open its engine")

    async def end(self, url: Callable[[str], str], *, count: int) -> None:
        """Kill all, and let a last worker end what is open, which takes the longer the more was struck."""
        assert self._customers is not None
        for process in (self._customers, *self.workers):
            await self.household.kill(process)
        seconds = _SETTLING_SECONDS + count * _SETTLING_SECONDS_EACH
        await self.household.outlive(self._fork(url, settles=True), seconds=seconds)

    def _fork(
        self, url: Callable[[str], str], *, works: bool = True, customers: int = 0, settles: bool = False
    ) -> Process:
        return self.household.fork(
            lambda number: Order(
                number=number,
                folder=str(self.folder),
                seed=self.chance.randrange(2**32),
                works=works,
                customers=customers,
                settles=settles,
                serves_queue=settles or number % 2 == 0,
                lease_seconds=LEASE_SECONDS,
                clock_ahead_seconds=self.chance.choice(ServerDatabase.clock_skews),
                workloads=tuple(WORKLOADS),
                url=url(name_of(number)),
            )
        )


@asynccontextmanager
async def company(folder: Path, database: ServerDatabase, report: SeveredReport) -> AsyncIterator[Company]:
    """Prepare a database, and give out a company for it; keep its rows in the folder, and the mishaps."""
    await database.prepare()
    async with Household(nursery_of("kill")) as household:
        yield Company(folder, household, seed=report.seed)
        await database.keep()
        report.mishaps += household.mishaps


_WORKERS: Final = 4
_CUSTOMERS: Final = 8
_SETTLING_SECONDS: Final = 120.0
_SETTLING_SECONDS_EACH: Final = 0.5
