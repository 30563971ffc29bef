"""The events of a history, for programs: records of these classes are what `Run.history` and `Run.watch` yield.

Each is frozen and typed, and stands in a `perdure.RecordedEvent`, which has its place and its time::

    async for recorded in run.watch():
        match recorded.event:
            case ActivityCompleted(result=result):
                print(value_of(result, int))
            case RunFailed(failure=failure):
                print(failure.explanation)

A history keeps its events for ever, so none of them is renamed or taken away, and their fields keep their meaning; a
later version may have further events, and further fields with a default. So leave others be (`case _`).

Values of users (arguments, results, bodies of signals) are `Payload`s, JSON as it is recorded: `value_of` reads them.
"""

from typing import Any, TypeVar, overload

from perdure.authoring.payloads import decode_value
from perdure.kernel.events import (
    EVENT_TYPES,
    ActivityAttemptFailed,
    ActivityAttemptStarted,
    ActivityCancelled,
    ActivityCompleted,
    ActivityDeferred,
    ActivityFailed,
    ActivityHeartbeatRecorded,
    ActivityScheduled,
    ActivityTimedOut,
    CarriedChild,
    CarriedSignal,
    CarriedUpdate,
    ChildCancelled,
    ChildCompleted,
    ChildFailed,
    ChildOutcome,
    ChildRequested,
    ChildStarted,
    CompensationFinished,
    CompensationStarted,
    CompensationStepCompleted,
    Event,
    InterventionExpired,
    InterventionRequested,
    InterventionResolved,
    LabelsChanged,
    LockAcquired,
    LockDenied,
    LockReleased,
    LockRequested,
    ParentClosePolicy,
    ParentLink,
    PriorityChanged,
    RecoveryCompleted,
    RecoveryStarted,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunContinued,
    RunCreated,
    RunFailed,
    RunForked,
    RunReset,
    RunResumed,
    RunStarted,
    RunSuspended,
    RunTerminated,
    SideEffectRecorded,
    SignalAnswered,
    SignalOutcome,
    SignalReceived,
    SignalSent,
    StageCompleted,
    StageFailed,
    StageStarted,
    StateKeyDeleted,
    StateKeySet,
    TimeoutKind,
    TimerCancelled,
    TimerFired,
    TimerStarted,
    TraceEventRecorded,
    UpdateAccepted,
    UpdateCompleted,
    UpdateRejected,
    ValuePublished,
    VersionDecided,
)
from perdure.kernel.failure import Failure
from perdure.kernel.fork_facts import CarriedResult, ForkCause, RepeatedStep, StepFate
from perdure.kernel.locking import LockWait
from perdure.kernel.payload import Payload

__all__ = [
    "EVENT_TYPES",
    "ActivityAttemptFailed",
    "ActivityAttemptStarted",
    "ActivityCancelled",
    "ActivityCompleted",
    "ActivityDeferred",
    "ActivityFailed",
    "ActivityHeartbeatRecorded",
    "ActivityScheduled",
    "ActivityTimedOut",
    "CarriedChild",
    "CarriedResult",
    "CarriedSignal",
    "CarriedUpdate",
    "ChildCancelled",
    "ChildCompleted",
    "ChildFailed",
    "ChildOutcome",
    "ChildRequested",
    "ChildStarted",
    "CompensationFinished",
    "CompensationStarted",
    "CompensationStepCompleted",
    "Event",
    "Failure",
    "ForkCause",
    "InterventionExpired",
    "InterventionRequested",
    "InterventionResolved",
    "LabelsChanged",
    "LockAcquired",
    "LockDenied",
    "LockReleased",
    "LockRequested",
    "LockWait",
    "ParentClosePolicy",
    "ParentLink",
    "Payload",
    "PriorityChanged",
    "RecoveryCompleted",
    "RecoveryStarted",
    "RepeatedStep",
    "RunCancelRequested",
    "RunCancelled",
    "RunCompleted",
    "RunContinued",
    "RunCreated",
    "RunFailed",
    "RunForked",
    "RunReset",
    "RunResumed",
    "RunStarted",
    "RunSuspended",
    "RunTerminated",
    "SideEffectRecorded",
    "SignalAnswered",
    "SignalOutcome",
    "SignalReceived",
    "SignalSent",
    "StageCompleted",
    "StageFailed",
    "StageStarted",
    "StateKeyDeleted",
    "StateKeySet",
    "StepFate",
    "TimeoutKind",
    "TimerCancelled",
    "TimerFired",
    "TimerStarted",
    "TraceEventRecorded",
    "UpdateAccepted",
    "UpdateCompleted",
    "UpdateRejected",
    "ValuePublished",
    "VersionDecided",
    "value_of",
]

T = TypeVar("T")


@overload
def value_of(payload: Payload, type: type[T]) -> T: ...
@overload
def value_of(payload: Payload, type: object = Any) -> Any: ...  # noqa: ANN401 - what `type` says
def value_of(payload: Payload, type: object = Any) -> Any:
    """Return a recorded value as `type`, any type that an activity may take; by default as plain JSON.

    Raises PayloadDecodeError where it is none.

    >>> value_of(Payload(b"[1,2]"), tuple[int, int])
    (1, 2)
    """
    return decode_value(payload, type, subject="a recorded value")
