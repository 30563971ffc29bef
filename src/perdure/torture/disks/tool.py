"""What the tools of this package share: lives recorded in one folder, and judged in another that is in memory."""

import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Coroutine
from math import ceil
from pathlib import Path

from perdure.torture.disks.losses import lose_power
from perdure.torture.disks.recording import RecordingDisk
from perdure.torture.options import Options
from perdure.torture.pool import shared_out
from perdure.torture.report import Progress, Report

__all__ = ["Judged", "judge", "run_lives"]

Judged = tuple[int, list[str]]
"""How many states were looked at, and what was wrong."""


def run_lives(name: str, options: Options, life: Callable[[int], Judged], *, states: int, per_life: int) -> Report:
    """Judge lives of as many seeds as make about `states`, each of which gives about `per_life`."""
    begun = time.monotonic()
    progress = Progress(name, states)
    report = Report(name=name, seed=options.seed, violations=[])
    seeds = range(options.seed, options.seed + ceil(states / per_life))
    for looked_at, wrong in shared_out(life, seeds, processes=options.processes):
        report.runs += looked_at
        report.violations += wrong
        progress.show(report.runs)
        if wrong and options.stops_at_first:
            break
    progress.end()
    report.seconds = time.monotonic() - begun
    if options.is_ci or options.is_long:
        from perdure.torture import mutants  # noqa: PLC0415 - it runs the tools in other processes

        mutants.add_controls(report, options)
    return report


def judge(
    live: Callable[[Path, RecordingDisk], Coroutine[None, None, list[int]]],
    *,
    name: str,
    seed: int,
    states: int,
    draws: int,
) -> Judged:
    """Let a life be lived, and lose power in it so often that this leaves about `states`, after its first failure."""
    disk = RecordingDisk()
    try:
        with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
            answered = asyncio.run(live(Path(folder), disk))
    finally:
        disk.close()
    operations = disk.operations
    begins = disk.failed_at or 0
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        share = states / ((len(operations) - begins) * (_STATES_EACH + draws))
        chance = random.Random(seed)
        found = list(lose_power(operations, answered, Path(folder), chance, share=share, draws=draws, begins=begins))
    return len(found), [f"{name}\n    {loss}" for loss in found if loss.wrong is not None][:_MOST_VIOLATIONS]


def _fast_folder() -> str | None:
    """Return a folder in memory, where there is one: what is noted and played needs no disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a random folder within


_STATES_EACH = 3
"""How many ways there are on average to lose power at a moment, besides the drawn ones."""
_MOST_VIOLATIONS = 5
