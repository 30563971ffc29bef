"""``powerloss``: what a loss of power may leave at any moment of a store's life must hold all that was answered."""

import random
from typing import Final

from perdure.torture.disks.life import live
from perdure.torture.disks.trial import judge
from perdure.torture.options import Options
from perdure.torture.programs.steps import program
from perdure.torture.report import Report
from perdure.torture.trials import Tried, again, run_trials

__all__ = ["run"]


def run(options: Options) -> Report:
    """Look at about as many states of the disk as `options` say, some thousands in each of several lives."""
    states = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    return run_trials("powerloss", options, _one_life, count=states, each=_STATES_PER_LIFE, is_controlled=True)


def _one_life(seed: int) -> Tried:
    return judge(
        lambda folder, disk: live(program(seed, length=_STEPS), folder, disk, random.Random(seed)),
        again=again("powerloss", seed),
        name=f"life {seed}",
        seed=seed,
        states=_STATES_PER_LIFE,
        draws=_DRAWS,
    )


_STEPS: Final = 60
_STATES_PER_LIFE: Final = 2_500
_DRAWS: Final = 6
_USUALLY: Final = 5_000
_CI: Final = 100_000
_LONG: Final = 3_000_000
