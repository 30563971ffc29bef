"""The events: every fact a history can record, one record per type.

An event's place in the history, its time and its type name stand beside it (`perdure.kernel.history`), not in it.
The type name is the class name in snake case; `EVENT_TYPES` lists all. Every type has a version, and readers upgrade
old ones (`perdure.kernel.history`).

`operation` is the number of the command by which workflow code asked for the thing; the event that records the
command and the events that record its outcome carry the same number. 0 means that no workflow code asked (the engine
or a client did). Times are `Timestamp` (microseconds since the epoch, UTC).
"""

import re
from typing import Final

import msgspec

from perdure.kernel.deadline import Deadline
from perdure.kernel.failure import Failure
from perdure.kernel.fork_facts import CarriedResult, ForkCause, RepeatedStep
from perdure.kernel.identity import Operation, RunRef, WorkerId
from perdure.kernel.lineage import CarriedChild, CarriedSignal, CarriedUpdate, ParentClosePolicy, ParentLink
from perdure.kernel.locking import LockWait
from perdure.kernel.options import ActivityOptions
from perdure.kernel.outcomes import ChildOutcome, SignalOutcome, TimeoutKind
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.priority import Priority
from perdure.kernel.retry import Retry
from perdure.kernel.time import Timestamp


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of all events."""


# --- run, stage --------------------------------------------------------------------------------------------------


class RunCreated(Event, frozen=True, kw_only=True):
    """The run exists. `seed` feeds the deterministic random of workflow code. `stages` are the declared phase names.
    `call_name` names the run in the idempotency keys of its calls.

    No other run in any database has this name. It is empty where an older Perdure began the run (`RunState.call_name`).
    `carried_state`, `carried_signals` and `carried_children` come from the generation before; the children are known
    by the operations -1, -2, ... here. `deadline_at` is the end of the whole run, over all its generations: by its own
    execution timeout, or by the deadline of what `deadline_of` names, where that is nearer and was around the call that
    started it. Where `attempt` is not the first, that began at `first_attempt_at`, and this one was waited for
    `retry_delay_microseconds`.
    """

    workflow: str
    definition_version: str = "1"
    ref: RunRef
    input: Payload
    seed: int
    call_name: str = ""
    priority: Priority = Priority.NORMAL
    tenant: str = ""
    labels: dict[str, str] = {}
    stages: tuple[str, ...] = ()
    parent: ParentLink | None = None
    trace_context: dict[str, str] = {}
    execution_timeout_microseconds: int | None = None
    deadline_at: Timestamp | None = None
    deadline_of: str = ""
    start_at: Timestamp | None = None
    attempt: int = 1
    first_attempt_at: Timestamp | None = None
    retry_delay_microseconds: int = 0
    carried_state: dict[str, Payload] = {}
    carried_signals: tuple[CarriedSignal, ...] = ()
    carried_updates: tuple[CarriedUpdate, ...] = ()
    carried_children: tuple[CarriedChild, ...] = ()


class RunStarted(Event, frozen=True, kw_only=True):
    """A worker began to run the workflow's code. `worker` is empty where the run's `start_at` came in its memory, and
    where it had been suspended before."""

    worker: str = ""


class RunCompleted(Event, frozen=True, kw_only=True):
    """The workflow returned. `unconsumed_signals` counts, per name, what arrived and was never waited for."""

    result: Payload = NULL
    unconsumed_signals: dict[str, int] = {}


class RunFailed(Event, frozen=True, kw_only=True):
    """The workflow raised (`operation` > 0), or its execution timeout passed."""

    operation: Operation = Operation(0)
    failure: Failure
    can_retry: bool = True
    unconsumed_signals: dict[str, int] = {}


class RunCancelRequested(Event, frozen=True, kw_only=True):
    """Somebody asked for cancellation with clean-up; after `grace_until` the run is terminated. None: no limit.

    A suspended run goes on, to clean up.
    """

    reason: str = ""
    by: str = ""
    grace_until: Timestamp | None = None


class RunCancelled(Event, frozen=True, kw_only=True):
    """The workflow ended its clean-up after a cancel request (`operation` > 0), or was cancelled before it started."""

    operation: Operation = Operation(0)
    reason: str = ""
    unconsumed_signals: dict[str, int] = {}


class RunTerminated(Event, frozen=True, kw_only=True):
    """The run was stopped without clean-up."""

    reason: str = ""
    by: str = ""


class RunSuspended(Event, frozen=True, kw_only=True):
    """The run holds still until resumed: by its own code (`operation` > 0) or by a client."""

    operation: Operation = Operation(0)
    reason: str = ""
    by: str = ""


class RunResumed(Event, frozen=True, kw_only=True):
    """A suspended run goes on; one that had not begun begins, unless its time has not come."""

    by: str = ""


class RunContinued(Event, frozen=True, kw_only=True):
    """This generation is closed, generation `next_generation` begins with a fresh history.

    By continue-as-new; or, with `failure`, because the workflow's retry policy gives it another `attempt` at `next_at`.
    `definition_version`, with its `stages`, is that of the next generation; empty: the same as this one's.
    """

    input: Payload
    next_generation: int
    next_at: Timestamp
    attempt: int = 1
    failure: Failure | None = None
    carried_state: dict[str, Payload] = {}
    carried_signals: tuple[CarriedSignal, ...] = ()
    definition_version: str = ""
    stages: tuple[str, ...] = ()
    carried_children: tuple[CarriedChild, ...] = ()


class RunReset(Event, frozen=True, kw_only=True):
    """This generation, which was open, was ended by a reset: generation `next_generation` goes on from its `point`."""

    next_generation: int
    point: int
    reason: str = ""
    by: str = ""


class RunForked(Event, frozen=True, kw_only=True):
    """This run's history up to here was copied from another run, of which `sequence` was the last event taken.

    From here on it is the run `ref`, with a chance, names, version, deadline, grace and parent of its own. `origin_key`
    is the other run's key, `caller_key` that of the run that lived the event itself: it, or one that it is a fork of.
    `carried_signals`, `carried_results` came to it later; this one has them first. `repeats`: what may be done twice.
    """

    origin: RunRef
    origin_key: int
    caller_key: int
    sequence: int
    ref: RunRef
    seed: int
    call_name: str = ""
    cause: ForkCause
    reason: str = ""
    by: str = ""
    definition_version: str = "1"
    stages: tuple[str, ...] = ()
    deadline_at: Timestamp | None = None
    grace_until: Timestamp | None = None
    parent: ParentLink | None = None
    carried_signals: tuple[CarriedSignal, ...] = ()
    carried_results: tuple[CarriedResult, ...] = ()
    repeats: tuple[RepeatedStep, ...] = ()


class StageStarted(Event, frozen=True, kw_only=True):
    """A named phase began. After `deadline_at` it is cancelled; None: it has no deadline of its own."""

    operation: Operation
    name: str
    deadline_at: Timestamp | None = None


class StageCompleted(Event, frozen=True, kw_only=True):
    """The phase that `operation` started ended normally."""

    operation: Operation
    result: Payload = NULL


class StageFailed(Event, frozen=True, kw_only=True):
    """An exception left the phase that `operation` started."""

    operation: Operation
    failure: Failure


# --- activity ----------------------------------------------------------------------------------------------------


class ActivityScheduled(Event, frozen=True, kw_only=True):
    """Workflow code called an activity.

    `options` holds only what the call said beyond the activity's own options. `deadline_at` is the end of the
    schedule-to-close time, `within` the nearest deadline of the stages around the call. `compensates` is the operation
    whose effect this call undoes, 0 for an ordinary call.
    """

    operation: Operation
    activity: str
    input: Payload
    options: ActivityOptions | None = None
    deadline_at: Timestamp | None = None
    compensates: Operation = Operation(0)
    within: Deadline | None = None


class ActivityAttemptStarted(Event, frozen=True, kw_only=True):
    """An attempt is about to run. Recorded only for activities declared at-most-once."""

    operation: Operation
    attempt: int
    worker: str = ""


class ActivityAttemptFailed(Event, frozen=True, kw_only=True):
    """An attempt failed or timed out and another will be made, not before `next_attempt_at`.

    `heartbeat` holds the details of the attempt's last heartbeat, handed to the next attempt.
    """

    operation: Operation
    attempt: int
    failure: Failure
    next_attempt_at: Timestamp
    started_at: Timestamp | None = None
    heartbeat: Payload = NULL
    request_id: str = ""


class ActivityDeferred(Event, frozen=True, kw_only=True):
    """The function of an attempt has ended without an outcome: somebody outside will tell it, by the attempt's token.

    Or, with a `queue`, the attempt is a task there from now on, and whoever serves the queue tells the outcome.
    `retry` is the policy in force, `limits` when the attempt has run out of time; the one of its heartbeats moves on
    by `heartbeat_microseconds` with each. `heartbeat` holds the details of the last one so far. `at_most_once`: nobody
    may begin the task a second time.
    """

    operation: Operation
    attempt: int
    started_at: Timestamp
    retry: Retry
    limits: dict[TimeoutKind, Timestamp] = {}
    heartbeat_microseconds: int | None = None
    heartbeat: Payload = NULL
    queue: str = ""
    at_most_once: bool = False


class ActivityCompleted(Event, frozen=True, kw_only=True):
    """The activity returned `result` at its attempt number `attempt`, which began at `started_at`; `worker` is the
    session that made it, of a sticky one: the next ones of its queue go there, too.

    Here and in the events of failure `request_id` is that of whoever told the outcome from outside, else empty.
    """

    operation: Operation
    result: Payload = NULL
    attempt: int = 1
    started_at: Timestamp | None = None
    request_id: str = ""
    worker: WorkerId | None = None


class ActivityFailed(Event, frozen=True, kw_only=True):
    """The activity failed for good; `reason` says why no (further) retry was made; where it would have come after a
    deadline, `deadline_of` says whose."""

    operation: Operation
    failure: Failure
    attempt: int = 1
    reason: str = ""
    started_at: Timestamp | None = None
    request_id: str = ""
    deadline_of: str = ""


class ActivityTimedOut(Event, frozen=True, kw_only=True):
    """The activity ran out of time for good; `timeout` says which limit, `deadline_of` whose it was, if not its own."""

    operation: Operation
    timeout: TimeoutKind
    attempt: int = 1
    started_at: Timestamp | None = None
    heartbeat: Payload = NULL
    deadline_of: str = ""


class ActivityHeartbeatRecorded(Event, frozen=True, kw_only=True):
    """Details of a heartbeat, saved so that they survive the worker. One from outside may have none."""

    operation: Operation
    attempt: int
    details: Payload


class ActivityCancelled(Event, frozen=True, kw_only=True):
    """Workflow code gave the activity up; or, with a `reason`, the run ended. A later outcome is dropped."""

    operation: Operation
    reason: str = ""


# --- timer -------------------------------------------------------------------------------------------------------


class TimerStarted(Event, frozen=True, kw_only=True):
    """A durable timer is armed. Its due time is never computed again."""

    operation: Operation
    due_at: Timestamp


class TimerFired(Event, frozen=True, kw_only=True):
    """The timer came due."""

    operation: Operation


class TimerCancelled(Event, frozen=True, kw_only=True):
    """Workflow code no longer needs the timer; or, with a `reason`, the run ended."""

    operation: Operation
    reason: str = ""


# --- signals, updates --------------------------------------------------------------------------------------------


class SignalReceived(Event, frozen=True, kw_only=True):
    """A signal came from a client or another run. `message_id` is the sender's request id."""

    name: str
    body: Payload = NULL
    message_id: str = ""


