"""Views of a run's code: as its history left it, whoever looks.

The code of a run in memory goes ahead of its history by the transition that is being committed. Whoever asked it
meanwhile would hear of what another process does not know yet, and of what never was if the commit is refused. So a
run that is looked at stands still where its history does, and goes on when nobody looks any more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from perdure.errors import UsageError
from perdure.execution.loading import load_run
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.journal import Journal
from perdure.kernel.program import Feed
from perdure.ports.store import RunSummary

if TYPE_CHECKING:
    from perdure.execution.active_run import ActiveRun
    from perdure.execution.worker import Worker

__all__ = ["Viewing", "view"]


class Viewing:
    """Those who look at a run in memory, or wait to: `settled` is set when the transition under way is; `is_asked` says
    that the run was to be advanced meanwhile."""

    __slots__ = ("count", "is_asked", "settled")

    def __init__(self) -> None:
        """Begin with nobody."""
        self.count = 0
        self.is_asked = False
        self.settled = asyncio.Event()


@asynccontextmanager
async def view(worker: "Worker", summary: RunSummary) -> AsyncIterator[Journal]:
    """Show a run's code as its history left it, for reading: the live one, held still, or a replayed copy.

    Raises UsageError for a run that no workflow code drives, and what `load_run` raises.
    """
    run_key = summary.run_key
    while (run := worker.active.get(run_key)) is not None:
        async with _still(run):
            if worker.active.get(run_key) is run:
                yield _journal_of(summary, run.feed)
                return
    _, feed = await load_run(worker, summary)
    try:
        yield _journal_of(summary, feed)
    finally:
        feed.program.close()


@asynccontextmanager
async def _still(run: "ActiveRun") -> AsyncIterator[None]:
    viewing = run.viewing = run.viewing or Viewing()
    viewing.count += 1
    try:
        if not run.is_settled:
            await viewing.settled.wait()
        yield
    finally:
        viewing.count -= 1
        if not viewing.count:
            run.viewing = None
            if viewing.is_asked:
                run.schedule()


def _journal_of(summary: RunSummary, feed: Feed) -> Journal:
    if not isinstance(feed.program, CoroutineProgram):
        raise UsageError(f"run {summary.ref} is not driven by workflow code and answers no queries")
    return feed.program.journal
