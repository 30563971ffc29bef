"""The laws of ends: what the end of a run means to its children, and to what it has done that can be undone."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from perdure.authoring.registry import default_registry
from perdure.authoring.workflow import OnFailure
from perdure.kernel import events as e
from perdure.kernel.events import ParentClosePolicy
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.pending import inherited_children
from perdure.stores.memory.tables import Run
from perdure.torture.simulation.tables import lived
from perdure.torture.simulation.workloads.activities import book

if TYPE_CHECKING:
    from perdure.torture.simulation.trial import Trial

__all__ = ["broken_ending_laws"]


def broken_ending_laws(trial: "Trial", run_key: RunKey, run: Run, history: list[RecordedEvent]) -> Iterator[str]:
    """Yield a sentence for each law that the end of a run, or what it gave up before, broke."""
    yield from _child_laws(trial, run_key, history)
    yield from _hearing_laws(trial, run_key, run, history)
    yield from _undoing_laws(run, history)
    yield from _update_laws(history)


# --- children ----------------------------------------------------------------------------------------------------


def _child_laws(trial: "Trial", run_key: RunKey, history: list[RecordedEvent]) -> Iterator[str]:
    children = _children(history)
    for recorded in lived(history):
        if isinstance(recorded.event, e.ChildCancelled):
            ref, policy = children[recorded.event.operation]
            for what in _obedience_laws(trial, ref, policy, since=trial.times.of(run_key, recorded)):
                yield f"its child {ref} ({policy}), which it gave up, {what}"


def _hearing_laws(trial: "Trial", run_key: RunKey, run: Run, history: list[RecordedEvent]) -> Iterator[str]:
    """Find children that have ended, of whose end their parent heard too late or never, as long as it was there."""
    children = _children(history)
    heard = {
        recorded.event.operation: recorded
        for recorded in history
        if isinstance(recorded.event, e.ChildCompleted | e.ChildFailed | e.ChildCancelled)
    }
    started = [r.event for r in lived(history) if isinstance(r.event, e.ChildStarted)]
    until = trial.times.of(run_key, history[-1]) if run.status.is_closed else trial.world.true_time()
    for child in started:
        ref, _ = children[child.operation]
        last = trial.tables.generations(ref.id)[-1:]
        if not last or last[0].closed_at is None:
            continue
        ended_at = trial.times.of(last[0].run_key, trial.tables.history(last[0].run_key)[-1])
        outcome = heard.get(child.operation)
        heard_at = until if outcome is None else trial.times.of(run_key, outcome)
        if heard_at > ended_at + trial.times.longest_delay():
            yield f"of the end of its child {ref} it heard {(heard_at - ended_at) / 1_000_000:g} s later"


def _children(history: list[RecordedEvent]) -> dict[Operation, tuple[RunRef, ParentClosePolicy]]:
    created = history[0].event
    inherited = inherited_children(created) if isinstance(created, e.RunCreated) else ()
    found = {child.operation: (child.ref, child.policy) for child in inherited}
    requested = [recorded.event for recorded in history if isinstance(recorded.event, e.ChildRequested)]
    return found | {event.operation: (event.child, event.policy) for event in requested}


def _obedience_laws(trial: "Trial", ref: RunRef, policy: ParentClosePolicy, *, since: int) -> Iterator[str]:
    by_parent = trial.tables.reached_by_parent(ref.id)
    if policy is ParentClosePolicy.ABANDON:
        if by_parent is not None:
            yield "was told to end"
        return
    moments = [
        trial.times.of(run.run_key, recorded)
        for run in trial.tables.generations(ref.id)
        for recorded in lived(trial.tables.history(run.run_key))
        if _obeys(recorded.event, policy)
    ]
    latest = trial.times.longest_delay()
    if moments and moments[0] > since + latest:
        yield f"went on for {(moments[0] - since) / 1_000_000:g} s"


def _obeys(event: e.Event, policy: ParentClosePolicy) -> bool:
    """Whether a child that has this in its history has heard that it is to end, or has ended by itself."""
    is_asked = isinstance(event, e.RunCancelRequested) and policy is ParentClosePolicy.CANCEL
    return is_asked or isinstance(event, e.RunCompleted | e.RunFailed | e.RunCancelled | e.RunTerminated)


# --- what can be undone ------------------------------------------------------------------------------------------


def _undoing_laws(run: Run, history: list[RecordedEvent]) -> Iterator[str]:
    """Find bookings that stand although their run has failed, or was cancelled, and had time to clean up."""
    ending = history[-1].event
    if not isinstance(ending, e.RunFailed | e.RunCancelled) or not ending.operation:
        return
    definition = default_registry.find(run.workflow, run.definition_version)
    if definition is None or definition.on_failure is not OnFailure.COMPENSATE:
        return
    booked = {
        recorded.event.operation
        for recorded in history
        if isinstance(recorded.event, e.ActivityScheduled) and recorded.event.activity == book.name
    }
    done = {recorded.event.operation for recorded in history if isinstance(recorded.event, e.ActivityCompleted)}
    undone = {
        recorded.event.compensates for recorded in history if isinstance(recorded.event, e.CompensationStepCompleted)
    }
    if left := sorted((booked & done) - undone):
        yield f"it has ended and did not undo the operations {left}"


# --- updates -----------------------------------------------------------------------------------------------------


def _update_laws(history: list[RecordedEvent]) -> Iterator[str]:
    """Find updates that have no answer, or two."""
    accepted = [recorded.event.update_id for recorded in history if isinstance(recorded.event, e.UpdateAccepted)]
    answered = [recorded.event.update_id for recorded in history if isinstance(recorded.event, e.UpdateCompleted)]
    if len(set(accepted)) != len(accepted) or len(set(answered)) != len(answered):
        yield f"of its updates some were accepted or answered twice: {accepted}, {answered}"
    if stray := set(answered) - set(accepted):
        yield f"it answered updates that it had not accepted: {sorted(stray)}"
    if isinstance(history[-1].event, e.RunCompleted | e.RunFailed | e.RunCancelled | e.RunTerminated) and (
        left := set(accepted) - set(answered)
    ):
        yield f"it has ended and did not answer the updates {sorted(left)}"
