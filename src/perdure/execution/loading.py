"""Loading: a run's history is replayed, in pages, against the code of this process."""

from typing import TYPE_CHECKING

from perdure.errors import HistoryError
from perdure.kernel import events as e
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.program import Feed
from perdure.kernel.replay import Replay
from perdure.kernel.state import RunState
from perdure.ports.store import RunSummary

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["load_run"]


async def load_run(worker: "Worker", summary: RunSummary) -> tuple[RunState, Feed]:
    """Load a run by replaying its history, in pages, against this process' code.

    Raises NonDeterminismError, HistoryError, UnknownWorkflowError. Whoever gets the feed closes its program in the end:
    one that is left to the garbage collector would run its clean-up code wherever that happens.
    """
    page_size, run_key = worker.settings.history_page, summary.run_key
    page = await worker.store.read_history(run_key, limit=page_size)
    created = page[0].event if page else None
    if not isinstance(created, e.RunCreated):
        message = f"the history of run key {run_key} does not begin with its creation"
        raise HistoryError(message)
    entry = worker.registry.workflow(summary.workflow, summary.definition_version).entry(worker.registry)
    replay = Replay(CoroutineProgram(entry, created, on_error=worker.report_lost_exception))
    try:
        replay.take(page)
        while len(page) == page_size:
            page = await worker.store.read_history(run_key, after=page[-1].sequence, limit=page_size)
            replay.take(page)
        return replay.finish()
    except BaseException:
        replay.feed.program.close()
        raise
