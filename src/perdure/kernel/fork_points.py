"""Fork points: after which event of a history a run is to go on.

A run's code answers what happens to it at once, in one transition. So a copy ends either behind what happened, and then
the code answers anew; or behind the whole answer. An event in between means the former. What ends a run that its code
did not end (a termination, a deadline, and what they give up) is never copied.

Every function returns the number of the last event to be copied. Complexity: linear in the history.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from perdure.errors import HistoryError, RunNotRepairableError
from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation
from perdure.kernel.lifecycle import RUN_LIFECYCLE
from perdure.kernel.program import PROGRAM_EVENTS, is_recorded_command
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus

__all__ = [
    "FAILED_OUTCOMES",
    "History",
    "created_of",
    "last_point_without_locks",
    "operation_of",
    "point_at",
    "point_before_activity",
    "point_before_moment",
    "point_before_stage",
    "point_of_last_failure",
    "point_of_retry",
]

History = Sequence[RecordedEvent]


def point_at(history: History, event: int) -> int:
    """Return the point that holds all up to `event`, from 1. Raises RunNotRepairableError if there is no such event."""
    if event > len(history):
        ref = created_of(history).ref
        message = f"event {event} is not in the history of run {ref}, which has events 1 to {len(history)}"
        raise RunNotRepairableError(message)
    return _point_up_to(history, event)


def point_before_stage(history: History, name: str) -> int:
    """Return the point before the run entered the stage of this name the last time. Raises RunNotRepairableError."""
    entered = [(r.sequence, r.event.name) for r in history if isinstance(r.event, e.StageStarted)]
    return _point_before(history, name, entered, what="entered a stage", known="it has entered")


def point_before_activity(history: History, name: str) -> int:
    """Return the point before the run called the activity of this name the last time, but for compensations.

    Raises RunNotRepairableError if it has not.
    """
    called = [
        (r.sequence, r.event.activity)
        for r in history
        if isinstance(r.event, e.ActivityScheduled) and not r.event.compensates
    ]
    return _point_before(history, name, called, what="called an activity", known="it has called")


def point_before_moment(history: History, moment: Timestamp) -> int:
    """Return the point that holds all that was recorded before a moment.

    Raises RunNotRepairableError for a run that began later, or of which nothing is later.
    """
    before = sum(1 for recorded in history if recorded.at < moment)
    ref = created_of(history).ref
    if before == 0:
        message = f"run {ref} was created only after that moment; start it anew, or reset it to event 1"
        raise RunNotRepairableError(message)
    if before == len(history):
        message = f"run {ref} has done nothing since that moment: there is nothing to go back behind"
        raise RunNotRepairableError(message)
    return _point_up_to(history, before)


def point_of_last_failure(history: History) -> int:
    """Return the point before the step that failed the run, else where the run stood when it ended or was stopped.

    A child run that failed is not taken over: the point is before it was asked for.
    """
    ending = history[-1].event
    if isinstance(ending, e.RunFailed) and ending.operation and _is_of_a_step(ending.failure):
        failed = next((r for r in reversed(history) if type(r.event) in FAILED_OUTCOMES), None)
        if failed is not None:
            asked = _asked_for(history, failed.event) if type(failed.event) is e.ChildFailed else failed.sequence
            return _point_up_to(history, asked - 1)
    return _point_up_to(history, len(history))


def last_point_without_locks(history: History) -> int:
    """Return the last point at which the run neither held nor awaited a lock."""
    asked: set[Operation] = set()
    free: dict[int, None] = {}
    for recorded in history:
        match recorded.event:
            case e.LockRequested(operation=operation):
                asked.add(operation)
            case e.LockReleased(operation=operation) | e.LockDenied(operation=operation):
                asked.discard(operation)
            case _:
                pass
        if not asked:
            free[recorded.sequence] = None
    points = (_point_up_to(history, event) for event in reversed(free))
    return next(point for point in points if point in free)


def point_of_retry(history: History) -> int:
    """Return where a retry goes on: before the step that failed the run, before its cancellation was asked for, or
    where it was stopped. Raises RunNotRepairableError for a run that a retry does not repair."""
    ref, ending = created_of(history).ref, history[-1].event
    if type(ending) not in _RETRIED:
        refusal = _RETRY_REFUSALS.get(type(ending), _OPEN)
        raise RunNotRepairableError(f"run {ref} cannot be retried: {refusal}")
    cancel = next((r.sequence for r in history if type(r.event) is e.RunCancelRequested), None)
    point = point_of_last_failure(history) if cancel is None else _point_up_to(history, cancel - 1)
    undone = [r.event.compensates for r in history[point:] if isinstance(r.event, e.ActivityScheduled)]
    if any(undone):
        first = min(operation for operation in undone if operation)
        called = [r.sequence for r in history if type(r.event) is e.ActivityScheduled and r.event.operation <= first]
        before = max(called, default=2) - 1
        message = (
            f"run {ref} cannot be retried: it has undone steps since (the first is operation {first}), which a retry "
            f"would take for done; reset it to a point before them: event {before}"
        )
        raise RunNotRepairableError(message)
    return point


_RETRIED: Final = frozenset({e.RunFailed, e.RunTerminated, e.RunCancelled})
_OPEN: Final = "it has not ended; a reset ends it and goes on from an earlier event"
_RETRY_REFUSALS: Final[dict[type[e.Event], str]] = {
    e.RunCompleted: "it is completed; reset it to an event, or fork it",
}
FAILED_OUTCOMES: Final[frozenset[type[e.Event]]] = frozenset({e.ActivityFailed, e.ActivityTimedOut, e.ChildFailed})
"""Ends of a step without a result."""


def created_of(history: History) -> e.RunCreated:
    """Return the first event. Raises HistoryError where a history does not begin so."""
    created = history[0].event if history else None
    if not isinstance(created, e.RunCreated):
        message = "the history does not begin with its creation"
        raise HistoryError(message)
    return created


def operation_of(event: e.Event) -> Operation:
    """Return the operation that an event is about, 0 for none."""
    return getattr(event, "operation", Operation(0))


def _point_before(history: History, name: str, places: Sequence[tuple[int, str]], *, what: str, known: str) -> int:
    found = [sequence for sequence, named in places if named == name]
    if not found:
        names = ", ".join(dict.fromkeys(named for _, named in places)) or "none"
        message = f"run {created_of(history).ref} has not {what} {name!r}; {known}: {names}"
        raise RunNotRepairableError(message)
    return _point_up_to(history, found[-1] - 1)


def _point_up_to(history: History, event: int) -> int:
    while event > 1 and (_is_end(history, event) or _is_received_with_the_start(history, event)):
        event -= 1
    asked = next((n for n in range(event, 0, -1) if type(history[n - 1].event) in PROGRAM_EVENTS), 1)
    has_ended = any(type(recorded.event) in _ENDINGS for recorded in history[asked:event])
    is_whole = not any(_is_answer(recorded.event) for recorded in _answer(history, after=event))
    return event if is_whole and not has_ended else asked


def _asked_for(history: History, outcome: e.Event) -> int:
    """Return the number of the first event about the operation of `outcome`: its request, or for what an earlier
    generation asked for the outcome itself."""
    operation = operation_of(outcome)
    return next(r.sequence for r in history if operation_of(r.event) == operation)


def _is_of_a_step(failure: Failure | None) -> bool:
    """Whether a step's failure is what was raised, or a cause of it, or may be a part of it."""
    while failure is not None:
        if {"ActivityError", "BaseExceptionGroup"}.intersection(failure.types):
            return True
        failure = failure.cause
    return False


