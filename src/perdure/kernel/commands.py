"""Commands: what a program asks for now. Each becomes one or more events by `perdure.kernel.expansion`.

`operation` numbers the commands of a generation from 1 in the order they were asked for. `location` is the line of
workflow code (``file:line``) and is known only while replaying, where a mismatch has to name it.
"""

import msgspec

from perdure.kernel.deadline import Deadline
from perdure.kernel.events import CarriedSignal, ParentClosePolicy
from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.options import ActivityOptions
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp

__all__ = [
    "CancelActivity",
    "CancelChild",
    "CancelRun",
    "CancelTimer",
    "ChangeLabels",
    "ChangePriority",
    "Command",
    "CompleteRun",
    "CompleteStage",
    "CompleteUpdate",
    "ContinueRun",
    "DecideVersion",
    "DeleteStateKey",
    "FailRun",
    "FailStage",
    "FinishCompensation",
    "PublishValue",
    "RecordCompensationStep",
    "RecordSideEffect",
    "RecordTraceEvent",
    "ReleaseLock",
    "RequestChild",
    "RequestLock",
    "ScheduleActivity",
    "SendSignal",
    "SetStateKey",
    "StartCompensation",
    "StartStage",
    "StartTimer",
    "SuspendRun",
]


class Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all commands."""

    operation: Operation
    location: str | None = None


class ScheduleActivity(Command, frozen=True, kw_only=True):
    """Run an activity. `schedule_to_close_microseconds` is the effective limit, for the deadline to be recorded;
    `within` the nearest deadline of the stages around the call."""

    activity: str
    input: Payload
    options: ActivityOptions | None = None
    schedule_to_close_microseconds: int | None = None
    compensates: Operation = Operation(0)
    within: Deadline | None = None


class CancelActivity(Command, frozen=True, kw_only=True):
    """Give up the activity that `operation` scheduled."""


class StartTimer(Command, frozen=True, kw_only=True):
    """Wake the program at `due_at`."""

    due_at: Timestamp


class CancelTimer(Command, frozen=True, kw_only=True):
    """Forget the timer that `operation` started."""


class StartStage(Command, frozen=True, kw_only=True):
    """Enter a named phase, which is to end by `deadline_at`."""

    name: str
    deadline_at: Timestamp | None = None


class CompleteStage(Command, frozen=True, kw_only=True):
    """Leave the phase that `operation` started, normally."""

    result: Payload = NULL


class FailStage(Command, frozen=True, kw_only=True):
    """Leave the phase that `operation` started, with an exception."""

    failure: Failure


class RequestChild(Command, frozen=True, kw_only=True):
    """Start a child run. `inherits_deadline`: it is to end by the nearest deadline of the run, and of the stages around
    the call (`within`)."""

    workflow: str
    definition_version: str
    child: RunRef
    input: Payload
    policy: ParentClosePolicy = ParentClosePolicy.CANCEL
    priority: Priority | None = None
    labels: dict[str, str] = {}
    stages: tuple[str, ...] = ()
    execution_timeout_microseconds: int | None = None
    inherits_deadline: bool = False
    within: Deadline | None = None


class CancelChild(Command, frozen=True, kw_only=True):
    """Ask the child run that `operation` started to cancel, and stop waiting for it."""


class RequestLock(Command, frozen=True, kw_only=True):
    """Get into the line of a key; see `LockRequested`."""

    key: str
    limit: int | None
    holding: tuple[Operation, ...] = ()
    waits: bool = True


class ReleaseLock(Command, frozen=True, kw_only=True):
    """Give back the lock that `operation` requested, or wait for it no longer."""


class SendSignal(Command, frozen=True, kw_only=True):
    """Deliver a signal to another run. `expects_answer`: and say what became of it."""

    target: RunRef
    name: str
    body: Payload = NULL
    expects_answer: bool = False


class CompleteUpdate(Command, frozen=True, kw_only=True):
    """Answer an update that was accepted: with the result of its handler, or with its failure."""

    update_id: str
    result: Payload = NULL
    failure: Failure | None = None


class SetStateKey(Command, frozen=True, kw_only=True):
    """Set a key of the durable state."""

    key: str
    value: Payload


class DeleteStateKey(Command, frozen=True, kw_only=True):
    """Delete a key of the durable state."""

    key: str


class ChangeLabels(Command, frozen=True, kw_only=True):
    """Set (a value) or remove (None) labels."""

    labels: dict[str, str | None]


class ChangePriority(Command, frozen=True, kw_only=True):
    """Change the run's own priority class."""

    new: Priority
    reason: str = ""


class DecideVersion(Command, frozen=True, kw_only=True):
    """Take the new path at a patch marker, the only one where it is `deprecated`."""

    patch: str
    deprecated: bool = False


class RecordSideEffect(Command, frozen=True, kw_only=True):
    """Record a value computed once."""

    value: Payload


class RecordTraceEvent(Command, frozen=True, kw_only=True):
    """Record a user's trace event."""

    name: str
    attributes: dict[str, str] = {}


class PublishValue(Command, frozen=True, kw_only=True):
    """Hand a value to whoever reads a stream of the run."""

    stream: str
    value: Payload


class StartCompensation(Command, frozen=True, kw_only=True):
    """Begin to undo `steps` finished activities."""

    steps: int


class RecordCompensationStep(Command, frozen=True, kw_only=True):
    """One compensation of the batch `operation` started has ended."""

    compensates: Operation
    failure: Failure | None = None


class FinishCompensation(Command, frozen=True, kw_only=True):
    """The batch of compensations that `operation` started has ended."""

    failed: int = 0


class SuspendRun(Command, frozen=True, kw_only=True):
    """Hold still until somebody resumes the run. `is_cancelling`: the code knows that the run is being cancelled."""

    reason: str = ""
    is_cancelling: bool = False


class CompleteRun(Command, frozen=True, kw_only=True):
    """The workflow returned."""

    result: Payload = NULL
    unconsumed_signals: dict[str, int] = {}


class FailRun(Command, frozen=True, kw_only=True):
    """The workflow raised."""

    failure: Failure
    unconsumed_signals: dict[str, int] = {}


class CancelRun(Command, frozen=True, kw_only=True):
    """The workflow ended after a cancel request."""

    reason: str = ""
    unconsumed_signals: dict[str, int] = {}


class ContinueRun(Command, frozen=True, kw_only=True):
    """Close this generation and open the next with `input`.

    A failed run that is tried again continues too: then `failure` says why, `attempt` counts the tries, and the next
    generation begins `delay_microseconds` later. `definition_version` and `stages` are those of the definition that it
    runs; an empty version: the same as this one.
    """

    input: Payload
    attempt: int = 1
    delay_microseconds: int = 0
    failure: Failure | None = None
    carried_state: dict[str, Payload] = {}
    carried_signals: tuple[CarriedSignal, ...] = ()
    definition_version: str = ""
    stages: tuple[str, ...] = ()
