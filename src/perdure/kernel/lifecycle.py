"""The rules of life, as tables: which event may happen in which state, and where it leads.

One table per kind of thing. `next_status` and `next_phase` look a step up and raise `IllegalTransitionError`, which
names state and event, for anything that is not in the table: nothing is silently ignored. The diagrams in the
documentation are drawn from these tables (`draw`).

Events that are not in the run's table do not move the run; they are legal while it is open.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from perdure.errors import IllegalTransitionError
from perdure.kernel import events as e
from perdure.kernel.transition import RunStatus

__all__ = [
    "ACTIVITY_LIFECYCLE",
    "CHILD_LIFECYCLE",
    "LOCK_LIFECYCLE",
    "RUN_LIFECYCLE",
    "SIGNAL_LIFECYCLE",
    "TIMER_LIFECYCLE",
    "UPDATE_LIFECYCLE",
    "ActivityPhase",
    "ChildPhase",
    "Lifecycle",
    "LockPhase",
    "SignalPhase",
    "TimerPhase",
    "UpdatePhase",
    "draw",
    "next_phase",
]

Phase = TypeVar("Phase", bound=StrEnum)

Lifecycle = Mapping[Phase, Mapping[type[e.Event], Phase]]
"""State -> event type -> next state."""

_CLOSE: Final[dict[type[e.Event], RunStatus]] = {
    e.RunFailed: RunStatus.FAILED,
    e.RunCancelled: RunStatus.CANCELLED,
    e.RunTerminated: RunStatus.TERMINATED,
    e.RunReset: RunStatus.CONTINUED,
}

RUN_LIFECYCLE: Final[Lifecycle[RunStatus]] = {
    RunStatus.CREATED: {
        e.RunStarted: RunStatus.RUNNING,
        e.RunCancelRequested: RunStatus.CREATED,
        e.RunSuspended: RunStatus.SUSPENDED,
        **_CLOSE,
    },
    RunStatus.RUNNING: {
        e.RunCancelRequested: RunStatus.RUNNING,
        e.RunSuspended: RunStatus.SUSPENDED,
        e.RunCompleted: RunStatus.COMPLETED,
        e.RunContinued: RunStatus.CONTINUED,
        **_CLOSE,
    },
    RunStatus.SUSPENDED: {
        e.RunResumed: RunStatus.RUNNING,  # or created, where it has not begun: see `perdure.kernel.effects`
        e.RunCancelRequested: RunStatus.RUNNING,
        # Code that suspends its run in one task may end it in another, within the same step.
        e.RunCompleted: RunStatus.COMPLETED,
        e.RunContinued: RunStatus.CONTINUED,
        **_CLOSE,
    },
    RunStatus.FAILED: {},
    RunStatus.COMPLETED: {},
    RunStatus.CANCELLED: {},
    RunStatus.TERMINATED: {},
    RunStatus.CONTINUED: {},
}
"""Life of a run (of one generation)."""


class ActivityPhase(StrEnum):
    """Where an activity stands."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


ACTIVITY_LIFECYCLE: Final[Lifecycle[ActivityPhase]] = {
    ActivityPhase.PENDING: {
        e.ActivityAttemptStarted: ActivityPhase.PENDING,
        e.ActivityAttemptFailed: ActivityPhase.PENDING,
        e.ActivityHeartbeatRecorded: ActivityPhase.PENDING,
        e.ActivityDeferred: ActivityPhase.PENDING,
        e.ActivityCompleted: ActivityPhase.COMPLETED,
        e.ActivityFailed: ActivityPhase.FAILED,
        e.ActivityTimedOut: ActivityPhase.TIMED_OUT,
        e.ActivityCancelled: ActivityPhase.CANCELLED,
    },
    ActivityPhase.COMPLETED: {},
    ActivityPhase.FAILED: {},
    ActivityPhase.TIMED_OUT: {},
    ActivityPhase.CANCELLED: {},
}
"""Life of an activity after `ActivityScheduled`."""


class TimerPhase(StrEnum):
    """Where a timer stands."""

    ARMED = "armed"
    FIRED = "fired"
    CANCELLED = "cancelled"


