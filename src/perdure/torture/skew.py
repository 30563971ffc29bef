"""``skew``: the machine's clock is set forward or back, by a second up to an hour, while the simulation runs."""

import random
from functools import cache, partial
from typing import Final

from perdure.torture.options import Options
from perdure.torture.report import Report
from perdure.torture.simulation.campaign import examine, smallest
from perdure.torture.simulation.plans import Plan, clock_jumps
from perdure.torture.simulation.trial import run_trial
from perdure.torture.simulation.workloads import WORKLOADS
from perdure.torture.trials import Tried, run_trials

__all__ = ["run"]


def run(options: Options) -> Report:
    """Let the clock jump in as many trials as `options` say, of the workloads that they name or of all small ones."""
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    workloads = options.workloads or _SMALL
    return run_trials("skew", options, partial(_one_plan, workloads), count=count, is_controlled=True)


def _one_plan(workloads: tuple[str, ...], seed: int) -> Tried:
    chance = random.Random(seed)
    plan = _undisturbed(chance.choice(workloads), seed, is_embedded=chance.random() < _EMBEDDED_SHARE)
    violation = examine(clock_jumps(plan, _points(plan.workload, is_embedded=plan.is_embedded), chance))
    return Tried(1, [] if violation is None else [str(smallest(violation))])


@cache
def _points(workload: str, *, is_embedded: bool) -> int:
    return run_trial(_undisturbed(workload, 0, is_embedded=is_embedded)).points


def _undisturbed(workload: str, seed: int, *, is_embedded: bool) -> Plan:
    return Plan(workload=workload, seed=seed, workers=1 if is_embedded else 2, is_embedded=is_embedded)


_SMALL: Final = tuple(name for name, workload in WORKLOADS.items() if not workload.is_large)
_EMBEDDED_SHARE: Final = 0.5
_USUALLY: Final = 300
_CI: Final = 2_000
_LONG: Final = 100_000
