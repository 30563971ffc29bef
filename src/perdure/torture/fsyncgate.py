"""``fsyncgate``: a sync fails, or a few, and the kernel forgets what it should have written; later the power fails.

After the failure the process goes on, beside others or alone, opens the file anew, or is dead at once and another opens
it. Whatever is answered from then on must be there after a loss of power: all that reads the files sees it in any case.
"""

import random
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Final

from perdure.torture.disks.life import (
    DATABASE_NAME,
    AfterFailure,
    live_alone_through_a_failure,
    live_through_a_failure,
)
from perdure.torture.disks.recording import RecordingDisk
from perdure.torture.disks.trial import judge
from perdure.torture.options import Options
from perdure.torture.programs.steps import program
from perdure.torture.report import Report
from perdure.torture.trials import Tried, again, run_trials

__all__ = ["run"]


def run(options: Options) -> Report:
    """Look at about as many states of the disk as `options` say, some tens for each failing sync."""
    states = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    trial = partial(_one_life, options.workloads_of(_WORKLOADS))
    return run_trials("fsyncgate", options, trial, count=states, each=_STATES_PER_LIFE, is_controlled=True)


def _one_life(workloads: tuple[str, ...], seed: int) -> Tried:
    chance = random.Random(seed)
    file, syncs = chance.choice(_FILES)
    then = _WORKLOADS[workloads[seed % len(workloads)]]
    # Lives of one workload that follow each other go through all syncs: none is left to chance.
    which = 1 + seed // len(workloads) % (syncs - 1)
    fails = (file, which, chance.choice(_TIMES) if then in _GOING_ON else 1)
    steps = [step for step in program(seed, length=_STEPS) if step.verb not in _ENDINGS]

    def live(folder: Path, disk: RecordingDisk) -> Coroutine[None, None, list[int]]:
        if then is AfterFailure.CONTINUE_ALONE:
            return live_alone_through_a_failure(folder, disk, fails=fails)
        return live_through_a_failure(steps, folder, disk, chance, fails=fails, then=then)

    return judge(
        live,
        again=again("fsyncgate", seed, only=() if len(workloads) == len(_WORKLOADS) else workloads),
        name=f"life {seed}, where sync {fails[1]} of {file} fails, {fails[2]} in all, and the process {then.value}",
        seed=seed,
        states=_STATES_PER_LIFE,
        draws=_DRAWS,
    )


_WORKLOADS: Final = {
    "go-on": AfterFailure.CONTINUE,
    "go-on-alone": AfterFailure.CONTINUE_ALONE,
    "reopen": AfterFailure.REOPEN,
    "die": AfterFailure.KILL,
}
"""What the process does then, by the words of the command line."""
_FILES: Final = ((f"{DATABASE_NAME}-wal", 40), (DATABASE_NAME, 12))
"""Which syncs fail, up to which number in a life."""
_GOING_ON: Final = frozenset({AfterFailure.CONTINUE, AfterFailure.CONTINUE_ALONE})
_TIMES: Final = (1, 2, 2, 3)
"""How many syncs in a row fail while the process goes on: the next is that of another try, or of an old connection."""
_ENDINGS: Final = frozenset({"close", "kill"})
_STEPS: Final = 100
_STATES_PER_LIFE: Final = 90
_DRAWS: Final = 3
_USUALLY: Final = 1_000
_CI: Final = 12_000
_LONG: Final = 100_000
