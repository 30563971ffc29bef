"""``stateful``: random programs of stores, each carried out in memory and in SQLite, which must not differ."""

import asyncio
from typing import Final

from perdure.torture.options import Options
from perdure.torture.planting import is_planted
from perdure.torture.programs.differential import difference, shrunk
from perdure.torture.programs.steps import program
from perdure.torture.report import Report
from perdure.torture.trials import Tried, run_trials

__all__ = ["run"]


def run(options: Options) -> Report:
    """Compare the stores by as many programs as `options` say."""
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    return run_trials("stateful", options, _one_program, count=count, per_core=2, is_controlled=True)


def _one_program(seed: int) -> Tried:
    steps = program(seed, length=_STEPS)
    if asyncio.run(difference(steps)) is None:
        return Tried(1, [])
    fewer = steps if is_planted() else asyncio.run(shrunk(steps))
    verbs = " ".join(step.verb for step in fewer)
    found = asyncio.run(difference(fewer))
    return Tried(1, [f"python -m perdure.torture stateful --count 1 --seed {seed}\n    by {verbs}:\n{found}"])


_STEPS: Final = 50
_USUALLY: Final = 200
_CI: Final = 2_000
_LONG: Final = 200_000
