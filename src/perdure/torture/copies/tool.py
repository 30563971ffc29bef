"""``copies``: the tool's entry; see the package."""

import asyncio
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from perdure.torture.copies.interruption import interrupt, making_of
from perdure.torture.copies.makings import MAKINGS
from perdure.torture.copies.trial import Trial
from perdure.torture.disks.folders import fast_folder
from perdure.torture.options import Options
from perdure.torture.report import Report
from perdure.torture.trials import Tried, again, run_trials

__all__ = ["run"]


def run(options: Options) -> Report:
    """Copy as many databases as make the points in time, and the interruptions, that `options` say."""
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    trial = partial(_one_trial, workloads=options.workloads_of(_WORKLOADS))
    return run_trials("copies", options, trial, count=count, each=_EACH, is_controlled=True)


def _one_trial(seed: int, *, workloads: tuple[str, ...]) -> Tried:
    """Try what a seed has of `workloads`: the points in time, and makings by their names."""
    looked_at, violations = 0, list[str]()
    for workload, judge in ((_POINTS, _judge_points), (making_of(seed), interrupt)):
        if workload in workloads:
            with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
                judged, wrong = judge(Path(folder), seed)
            looked_at += judged
            violations += wrong[:_MOST_VIOLATIONS]
    repeats = again("copies", seed, only=() if workloads == _WORKLOADS else workloads)
    return Tried(looked_at, [f"{repeats}\n    {violation}" for violation in violations])


def _judge_points(folder: Path, seed: int) -> tuple[int, list[str]]:
    """Use a database and copy it; return how many points in time were judged, and what is wrong."""
    trial = Trial(folder, seed)
    asyncio.run(trial.run())
    return trial.judge(), trial.wrong


_POINTS: Final = "points"
_WORKLOADS: Final = (_POINTS, *dict.fromkeys(making_of(seed) for seed in range(len(MAKINGS))))
_EACH: Final = 73
"""How many points in time a trial has, and ways to be interrupted, about."""
_MOST_VIOLATIONS: Final = 3
_USUALLY: Final = 1_000
_CI: Final = 5_000
_LONG: Final = 300_000
