"""Forking: a new run that begins with a part of another run's history, and goes on from there.

A history is append-only and has one writer, so a run that has ended is not opened again: what goes on is another run,
whose history begins with a copy. For a retry and a reset it is the next generation of the same id, for a fork a run
beside it. Its `RunForked` says where it comes from; from there on it has a name, a chance and a deadline of its own.
Where the copy ends is decided by `perdure.kernel.fork_points`; a run that is open is ended by
`perdure.kernel.replacing`.

**What becomes of what was under way at that point.**

- Steps that were called and not finished: if their results stand behind the point, they are taken over; else they are
  done again, with all attempts, under the idempotency key of the first call. An at-most-once attempt of which nobody
  knows what came counts as lost. So a deferred attempt is made again, and has another token.
- Timers keep their due times, the limits of stages theirs: what was due meanwhile is due at once. The time of the whole
  run begins anew, and so does the grace of a cancellation.
- Child runs whose results stand behind the point: these are taken over. One that is still running is, too, if the run
  goes on under its own id: it reports to whoever has the id. Any other refuses the fork.
- Updates that were accepted are handled again, and answered in the new history. One that was not is not known there;
  made again with its request id it has the answer of the old history.
- Signals that were received are, in the same order. What came later is received again, if asked for.
- Locks that were held or asked for refuse the fork; keys, labels and the priority are as they were.
- A signal of which the code waits to hear whether it arrived refuses the fork: the answer went to the other run.

**What becomes of what came later.** Nothing of it is in the copy. Its effects on the world stay; `repeats` lists them.

**What nobody has read.** The inbox of a run that is open goes to its successor. Signals and results that one which has
ended has left in its inbox were acknowledged: they count as if they had come last (`ForkOrder.unread`). All else there
was about the run that has ended.

Complexity: linear in the history.
"""

from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from perdure.errors import HistoryError, RunNotRepairableError
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.deferral_rules import call_of
from perdure.kernel.fork_facts import CarriedResult, ForkCause, RepeatedStep, StepFate
from perdure.kernel.fork_points import FAILED_OUTCOMES, History, created_of, last_point_without_locks, operation_of
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef, seed_of
from perdure.kernel.message_rules import awaited_child
from perdure.kernel.pending import OpenChild
from perdure.kernel.state import RunState, fold
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation

__all__ = ["ForkOrder", "fork"]


class ForkOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted: who the new run is, and what it takes over.

    `call_name` is its new name of chance (`RunCreated`). `definition_version` with its `stages`; None: those of the run
    that is copied. `unread`: what that has left in its inbox if it has ended; of one that is open the inbox goes along.
    """

    cause: ForkCause
    ref: RunRef
    run_key: RunKey
    call_name: str
    origin: RunRef
    origin_key: RunKey
    now: Timestamp
    reason: str = ""
    by: str = ""
    definition_version: str | None = None
    stages: tuple[str, ...] = ()
    reapplies_signals: bool = True
    unread: tuple[m.Message, ...] = ()
    request_id: str = ""


def fork(history: History, point: int, order: ForkOrder) -> Creation:
    """Return the run that begins with the events of `history` up to `point`, one that `fork_points` gave.

    Raises RunNotRepairableError where something was open there that cannot be taken over.
    """
    copied, left = history[:point], history[point:]
    state = fold(RunState(), copied)
    created, standing = created_of(history), _standing(state)
    results = tuple(_carried_results(state, left, order.unread))
    _require_repeatable(state, copied, left, results, order)
    at = max(order.now, copied[-1].at)
    timeout, grace = created.execution_timeout_microseconds, grace_of(copied)
    version = order.definition_version
    forked = e.RunForked(
        origin=order.origin,
        origin_key=order.origin_key,
        caller_key=_caller_key(left, order),
        sequence=point,
        ref=order.ref,
        seed=seed_of(order.ref),
        call_name=order.call_name,
        cause=order.cause,
        reason=order.reason,
        by=order.by,
        definition_version=standing.definition_version if version is None else version,
        stages=standing.stages if version is None else order.stages,
        deadline_at=None if timeout is None else Timestamp(at + timeout),
        grace_until=None if grace is None else Timestamp(at + grace),
        parent=None if order.cause is ForkCause.FORK else standing.parent,
        carried_signals=tuple(_carried_signals(state, left, order.unread)) if order.reapplies_signals else (),
        carried_results=results,
        repeats=tuple(_repeats(state, left, results)),
    )
    state.record(forked, at)
    return Creation(
        run_key=order.run_key,
        ref=order.ref,
        workflow=created.workflow,
        definition_version=forked.definition_version,
        priority=state.priority,
        tenant=created.tenant,
        labels=dict(state.labels),
        parent_key=None if forked.parent is None else RunKey(forked.parent.run_key),
        created=copied[0],
        wake_at=order.now,
        request_id=order.request_id,
        copied=(*copied[1:], RecordedEvent(point + 1, at, forked)),
        row=state.row(),
    )


def grace_of(history: History) -> int | None:
    """Return the microseconds that a history's cancellation gave when it was taken in; None: there was no limit."""
    for recorded in history:
        asked = recorded.event
        if isinstance(asked, e.RunCancelRequested):
            return None if asked.grace_until is None else asked.grace_until - recorded.at
    return None


