"""``copies``: the tool's entry; see the package."""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from perdure.torture.copies.interruption import interrupt
from perdure.torture.copies.trial import Trial
from perdure.torture.disks.folders import fast_folder
from perdure.torture.options import Options
from perdure.torture.report import Report
from perdure.torture.trials import Tried, run_trials

__all__ = ["run"]


def run(options: Options) -> Report:
    """Copy as many databases as make the points in time, and the interruptions, that `options` say."""
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    return run_trials("copies", options, _one_trial, count=count, each=_EACH, is_controlled=True)


def _one_trial(seed: int) -> Tried:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        trial = Trial(Path(folder), seed)
        asyncio.run(trial.run())
        points = trial.judge()
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        interruptions, wrong = interrupt(Path(folder), seed)
    again = f"python -m perdure.torture copies --count 1 --seed {seed}"
    violations = [*trial.wrong[:_MOST_VIOLATIONS], *wrong[:_MOST_VIOLATIONS]]
    return Tried(points + interruptions, [f"{again}\n    {violation}" for violation in violations])


_EACH: Final = 55
"""How many points in time a trial has, and ways to be interrupted, about."""
_MOST_VIOLATIONS: Final = 3
_USUALLY: Final = 1_000
_CI: Final = 6_000
_LONG: Final = 300_000
