"""An activity call: one attempt of an activity on its way from the queue to its outcome."""

from asyncio import TimerHandle
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from perdure.authoring.activity import Activity
from perdure.kernel import inputs as i
from perdure.kernel.deadline import Deadline, nearest
from perdure.kernel.events import TimeoutKind
from perdure.kernel.identity import FencingToken, Operation, WorkerId
from perdure.kernel.options import ActivityOptions, Executor
from perdure.kernel.payload import Payload
from perdure.kernel.pending import PendingActivity
from perdure.kernel.retry import NO_RETRY
from perdure.kernel.tasks import Task, TaskOrigin, step_token
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.scheduling.admission import Group
from perdure.scheduling.item import Item

if TYPE_CHECKING:
    from perdure.execution.active_run import ActiveRun
    from perdure.execution.attempts import RunningCall
    from perdure.execution.caller import Caller
    from perdure.execution.worker import Worker

__all__ = ["ActivityCall", "make_call", "make_task_call", "recorded_first"]


class ActivityCall(msgspec.Struct, kw_only=True, eq=False):
    """What is needed to run one attempt, and how far it has come.

    `heartbeat` holds the details of an earlier attempt's last heartbeat. `executor` is where it runs, from its queueing
    on; `sequence` how many events the run had when it was made; `around` the nearest deadline of the stages and the
    run it is called in; `called_by` names the run that called it, for its idempotency key; `claim_number` how often
    somebody claimed the task that it is (0: it is none); `item` how the scheduler knows it; `group` those with the same
    limits (None: nothing limits it); `timers` limit its waiting; `running` is set once it has started.
    """

    run: "Caller"
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
    claim_number: int = 0
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
        created = self.run.created
        return "" if created is None else created.workflow

    @property
    def step_token(self) -> int:
        """The fencing token that the function sees."""
        return step_token(self.fencing_token, self.attempt, self.claim_number)


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


def recorded_first(
    worker: "Worker", call: ActivityCall, activity: PendingActivity, sticky: Mapping[str, WorkerId]
) -> i.Input | None:
    """Return what must be durable before an attempt begins: that somebody else makes it, or that it is begun once.
    `sticky`: who has made the last sticky activity of each queue."""
    options = call.options
    if options.queue and not worker.queues.makes(call):
        task = _task_of(call, worker.clock.now())
        kept_for = sticky.get(options.queue) if options.sticky else None
        if kept_for is not None:
            until = task.queued_at + round(worker.settings.sticky_seconds * MICROSECONDS_PER_SECOND)
            task = structs.replace(task, sticky_to=kept_for, sticky_until=Timestamp(until))
        return _queueing(call, task)
    if options.at_most_once and not activity.attempt_started:
        return i.AttemptStarting(operation=call.operation, attempt=call.attempt, worker=worker.name)
    return None


def _queueing(call: ActivityCall, task: Task) -> i.AttemptQueued:
    limits = {} if call.deadline_at is None else {TimeoutKind.SCHEDULE_TO_CLOSE: call.deadline_at}
    wait = call.options.schedule_to_start_microseconds
    if wait is not None:
        limits[TimeoutKind.SCHEDULE_TO_START] = Timestamp(task.queued_at + wait)
    return i.AttemptQueued(task=task, retry=call.options.retry or NO_RETRY, limits=limits)


def _task_of(call: ActivityCall, now: Timestamp) -> Task:
    return Task(
        operation=call.operation,
        attempt=call.attempt,
        queue=call.options.queue or "",
        activity=call.activity,
        input=call.input,
        options=call.options,
        priority=call.run.priority if call.options.priority is None else call.options.priority,
        queued_at=now,
        origin=_origin_of(call),
        scheduled_at=call.scheduled_at,
        deadline_at=call.deadline_at,
        around=call.around,
        heartbeat=call.heartbeat,
    )


def _origin_of(call: ActivityCall) -> TaskOrigin:
    created = call.run.created
    assert created is not None
    return TaskOrigin(
        ref=created.ref,
        workflow=created.workflow,
        tenant=created.tenant,
        called_by=call.called_by,
        token=call.run.token_of(call.operation, call.attempt),
        trace_context=created.trace_context,
        deadline_at=created.deadline_at,
        fencing_token=call.fencing_token,
    )


def make_task_call(caller: "Caller", task: Task, definition: Activity[..., Any], *, number: int) -> ActivityCall:
    """Return the attempt that a task is, claimed for the `number`th time. Its wait to start ended with the claim."""
    return ActivityCall(
        run=caller,
        definition=definition,
        options=structs.replace(task.options, schedule_to_start_microseconds=None),
        operation=task.operation,
        attempt=task.attempt,
        input=task.input,
        scheduled_at=task.scheduled_at,
        deadline_at=task.deadline_at,
        heartbeat=task.heartbeat,
        fencing_token=task.origin.fencing_token,
        sequence=0,
        around=task.around,
        called_by=task.origin.called_by,
        claim_number=number,
    )
