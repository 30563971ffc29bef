"""A campaign of kills: processes come and go, the last one settles, the oracle judges."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import msgspec

from perdure.torture.kills.copies import judge_copies, plant_early_claim
from perdure.torture.kills.oracle import Verdict, judge, plant_second_outcome
from perdure.torture.kills.process import Order, Word
from perdure.torture.report import Report

__all__ = ["Campaign", "KillReport", "run_kills"]


class KillReport(Report, kw_only=True):
    """The outcome of `kill`: how much was acknowledged, and how much of that lost; steps with two outcomes.

    `points`: how many points in time of the copy were restored, and compared with what was acknowledged.
    """

    acknowledged: int = 0
    lost: int = 0
    double_outcomes: int = 0
    histories: int = 0
    effects: int = 0
    points: int = 0

    def line(self, unit: str) -> str:
        """Return the result as one line."""
        return (
            f"{super().line(unit)}; {self.acknowledged} acknowledged operations, {self.lost} lost, "
            f"{self.double_outcomes} steps with two outcomes ({self.histories} histories, {self.effects} effects), "
            f"{self.points} points of a copy restored"
        )


async def run_kills(
    *,
    count: int,
    seed: int,
    has_controls: bool = True,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> KillReport:
    """Kill `count` processes in a new folder and judge what is left; then run the controls, which must be found out.

    `seed` draws who is killed when and what the customers do; the rest is the machine's.
    """
    begun = time.monotonic()
    report = KillReport(name="kill", seed=seed)
    folder = Path(tempfile.mkdtemp(prefix="perdure-kills-"))
    async with Campaign(folder, seed=seed) as campaign:
        verdict = await campaign.run(count, on_progress)
    report.seconds = time.monotonic() - begun
    copies = judge_copies(folder, seed=seed)
    report.runs, report.points = campaign.kills, copies.points
    report.violations = [*campaign.mishaps, *verdict.violations, *copies.violations]
    report.acknowledged, report.histories, report.effects = verdict.acknowledged, verdict.histories, verdict.effects
    report.lost, report.double_outcomes = verdict.count("lost"), verdict.count("two outcomes")
    if report.violations:
        report.violations.append(f"the database and what was noted are kept in {folder}")
    else:
        if has_controls:
            plant_early_claim(folder)
            _note_control(
                report, "a copy of which too much is claimed", judge_copies(folder, seed=seed).violations, "copy"
            )
            plant_second_outcome(folder)
            _note_control(report, "a second outcome in a history", judge(folder).violations, "two outcomes")
        shutil.rmtree(folder)
    if has_controls:
        await _run_control(report, "customers told before the commit", "lost", early_customers=True)
        await _run_control(report, "workers going on before the commit", "effect", early_workers=True)
        await _run_control(report, "locks given to all who ask", "lock", loose_locks=True)
    return report


async def _run_control(report: KillReport, name: str, kind: str, **lies: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="perdure-kills-") as folder:
        async with Campaign(Path(folder), seed=report.seed, **lies) as campaign:
            _note_control(report, name, (await campaign.run(_CONTROL_KILLS)).violations, kind)


def _note_control(report: KillReport, name: str, violations: list[str], kind: str) -> None:
    count = sum(violation.startswith(f"{kind}:") for violation in violations)
    if count:
        report.controls.append(f"{name}: {count} x {kind}")
    else:
        report.survivors.append(name)


_CONTROL_KILLS: Final = 30


class _Child:
    """A forked process, as its words tell."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.process = 0
        self.status = 0
        self.is_killed = False
        self.born, self.ready, self.dead = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def hear(self, word: Word) -> None:
        self.process = word.process
        match word.word:
            case "born":
                self.born.set()
            case "ready":
                self.ready.set()
            case "dead":
                self.status = word.status
                self.dead.set()
            case "settled":
                pass