def _standing(state: RunState) -> e.RunCreated:
    """Return what a run was created as, and is since its last fork."""
    if state.created is None or state.is_closed:
        message = "a fork needs a history that begins with its creation, up to an event before its end"
        raise HistoryError(message)
    return state.created


def _caller_key(left: History, order: ForkOrder) -> int:
    """Return the key of the run that lived the last event of the copy: of a fork of a fork an older one."""
    return next((r.event.caller_key for r in left if isinstance(r.event, e.RunForked)), order.origin_key)


# --- what cannot be taken over -------------------------------------------------------------------------------------


def _require_repeatable(
    state: RunState, copied: History, left: History, results: tuple[CarriedResult, ...], order: ForkOrder
) -> None:
    """Refuse to go on where something is open that belongs to the run that is copied."""
    running = {} if order.cause is ForkCause.FORK or not state.children else fold(state, left).children
    taken = {*running, *_operations(results)}
    refusal = _open_child(state, copied, taken) or _unheard_signal(copied) or _held_lock(state, copied)
    if refusal:
        message = f"run {order.origin} cannot go on after event {len(copied)}: {refusal}"
        raise RunNotRepairableError(message)


def _open_child(state: RunState, copied: History, taken: Container[int]) -> str:
    lost = next((child for operation, child in state.children.items() if operation not in taken), None)
    return "" if lost is None else _why_not(lost, copied)


def _why_not(child: OpenChild, copied: History) -> str:
    lost = f"its child run {child.ref} was open there and did not complete, and it is not taken over; choose a point "
    asked = next((r.sequence for r in copied if operation_of(r.event) == child.operation), None)
    if asked is None:  # an earlier generation asked for it, under a key that only that one's successor may use
        return f"{lost}after its end: it was begun by an earlier generation"
    return f"{lost}before it was asked for (event {asked - 1})"


def _unheard_signal(copied: History) -> str:
    asked = {r.event.operation for r in copied if isinstance(r.event, e.SignalSent) and r.event.expects_answer}
    asked -= {r.event.operation for r in copied if isinstance(r.event, e.SignalAnswered)}
    if not asked:
        return ""
    return (
        f"there it waited to hear what became of a signal that it had sent (operation {min(asked)}); choose a point "
        f"before or after that"
    )


def _held_lock(state: RunState, copied: History) -> str:
    held = next((lock.key for lock in state.locks.values()), None)
    if held is None:
        return ""
    return (
        f"there it was within the lock {held!r}, or awaited it, and others may have held that since; choose a point "
        f"after that, or before: event {last_point_without_locks(copied)} is the last before it asked"
    )


# --- what came later -----------------------------------------------------------------------------------------------


def _carried_signals(state: RunState, left: History, unread: Sequence[m.Message]) -> Iterator[e.CarriedSignal]:
    """Yield the signals that the copy does not hold, in their order.

    Those that came with its creation its own start receives (`given`). Those that a fork brought along are recorded
    after it, by the first that follows it; what has not been by then is `owed`, and another fork takes it over.
    """
    fresh, has_started = state.fresh_fork, state.started_at is not None
    given = 0 if has_started else len(_standing(state).carried_signals)
    owed = deque(fresh.carried_signals if has_started and fresh is not None else ())
    for recorded in left:
        event = recorded.event
        if isinstance(event, e.RunForked):
            owed = deque(event.carried_signals)
        elif isinstance(event, e.SignalReceived):
            if not event.message_id and given:
                given -= 1
                continue
            if not event.message_id and owed:
                owed.popleft()
            yield e.CarriedSignal(name=event.name, body=event.body)
    yield from owed
    for message in unread:
        if isinstance(message, m.SignalMessage):
            yield e.CarriedSignal(name=message.name, body=message.body)