class SignalSent(Event, frozen=True, kw_only=True):
    """Workflow code sent a signal to another run; the delivery is part of the same transition.

    `expects_answer`: the code waits to know what became of it; else only a refusal is recorded.
    """

    operation: Operation
    target: RunRef
    name: str
    body: Payload = NULL
    expects_answer: bool = False


class SignalAnswered(Event, frozen=True, kw_only=True):
    """What became of the signal that `operation` sent, decided when it was sent."""

    operation: Operation
    outcome: SignalOutcome


class UpdateAccepted(Event, frozen=True, kw_only=True):
    """An update passed its validator and is being handled."""

    update_id: str
    name: str
    body: Payload = NULL


class UpdateRejected(Event, frozen=True, kw_only=True):
    """An update's validator refused it."""

    update_id: str
    failure: Failure


class UpdateCompleted(Event, frozen=True, kw_only=True):
    """An update's handler returned (`failure` None) or raised; or, with a `reason`, the run ended before it did."""

    update_id: str
    result: Payload = NULL
    failure: Failure | None = None
    reason: str = ""


# --- child runs --------------------------------------------------------------------------------------------------


class ChildRequested(Event, frozen=True, kw_only=True):
    """Workflow code asked for a child run; its creation is part of the same transition.

    `within` is the nearest deadline around the call, which holds for the child, too; None: there is none, or the child
    was to have a time of its own.
    """

    operation: Operation
    workflow: str
    definition_version: str = "1"
    child: RunRef
    input: Payload
    policy: ParentClosePolicy = ParentClosePolicy.CANCEL
    priority: Priority | None = None
    labels: dict[str, str] = {}
    stages: tuple[str, ...] = ()
    execution_timeout_microseconds: int | None = None
    within: Deadline | None = None


