"""The oracle: what the tables, the notes and the effects must say to each other when all is done.

Every finding begins with its kind: `lost`, `two outcomes`, `history`, `result`, `effect`, `ledger`, `lock`,
`left over`, `file`, `late`, `error`.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from perdure.authoring.registry import default_registry
from perdure.errors import PerdureError
from perdure.kernel import events as e
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.replay import Replay
from perdure.kernel.state import RunState, fold
from perdure.kernel.transition import RunStatus
from perdure.torture.kills.answers import argument_of, broken_answer_laws
from perdure.torture.kills.ledger import SEVERED, Effect, Note, Severance, read
from perdure.torture.kills.lock_laws import broken_lock_laws
from perdure.torture.kills.portfolio import AT_MOST_ONCE, BOOKING, ENOUGH, KINDS, note, stray
from perdure.torture.kills.rows import Rows, kept_rows
from perdure.torture.kills.tables import StoredRun, Tables, key_of
from perdure.torture.kills.transfer_laws import broken_transfer_laws
from perdure.torture.kills.transfers import TRANSFERS

__all__ = ["Verdict", "judge", "with_second_outcome"]


class Verdict(msgspec.Struct, kw_only=True):
    """What was found, and how much was looked at."""

    violations: list[str] = []
    acknowledged: int = 0
    refused: int = 0
    histories: int = 0
    effects: int = 0
    transfers: int = 0

    def count(self, kind: str) -> int:
        """Return how many violations are of a kind."""
        return sum(violation.startswith(f"{kind}:") for violation in self.violations)


def judge(folder: Path, rows: Rows | None = None) -> Verdict:
    """Judge what a campaign left in its folder; `rows`: what is taken for its database's."""
    tables = Tables(rows or kept_rows(folder))
    notes = [record for path in sorted(folder.glob("notes-*")) for record in read(path, Note)]
    effects = list(read(folder / "effects", Effect))
    severances = list(read(folder / SEVERED, Severance))
    late = {record for record in effects if any(severance.covers(record) for severance in severances)}
    found = list(tables.faults)
    for run in tables.runs.values():
        found += (f"{what} (run {run.id} generation {run.generation}, {run.workflow})" for what in _run_laws(run))
    found += broken_answer_laws(tables, notes)
    found += _effect_laws(tables, effects, late)
    found += broken_transfer_laws(tables)
    found += broken_lock_laws(tables, [record for record in effects if record not in late])
    found += _leftover_laws(tables)
    return Verdict(
        violations=found,
        acknowledged=sum(record.state == "done" for record in notes),
        refused=sum(record.state == "refused" for record in notes),
        histories=len(tables.runs),
        effects=len(effects),
        transfers=len(tables.ledger),
    )


def with_second_outcome(rows: Rows) -> Rows:
    """Append a second outcome of some step to a closed history: the oracle must see it."""
    outcome = next(row for row in rows.history if row.type == "activity_completed")
    last = max(row.sequence for row in rows.history if row.run_key == outcome.run_key)
    return msgspec.structs.replace(rows, history=[*rows.history, outcome._replace(sequence=last + 1)])


# --- one run -----------------------------------------------------------------------------------------------------


def _run_laws(run: StoredRun) -> Iterator[str]:
    sequences = [recorded.sequence for recorded in run.history]
    if run.created is None or sequences != list(range(1, len(sequences) + 1)):
        yield f"history: it has gaps or no beginning: {sequences}"
        return
    yield from _outcome_laws(run)
    try:
        state = fold(RunState(), run.history)
    except PerdureError as error:
        yield f"history: it does not fold: {error}"
        return
    if (state.sequence, state.status) != (run.sequence, run.status):
        yield f"history: it says {state.sequence}, {state.status}; the row {run.sequence}, {run.status}"
    yield from _timer_laws(run)
    yield from _replay_laws(run, run.created)
    yield from _compensation_laws(run)
    yield from _result_laws(run, run.created)


