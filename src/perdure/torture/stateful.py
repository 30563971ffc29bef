"""``stateful``: random programs of stores, each carried out in memory and in SQLite, which must not differ."""

import asyncio
import time
from typing import Final

from perdure.torture.options import Options
from perdure.torture.pool import shared_out
from perdure.torture.programs.differential import difference, shrunk
from perdure.torture.programs.steps import program
from perdure.torture.report import Progress, Report

__all__ = ["run"]


def run(options: Options) -> Report:
    """Compare the stores by as many programs as `options` say."""
    begun = time.monotonic()
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    progress = Progress("stateful", count)
    report = Report(name="stateful", runs=count, seed=options.seed, violations=[])
    seeds = range(options.seed, options.seed + count)
    for done, violation in enumerate(shared_out(_try, seeds, processes=options.processes), start=1):
        if violation is not None:
            report.violations.append(violation)
        progress.show(done)
    progress.end()
    report.seconds = time.monotonic() - begun
    return report


def _try(seed: int) -> str | None:
    steps = program(seed, length=_STEPS)
    if asyncio.run(difference(steps)) is None:
        return None
    fewer = asyncio.run(shrunk(steps))
    verbs = " ".join(step.verb for step in fewer)
    found = asyncio.run(difference(fewer))
    return f"python -m perdure.torture stateful --count 1 --seed {seed}\n    by {verbs}:\n{found}"


_STEPS: Final = 50
_USUALLY: Final = 200
_CI: Final = 2_000
_LONG: Final = 200_000
