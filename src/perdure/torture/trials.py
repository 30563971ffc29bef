"""Trials by seed that several processes share; with one process they are done here, where bugs can be planted."""

import logging
import multiprocessing
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from math import ceil
from typing import Final, NamedTuple, TypeVar

from perdure.torture.options import Options
from perdure.torture.report import Progress, Report

__all__ = ["Tried", "again", "run_trials"]


class Tried(NamedTuple):
    """How much was looked at, what was wrong, and how often what happened by it."""

    looked_at: int
    wrong: list[str]
    tally: Mapping[str, int] = {}


def again(tool: str, seed: int, *, only: Iterable[str] = ()) -> str:
    """Return the line that repeats the trial of a seed, where there were `only` these workloads."""
    chosen = "".join(f" --workload {shlex.quote(workload)}" for workload in only)
    return f"python -m perdure.torture {tool} --count 1 --seed {seed}{chosen}"


Item = TypeVar("Item")
Result = TypeVar("Result")


def run_trials(
    name: str,
    options: Options,
    trial: Callable[[int], Tried],
    *,
    count: int,
    each: float = 1,
    per_core: int = 1,
    is_controlled: bool = False,
) -> Report:
    """Try as many seeds as make about `count` things to look at, about `each` by one; `trial` is a module's function.

    `per_core`: how many processes keep a core busy, more than one where a trial waits for threads and disks mostly.
    `is_controlled`: with ``--ci`` and ``--long`` the bugs that are planted for the tool `name` are tried, too.
    """
    begun = time.monotonic()
    progress = Progress(name, count)
    report = Report(name=name, seed=options.seed, violations=[])
    seeds = range(options.seed, options.seed + ceil(count / each))
    tally = Counter[str]()
    for tried in _shared_out(trial, seeds, processes=options.processes * per_core if options.processes > 1 else 1):
        report.runs += tried.looked_at
        report.violations += tried.wrong
        tally.update(tried.tally)
        progress.show(report.runs)
        if tried.wrong and options.stops_at_first:
            break
    progress.end()
    report.tally = dict(tally)
    report.seconds = time.monotonic() - begun
    if is_controlled and (options.is_ci or options.is_long):
        from perdure.torture import mutants  # noqa: PLC0415 - it runs the tools in other processes

        mutants.add_controls(report, options)
    return report


def _shared_out(work: Callable[[Item], Result], items: Iterable[Item], *, processes: int) -> Iterator[Result]:
    """Yield what `work` returns for each item, in their order. `work` is a module's function."""
    if processes == 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(processes, mp_context=_SPAWN, initializer=_be_quiet) as pool:
        try:
            yield from pool.map(work, items)
        finally:
            pool.shutdown(cancel_futures=True)


def _be_quiet() -> None:
    logging.disable(logging.CRITICAL)  # the engine warns of what is done to it


_SPAWN: Final = multiprocessing.get_context("spawn")