def _answer(history: History, *, after: int) -> Iterator[RecordedEvent]:
    """Yield what follows `after` in the same answer."""
    for recorded in history[after:]:
        if type(recorded.event) in PROGRAM_EVENTS:
            return
        if not _is_end(history, recorded.sequence):
            yield recorded


def _is_answer(event: e.Event) -> bool:
    return type(event) is e.ChildStarted or is_recorded_command(event)


def _is_end(history: History, sequence: int) -> bool:
    """Whether an event ends a run that its code did not end, or gives up what was pending then."""
    event = history[sequence - 1].event
    if type(event) in _ENDINGS:
        return not is_recorded_command(event)
    is_given_up = bool(getattr(event, "reason", "")) and type(event) in _GIVEN_UP
    return is_given_up and not is_recorded_command(history[-1].event)


def _is_received_with_the_start(history: History, sequence: int) -> bool:
    """Whether an event is a signal that came with the creation: the start of a copy receives these itself."""
    event = history[sequence - 1].event
    if not isinstance(event, e.SignalReceived) or event.message_id:
        return False
    return not any(type(recorded.event) is e.RunStarted for recorded in history[:sequence])


_ENDINGS: Final = frozenset(kind for kind, status in RUN_LIFECYCLE[RunStatus.RUNNING].items() if status.is_closed)
_GIVEN_UP: Final = frozenset(
    {e.ActivityCancelled, e.TimerCancelled, e.ChildCancelled, e.LockReleased, e.UpdateCompleted}
)
