"""The run elsewhere of a task that this worker has, as the attempt of it knows it."""

import asyncio
from typing import TYPE_CHECKING

from perdure.execution.call import ActivityCall
from perdure.execution.task_reports import Report, report_of
from perdure.kernel import inputs as i
from perdure.kernel.events import RunCreated
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.payload import NULL
from perdure.kernel.priority import Priority
from perdure.ports.tasks import ClaimedTask

if TYPE_CHECKING:
    from perdure.execution.tasks import ServedQueues

__all__ = ["TaskCaller"]


class TaskCaller:
    """The run elsewhere whose task this worker has: what an attempt knows of it, and how it is told (`Caller`)."""

    __slots__ = ("_queues", "begun_at", "call", "charged", "claim", "created", "is_refused", "share", "task")

    def __init__(self, queues: "ServedQueues", claimed: ClaimedTask) -> None:
        """Stand for the run of a task."""
        self._queues = queues
        self.claim = claimed.claim
        self.task = task = claimed.task
        origin = task.origin
        self.call: ActivityCall | None = None
        self.begun_at = asyncio.get_running_loop().time()
        self.share, self.charged = claimed.share, claimed.charged
        self.is_refused = False
        self.created = RunCreated(
            workflow=origin.workflow,
            definition_version="",
            ref=origin.ref,
            input=NULL,
            seed=0,
            tenant=origin.tenant,
            priority=task.priority,
            deadline_at=origin.deadline_at,
            trace_context=origin.trace_context,
        )

    @property
    def run_key(self) -> RunKey:
        """The key of the run."""
        return self.claim.run_key

    @property
    def ref(self) -> RunRef:
        """The name of the run."""
        return self.task.ref

    @property
    def priority(self) -> Priority:
        """The class in which the task was queued."""
        return self.task.priority

    def token_of(self, operation: Operation, attempt: int) -> str:
        """Return the token that the run's owner has given to the attempt."""
        del operation, attempt
        return self.task.origin.token

    def receive(self, given: i.Input) -> None:
        """Tell the run what the attempt says of itself."""
        self._queues.tell(self, self._report(given))

    def attempt_ended(self, call: ActivityCall, given: i.Input | None) -> None:
        """Tell the run the outcome. None: the closing of this worker has interrupted the attempt."""
        del call
        if given is not None:
            self._queues.tell(self, self._report(given))

    def _report(self, given: i.Input) -> Report:
        maker = self._queues.maker if self.task.options.sticky else None
        return report_of(given, generation=self.ref.generation, maker=maker)