def _outcome_laws(run: StoredRun) -> Iterator[str]:
    operations: dict[int, list[str]] = {}
    for recorded in run.history:
        event = recorded.event
        if isinstance(event, _BEGUN):
            operations[event.operation] = []
        elif isinstance(event, _OUTCOMES):
            operations.setdefault(event.operation, []).append(type(event).__name__)
    for operation, outcomes in operations.items():
        if len(outcomes) > 1:
            yield f"two outcomes: operation {operation} has {', '.join(outcomes)}"
        elif not outcomes:
            yield f"history: operation {operation} has no outcome at the end"


_BEGUN: Final = (e.ActivityScheduled, e.TimerStarted, e.ChildRequested, e.LockRequested)
_OUTCOMES: Final = (
    e.ActivityCompleted, e.ActivityFailed, e.ActivityTimedOut, e.ActivityCancelled, e.TimerFired, e.TimerCancelled,
    e.ChildCompleted, e.ChildFailed, e.ChildCancelled, e.LockDenied, e.LockReleased,
)  # fmt: skip


def _timer_laws(run: StoredRun) -> Iterator[str]:
    due = {r.event.operation: r.event.due_at for r in run.history if isinstance(r.event, e.TimerStarted)}
    for recorded in run.history:
        if isinstance(recorded.event, e.TimerFired) and recorded.at < due.get(recorded.event.operation, recorded.at):
            yield f"history: timer {recorded.event.operation} fired early"


def _replay_laws(run: StoredRun, created: e.RunCreated) -> Iterator[str]:
    replay = Replay(CoroutineProgram(default_registry.entry_of(created), created))
    try:
        replay.take(run.history)
        replay.finish()
    except PerdureError as error:
        yield f"history: it is not replayed: {error}"
    finally:
        replay.feed.program.close()


def _compensation_laws(run: StoredRun) -> Iterator[str]:
    """Find bookings of a failed or cancelled run that were not undone, newest first."""
    if run.status not in {RunStatus.FAILED, RunStatus.CANCELLED}:
        return
    bookings = {
        r.event.operation
        for r in run.history
        if isinstance(r.event, e.ActivityScheduled) and r.event.activity == BOOKING
    }
    undoings = {
        r.event.operation: r.event.compensates
        for r in run.history
        if isinstance(r.event, e.ActivityScheduled) and r.event.compensates
    }
    completed = [r.event.operation for r in run.history if isinstance(r.event, e.ActivityCompleted)]
    done = [operation for operation in completed if operation in bookings]
    undone = [undoings[operation] for operation in completed if operation in undoings]
    if undone != done[::-1]:
        yield f"result: bookings {done} were undone as {undone}"


def _result_laws(run: StoredRun, created: e.RunCreated) -> Iterator[str]:
    if not run.latest:
        if not isinstance(run.ending, e.RunContinued):
            yield "result: a later generation exists, and this one did not continue"
        return
    value = argument_of(created)
    match run.ending:
        case e.RunCompleted(result=result):
            returned = msgspec.json.decode(result)
            if run.workflow == "kill_collecting":
                expected: object = sorted(_collected(run))  # customers number their notes
            elif run.workflow == "kill_answering":
                expected = [*range(len(returned))]  # and their updates
            elif run.workflow == "kill_generations":
                expected = None  # by its first generation's argument: `_generation_laws`
                returned = None
            else:
                expected = KINDS[run.workflow].result(value)
            if returned != expected or run.workflow in _NEVER_RETURN:
                yield f"result: {value!r} gave {returned!r}, not {expected!r}"
            yield from _unconsumed_laws(run)
        case e.RunFailed(failure=failure):
            if run.workflow != "kill_trip" or failure.type != "ValueError":
                yield f"result: it failed: {failure.type}: {failure.message}"
        case e.RunCancelled():
            pass  # `answers` knows whether somebody asked
        case _:
            yield f"lost: it has not ended ({run.status}, owner {run.owner}, wake_at {run.wake_at})"


_NEVER_RETURN: Final = frozenset({"kill_trip", "kill_waiting"})


