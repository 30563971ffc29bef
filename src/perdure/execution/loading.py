"""Loading: a run's history is replayed, in pages, against the code of this process."""

from typing import TYPE_CHECKING

from perdure.errors import HistoryError
from perdure.kernel import events as e
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.identity import RunKey
from perdure.kernel.program import Feed
from perdure.kernel.replay import Replay
from perdure.kernel.state import RunState

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["load_run"]


async def load_run(worker: "Worker", run_key: RunKey) -> tuple[RunState, Feed]:
    """Load a run by replaying its history, in pages, against this process' code.

    Raises NonDeterminismError, HistoryError, UnknownWorkflowError. Whoever gets the feed closes its program in the end:
    one that is left to the garbage collector would run its clean-up code wherever that happens.
    """
    page_size = worker.settings.history_page
    page = await worker.store.read_history(run_key, limit=page_size)
    created = page[0].event if page else None
    if not isinstance(created, e.RunCreated):
        message = f"the history of run key {run_key} does not begin with its creation"
        raise HistoryError(message)
    entry = worker.registry.entry_of(created)
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