TIMER_LIFECYCLE: Final[Lifecycle[TimerPhase]] = {
    TimerPhase.ARMED: {e.TimerFired: TimerPhase.FIRED, e.TimerCancelled: TimerPhase.CANCELLED},
    TimerPhase.FIRED: {},
    TimerPhase.CANCELLED: {},
}
"""Life of a timer after `TimerStarted`."""


class ChildPhase(StrEnum):
    """Where a child run stands, as its parent sees it."""

    REQUESTED = "requested"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_CHILD_END: Final[dict[type[e.Event], ChildPhase]] = {
    e.ChildFailed: ChildPhase.FAILED,
    e.ChildCancelled: ChildPhase.CANCELLED,
}

CHILD_LIFECYCLE: Final[Lifecycle[ChildPhase]] = {
    ChildPhase.REQUESTED: {e.ChildStarted: ChildPhase.STARTED, **_CHILD_END},
    ChildPhase.STARTED: {e.ChildCompleted: ChildPhase.COMPLETED, **_CHILD_END},
    ChildPhase.COMPLETED: {},
    ChildPhase.FAILED: {},
    ChildPhase.CANCELLED: {},
}
"""Life of a child run after `ChildRequested`."""


class SignalPhase(StrEnum):
    """Where a signal stands in the history of the run that received it."""

    ABSENT = "absent"
    RECEIVED = "received"


SIGNAL_LIFECYCLE: Final[Lifecycle[SignalPhase]] = {
    SignalPhase.ABSENT: {e.SignalReceived: SignalPhase.RECEIVED},
    SignalPhase.RECEIVED: {},
}
"""Life of one signal (named by its message id). Its consumption is the program's, and follows from replay."""


class UpdatePhase(StrEnum):
    """Where an update stands."""

    ABSENT = "absent"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    COMPLETED = "completed"


UPDATE_LIFECYCLE: Final[Lifecycle[UpdatePhase]] = {
    UpdatePhase.ABSENT: {e.UpdateAccepted: UpdatePhase.ACCEPTED, e.UpdateRejected: UpdatePhase.REJECTED},
    UpdatePhase.ACCEPTED: {e.UpdateCompleted: UpdatePhase.COMPLETED},
    UpdatePhase.REJECTED: {},
    UpdatePhase.COMPLETED: {},
}
"""Life of an update."""


class LockPhase(StrEnum):
    """Where a request for a lock stands."""

    REQUESTED = "requested"
    HELD = "held"
    DENIED = "denied"
    RELEASED = "released"


LOCK_LIFECYCLE: Final[Lifecycle[LockPhase]] = {
    LockPhase.REQUESTED: {
        e.LockAcquired: LockPhase.HELD,
        e.LockDenied: LockPhase.DENIED,
        e.LockReleased: LockPhase.RELEASED,
    },
    LockPhase.HELD: {e.LockReleased: LockPhase.RELEASED},
    LockPhase.DENIED: {},
    LockPhase.RELEASED: {},
}
"""Life of a lock after `LockRequested`: one that is released before it is held was waited for no longer."""


def next_phase(lifecycle: Lifecycle[Phase], phase: Phase, event: type[e.Event], *, subject: str) -> Phase:
    """Return where `event` leads from `phase`. Raises IllegalTransitionError, naming `subject`, if it may not be."""
    following = lifecycle[phase].get(event)
    if following is None:
        raise illegal(phase, event, subject=subject)
    return following


def illegal(phase: str, event: type[e.Event], *, subject: str) -> IllegalTransitionError:
    """Return the error for an event that a phase does not allow."""
    name = e.EVENT_NAMES[event]
    return IllegalTransitionError(
        f"{subject} is {phase}: the event {name!r} cannot happen to it", state=str(phase), event=name
    )


def draw(lifecycle: Lifecycle[Phase]) -> str:
    """Return a lifecycle as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    lines += [
        f"    {phase} --> {following}: {e.EVENT_NAMES[event]}"
        for phase, steps in lifecycle.items()
        for event, following in steps.items()
    ]
    return "\n".join(lines)
