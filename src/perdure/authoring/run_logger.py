"""The logger of workflow code: it names the run, and is silent while the history is replayed."""

import logging
from typing import Final

from perdure.kernel.journal import Journal
from perdure.logs import logger_named

__all__ = ["RunLogger"]

_LOGGER: Final = logger_named("perdure.workflow")


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs with the run's id and workflow, once."""

    def __init__(self, journal: Journal) -> None:
        """Log for the run of a journal."""
        super().__init__(_LOGGER, {"run_id": journal.created.ref.id, "workflow": journal.created.workflow})
        self._journal = journal

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the standard library's name
        """Return False while replaying, so that nothing is logged twice."""
        return not self._journal.replaying and super().isEnabledFor(level)
