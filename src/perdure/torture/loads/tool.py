"""``load``: the tool's entry; see the package."""

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw
import msgspec

from perdure.engine import Engine
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import RunStatus
from perdure.torture.loads.filling import LIFE_MICROSECONDS, Contents, fill
from perdure.torture.loads.mood import Mood, feel
from perdure.torture.loads.searches import Searched, search
from perdure.torture.loads.subject import Findings, Order, measure, observe
from perdure.torture.loads.workflows import answer, approval
from perdure.torture.options import Options
from perdure.torture.report import Progress, Report

__all__ = ["CI_GOALS", "LONG_GOALS", "LoadReport", "judge", "run"]


class Goals(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker may need on a file with many runs."""

    resident_megabytes: float
    serving_seconds: float
    page_milliseconds: float = 50.0
    page_lookups: int = 60_000
    idle_core_share: float = 0.05
    megabytes_per_hour: float | None = None


class LoadReport(Report, kw_only=True):
    """Adds what was measured. `claimed_early`: how many runs were claimed that had nothing to do."""

    findings: list[Findings]
    searched: list[Searched]
    moods: list[Mood]
    claimed_early: int = 0

    def line(self, unit: str) -> str:
        """Return the result as one line."""
        if not (self.findings and self.searched):
            return super().line(unit)
        best = min(self.findings, key=lambda one: one.serving_seconds)
        pages, worked = (sorted(getattr(one, name) for one in self.searched) for name in _TIMES)
        busy = self.findings[-1]
        grown = f", {busy.megabytes_per_hour:+.1f} MB/h over {busy.runs_done} runs" if busy.runs_done else ""
        clock, cpu = best.serving_seconds, best.serving_cpu_seconds
        return (
            f"{super().line(unit)}; serving after {clock:.2f} s ({cpu:.2f} s of CPU), "
            f"{max(one.resident_megabytes for one in self.findings):.0f} MB{grown}; pages: p95 "
            f"{_p95(pages):.1f} ms ({_p95(worked):.1f} ms of CPU), at most {pages[-1]:.1f} ms ({worked[-1]:.1f}); "
            f"{self.moods[-1]}"
        )


def run(options: Options) -> Report:
    """Fill a file with as many runs as `options` say, and half as much again that have ended; measure; judge."""
    if options.plan:
        print(msgspec.json.encode(asyncio.run(measure(msgspec.json.decode(options.plan, type=Order)))).decode())
        return Report(name="load", runs=1, seconds=1.0, seed=options.seed)
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    options.workloads_of(_WORKLOADS)
    begun = time.monotonic()
    report = LoadReport(name="load", seed=options.seed, violations=[], findings=[], searched=[], moods=[])
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_try(Path(folder), count, options, report))
    report.seconds = time.monotonic() - begun
    if options.is_ci or options.is_long:
        from perdure.torture import mutants  # noqa: PLC0415 - it runs the tools in other processes

        mutants.add_controls(report, options)
    return report


async def _try(folder: Path, count: int, options: Options, report: LoadReport) -> None:
    """Measure on a file of its own, and note in the report what is worse than the goals."""
    path = folder / "load.db"
    now = Timestamp(time.time_ns() // 1_000 + MICROSECONDS_PER_SECOND)
    workloads = options.workloads_of(_WORKLOADS)
    generations = min(count * _GENERATIONS_PER_RUN, _MOST_GENERATIONS) if _PAGES in workloads else 0
    progress = Progress("load", 2 * count + generations)
    contents = Contents(waiting=count, closed=count, due=_DUE, generations=generations, now=now)
    await fill(path, contents, seed=options.seed, on_progress=progress.show)
    progress.end()
    report.runs = count
    report.moods.append(feel(folder))
    if _STARTS in workloads:
        await _start(path, options, report)
    if _PAGES in workloads:
        for _ in range(_times(options)):
            report.searched += [one async for one in search(path, now=now, oldest=Timestamp(now - LIFE_MICROSECONDS))]
    report.moods.append(feel(folder))
    goals = LONG_GOALS if count > _CI else CI_GOALS
    again = f"python -m perdure.torture load --count {count} --seed {options.seed}"
    report.violations += [f"{again}\n    {wrong} ({report.moods[-1]})" for wrong in judge(report, goals)]


async def _start(path: Path, options: Options, report: LoadReport) -> None:
    """Let workers start, one after the other; what each finds due is done by it."""
    starts, all_due = _times(options), 0
    for start in range(starts):
        due = _DUE if start == 0 else await _answer_some(path)
        busy_seconds = _BUSY_SECONDS if options.is_long and start == starts - 1 else 0.0
        order = Order(database=str(path), due=due, idle_seconds=_IDLE_SECONDS, busy_seconds=busy_seconds)
        report.findings.append(await asyncio.to_thread(observe, order))
        all_due += due
    report.claimed_early = _claimed(path) - all_due


def _times(options: Options) -> int:
    """Return how often a worker starts, and how often every search is made."""
    return 1 if options.stops_at_first else _REPETITIONS


async def _answer_some(path: Path) -> int:
    """Answer runs that wait, by a process that does not work: so they are due when a worker comes. Return how many."""
    async with Engine(f"sqlite:///{path}", works=False) as engine:
        page = await engine.list_runs(workflow=approval.name, status=RunStatus.RUNNING, limit=_DUE)
        for run in page.runs:
            await (await engine.get_run(run.id)).signal(answer, 1)
    return len(page.runs)


def _claimed(path: Path) -> int:
    """Return how many runs were claimed since the file was filled: each claim gives a run its next fencing token."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        return int(connection.execute("SELECT count(*) FROM runs WHERE fencing_token > 1").get)


def judge(report: LoadReport, goals: Goals) -> list[str]:
    """Say what is worse than the goals.

    Of several starts the quickest counts, and of several searches the quickest of each; where a thread gets less than
    half of a core, their CPU time: what else the machine did meanwhile is not the store's.
    """
    is_busy = any(mood.is_busy for mood in report.moods)
    early = [f"{report.claimed_early} runs were claimed that had nothing to do"] if report.claimed_early > 0 else []
    starts = _of_starts(report.findings, goals, is_busy=is_busy)
    return [*early, *starts, *_of_pages(report.searched, goals, is_busy=is_busy)]


def _of_starts(found: Sequence[Findings], goals: Goals, *, is_busy: bool) -> Iterator[str]:
    if not found:
        return
    if left := max(one.left for one in found):
        yield f"of the runs that were due {left} were not done"
    serving = min(one.serving_cpu_seconds if is_busy else one.serving_seconds for one in found)
    if serving > goals.serving_seconds:
        yield f"the first run that was due was done after {serving:.2f} s; at most {goals.serving_seconds:g} s"
    resident = max(one.resident_megabytes for one in found)
    if resident > goals.resident_megabytes:
        yield f"the worker needed {resident:.0f} MB; at most {goals.resident_megabytes:g} MB"
    idle = min(one.idle_core_share for one in found)
    if idle > goals.idle_core_share:
        yield f"with nothing to do it took {idle:.0%} of a core; at most {goals.idle_core_share:.0%}"
    growth = found[-1].megabytes_per_hour
    if goals.megabytes_per_hour is not None and growth > goals.megabytes_per_hour:
        yield f"its memory grew by {growth:.2f} MB an hour; at most {goals.megabytes_per_hour}"


def _of_pages(searched: Sequence[Searched], goals: Goals, *, is_busy: bool) -> Iterator[str]:
    if not searched:
        return
    widest = max((one for one in searched if one.is_page), key=lambda one: one.lookups)
    if widest.lookups > goals.page_lookups:
        yield f"a page looked up {widest.lookups:,} of the file's, at most {goals.page_lookups:,}: {widest.what}"
    blindest = max(searched, key=lambda one: one.scanned)
    if blindest.scanned:
        yield f"{blindest.scanned:,} rows were passed that no index had led to: {blindest.what}"
    quickest: dict[str, float] = {}
    for one in searched:
        took = one.cpu_milliseconds if is_busy else one.milliseconds
        quickest[one.what] = min(took, quickest.get(one.what, took))
    page, slowest = _p95(sorted(quickest.values())), max(quickest, key=lambda what: quickest[what])
    if page > goals.page_milliseconds:
        yield f"p95 of pages is {page:.1f} ms, at most {goals.page_milliseconds:g}; the slowest: {slowest}"


_TIMES: Final = ("milliseconds", "cpu_milliseconds")


def _p95(values: list[float]) -> float:
    """Return the 95th percentile of sorted values."""
    return values[min(len(values) * 95 // 100, len(values) - 1)]


CI_GOALS: Final = Goals(resident_megabytes=250, serving_seconds=2)
LONG_GOALS: Final = Goals(resident_megabytes=400, serving_seconds=5, megabytes_per_hour=1)
_USUALLY: Final = 10_000
_CI: Final = 100_000
_LONG: Final = 1_000_000
_DUE: Final = 100
_GENERATIONS_PER_RUN: Final = 6
_MOST_GENERATIONS: Final = 60_000
"""One more id has so many generations that have ended: several times as many as a page may look at."""
_STARTS: Final = "starts"
_PAGES: Final = "pages"
_WORKLOADS: Final = (_STARTS, _PAGES)
_REPETITIONS: Final = 3
_IDLE_SECONDS: Final = 1.0
_BUSY_SECONDS: Final = 900.0
