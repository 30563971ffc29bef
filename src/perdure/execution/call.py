"""An activity call: one attempt of an activity on its way from the queue to its outcome."""

from asyncio import TimerHandle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perdure.authoring.activity import Activity
from perdure.kernel.identity import FencingToken, Operation
from perdure.kernel.options import ActivityOptions, Executor
from perdure.kernel.payload import Payload
from perdure.kernel.time import Timestamp
from perdure.scheduling.item import Item

if TYPE_CHECKING:
    from perdure.execution.active_run import ActiveRun
    from perdure.execution.attempts import RunningCall

__all__ = ["ActivityCall"]


class ActivityCall:
    """What is needed to run one attempt, and how far it has come.

    `heartbeat` holds the details of an earlier attempt's last heartbeat. `executor` is where it runs, from its queueing
    on; `item` how the scheduler knows it; `timers` limit its waiting; `running` is set once it has started.
    """

    __slots__ = (
        "activity",
        "attempt",
        "deadline_at",
        "definition",
        "executor",
        "fencing_token",
        "heartbeat",
        "input",
        "item",
        "operation",
        "options",
        "run",
        "running",
        "scheduled_at",
        "timers",
    )

    def __init__(
        self,
        *,
        run: "ActiveRun",
        definition: Activity[..., Any],
        options: ActivityOptions,
        operation: Operation,
        attempt: int,
        input: Payload,
        scheduled_at: Timestamp,
        deadline_at: Timestamp | None,
        heartbeat: Payload,
        fencing_token: FencingToken,
    ) -> None:
        """Describe an attempt of `definition` for `run`."""
        self.run = run
        self.definition = definition
        self.activity = definition.name
        self.options = options
        self.operation = operation
        self.attempt = attempt
        self.input = input
        self.scheduled_at = scheduled_at
        self.deadline_at = deadline_at
        self.heartbeat = heartbeat
        self.fencing_token = fencing_token
        self.executor = Executor.LOOP
        self.item: Item | None = None
        self.running: RunningCall | None = None
        self.timers: Sequence[TimerHandle] = ()
