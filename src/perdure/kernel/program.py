"""The one protocol of everything that advances a run: replayed Python code, a step graph, a state machine, a net."""

from collections import Counter, deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel.commands import Command
from perdure.kernel.failure import Failure
from perdure.kernel.inputs import MessageArrived
from perdure.kernel.payload import Payload
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus

__all__ = ["PROGRAM_EVENTS", "RECORDED_COMMANDS", "Answer", "Feed", "Program", "Verdict", "is_recorded_command"]


class Answer(StrEnum):
    """What becomes of an update that is not refused: it waits for its handler, or is handled."""

    WAITS = "waits"
    ACCEPTED = "accepted"


Verdict = Answer | Failure
"""What a program says to an update; a failure is the validator's, and refuses it."""


class Program(Protocol):
    """Answers events with commands, always the same ones to the same events."""

    def advance(self, event: e.Event, at: Timestamp) -> Sequence[Command]:
        """Take the next event (one of `PROGRAM_EVENTS`) and return what is asked for now, in order."""
        ...

    def consider(self, name: str, body: Payload) -> "Verdict":
        """Say what becomes of an update, without changing anything: the journal is closed to the validator."""
        ...

    def foresee(self, event: e.Event) -> None:
        """Take note of a recorded event before the replay reaches it; `advance` with it or past it follows."""
        ...

    def become(self, fork: e.RunForked) -> None:
        """Be the run that goes on from here: what was replayed so far was another's."""
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
        e.SignalAnswered,
        e.UpdateAccepted,
        e.ChildCompleted,
        e.ChildFailed,
        e.InterventionResolved,
        e.InterventionExpired,
        e.LockAcquired,
        e.LockDenied,
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
        e.LockRequested,
        e.LockReleased,
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
"""Events that exist only because a program asked. `RunSuspended`, `PriorityChanged`, `RunFailed` and `RunCancelled`
join them where their `operation` is not 0: otherwise a client, a deadline or the engine was the cause;
`ValuePublished` where its `attempt` is 0: otherwise an activity published."""


def is_recorded_command(event: e.Event) -> bool:
    """Whether an event is in a history only because a program asked for it."""
    kind = type(event)
    if kind in RECORDED_COMMANDS:
        return True
    match event:
        case e.ValuePublished():
            return event.attempt == 0
        case e.RunSuspended() | e.PriorityChanged() | e.RunFailed() | e.RunCancelled():
            return event.operation != 0
        case _:
            return False


class Feed:
    """Hands a history's events to a program in their order; while the run is suspended they are held, to be `release`d
    one by one when it goes on. So is what a fork has to answer, until the fork goes on.

    Live execution and replay both feed through this, so a suspended run is replayed in the order it was lived. Whoever
    feeds calls `release` while `has_due` is true, each time after all that was asked for before is recorded: the
    program may suspend the run again, and then the rest stays held.
    """

    __slots__ = ("held", "program", "updates")

    def __init__(self, program: Program) -> None:
        """Feed `program`. `held` is what happened and was not yet handed on; `updates` wait for their handlers."""
        self.program = program
        self.held: deque[e.Event] = deque()
        self.updates: tuple[MessageArrived, ...] = ()

    def take(self, event: e.Event, at: Timestamp, status: RunStatus) -> Sequence[Command]:
        """Hand on a recorded event (`status` is the run's after it) and return the commands that answer it."""
        if type(event) not in PROGRAM_EVENTS:
            return ()
        if self.held or status is RunStatus.SUSPENDED:
            self.held.append(event)
            return ()
        return self.program.advance(event, at)

    def has_due(self, status: RunStatus) -> bool:
        """Whether an event is held that the program may have now."""
        return bool(self.held) and status is RunStatus.RUNNING

    def release(self, at: Timestamp) -> Sequence[Command]:
        """Hand on the oldest held event and return the commands that answer it.

        A program that ends by it has missed the signals that are still held: it leaves them as it leaves those that it
        took in and never waited for.
        """
        commands = self.program.advance(self.held.popleft(), at)
        missed = [event for event in self.held if type(event) is e.SignalReceived]
        return [_leaving(command, missed) for command in commands] if missed else commands


def _leaving(command: Command, missed: Sequence[e.SignalReceived]) -> Command:
    """Return a command that, if it ends the run, leaves the missed signals as well."""
    match command:
        case c.ContinueRun(carried_signals=carried):
            carried += tuple(e.CarriedSignal(name=signal.name, body=signal.body) for signal in missed)
            return msgspec.structs.replace(command, carried_signals=carried)
        case c.CompleteRun() | c.FailRun() | c.CancelRun():
            counts = Counter(command.unconsumed_signals) + Counter(signal.name for signal in missed)
            return msgspec.structs.replace(command, unconsumed_signals=dict(counts))
        case _:
            return command
