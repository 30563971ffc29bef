"""A campaign of kills: processes come and go, the last one settles, the oracle judges."""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Self, TypedDict, Unpack

from perdure.torture import planting
from perdure.torture.kills.copies import judge_copies, plant_early_claim
from perdure.torture.kills.databases import Database, opened
from perdure.torture.kills.ledger import Note, read
from perdure.torture.kills.oracle import judge, with_second_outcome
from perdure.torture.kills.portfolio import WORKLOADS
from perdure.torture.kills.process import Order, name_of
from perdure.torture.kills.rows import kept_rows
from perdure.torture.processes.household import Household, Process
from perdure.torture.processes.nursery import nursery_of
from perdure.torture.report import Report

__all__ = ["Campaign", "KillReport", "run_kills"]


class KillReport(Report, kw_only=True):
    """The outcome of `kill`: how much was acknowledged, of that lost, and refused; how many steps have two outcomes.

    `transfers`: how many entries steps have written to a ledger of their own. `points`: how many points in time of the
    copy were restored, and compared with what was acknowledged. `cut_off`: how many connections to a server were ended.
    """

    acknowledged: int = 0
    lost: int = 0
    refused: int = 0
    double_outcomes: int = 0
    histories: int = 0
    effects: int = 0
    transfers: int = 0
    points: int = 0
    cut_off: int = 0

    def judge(self, folder: Path) -> None:
        """Take in what the oracle finds in the folder of a campaign, which is kept if that is anything."""
        verdict, copies = judge(folder), judge_copies(folder, seed=self.seed)
        again = f"python -m perdure.torture kill --history {folder}"
        self.violations = [f"{again}\n    {what}" for what in (*verdict.violations, *copies.violations)]
        self.acknowledged, self.histories, self.effects = verdict.acknowledged, verdict.histories, verdict.effects
        self.lost, self.double_outcomes = verdict.count("lost"), verdict.count("two outcomes")
        self.refused, self.transfers = verdict.refused, verdict.transfers
        self.points = copies.points

    def line(self, unit: str) -> str:
        """Return the result as one line."""
        return (
            f"{super().line(unit)}; {self.acknowledged} acknowledged operations, {self.lost} lost, "
            f"{self.refused} refused, {self.double_outcomes} steps with two outcomes ({self.histories} histories, "
            f"{self.effects} effects, {self.transfers} transfers), "
            + (f"{self.cut_off} connections cut off" if self.cut_off else f"{self.points} points of a copy restored")
        )


