"""An activity call: one attempt of an activity on its way from the queue to its outcome."""

from asyncio import TimerHandle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.authoring.activity import Activity
from perdure.kernel.deadline import Deadline, nearest
from perdure.kernel.identity import FencingToken, Operation
from perdure.kernel.options import ActivityOptions, Executor
from perdure.kernel.payload import Payload
from perdure.kernel.pending import PendingActivity
from perdure.kernel.time import Timestamp
from perdure.scheduling.admission import Group
from perdure.scheduling.item import Item

if TYPE_CHECKING:
    from perdure.execution.active_run import ActiveRun
    from perdure.execution.attempts import RunningCall

__all__ = ["ActivityCall", "make_call"]


class ActivityCall(msgspec.Struct, kw_only=True, eq=False):
    """What is needed to run one attempt, and how far it has come.

    `heartbeat` holds the details of an earlier attempt's last heartbeat. `executor` is where it runs, from its queueing
    on; `sequence` how many events the run had when it was made; `around` the nearest deadline of the stages and the
    run it is called in; `called_by` names the run that called it, for its idempotency key; `item` how the scheduler
    knows it; `group` those with the same limits (None: nothing limits it); `timers` limit its waiting; `running` is
    set once it has started.
    """

    run: "ActiveRun"
    definition: Activity[..., Any]
    options: ActivityOptions
    operation: Operation
    attempt: int
    input: Payload
    scheduled_at: Timestamp
    deadline_at: Timestamp | None
    heartbeat: Payload
    fencing_token: FencingToken
    sequence: int
    around: Deadline | None = None
    called_by: str = ""
    executor: Executor = Executor.LOOP
    item: Item | None = None
    group: Group[Executor] | None = None
    running: "RunningCall | None" = None
    timers: Sequence[TimerHandle] = ()

    @property
    def activity(self) -> str:
        """The activity's name."""
        return self.definition.name

    @property
    def workflow(self) -> str:
        """The name of the workflow whose run calls."""
        created = self.run.state.created
        return "" if created is None else created.workflow


def make_call(run: "ActiveRun", activity: PendingActivity, definition: Activity[..., Any]) -> ActivityCall:
    """Return the next attempt of a pending activity."""
    return ActivityCall(
        run=run,
        definition=definition,
        options=definition.effective_options(activity.options),
        operation=Operation(activity.operation),
        attempt=activity.attempt,
        input=activity.input,
        scheduled_at=activity.scheduled_at,
        deadline_at=activity.deadline_at,
        heartbeat=activity.heartbeat,
        fencing_token=run.fencing_token,
        sequence=run.state.sequence,
        called_by=activity.called_by or run.state.call_name(run.run_key),
        around=activity.within if run.state.deadline is None else nearest(activity.within, run.state.deadline),
    )
