"""A trial of a disk: a life recorded in one folder, and judged in another; both in memory where that is possible."""

import asyncio
import random
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final

from perdure.torture.disks.folders import fast_folder
from perdure.torture.disks.life import UntrueAnswerError
from perdure.torture.disks.losses import SURELY, lose_power
from perdure.torture.disks.recording import RecordingDisk
from perdure.torture.trials import Tried

__all__ = ["judge"]


def judge(
    live: Callable[[Path, RecordingDisk], Coroutine[None, None, list[int]]],
    *,
    again: str,
    name: str,
    seed: int,
    states: int,
    draws: int,
) -> Tried:
    """Let a life be lived, and lose power in it so often that this leaves about `states`, after its first failure.

    `again` is the line that makes such a life once more, though not each of its states: those are drawn by `seed` from
    what threads did.
    """
    disk = RecordingDisk()
    try:
        with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
            answered = asyncio.run(live(Path(folder), disk))
    except UntrueAnswerError as error:
        return Tried(1, [f"{again}\n    {name}: {error}"])
    finally:
        disk.close()
    operations = disk.operations
    begins = disk.failed_at or 0
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        share = (states / (_STATES_EACH + draws) - SURELY) / (len(operations) - begins)
        chance = random.Random(seed)
        found = list(lose_power(operations, answered, Path(folder), chance, share=share, draws=draws, begins=begins))
    wrong = [f"{again}\n    {name}: {loss}" for loss in found if loss.wrong is not None]
    return Tried(len(found), wrong[:_MOST_VIOLATIONS])


_STATES_EACH: Final = 3.5
"""How many ways there are on average to lose power at a moment, besides the drawn ones."""
_MOST_VIOLATIONS: Final = 5
