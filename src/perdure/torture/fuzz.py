"""``fuzz``: bytes that nobody meant, to every decoder: a value, or an error of its own, soon and within its limits."""

import random
from functools import partial
from typing import Final

from perdure.torture.fuzzing.mutation import mutated
from perdure.torture.fuzzing.targets import TARGETS
from perdure.torture.fuzzing.trial import what_is_wrong
from perdure.torture.options import Options
from perdure.torture.report import Report
from perdure.torture.trials import Tried, again, run_trials

__all__ = ["run"]


def run(options: Options) -> Report:
    """Give as many inputs as `options` say, to all targets in turn or to those that they name."""
    names = options.workloads_of(TARGETS)
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    trial = partial(_some_inputs, names)
    return run_trials("fuzz", options, trial, count=count, each=_INPUTS, is_controlled=True)


def _some_inputs(names: tuple[str, ...], seed: int) -> Tried:
    """Give one target some inputs: first its corpus as it is, by each seed another part of it."""
    target, chance = TARGETS[names[seed % len(names)]], random.Random(seed)
    corpus = target.corpus()
    inputs = [corpus[(seed // len(names) + number) % len(corpus)] for number in range(_UNCHANGED)]
    inputs += [mutated(corpus, chance) for _ in range(_INPUTS - _UNCHANGED)]
    for number, data in enumerate(inputs, start=1):
        wrong = what_is_wrong(target, data)
        if wrong is not None:
            repeats = again("fuzz", seed, only=() if names == tuple(TARGETS) else names)
            return Tried(number, [f"{repeats}\n    {target.name}: {wrong}\n    {len(data)} bytes: {data!r:.300}"])
    return Tried(len(inputs), [])


_INPUTS: Final = 50
_UNCHANGED: Final = 3
_USUALLY: Final = 14_000
_CI: Final = 60_000
_LONG: Final = 10_000_000
