"""Loading: a run's history is replayed, in pages, against the code of this process.

The history is the truth, and the run's row says the same in short. A row that says otherwise has been damaged: if it is
that of another workflow, or open though the history has ended, the run is not loaded; else it is, and its next
transition writes the row anew.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from perdure.authoring.registry import Registry
from perdure.errors import HistoryError
from perdure.kernel import events as e
from perdure.kernel.coroutine_program import CoroutineProgram, Entry
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, WorkflowVersion
from perdure.kernel.program import Feed
from perdure.kernel.replay import Replay
from perdure.kernel.state import RunState, demand_own
from perdure.kernel.transition import RunRow
from perdure.logs import logger_named
from perdure.ports.store import RunSummary
from perdure.redaction import concealed

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["begin_replay", "demand_open", "load_run", "make_program"]

_logger = logger_named("perdure.worker")


def make_program(entry: Entry, created: e.RunCreated) -> CoroutineProgram:
    """Return a run's code, ready to run in this process: it knows which secrets its failures must not hold."""
    return CoroutineProgram(entry, created, on_error=_report_lost_exception, conceal=concealed)


def _report_lost_exception(message: str, error: BaseException | None) -> None:
    """Log an exception of workflow code that nobody awaited."""
    _logger.warning("workflow code: %s", message, exc_info=error)


async def load_run(worker: "Worker", summary: RunSummary) -> tuple[RunState, Feed]:
    """Load a run by replaying its history, in pages, against this process' code.

    Raises NonDeterminismError, HistoryError, UnknownWorkflowError. Whoever gets the feed closes its program in the end:
    one that is left to the garbage collector would run its clean-up code wherever that happens.
    """
    page_size, run_key = worker.settings.history_page, summary.run_key
    page = await worker.store.read_history(run_key, limit=page_size)
    workflow = WorkflowVersion(summary.workflow, summary.definition_version)
    replay = begin_replay(worker.registry, run_key, workflow, page)
    try:
        replay.take(page)
        while len(page) == page_size:
            page = await worker.store.read_history(run_key, after=page[-1].sequence, limit=page_size)
            replay.take(page)
        return replay.finish()
    except BaseException:
        replay.feed.program.close()
        raise


def begin_replay(
    registry: Registry, run_key: RunKey, workflow: WorkflowVersion, page: Sequence[RecordedEvent]
) -> Replay:
    """Return the replay of a run, by the first page of its history, which is still to be taken.

    Raises HistoryError, UnknownWorkflowError. Whoever gets it closes its program in the end; see `load_run`.
    """
    created = page[0].event if page else None
    if not isinstance(created, e.RunCreated):
        message = f"the history of run key {run_key} does not begin with its creation"
        raise HistoryError(message)
    if created.workflow != workflow.name:
        message = f"run {created.ref} is one of the workflow {created.workflow!r}; its row says {workflow.name!r}"
        raise HistoryError(message)
    entry = registry.workflow(*workflow).entry(registry)
    return Replay(make_program(entry, created), conceal=concealed)


def demand_open(state: RunState, summary: RunSummary) -> None:
    """Compare the row of a run that this process owns with what its history says.

    Raises HistoryError if that has ended, or is another run's.
    """
    demand_own(state, summary.ref)
    said = {name: getattr(summary, name) for name in RunRow.__struct_fields__}
    differing = [name for name, value in structs.asdict(state.row()).items() if value != said[name]]
    if state.is_closed:
        message = f"the history of run {summary.ref} has ended ({state.status}); its row says {summary.status}"
        raise HistoryError(message)
    if differing:
        _logger.warning(
            "the row of run %s contradicts its history in %s; its next step writes it anew",
            summary.ref,
            ", ".join(differing),
        )
