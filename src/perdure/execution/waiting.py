"""Waiting: what somebody is told who waits here for the end of a run that this process does not bring about.

Each reason is logged once: for code that is missing per version of a workflow, for a parked run per run. Who waits for
a run that the code of this process has tried gets the reason as an error: as it was raised while that is remembered
(`perdure.execution.endings`), later as the run's row has it.
"""

from typing import TYPE_CHECKING, Final

from perdure.configuration import REMEMBERED_REASONS
from perdure.errors import (
    HistoryError,
    InternalError,
    NonDeterminismError,
    PerdureError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
    UnknownWorkflowError,
    UsageError,
)
from perdure.execution.differences import read_difference
from perdure.execution.parking import tell_of_parked
from perdure.kernel.failure import Failure
from perdure.kernel.identity import RunKey, WorkflowVersion
from perdure.logs import logger_named
from perdure.ports.store import RunSummary

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["Waiting"]

_logger = logger_named("perdure.worker")


class Waiting:
    """Tells of runs that wait for code. Not for several threads."""

    def __init__(self, worker: "Worker") -> None:
        """Begin with nothing told."""
        self._worker = worker
        self._told: set[WorkflowVersion | RunKey] = set()

    def note(self, run: RunSummary) -> None:
        """Tell why the open run `run`, for which somebody waits, does not go on here."""
        worker = self._worker
        if run.parked is not None:
            if worker.is_claiming and worker.code in run.parked.tried:
                if run.run_key not in worker.endings.parked:
                    tell_of_parked(worker, run.run_key, _error_of(run.parked.reason))
            elif self._is_new(run.run_key):
                _logger.warning("run %s is parked and waits for other code: %s", run.ref, run.parked.reason)
        elif worker.is_claiming and worker.registry.find(run.workflow, run.definition_version) is None:
            self._tell_of_missing_code(run)

    def _tell_of_missing_code(self, run: RunSummary) -> None:
        if not self._is_new(WorkflowVersion(run.workflow, run.definition_version)):
            return
        try:
            self._worker.registry.workflow(run.workflow, run.definition_version)
        except UnknownWorkflowError as error:
            _logger.warning("run %s waits for another process, or for code: %s", run.ref, error)

    def _is_new(self, reason: WorkflowVersion | RunKey) -> bool:
        if reason in self._told:
            return False
        if len(self._told) >= REMEMBERED_REASONS:
            self._told.clear()
        self._told.add(reason)
        return True


def _error_of(reason: Failure) -> PerdureError:
    """Return the error that a run is parked for, as its row has it."""
    if reason.type == NonDeterminismError.__name__:
        return read_difference(reason.message, (reason.traceback or "").splitlines())
    kind = next((_KINDS[name] for name in (reason.type, *reason.types) if name in _KINDS), UsageError)
    return kind(reason.message)


_KINDS: Final = {
    kind.__name__: kind
    for kind in (
        HistoryError,
        InternalError,
        StoreCorruptError,
        StoreUnavailableError,
        StoreError,
        UnknownWorkflowError,
        UsageError,
    )
}
