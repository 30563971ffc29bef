"""The laws that every trial must obey, whatever struck it: each history by itself, the rows, calls and effects."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from perdure.authoring.registry import default_registry
from perdure.errors import PerdureError
from perdure.kernel import events as e
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.pending import inherited_children
from perdure.kernel.replay import Replay
from perdure.kernel.standing import standing_of
from perdure.kernel.state import RunState, fold
from perdure.stores.memory.tables import Run
from perdure.torture.simulation.ending_laws import broken_ending_laws
from perdure.torture.simulation.keyed_laws import broken_keyed_laws
from perdure.torture.simulation.lock_laws import broken_lock_laws
from perdure.torture.simulation.schedule_laws import broken_schedule_laws
from perdure.torture.simulation.tables import lived
from perdure.torture.simulation.workloads.activities import BACKOFFS_MICROSECONDS, WATCHED, watched

if TYPE_CHECKING:
    from perdure.torture.simulation.effects import Effect
    from perdure.torture.simulation.trial import Trial

__all__ = ["broken_laws"]


def broken_laws(trial: "Trial") -> list[str]:
    """Return a sentence for each law that the trial broke."""
    found: list[str] = []
    for run_key, run in trial.database.runs.items():
        history = trial.tables.history(run_key)
        found += (f"run {run.ref}: {what}" for what in _history_laws(trial, run_key, run, history))
    return [
        *found,
        *_generation_laws(trial),
        *_result_laws(trial),
        *_call_laws(trial),
        *_effect_laws(trial),
        *_session_laws(trial),
        *broken_schedule_laws(trial),
        *broken_keyed_laws(trial),
        *broken_lock_laws(trial.tables),
    ]


# --- one history -------------------------------------------------------------------------------------------------


def _history_laws(trial: "Trial", run_key: RunKey, run: Run, history: list[RecordedEvent]) -> Iterator[str]:
    if [recorded.sequence for recorded in history] != list(range(1, len(history) + 1)):
        yield "its history has gaps"
        return
    if any(later.at < earlier.at for earlier, later in pairwise(history)):
        yield "its time runs backwards"
    try:
        state = fold(RunState(), history)
    except PerdureError as error:
        yield f"its history is not legal: {error}"
        return
    yield from _row_laws(run, state)
    yield from _ending_laws(history)
    yield from _operation_laws(history)
    yield from _timer_laws(trial, run_key, history)
    yield from _retry_laws(trial, run_key, history)
    yield from _deadline_laws(trial, run_key, history)
    yield from _backoff_laws(history)
    yield from _silence_laws(trial, history)
    yield from _compensation_laws(history)
    yield from broken_ending_laws(trial, run_key, run, history)
    yield from _replay_laws(history)
    recoveries = sum(1 for recorded in lived(history) if type(recorded.event) is e.RecoveryStarted)
    if recoveries > len(trial.plan.strikes) * 2:
        yield f"it was recovered {recoveries} times after {len(trial.plan.strikes)} strikes"
    if run_key in trial.database.waiting and run.status.is_closed:
        yield "it is closed and still waits to be claimed"


def _row_laws(run: Run, state: RunState) -> Iterator[str]:
    pairs = {
        "sequence": (run.sequence, state.sequence),
        "status": (run.status, state.status),
        "stage": (run.stage, state.stage),
        "progress": (run.progress, state.progress),
        "priority": (run.priority, state.priority),
        "labels": (run.labels, state.labels),
        "updated_at": (run.updated_at, state.updated_at),
        "started_at": (run.started_at, state.started_at),
        "closed_at": (run.closed_at, state.closed_at),
    }
    for name, (in_row, in_history) in pairs.items():
        if in_row != in_history:
            yield f"its row says {name} {in_row!r}, its history {in_history!r}"
    if run.owner is not None and run.status.is_closed:
        yield f"it is closed and still owned by session {run.owner}"


def _ending_laws(history: list[RecordedEvent]) -> Iterator[str]:
    endings = [recorded.sequence for recorded in history if type(recorded.event) in _ENDINGS]
    if endings and endings != [len(history)]:
        yield f"something follows its end: endings at {endings} of {len(history)} events"
    cancels = sum(1 for recorded in history if type(recorded.event) is e.RunCancelRequested)
    if cancels > 1:
        yield f"its cancellation was recorded {cancels} times"


_ENDINGS: Final = frozenset({e.RunCompleted, e.RunFailed, e.RunCancelled, e.RunTerminated, e.RunContinued, e.RunReset})


def _operation_laws(history: list[RecordedEvent]) -> Iterator[str]:
    outcomes = Counter(
        recorded.event.operation  # type: ignore[attr-defined]  # all of these have one
        for recorded in history
        if type(recorded.event) in _OUTCOMES
    )
    begun = {
        recorded.event.operation: type(recorded.event).__name__
        for recorded in history
        if isinstance(recorded.event, e.ActivityScheduled | e.TimerStarted | e.ChildRequested | e.LockRequested)
    }
    begun |= dict.fromkeys(_inherited(history), "ChildRequested")
    for operation, count in outcomes.items():
        if count > 1:
            yield f"operation {operation} has {count} outcomes"
        if operation not in begun:
            yield f"operation {operation} has an outcome and was never begun"
    if type(history[-1].event) in _ENDINGS:
        carried = _carried(history)
        for operation, kind in begun.items():
            if operation not in outcomes and operation not in carried:
                yield f"operation {operation} ({kind}) has no outcome at the end"


def _inherited(history: list[RecordedEvent]) -> list[Operation]:
    created = history[0].event
    return [child.operation for child in inherited_children(created)] if isinstance(created, e.RunCreated) else []


def _carried(history: list[RecordedEvent]) -> set[int]:
    """Return the operations of the children that the next generation has from this one."""
    created, ending = history[0].event, history[-1].event
    if isinstance(ending, e.RunReset):
        return set(fold(RunState(), history).children)
    if not isinstance(created, e.RunCreated) or not isinstance(ending, e.RunContinued):
        return set()
    known = {child.origin: child.operation for child in inherited_children(created)}
    return {known.get(child, child.operation) for child in ending.carried_children}


_OUTCOMES: Final = frozenset(
    {
        e.ActivityCompleted,
        e.ActivityFailed,
        e.ActivityTimedOut,
        e.ActivityCancelled,
        e.TimerFired,
        e.TimerCancelled,
        e.ChildCompleted,
        e.ChildFailed,
        e.ChildCancelled,
        e.LockDenied,
        e.LockReleased,
    }
)


def _timer_laws(trial: "Trial", run_key: RunKey, history: list[RecordedEvent]) -> Iterator[str]:
    times = trial.times
    begun_at = times.of(run_key, lived(history)[0])  # nothing of a fork is late for what came due before it was made
    started = {r.event.operation: (r, r.event) for r in history if isinstance(r.event, e.TimerStarted)}
    for recorded in lived(history):
        if isinstance(recorded.event, e.TimerFired):
            asked, timer = started[recorded.event.operation]
            since, until = times.of(run_key, asked), times.of(run_key, recorded)
            late = times.lateness(timer.due_at, asked_at=asked.at, since=since, until=until, possible_at=begun_at)
            if late < 0 and asked.sequence < lived(history)[0].sequence and trial.world.has_shown(timer.due_at):
                late = 0  # it had come when a run was that this is a fork of
            yield from _punctuality_laws(trial, f"timer {timer.operation} fired", late)


def _retry_laws(trial: "Trial", run_key: RunKey, history: list[RecordedEvent]) -> Iterator[str]:
    times = trial.times
    failed: dict[tuple[int, int], tuple[RecordedEvent, int]] = {}
    deferred: dict[tuple[int, int], RecordedEvent] = {}
    for recorded in lived(history):
        event = recorded.event
        if isinstance(event, e.ActivityDeferred):
            deferred[event.operation, event.attempt] = recorded
        if not isinstance(event, _ATTEMPT_ENDS):
            continue
        asked = failed.get((event.operation, event.attempt))
        if asked is not None and event.started_at is not None:
            began = f"attempt {event.attempt} of operation {event.operation} began"
            # Where the clock is set only what an attempt leads to has a true time: it is not early either.
            began_at: int = event.started_at
            if trial.world.is_skewed:
                began_at = times.of(run_key, deferred.get((event.operation, event.attempt), recorded))
            before, due_at = asked
            late = times.lateness(due_at, asked_at=before.at, since=times.of(run_key, before), until=began_at)
            yield from _punctuality_laws(trial, began, late)
        if isinstance(event, e.ActivityAttemptFailed):
            failed[event.operation, event.attempt + 1] = (recorded, event.next_attempt_at)


_ATTEMPT_ENDS: Final = (e.ActivityAttemptFailed, e.ActivityCompleted, e.ActivityFailed, e.ActivityTimedOut)


def _punctuality_laws(trial: "Trial", what: str, lateness: int) -> Iterator[str]:
    """Nothing is early, or later than can be explained."""
    if lateness < 0:
        yield f"{what} {-lateness} microseconds early"
    elif lateness > trial.times.longest_delay():
        yield f"{what} {lateness / 1_000_000:g} s late"


def _deadline_laws(trial: "Trial", run_key: RunKey, history: list[RecordedEvent]) -> Iterator[str]:
    created, last = standing_of(recorded.event for recorded in history), history[-1]
    if created is None or created.deadline_at is None or last.at < created.deadline_at:
        return
    if type(last.event) not in _ENDINGS:
        yield "it went on after its deadline"
    elif isinstance(last.event, e.RunFailed) and last.event.operation == 0:
        times, first = trial.times, history[0]
        late = times.lateness(
            created.deadline_at, asked_at=first.at, since=times.of(run_key, first), until=times.of(run_key, last)
        )
        yield from _punctuality_laws(trial, "it ended", late)


def _backoff_laws(history: list[RecordedEvent]) -> Iterator[str]:
    activities = {r.event.operation: r.event.activity for r in history if isinstance(r.event, e.ActivityScheduled)}
    for recorded in history:
        if isinstance(recorded.event, e.ActivityAttemptFailed):
            expected = BACKOFFS_MICROSECONDS.get(activities[recorded.event.operation])
            delay = recorded.event.next_attempt_at - recorded.at
            if expected is not None and delay != expected:
                yield f"operation {recorded.event.operation} is tried again after {delay} microseconds, not {expected}"


def _silence_laws(trial: "Trial", history: list[RecordedEvent]) -> Iterator[str]:
    """Find attempts by somebody outside that were given up though there was a sign of life not long before; while
    nothing strikes, there always is."""
    calls = {r.event.operation: r.event.activity for r in history if isinstance(r.event, e.ActivityScheduled)}
    heard_at: dict[int, int] = {}
    for recorded in history:
        event = recorded.event
        if isinstance(event, e.ActivityDeferred):
            heard_at[event.operation] = event.started_at  # its process may have stood still since
        elif isinstance(event, e.ActivityHeartbeatRecorded):
            heard_at[event.operation] = recorded.at
        elif isinstance(event, e.ActivityAttemptFailed) and calls[event.operation] == watched.name:
            silence = (recorded.at - heard_at[event.operation]) / 1_000_000
            if silence < WATCHED.total_seconds() or not trial.plan.strikes:
                yield f"operation {event.operation} was given up after {silence:g} s of silence"


def _compensation_laws(history: list[RecordedEvent]) -> Iterator[str]:
    finished: dict[int, int] = {
        r.event.operation: r.sequence for r in history if isinstance(r.event, e.ActivityCompleted)
    }
    batches: dict[int, list[int]] = {}
    for recorded in history:
        if isinstance(recorded.event, e.CompensationStepCompleted):
            batches.setdefault(recorded.event.operation, []).append(recorded.event.compensates)
    undoings = Counter(
        recorded.event.compensates
        for recorded in history
        if isinstance(recorded.event, e.ActivityScheduled) and recorded.event.compensates
    )
    for operation, count in undoings.items():
        if count > 1:
            yield f"operation {operation} was undone {count} times"
    for batch in batches.values():
        undone = [finished[operation] for operation in batch if operation in finished]
        if undone != sorted(undone, reverse=True) or len(set(batch)) != len(batch):
            yield f"it compensated operations {batch}, not newest first and once each"


def _replay_laws(history: list[RecordedEvent]) -> Iterator[str]:
    created, standing = history[0].event, standing_of(recorded.event for recorded in history)
    if not isinstance(created, e.RunCreated) or standing is None:
        yield "its history does not begin with its creation"
        return
    replay = Replay(CoroutineProgram(default_registry.entry_of(standing), created))
    try:
        replay.take(history)
        replay.finish()
    except PerdureError as error:
        yield f"its history is not replayed: {error}"
    finally:
        replay.feed.program.close()


# --- generations, calls, effects, sessions -------------------------------------------------------------------------


def _generation_laws(trial: "Trial") -> Iterator[str]:
    """Find generations that did not begin when the one before them said that they would."""
    tables = trial.tables
    for namespace, run_id in trial.database.generations:
        for before, after in pairwise([run.run_key for run in tables.generations(run_id)]):
            last = tables.history(before)[-1]
            begun = next((r for r in tables.history(after) if isinstance(r.event, e.RunStarted)), None)
            if isinstance(last.event, e.RunContinued) and begun is not None:
                what = f"run {namespace}/{run_id}: its generation {last.event.next_generation} began"
                since, until = trial.times.of(before, last), trial.times.of(after, begun)
                late = trial.times.lateness(last.event.next_at, asked_at=last.at, since=since, until=until)
                yield from _punctuality_laws(trial, what, late)


def _result_laws(trial: "Trial") -> Iterator[str]:
    if not trial.keeps_its_course:
        return
    for run_id, result in trial.workload.results.items():
        endings = trial.tables.events(run_id)[-1:]
        ending = endings[0] if endings else None
        returned = bytes(ending.result).decode() if isinstance(ending, e.RunCompleted) else type(ending).__name__
        if returned != result:
            yield f"run {run_id} returned {returned}, not {result}"


def _call_laws(trial: "Trial") -> Iterator[str]:
    for program in trial.programs.values():
        for call in program.calls:
            if call.name in program.progress.acknowledged and not call.is_done(trial.tables):
                yield f"the call {call.name!r} was acknowledged and is lost"
    for call in trial.calls:
        if call.name.startswith("signal "):
            copies = trial.tables.signal_copies(call.run_id, call.name.removeprefix("signal "))
            if copies > 1:
                yield f"{call.name} arrived {copies} times"


def _effect_laws(trial: "Trial") -> Iterator[str]:
    counts = Counter((effect.key, effect.attempt, effect.activity, effect.run_key) for effect in trial.effects)
    for effect in trial.effects:
        if effect.at_most_once and counts[effect.key, effect.attempt, effect.activity, effect.run_key] > 1:
            yield f"run {effect.run_id}: the at-most-once attempt {effect.attempt} of {effect.activity} had two effects"
        callers = {f"{_call_name(trial, key)}-{effect.operation}" for key in _callers(trial, effect)}
        if effect.key not in callers:
            what = f"operation {effect.operation} was called under {' or '.join(callers)}, and done under {effect.key}"
            yield f"run {effect.run_id}: {what}"
    by_attempt = sorted(trial.effects, key=lambda effect: (effect.run_key, effect.operation, effect.attempt))
    for earlier, later in pairwise(by_attempt):
        is_next = (earlier.run_key, earlier.operation) == (later.run_key, later.operation)
        if is_next and later.attempt > earlier.attempt and later.fencing_token < earlier.fencing_token:
            what = f"attempt {later.attempt} of {later.activity} had a lower fencing token than attempt"
            yield f"run {later.run_id}: {what} {earlier.attempt}"
    # An attempt is made again only by another owner: whoever holds the run knows that it is being made.
    for effect, count in Counter(trial.effects).items():
        if count > 1:
            attempt = f"attempt {effect.attempt} of {effect.activity} ({effect.key})"
            yield f"run {effect.run_id}: {attempt} had {count} effects under one fencing token"


def _call_name(trial: "Trial", run_key: RunKey) -> str:
    """Return what names a run in the keys of its calls: that by which nothing else is named."""
    standing = standing_of(recorded.event for recorded in trial.tables.history(run_key))
    return "" if standing is None else standing.call_name


def _callers(trial: "Trial", effect: "Effect") -> Iterator[RunKey]:
    """Yield the keys of the runs that may have made a call: a fork has a copy of what its origin lived."""
    calls = [
        recorded
        for recorded in trial.tables.history(effect.run_key)
        if isinstance(recorded.event, e.ActivityScheduled) and recorded.event.operation == effect.operation
    ]
    if calls and calls[0] in lived(trial.tables.history(effect.run_key)):
        yield effect.run_key
        return
    for run_key in trial.database.runs:
        if calls and calls[0] in lived(trial.tables.history(run_key)):
            yield run_key


def _session_laws(trial: "Trial") -> Iterator[str]:
    database = trial.database
    for run in database.runs.values():
        if run.owner is not None and run.owner not in database.sessions:
            yield f"run {run.ref} is owned by session {run.owner}, which is gone"
    for task in database.tasks.values():
        if task.owner is not None and task.owner not in database.sessions:
            yield f"task {task.operation} of run key {task.run_key} is claimed by session {task.owner}, which is gone"
        if database.runs[task.run_key].status.is_closed:
            yield f"task {task.operation} of run key {task.run_key} is left, though the run has ended"
    for (run_key, message_id), position in database.message_ids.items():
        entry = database.inboxes.get(run_key, {}).get(position)
        if entry is None or entry.message_id != message_id:
            yield f"the inbox remembers message {message_id} at {position}, which is not there"