async def run_kills(
    *,
    count: int,
    seed: int,
    on_postgres: bool = False,
    workloads: tuple[str, ...] = tuple(WORKLOADS),
    has_controls: bool = True,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> KillReport:
    """Kill `count` processes in a new folder and judge what is left; then run the controls, which must be found out.

    `on_postgres`: on a server of this campaign's own, in the place of a file. `seed` draws who is killed when and what
    the customers do; the rest is the machine's.
    """
    begun = time.monotonic()
    report = KillReport(name="kill", seed=seed, details=[], controls=[], survivors=[])
    folder = Path(tempfile.mkdtemp(prefix="perdure-kills-"))
    async with (
        opened(folder, on_postgres=on_postgres) as database,
        Campaign(folder, database, seed=seed, workloads=workloads) as campaign,
    ):
        await campaign.run(count, on_progress)
        report.runs, report.mishaps, report.cut_off = campaign.kills, campaign.mishaps, campaign.cut_off
    report.seconds = time.monotonic() - begun
    report.judge(folder)
    is_kept = bool(report.violations or report.mishaps)
    if is_kept:
        report.details.append(f"the database and what was noted are kept in {folder}")
    elif has_controls:
        if report.points:
            plant_early_claim(folder)
            copied = judge_copies(folder, seed=seed).violations
            _note_control(report, "a copy of which too much is claimed", copied, "copy")
        planted = judge(folder, with_second_outcome(kept_rows(folder)))
        _note_control(report, "a second outcome in a history", planted.violations, "two outcomes")
    if not is_kept or planting.is_planted():
        shutil.rmtree(folder)
    if has_controls:
        control = partial(_run_control, report, on_postgres=on_postgres)
        await control("customers told before the commit", "lost", early_customers=True)
        await control("workers going on before the commit", "effect", early_workers=True)
        await control("locks given to all who ask", "lock", loose_locks=True)
        await control("steps that commit before their outcome", "ledger", steps_apart=True)
    return report


class _Lies(TypedDict, total=False):
    """The controls: see `Campaign`."""

    early_customers: bool
    early_workers: bool
    loose_locks: bool
    steps_apart: bool


async def _run_control(
    report: KillReport, name: str, kind: str, *, on_postgres: bool = False, **lies: Unpack[_Lies]
) -> None:
    """Let processes lie and die until that is found out: a kill may miss the moments between a lie and its truth."""
    violations: list[str] = []
    for number in range(_CONTROL_ROUNDS):
        with tempfile.TemporaryDirectory(prefix="perdure-kills-") as path:
            folder = Path(path)
            async with (
                opened(folder, on_postgres=on_postgres) as database,
                Campaign(folder, database, seed=report.seed + number, **lies) as campaign,
            ):
                await campaign.run(database.pace.control_kills, has_calm=False)
            violations = judge(folder).violations
        if _count(violations, kind):
            break
    _note_control(report, name, violations, kind)


def _note_control(report: KillReport, name: str, violations: list[str], kind: str) -> None:
    if count := _count(violations, kind):
        report.controls.append(f"{name}: {count} x {kind}")
    else:
        report.survivors.append(name)


def _count(violations: list[str], kind: str) -> int:
    return sum(violation.startswith(f"{kind}:") for violation in violations)


_CONTROL_ROUNDS: Final = 4


class Campaign:
    """One folder, one database, one nursery, and the processes that live in them."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        *,
        seed: int,
        workloads: tuple[str, ...] = tuple(WORKLOADS),
        early_customers: bool = False,
        early_workers: bool = False,
        loose_locks: bool = False,
        steps_apart: bool = False,
    ) -> None:
        """Work in `folder` and on `database`, with runs of `workloads`. The others are controls, whose stores lie."""
        self.kills = 0
        self.cut_off = 0
        self._folder = folder
        self._database = database
        self._pace = database.pace
        self._workloads = workloads
        self._chance = random.Random(seed)
        self._early_customers = early_customers
        self._early_workers = early_workers
        self._loose_locks = loose_locks
        self._steps_apart = steps_apart
        self._household = Household(nursery_of("kill"))

    async def __aenter__(self) -> Self:
        """Start the nursery."""
        await self._household.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Let the nursery end all that still live."""
        await self._household.__aexit__(*exception)

    @property
    def mishaps(self) -> list[str]:
        """What went wrong with the processes themselves."""
        return self._household.mishaps

    @property
    def processes(self) -> list[int]:
        """The ids of all processes there have been."""
        return self._household.ids

    async def run(
        self, count: int, on_progress: Callable[[int], None] = lambda _done: None, *, has_calm: bool = True
    ) -> None:
        """Kill `count` times, then, if it `has_calm`, let customers have what they ask for in peace; settle."""
        workers = [self._worker()]
        customers = self._customers()
        copier: Process | None = None
        while self.kills < count and not self.mishaps:
            if len(workers) < self._pace.most_workers and self._chance.random() < self._pace.company_share:
                workers.append(self._worker())
            if self._chance.random() < _OPENING_SHARE:
                await self._household.hear(workers[-1].born, "fork")
                await asyncio.sleep(self._chance.uniform(0.0, self._pace.longest_opening_seconds))
            else:
                for child in (customers, *workers):
                    await self._household.hear(child.ready, "open its engine")
                if self._database.has_copies:
                    copier = copier or self._fork(copies=True)
                await self._cut_off(self._chance.choice((customers, *workers)))
                await asyncio.sleep(self._chance.uniform(*self._pace.life_seconds))
            if self._early_customers or self._chance.random() < _CUSTOMER_SHARE:
                await self._kill(customers)
                customers = self._customers()
            if len(workers) == 1 or self._chance.random() < _WORKER_SHARE:
                for _ in range(self._chance.randint(1, min(self._pace.most_deaths, len(workers)))):
                    await self._kill(workers.pop(self._chance.randrange(len(workers))))
            if not workers:
                workers.append(self._worker())
            if copier is not None and self._chance.random() < _COPIER_SHARE:
                await self._kill(copier)
                copier = self._fork(copies=True)
            on_progress(self.kills)
        for child in (customers, *workers, *([] if copier is None else [copier])):
            await self._kill(child, is_counted=False)
        if has_calm and not self.mishaps:
            await self._be_calm()
        await self._settle()

    async def _be_calm(self) -> None:
        """Let two workers end what the dead have left, with a third for the queue, and serve customers in another
        process; kill the one that has more runs, which the other must take over, and have what is open end."""
        workers = {
            name_of(worker.order.number): worker for worker in (self._fork(is_calm=True), self._fork(is_calm=True))
        }
        elsewhere = self._fork(is_calm=True, serves_queue=True, only_queue=True)
        for worker in (elsewhere, *workers.values()):
            await self._household.hear(worker.ready, "open its engine")
        if await self._is_served(settles=True) and await self._is_served(customers=_CUSTOMERS):
            busiest = await self._database.busiest()
            await self._kill(workers.pop(busiest if busiest in workers else min(workers)), is_counted=False)
            await self._is_served(settles=True)
        for worker in (elsewhere, *workers.values()):
            await self._kill(worker, is_counted=False)

    async def _is_served(self, *, customers: int = 0, settles: bool = False) -> bool:
        """Let a process that works nothing ask the workers; return whether all was answered in time."""
        asking = self._fork(works=False, customers=customers, settles=settles, is_calm=True)
        await self._await_end(asking)
        notes = read(self._folder / f"notes-{asking.order.number}", Note)
        return all(note.state != "late" for note in notes)

    async def _settle(self) -> None:
        """Let a last worker end all runs; what it does not end the oracle finds open."""
        await self._await_end(self._fork(settles=True, serves_queue=True))
        await self._database.keep()

    async def _await_end(self, process: Process) -> None:
        """Wait for a process that has something to do, which takes the longer the more the dead have left."""
        seconds = _SETTLING_SECONDS + self.kills * _SETTLING_SECONDS_EACH
        await self._household.outlive(process, seconds=seconds)

    # --- processes -----------------------------------------------------------------------------------------------

    def _worker(self) -> Process:
        """Fork one that runs workflows, one that serves the queue, or one that does both."""
        only_queue = self._chance.random() < _ONLY_QUEUE_SHARE
        return self._fork(
            serves_queue=only_queue or self._chance.random() < _QUEUE_SHARE,
            only_queue=only_queue,
            acknowledges_early=self._early_workers,
        )

    def _customers(self) -> Process:
        """Fork a process that serves customers: a mere client, or a worker too."""
        works = not self._early_customers and self._chance.random() < _EMBEDDED_SHARE
        return self._fork(
            works=works,
            customers=_CUSTOMERS,
            acknowledges_early=self._early_customers or (works and self._early_workers),
        )

    def _fork(
        self,
        *,
        works: bool = True,
        customers: int = 0,
        settles: bool = False,
        copies: bool = False,
        serves_queue: bool = False,
        only_queue: bool = False,
        is_calm: bool = False,
        lease_seconds: float = 0.0,
        acknowledges_early: bool = False,
    ) -> Process:
        return self._household.fork(
            lambda number: Order(
                number=number,
                folder=str(self._folder),
                seed=self._chance.randrange(2**32),
                works=works,
                customers=customers,
                settles=settles,
                copies=copies,
                serves_queue=serves_queue,
                only_queue=only_queue,
                is_calm=is_calm,
                lease_seconds=lease_seconds,
                clock_ahead_seconds=self._chance.choice(self._database.clock_skews),
                acknowledges_early=acknowledges_early,
                shares_locks=self._loose_locks,
                commits_apart=self._steps_apart,
                workloads=self._workloads,
                url=self._database.url(name_of(number)),
            )
        )

    async def _cut_off(self, process: Process) -> None:
        """Have the server end connections of a process now and then."""
        if self._chance.random() < _CUT_SHARE:
            self.cut_off += await self._database.cut_off(name_of(process.order.number), self._chance)

    async def _kill(self, child: Process, *, is_counted: bool = True) -> None:
        self.kills += await self._household.kill(child) and is_counted


_CUSTOMERS: Final = 8
_OPENING_SHARE: Final = 0.2
_WORKER_SHARE: Final = 0.8
_CUSTOMER_SHARE: Final = 0.2
_ONLY_QUEUE_SHARE: Final = 0.3
_QUEUE_SHARE: Final = 0.3
_COPIER_SHARE: Final = 0.2
_CUT_SHARE: Final = 0.3
_EMBEDDED_SHARE: Final = 0.4
_SETTLING_SECONDS: Final = 120.0
_SETTLING_SECONDS_EACH: Final = 0.1