def _operations(results: Iterable[CarriedResult]) -> set[int]:
    return {result.operation for result in results}


def _carried_results(state: RunState, left: History, unread: Sequence[m.Message]) -> Iterator[CarriedResult]:
    """Yield the results of what was pending, each once: a fork that brought one along may have recorded it, too."""
    found: dict[int, CarriedResult] = {}
    brought = state.fresh_fork.carried_results if state.fresh_fork is not None else ()
    for result in (*brought, *_later_results(left), *_unread_results(state, unread)):
        if result.operation in state.activities or result.operation in state.children:
            found.setdefault(result.operation, result)
    yield from found.values()


def _later_results(left: History) -> Iterator[CarriedResult]:
    for recorded in left:
        match recorded.event:
            case e.RunForked(carried_results=brought):
                yield from brought
            case e.ActivityCompleted() as done:
                yield CarriedResult(
                    operation=done.operation, result=done.result, attempt=done.attempt, started_at=done.started_at
                )
            case e.ChildCompleted() as done:
                yield CarriedResult(operation=done.operation, result=done.result)
            case _:
                pass


def _unread_results(state: RunState, unread: Sequence[m.Message]) -> Iterator[CarriedResult]:
    for message in unread:
        match message:
            case m.CompleteActivityMessage() if call_of(state, message) is not None:
                yield CarriedResult(operation=message.operation, result=message.result, attempt=message.attempt)
            case m.ChildCompletedMessage():
                child = awaited_child(state, message)
                if child is not None:
                    yield CarriedResult(operation=child, result=message.result)
            case _:
                pass


def _repeats(state: RunState, left: History, results: tuple[CarriedResult, ...]) -> Iterator[RepeatedStep]:
    """Yield what is done again: pending at the point without a result; and what may be: called after it."""
    finished = _operations(results)
    fates = _fates(state, left)
    for operation, activity in state.activities.items():
        if operation not in finished:
            yield RepeatedStep(operation=activity.operation, name=activity.activity, was=fates[operation])
    for recorded in left:
        match recorded.event:
            case e.ActivityScheduled(operation=operation, activity=name):
                yield RepeatedStep(operation=operation, name=name, was=fates[operation])
            case e.ChildRequested(operation=operation, child=child):
                yield RepeatedStep(operation=operation, name=f"run {child}", was=fates[operation])
            case e.SignalSent(operation=operation, target=target, name=name):
                yield RepeatedStep(operation=operation, name=f"signal {name} to {target}", was=fates[operation])
            case _:
                pass


def _fates(state: RunState, left: History) -> dict[int, StepFate]:
    """Return how far each step has come that was pending at the point or was called after it: the last word counts.

    What is given up keeps the fate that it had. A task that is made at most once may have been begun by now.
    """
    once = {operation for operation, deferral in state.deferrals.items() if deferral.at_most_once}
    fates = {
        operation: StepFate.UNKNOWN if activity.attempt_started or operation in once else StepFate.IN_FLIGHT
        for operation, activity in state.activities.items()
    }
    for recorded in left:
        event, fate = recorded.event, _FATES.get(type(recorded.event))
        if isinstance(event, e.ActivityDeferred) and event.at_most_once:
            fates[event.operation] = StepFate.UNKNOWN
        elif fate is not None:
            fates[operation_of(event)] = fate
        elif isinstance(event, e.RunForked):
            fates.update((step.operation, step.was) for step in event.repeats)
    return fates


_FATES: Final[dict[type[e.Event], StepFate]] = {
    e.ActivityScheduled: StepFate.IN_FLIGHT,
    e.ActivityAttemptStarted: StepFate.UNKNOWN,
    e.ActivityAttemptFailed: StepFate.IN_FLIGHT,
    e.ActivityCompleted: StepFate.FINISHED,
    e.ChildRequested: StepFate.IN_FLIGHT,
    e.ChildCompleted: StepFate.FINISHED,
    e.SignalSent: StepFate.FINISHED,
    **dict.fromkeys(FAILED_OUTCOMES, StepFate.FAILED),
}