class ChildStarted(Event, frozen=True, kw_only=True):
    """The child run exists under this key."""

    operation: Operation
    run_key: int


class ChildCompleted(Event, frozen=True, kw_only=True):
    """The child run returned a result."""

    operation: Operation
    result: Payload = NULL


class ChildFailed(Event, frozen=True, kw_only=True):
    """The child run failed, was cancelled, was terminated, or could not be created."""

    operation: Operation
    outcome: ChildOutcome
    failure: Failure


class ChildCancelled(Event, frozen=True, kw_only=True):
    """Workflow code gave the child up; or, with a `reason`, the run ended. Its outcome will be dropped.

    Unless its policy is to abandon, the child is told: to terminate or to cancel.
    """

    operation: Operation
    reason: str = ""


# --- state, labels, priority -------------------------------------------------------------------------------------


class StateKeySet(Event, frozen=True, kw_only=True):
    """Workflow code set a key of the run's durable state."""

    operation: Operation
    key: str
    value: Payload


class StateKeyDeleted(Event, frozen=True, kw_only=True):
    """Workflow code deleted a key of the run's durable state."""

    operation: Operation
    key: str


class LabelsChanged(Event, frozen=True, kw_only=True):
    """Workflow code set labels (a value) or removed them (None)."""

    operation: Operation
    labels: dict[str, str | None]


