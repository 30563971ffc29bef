"""Waiting: what somebody is told who waits here for the end of a run that this process does not bring about.

Each reason is logged once: for code that is missing per version of a workflow, for a parked run per run.
"""

from typing import Final

from perdure.authoring.registry import Registry
from perdure.errors import UnknownWorkflowError
from perdure.kernel.identity import RunKey, WorkflowVersion
from perdure.logs import logger_named
from perdure.ports.store import RunSummary

__all__ = ["Waiting"]

_logger = logger_named("perdure.worker")

_REMEMBERED: Final = 10_000


class Waiting:
    """Tells of runs that wait for code. Not for several threads."""

    def __init__(self, registry: Registry) -> None:
        """Begin with nothing told."""
        self._registry = registry
        self._told: set[WorkflowVersion | RunKey] = set()

    def note(self, run: RunSummary, *, is_working: bool) -> None:
        """Tell once why the open run `run`, for which somebody waits, does not go on; `is_working`: here runs do."""
        if run.parked is not None:
            if self._is_new(run.run_key):
                _logger.warning("run %s is parked and waits for other code: %s", run.ref, run.parked.reason)
        elif is_working and self._registry.find(run.workflow, run.definition_version) is None:
            self._tell_of_missing_code(run)

    def _tell_of_missing_code(self, run: RunSummary) -> None:
        if not self._is_new(WorkflowVersion(run.workflow, run.definition_version)):
            return
        try:
            self._registry.workflow(run.workflow, run.definition_version)
        except UnknownWorkflowError as error:
            _logger.warning("run %s waits for another process, or for code: %s", run.ref, error)

    def _is_new(self, reason: WorkflowVersion | RunKey) -> bool:
        if reason in self._told:
            return False
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told.add(reason)
        return True
