"""What Python and asyncio do in each process beside the trials, and need not: a tenth of what a trial costs."""

import asyncio
import gc
from typing import Any, Final

__all__ = ["keep_no_house"]


def keep_no_house() -> None:
    """Have garbage collected without looking through what is there by now, which stays, each time.

    And let asyncio keep no list of all its tasks, for which nobody asks a simulated loop. For a process that does
    nothing but trials. To collect between trials only was tried: it costs more than it saves, as memory that is used
    again at once is memory that the processor has at hand.
    """
    gc.collect()
    gc.freeze()
    if _ALL_TASKS is not None:
        _ALL_TASKS.add = _keep_nothing


def _keep_nothing(_task: object) -> None:
    pass


_ALL_TASKS: Final[Any] = getattr(asyncio.tasks, "_all_tasks", None)
"""A set of weak references, which later Pythons have no more."""