class PriorityChanged(Event, frozen=True, kw_only=True):
    """The run's priority class changed."""

    operation: Operation = Operation(0)
    old: Priority
    new: Priority
    reason: str = ""
    by: str = ""


# --- recovery, interventions, compensation -----------------------------------------------------------------------


class RecoveryStarted(Event, frozen=True, kw_only=True):
    """A recovery began: `strategy` names what is tried, `failure` why."""

    strategy: str
    failure: Failure | None = None


class RecoveryCompleted(Event, frozen=True, kw_only=True):
    """A recovery ended."""

    strategy: str
    success: bool


class InterventionRequested(Event, frozen=True, kw_only=True):
    """A person's decision is needed."""

    operation: Operation
    role: str
    instructions: str
    expires_at: Timestamp | None = None


class InterventionResolved(Event, frozen=True, kw_only=True):
    """A person decided."""

    operation: Operation
    by: str
    decision: Payload


class InterventionExpired(Event, frozen=True, kw_only=True):
    """Nobody decided in time."""

    operation: Operation


class CompensationStarted(Event, frozen=True, kw_only=True):
    """The run begins to undo its finished activities, newest first. `steps` is how many."""

    operation: Operation
    steps: int


class CompensationStepCompleted(Event, frozen=True, kw_only=True):
    """The effect of operation `compensates` was undone, or (with `failure`) could not be."""

    operation: Operation
    compensates: Operation
    failure: Failure | None = None


