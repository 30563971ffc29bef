"""What Python and asyncio do in each process beside the trials, and need not: a tenth of what a trial costs."""

import asyncio
import gc
from typing import Any, Final

__all__ = ["collect_between_trials"]


def collect_between_trials() -> None:
    """Have nothing collected any more but when `gc.collect` is called, and that without what is there by now.

    And let asyncio keep no list of all its tasks, for which nobody asks a simulated loop. For a process that does
    nothing but trials.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    if _ALL_TASKS is not None:
        _ALL_TASKS.add = _keep_nothing


def _keep_nothing(_task: object) -> None:
    pass


_ALL_TASKS: Final[Any] = getattr(asyncio.tasks, "_all_tasks", None)
"""A set of weak references, which later Pythons have no more."""
