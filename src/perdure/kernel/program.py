"""The one protocol of everything that advances a run: replayed Python code, a step graph, a state machine, a net."""

from collections.abc import Sequence
from typing import Final, Protocol

from perdure.kernel import events as e
from perdure.kernel.commands import Command
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus

__all__ = ["PROGRAM_EVENTS", "RECORDED_COMMANDS", "Feed", "Program", "is_recorded_command"]


class Program(Protocol):
    """Answers events with commands, always the same ones to the same events."""

    def advance(self, event: e.Event, at: Timestamp) -> Sequence[Command]:
        """Take the next event (one of `PROGRAM_EVENTS`) and return what is asked for now, in order."""
        ...

    def foresee(self, event: e.Event) -> None:
        """Take note of a recorded event before the replay reaches it; `advance` with it or past it follows."""
        ...

    def go_live(self) -> None:
        """Take note that the replay is over: what is asked for from now on is new."""
        ...

    def close(self) -> None:
        """Let go of everything. Nothing the program still does has an effect."""
        ...


PROGRAM_EVENTS: Final = frozenset(
    {
        e.RunStarted,
        e.RunCancelRequested,
        e.RunResumed,
        e.ActivityCompleted,
        e.ActivityFailed,
        e.ActivityTimedOut,
        e.TimerFired,
        e.SignalReceived,
        e.UpdateAccepted,
        e.ChildCompleted,
        e.ChildFailed,
        e.InterventionResolved,
        e.InterventionExpired,
        e.LockAcquired,
    }
)
"""Events that a program is told about."""

RECORDED_COMMANDS: Final = frozenset(
    {
        e.ActivityScheduled,
        e.ActivityCancelled,
        e.TimerStarted,
        e.TimerCancelled,
        e.StageStarted,
        e.StageCompleted,
        e.StageFailed,
        e.SignalSent,
        e.ChildRequested,
        e.ChildCancelled,
        e.StateKeySet,
        e.StateKeyDeleted,
        e.LabelsChanged,
        e.VersionDecided,
        e.SideEffectRecorded,
        e.TraceEventRecorded,
        e.CompensationStarted,
        e.CompensationStepCompleted,
        e.CompensationFinished,
        e.UpdateCompleted,
        e.RunCompleted,
        e.RunContinued,
    }
)
"""Events that exist only because a program asked. `RunSuspended` and `PriorityChanged` join them where their
`operation` is not 0; `RunFailed` and `RunCancelled` where the program, not a deadline or a client, ended the run."""


def is_recorded_command(event: e.Event) -> bool:
    """Whether an event is in a history only because a program asked for it."""
    kind = type(event)
    if kind in RECORDED_COMMANDS:
        return True
    return (kind is e.RunSuspended or kind is e.PriorityChanged) and bool(getattr(event, "operation", 0))


class Feed:
    """Hands a history's events to a program, holding back what happens while the run is suspended until it resumes.

    Live execution and replay both feed through this, so a suspended run is replayed in the order it was lived.
    """

    __slots__ = ("_held", "program")

    def __init__(self, program: Program) -> None:
        """Feed `program`."""
        self.program = program
        self._held: list[e.Event] = []

    def take(self, event: e.Event, at: Timestamp, status: RunStatus) -> Sequence[Command]:
        """Hand on a recorded event (`status` is the run's after it) and return the commands that answer it."""
        kind = type(event)
        if kind not in PROGRAM_EVENTS:
            return ()
        if status is RunStatus.SUSPENDED:
            self._held.append(event)
            return ()
        if kind is e.RunResumed:
            held, self._held = [event, *self._held], []
            return [command for earlier in held for command in self.program.advance(earlier, at)]
        return self.program.advance(event, at)