class CompensationFinished(Event, frozen=True, kw_only=True):
    """All compensations were tried; `failed` of them without success."""

    operation: Operation
    failed: int = 0


# --- locks, markers ----------------------------------------------------------------------------------------------


class LockRequested(Event, frozen=True, kw_only=True):
    """Workflow code asked for a lock that runs share. `limit`: how many may hold the key at a time (None: any number).

    `holding` are the operations of the locks within which it asked: while held they count as kept until this wait is
    over. One that does not wait is given at once, or denied.
    """

    operation: Operation
    key: str
    limit: int | None = 1
    holding: tuple[Operation, ...] = ()
    waits: bool = True


class LockAcquired(Event, frozen=True, kw_only=True):
    """The lock was given, with the fencing token to hand to what it protects."""

    operation: Operation
    fencing_token: int


class LockDenied(Event, frozen=True, kw_only=True):
    """The lock will not be given: to wait would close this `cycle` of waits; or (none) it was not free at once."""

    operation: Operation
    cycle: tuple[LockWait, ...]


class LockReleased(Event, frozen=True, kw_only=True):
    """The lock was given back, or is not waited for any more; with a `reason`, because the run ended."""

    operation: Operation
    reason: str = ""


class VersionDecided(Event, frozen=True, kw_only=True):
    """Workflow code passed a patch marker for the first time; the new code path was taken.

    `deprecated`: by code that knows no other way any more. Such a marker takes no number (`operation` 0), and code that
    does not ask for it goes past it.
    """

    operation: Operation
    patch: str
    deprecated: bool = False


class SideEffectRecorded(Event, frozen=True, kw_only=True):
    """The value of a side effect, computed once."""

    operation: Operation
    value: Payload = NULL


class TraceEventRecorded(Event, frozen=True, kw_only=True):
    """A user's own trace event."""

    operation: Operation
    name: str
    attributes: dict[str, str] = {}


class ValuePublished(Event, frozen=True, kw_only=True):
    """A value came out of the run, for whoever reads the stream of this name.

    Workflow code published it by the command `operation` (`attempt` 0), or that attempt of the activity `operation`.
    """

    operation: Operation
    stream: str
    value: Payload
    attempt: int = 0


EVENT_TYPES: Final[dict[str, type[Event]]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", event.__name__).lower(): event for event in Event.__subclasses__()
}
"""Type name -> record class, for every event."""

EVENT_NAMES: Final[dict[type[Event], str]] = {event: name for name, event in EVENT_TYPES.items()}
"""Record class -> type name."""

__all__ = [  # noqa: PLE0604 - all are strings; the linter cannot see into the last line
    "EVENT_NAMES",
    "EVENT_TYPES",
    "CarriedChild",
    "CarriedSignal",
    "CarriedUpdate",
    "ChildOutcome",
    "Event",
    "ParentClosePolicy",
    "ParentLink",
    "SignalOutcome",
    "TimeoutKind",
    *(event.__name__ for event in EVENT_NAMES),
]