def _collected(run: StoredRun) -> list[int]:
    """Return the notes that came before the one that says enough."""
    bodies = [
        msgspec.json.decode(r.event.body, type=int)
        for r in run.history
        if isinstance(r.event, e.SignalReceived) and r.event.name == note.name
    ]
    return bodies[: bodies.index(ENOUGH)] if ENOUGH in bodies else [*bodies, ENOUGH]


def _unconsumed_laws(run: StoredRun) -> Iterator[str]:
    """Signals that nobody waited for are counted where the run ended."""
    ending = run.ending
    assert isinstance(ending, e.RunCompleted)
    received = sum(isinstance(r.event, e.SignalReceived) and r.event.name == stray.name for r in run.history)
    listed = ending.unconsumed_signals.get(stray.name, 0)
    if received != listed:
        yield f"lost: {received} signals that nobody waited for, {listed} listed"


# --- effects -----------------------------------------------------------------------------------------------------


def _effect_laws(tables: Tables, effects: list[Effect], late: set[Effect]) -> Iterator[str]:
    performed = Counter((record.key, record.attempt) for record in effects)
    recorded_at: dict[str, int] = {}
    scheduled: dict[str, str] = {}
    begun: set[tuple[str, int]] = set()
    unwanted: set[str] = set()  # cancelled, perhaps before whoever served the queue was heard of
    for run in tables.runs.values():
        queued: set[int] = set()
        for recorded in run.history:
            event = recorded.event
            if isinstance(event, e.ActivityScheduled):
                scheduled[key_of(run, event.operation)] = event.activity
            elif isinstance(event, e.ActivityAttemptStarted):
                begun.add((key_of(run, event.operation), event.attempt))
            elif isinstance(event, e.ActivityCancelled) and event.operation in queued:
                unwanted.add(key_of(run, event.operation))
            elif isinstance(event, e.ActivityDeferred):
                queued.add(event.operation)
            elif isinstance(event, e.ActivityCompleted):
                key = key_of(run, event.operation)
                recorded_at[key] = tables.noted_at[run.run_key, recorded.sequence]
                if not performed[key, event.attempt] and scheduled[key] not in TRANSFERS:
                    yield f"effect: none of attempt {event.attempt} of {key}, which is recorded as completed"
    tokens: dict[str, int] = {}
    by_owner = Counter((record.key, record.attempt, record.fencing_token) for record in effects)
    for record in effects:
        name = f"{record.activity} {record.key} attempt {record.attempt}"
        if record.key not in scheduled:
            yield f"effect: {name} was never recorded as asked for"
        elif (
            record.activity in AT_MOST_ONCE and (record.key, record.attempt) not in begun and record.key not in unwanted
        ):
            yield f"effect: {name} was never recorded as begun"
        if record.activity in AT_MOST_ONCE and performed[record.key, record.attempt] > 1:
            yield f"effect: {name} was performed {performed[record.key, record.attempt]} times, promised at most once"
        if by_owner[record.key, record.attempt, record.fencing_token] > 1:
            yield f"effect: {name} was performed more than once under the fencing token {record.fencing_token}"
        if record in late:
            continue
        if record.fencing_token < tokens.setdefault(record.key, record.fencing_token):
            yield f"effect: {name} was performed under the old fencing token {record.fencing_token}"
        tokens[record.key] = record.fencing_token
        if record.at > recorded_at.get(record.key, record.at):
            yield f"effect: {name} was performed again after its outcome was recorded"


# --- leftovers ---------------------------------------------------------------------------------------------------


def _leftover_laws(tables: Tables) -> Iterator[str]:
    for run in tables.runs.values():
        if run.owner is not None:
            yield f"left over: run {run.id} is owned by session {run.owner}"
        if run.wake_at is not None and RunStatus(run.status).is_closed:
            yield f"left over: run {run.id} is {run.status} and waits to be claimed"
    for run_key, data in tables.inbox:
        if run_key not in tables.runs or not RunStatus(tables.runs[run_key].status).is_closed:
            yield f"left over: {data} in the inbox of run key {run_key}"
    yield from (f"left over: a task of run key {run_key}, operation {operation}" for run_key, operation in tables.tasks)
    if tables.sessions:
        yield f"left over: {tables.sessions} sessions"