class Campaign:
    """One folder, one nursery, and the processes that live in them."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        early_customers: bool = False,
        early_workers: bool = False,
        loose_locks: bool = False,
    ) -> None:
        """Work in `folder`. `early_customers`, `early_workers`, `loose_locks`: the controls, whose stores lie."""
        self.kills = 0
        self.mishaps: list[str] = []
        self._folder = folder
        self._chance = random.Random(seed)
        self._early_customers = early_customers
        self._early_workers = early_workers
        self._loose_locks = loose_locks
        self._children: dict[int, _Child] = {}
        self._nursery: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the nursery."""
        self._nursery = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "perdure.torture.kills.nursery",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._listening = asyncio.get_running_loop().create_task(self._listen(self._nursery))
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Let the nursery end all that still live."""
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        assert self._listening is not None
        self._nursery.stdin.close()
        await self._nursery.wait()
        await self._listening

    @property
    def processes(self) -> list[int]:
        """The ids of all processes there have been."""
        return [child.process for child in self._children.values()]

    async def run(self, count: int, on_progress: Callable[[int], None] = lambda _done: None) -> Verdict:
        """Kill `count` times, let a last worker settle everything, judge."""
        workers = [self._worker()]
        customers = self._customers()
        copier: _Child | None = None
        while self.kills < count and not self.mishaps:
            if len(workers) == 1 and self._chance.random() < _PAIR_SHARE:
                workers.append(self._worker())
            if self._chance.random() < _OPENING_SHARE:
                await self._hear(workers[-1].born, "fork")
                await asyncio.sleep(self._chance.uniform(0.0, _LONGEST_OPENING_SECONDS))
            else:
                for child in (customers, *workers):
                    await self._hear(child.ready, "open its engine")
                copier = copier or self._fork(copies=True)
                await asyncio.sleep(self._chance.uniform(*_LIFE_SECONDS))
            if self._early_customers or self._chance.random() < _CUSTOMER_SHARE:
                await self._kill(customers)
                customers = self._customers()
            if len(workers) == 1 or self._chance.random() < _WORKER_SHARE:
                await self._kill(workers.pop(self._chance.randrange(len(workers))))
            if not workers:
                workers.append(self._worker())
            if copier is not None and self._chance.random() < _COPIER_SHARE:
                await self._kill(copier)
                copier = self._fork(copies=True)
            on_progress(self.kills)
        for child in (customers, *workers, *([] if copier is None else [copier])):
            await self._kill(child, is_counted=False)
        await self._settle()
        return judge(self._folder)

    async def _settle(self) -> None:
        last = self._fork(settles=True)
        try:
            async with asyncio.timeout(_SETTLING_SECONDS):
                await last.dead.wait()
        except TimeoutError:
            self.mishaps.append(f"lost: a worker could not finish what was open within {_SETTLING_SECONDS} s")
            await self._kill(last, is_counted=False)

    # --- processes -----------------------------------------------------------------------------------------------

    def _worker(self) -> _Child:
        return self._fork(acknowledges_early=self._early_workers)

    def _customers(self) -> _Child:
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
        acknowledges_early: bool = False,
    ) -> _Child:
        order = Order(
            number=len(self._children) + 1,
            folder=str(self._folder),
            seed=self._chance.randrange(2**32),
            works=works,
            customers=customers,
            settles=settles,
            copies=copies,
            acknowledges_early=acknowledges_early,
            shares_locks=self._loose_locks,
        )
        child = self._children[order.number] = _Child(order)
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(msgspec.json.encode(order) + b"\n")
        return child

    async def _kill(self, child: _Child, *, is_counted: bool = True) -> None:
        await self._hear(child.born, "fork")
        child.is_killed = True
        if not child.dead.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.process, signal.SIGKILL)
            self.kills += is_counted
        await self._hear(child.dead, "die")

    async def _hear(self, event: asyncio.Event, what: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await event.wait()
        except TimeoutError:
            self.mishaps.append(f"process: one did not {what} within {_PATIENCE_SECONDS} s")

    async def _listen(self, nursery: asyncio.subprocess.Process) -> None:
        assert nursery.stdout is not None
        async for line in nursery.stdout:
            word = msgspec.json.decode(line, type=Word)
            child = self._children[word.number]
            child.hear(word)
            if child.dead.is_set() and not child.is_killed and not (child.order.settles and child.status == 0):
                self.mishaps.append(self._obituary(child))
                child.ready.set()

    def _obituary(self, child: _Child) -> str:
        log = self._folder / f"log-{child.order.number}"
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        return f"process: {child.order} ended by itself with status {child.status}: {text[-_LOG_CHARACTERS:]}"


_CUSTOMERS: Final = 8
_LIFE_SECONDS: Final = (0.005, 0.15)
_LONGEST_OPENING_SECONDS: Final = 0.06
_OPENING_SHARE: Final = 0.2
_PAIR_SHARE: Final = 0.3
_WORKER_SHARE: Final = 0.8
_CUSTOMER_SHARE: Final = 0.2
_COPIER_SHARE: Final = 0.2
_EMBEDDED_SHARE: Final = 0.4
_PATIENCE_SECONDS: Final = 60.0
_SETTLING_SECONDS: Final = 120.0
_LOG_CHARACTERS: Final = 2_000
