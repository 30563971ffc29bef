"""One run verified: its history by its digests, and what else is stored of it by its history.

All of a run is read at one moment, so that a run that goes on meanwhile shows no contradiction.
"""

from collections.abc import Iterator
from typing import Any, Final

import apsw
import msgspec

from perdure.errors import DamagedHistoryError, HistoryError
from perdure.kernel.codeless import first_end
from perdure.kernel.history import decode_event
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.lifecycle import LockPhase
from perdure.kernel.messages import (
    QUEUED_ATTEMPT,
    CompleteActivityMessage,
    DeferActivityMessage,
    FailActivityMessage,
    LockDeniedMessage,
    LockGrantedMessage,
    TimeOutActivityMessage,
    decode_message,
)
from perdure.kernel.standing import standing_of
from perdure.kernel.state import RunState, fitting
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.ports.verification import DamagedRun, Defect
from perdure.stores.sql import clock
from perdure.stores.sql import verification as statements
from perdure.stores.sql.chain import digest_of_message
from perdure.stores.sql.checking import ChainCheck
from perdure.stores.sql.histories import READ_HISTORY
from perdure.stores.sqlite.faults import UNREADABLE
from perdure.stores.sqlite.histories import stored_events
from perdure.stores.sqlite.rows import parking_of, sound_task

__all__ = ["CheckedRun", "StoredRun", "check_run", "expected_labels", "expected_row", "told_by_history", "try_run"]

# Any in this file: a row holds what SQLite found.


class StoredRun(msgspec.Struct, array_like=True, gc=False):
    """A row of `runs` as it is stored; texts that are none are shown with escapes, and so equal no text. `no_texts`
    names columns that hold bytes, or a number, where text must stand: nothing of such a row can be written but that."""

    run_key: RunKey
    namespace: str
    id: str
    generation: int
    latest: int
    workflow: str
    definition_version: str
    status: str
    stage: str
    progress: float
    priority: int
    tenant: str
    parent_key: int | None
    created_at: int
    started_at: int | None
    updated_at: int
    closed_at: int | None
    sequence: int
    owner: int | None
    wake_at: int | None
    end_at: int | None
    parked: str | None
    no_texts: str

    @property
    def ref(self) -> RunRef:
        """Who the run is."""
        return RunRef(namespace=self.namespace, id=self.id, generation=self.generation)

    @classmethod
    def of(cls, columns: tuple[Any, ...]) -> "StoredRun":
        """Read a row. What is none of a column's type, as in a page that is damaged, is a value that no run has."""
        values = [_text(value) for value in columns]
        try:
            return msgspec.convert(values, cls, strict=True)
        except msgspec.ValidationError:
            return cls(*(_converted(value, field.type) for value, field in zip(values, _FIELDS, strict=True)))


class CheckedRun(msgspec.Struct, kw_only=True):
    """A run and what is wrong with it. `state` is its sound events, folded; `is_sound`: these are all that there are,
    each with its digest, so that what its row says can be taken from it. `is_readable`: none of its pages is damaged.
    `told` are the requests for locks of which a message says what became of them, and whether they were granted;
    `ended` the attempts of which one says how they ended. `strays` are rows of tasks, by their positions, that are to
    be taken out of their queues, `lost` the attempts that the run waits for and nobody makes."""

    row: StoredRun
    check: ChainCheck
    state: RunState
    is_sound: bool = False
    is_readable: bool = True
    messages: int = 0
    told: dict[int, bool] = {}
    ended: set[tuple[int, int]] = set()
    strays: list[int] = []
    lost: list[tuple[Operation, int]] = []
    defects: list[Defect]

    @property
    def knows_tasks(self) -> bool:
        """Whether it is certain for which tasks the run waits: a message that cannot be read may be an outcome."""
        return not self.check.unchained and not any(defect.place == "inbox" for defect in self.defects)

    def damage(self) -> DamagedRun:
        """Return the run's part of a report."""
        return DamagedRun(
            run_key=self.row.run_key,
            ref=self.row.ref,
            counted=_count(self.row.sequence),
            readable=self.state.sequence,
            is_open=not self.state.is_closed if self.is_sound else self.row.closed_at is None,
            is_parked=self.row.parked is not None,
            defects=tuple(self.defects),
        )


def _count(stored: object) -> int:
    """Return a count as a damaged row may have it: anything."""
    return stored if isinstance(stored, int) else 0


def check_run(connection: apsw.Connection, run_key: RunKey, *, now: Timestamp) -> CheckedRun | None:
    """Verify a run at a moment that is now; None if there is none. Raises apsw's errors for pages that are damaged."""
    if connection.in_transaction:
        return _check(connection, run_key, now=now)
    connection.execute("BEGIN")
    try:
        return _check(connection, run_key, now=now)
    finally:
        if connection.in_transaction:  # some errors of reading end it; others, as for a damaged page, do not
            connection.execute("ROLLBACK")


def try_run(connection: apsw.Connection, run_key: RunKey, *, now: Timestamp) -> CheckedRun | DamagedRun | None:
    """Verify a run as `check_run` does; what keeps it from being read at all is its damage."""
    try:
        return check_run(connection, run_key, now=now)
    except UNREADABLE as error:
        what = f"pages that hold its rows are damaged: {error}"
    except apsw.Error:
        raise
    except Exception as error:  # noqa: BLE001 - no row is of a form that may keep others from being verified
        what = f"its rows hold what no Perdure wrote: {error!r}"
    return DamagedRun(
        run_key=run_key,
        ref=None,
        counted=0,
        readable=0,
        is_open=False,
        is_parked=False,
        defects=(Defect(place="file", what=what),),
    )


def expected_row(state: RunState) -> dict[str, Any]:
    """Return what a run's row says, by its history: all but what concerns its owner and its next claim."""
    return {name: _plain(value) for name, value in state.facts().items()}


def expected_labels(state: RunState) -> list[tuple[str, str, str, int]]:
    """Return a run's rows of labels: name, value, namespace, created_at."""
    created = state.created
    assert created is not None
    return sorted((name, value, created.ref.namespace, state.created_at) for name, value in state.labels.items())


def _check(connection: apsw.Connection, run_key: RunKey, *, now: Timestamp) -> CheckedRun | None:
    found = next(iter(connection.execute(statements.RUN, (run_key,))), None)
    if found is None:
        return None
    row = StoredRun.of(found)
    checked = _with_history(connection, row, row.ref)
    if checked.state.sequence == 0 and (ref := _ref_by_history(connection, run_key)) not in (None, row.ref):
        by_history = _with_history(connection, row, ref)
        checked = by_history if by_history.is_sound else checked
    checked.defects += _readable(checked, "inbox", _inbox_defects(connection, checked))
    if checked.is_sound:
        checked.defects += _readable(checked, "row", _row_defects(connection, checked, now=now))
        checked.defects += _readable(checked, "labels", _label_defects(connection, checked))
        checked.defects += _readable(checked, "locks", _lock_defects(connection, checked))
        checked.defects += _readable(checked, "tasks", _task_defects(connection, checked))
    return checked


def _readable(checked: CheckedRun, place: str, found: Iterator[Defect]) -> Iterator[Defect]:
    """Yield what is found, up to a page that cannot be read, which is found, too."""
    try:
        yield from found
    except UNREADABLE as error:
        checked.is_readable = False
        yield Defect(place=place, what=f"pages that hold it are damaged: {error}")


def _with_history(connection: apsw.Connection, row: StoredRun, ref: RunRef) -> CheckedRun:
    """Check a history as that of a run which is called `ref`."""
    checked = CheckedRun(row=row, check=ChainCheck(ref), state=RunState(), defects=[])
    _read_history(connection, checked)
    return checked


def _ref_by_history(connection: apsw.Connection, run_key: RunKey) -> RunRef | None:
    """Return what a history calls its run, unchecked; None if that cannot be read."""
    try:
        rows = list(connection.execute(READ_HISTORY, (run_key, 1, _ALL_EVENTS)))
        standing = standing_of(decode_event(*row[:-1]).event for row in rows)
    except (HistoryError, UnicodeDecodeError, TypeError, *UNREADABLE):
        return None
    return None if standing is None else standing.ref


def told_by_history(connection: apsw.Connection, run_key: RunKey) -> str:
    """Say what a history tells of a run whose row is lost, and how much of it can be read."""
    ref = _ref_by_history(connection, run_key)
    if ref is None:
        return "whose they are cannot be read"
    row = StoredRun.of((run_key, *(None,) * (len(_FIELDS) - 1)))
    state = _with_history(connection, row, ref).state
    return f"they are of run {ref}, {state.status} after event {state.sequence}, up to which they are sound"


def _read_history(connection: apsw.Connection, checked: CheckedRun) -> None:
    """Fold the history as far as it is sound, and note where it is not."""
    row, check, state = checked.row, checked.check, checked.state
    try:
        with fitting(state, passing=apsw.Error):
            for stored in stored_events(connection, row.run_key, check, limit=_ALL_EVENTS):
                recorded = decode_event(*stored[:-1])
                state.record(recorded.event, recorded.at)
    except DamagedHistoryError as error:
        checked.defects.append(Defect(place="history", what=str(error).partition(" `perdure")[0]))
        return
    except UNREADABLE as error:
        checked.is_readable = False
        what = f"pages that hold events of run {row.ref} after event {state.sequence} are damaged: {error}"
        checked.defects.append(Defect(place="history", what=what))
        return
    except HistoryError as error:
        checked.defects.append(Defect(place="history", what=str(error)))
        return
    if row.sequence > check.sequence:
        missing = check.damage(check.sequence + 1, f"it is missing: the run's row counts {row.sequence}")
        checked.defects.append(Defect(place="history", what=str(missing).partition(" `perdure")[0]))
    elif check.sequence == 0:
        checked.defects.append(Defect(place="history", what=f"run {row.ref} has no history"))
    else:
        checked.is_sound = True


def _row_defects(connection: apsw.Connection, checked: CheckedRun, *, now: Timestamp) -> Iterator[Defect]:
    row, state = checked.row, checked.state
    for name, value in expected_row(state).items():
        stored = getattr(row, name)
        if stored != value:
            what = f"{name} is {stored!r}, and by the history {value!r}"
            yield _of_row(what, "it is taken from the history", checked)
        elif name in row.no_texts.split():
            yield _of_row(f"{name} is not stored as text", "it is taken from the history", checked)
    is_latest = connection.execute(statements.IS_LATEST, (row.namespace, row.id, row.generation)).get
    if row.latest != is_latest:
        yield _of_row(f"latest is {row.latest}, and must be {is_latest}", "it is counted anew", checked)
    if row.owner is not None:
        if state.is_closed or not connection.execute(statements.IS_SESSION, (row.owner,)).get:
            yield _of_row(f"its owner {row.owner} cannot have it", "it is given back", checked)
    elif not state.is_closed and row.parked is None and _is_late(row, _due_at(checked), _reached(connection, now)):
        yield _of_row(f"wake_at is {row.wake_at}, and it is due before", "it is made due", checked)
    end = first_end(state)
    if end is not None and (row.end_at is None or row.end_at > end.at > _reached(connection, now)):
        yield _of_row(f"end_at is {row.end_at}, and it may have to be ended at {end.at}", "it is looked at", checked)
    if row.parked is not None:
        yield from _parking_defects(row.parked, checked)


def _parking_defects(parked: str, checked: CheckedRun) -> Iterator[Defect]:
    if checked.state.is_closed:
        yield _of_row("it is parked, and has ended", "it is not parked", checked)
    elif parking_of(parked.encode()) is None:
        yield Defect(place="row", what="why it is parked cannot be read; whoever works tries it again")


def _of_row(what: str, repair: str, checked: CheckedRun) -> Defect:
    """Return a defect of the row; from a history without digests nothing is repaired."""
    return Defect(place="row", what=what, repair="" if checked.check.unchained else repair)


def _is_late(row: StoredRun, due_at: int | None, reached: int) -> bool:
    """Whether nobody will look at a run in time. What is due by now is looked at as soon as there is somebody."""
    return due_at is not None and (row.wake_at is None or row.wake_at > max(due_at, reached))


def _reached(connection: apsw.Connection, now: Timestamp) -> int:
    """Return the time that is over: later than now if the clock was set back, since what was due by then, and by the
    leases of then, is made due by whoever looks at the clock next."""
    noted = connection.execute(clock.NOTED_TIMES).fetchone()
    return now if noted is None or noted[0] <= now else noted[0] + _A_LEASE_MICROSECONDS


def _due_at(checked: CheckedRun) -> int | None:
    """When somebody must look at a run that nobody owns."""
    if checked.messages:
        return _FAR
    return checked.state.next_wake_at(Timestamp(0))


def _label_defects(connection: apsw.Connection, checked: CheckedRun) -> Iterator[Defect]:
    stored = sorted(tuple(map(_text, label)) for label in connection.execute(statements.LABELS, (checked.row.run_key,)))
    expected = expected_labels(checked.state)
    if stored != expected:
        words = ("; ".join(f"{name}={value}" for name, value, *_ in labels) or "none" for labels in (stored, expected))
        repair = "" if checked.check.unchained else "they are taken from the history"
        yield Defect(place="labels", what=" stand there, and by the history ".join(words), repair=repair)


def _inbox_defects(connection: apsw.Connection, checked: CheckedRun) -> Iterator[Defect]:
    run_key = checked.row.run_key
    for position, message_id, at, data, digest in connection.execute(statements.INBOX, (run_key,)):
        checked.messages += 1
        try:
            is_right = digest is None or digest == digest_of_message(run_key, message_id.decode(), at, data.decode())
            if is_right and position > 0:
                message = decode_message(data)
                if isinstance(message, LockGrantedMessage | LockDeniedMessage):
                    checked.told[message.operation] = isinstance(message, LockGrantedMessage)
                elif isinstance(message, _ENDS_OF_TASKS):
                    checked.ended.add((message.operation, message.attempt))
                continue
            why = "nothing is read from there" if is_right else "its digest differs"
        except (UnicodeDecodeError, msgspec.DecodeError, AttributeError) as error:
            why = str(error)
        yield Defect(place="inbox", what=f"the message at position {position} is not the one that was put there: {why}")


def _lock_defects(connection: apsw.Connection, checked: CheckedRun) -> Iterator[Defect]:
    """Compare the lines with the history. What became of a request may wait in the inbox."""
    state, left = checked.state, dict(checked.state.locks)
    for found in connection.execute(statements.LOCKS, (checked.row.run_key,)):
        operation, namespace, key, most, is_granted, position, is_list = map(_text, found)
        lock = left.pop(operation, None)
        if not is_list:
            yield Defect(place="locks", what=f"the entry {position} does not say within which locks it was asked for")
        elif lock is None:
            yield Defect(place="locks", what=f"the entry {position} for {key!r} is none that the run has asked for")
        elif (namespace, key, most) != (checked.row.namespace, lock.key, lock.limit):
            yield Defect(place="locks", what=f"the entry {position} is for {key!r}, the run asked for {lock.key!r}")
        elif lock.phase is LockPhase.HELD and (not is_granted or lock.token != position):
            yield Defect(place="locks", what=f"the entry {position} for {key!r} is not the lock that the run holds")
        elif lock.phase is LockPhase.REQUESTED and bool(is_granted) is not checked.told.get(operation, False):
            yield Defect(place="locks", what=f"the run was told otherwise of the entry {position} for {key!r}")
    for operation, lock in left.items():
        if not state.is_closed and (lock.phase is LockPhase.HELD or checked.told.get(operation, True)):
            yield Defect(place="locks", what=f"the lock {lock.key!r}, which the run has asked for, is in no line")


def _task_defects(connection: apsw.Connection, checked: CheckedRun) -> Iterator[Defect]:
    """Compare the tasks with the history. The outcome of one that is gone waits in the inbox."""
    state = checked.state
    left = {} if state.is_closed else {number: one for number, one in state.deferrals.items() if one.queue}
    rows = connection.execute(statements.TASKS, (checked.row.run_key,))
    for position, is_typed, is_claimed, digest, share, cost, *fields in rows:
        _, operation, attempt, _, queue, *_ = map(_text, fields)
        deferral = left.get(operation)
        if deferral is None or (deferral.attempt, deferral.queue) != (attempt, queue):
            checked.strays.append(position)
            yield _of_task(operation, "is none that the run waits for", "it is taken out of its queue", checked)
            continue
        del left[operation]
        if is_typed and sound_task(fields, digest, share=share, cost=cost) is not None:
            continue
        if is_claimed:
            yield _of_task(operation, "is not what was written; whoever has it has read it before", "", checked)
            continue
        checked.strays.append(position)
        checked.lost.append((Operation(operation), attempt))
        yield _of_task(operation, "is not what was written; whoever claims it has the attempt fail", _FAILS, checked)
    for operation, deferral in left.items():
        if not checked.ended & {(operation, deferral.attempt), (operation, QUEUED_ATTEMPT)}:
            checked.lost.append((Operation(operation), deferral.attempt))
            what = f"for which the run waits, is not in the queue {deferral.queue!r}"
            yield _of_task(operation, what, _FAILS, checked)


def _of_task(operation: int, what: str, repair: str, checked: CheckedRun) -> Defect:
    """Return a defect of a task."""
    return Defect(
        place="tasks", what=f"the task of operation {operation} {what}", repair=repair if checked.knows_tasks else ""
    )


_FAILS: Final = "the attempt fails, and as its retries say there is another one"
_ENDS_OF_TASKS: Final = (
    CompleteActivityMessage, FailActivityMessage, TimeOutActivityMessage, DeferActivityMessage,
)  # fmt: skip


def _text(value: Any) -> Any:  # noqa: ANN401 - see above
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _converted(value: Any, kind: Any) -> Any:  # noqa: ANN401 - see above
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        return repr(value) if kind is str else _NO_NUMBER


def _plain(value: Any) -> Any:  # noqa: ANN401 - see above
    """Return the value of an enumeration, which is what is stored; any other as it is."""
    return getattr(value, "value", value)


_FIELDS: Final = msgspec.structs.fields(StoredRun)
_NO_NUMBER: Final = -(2**63)
_ALL_EVENTS: Final = 2**62
_FAR: Final = 2**62
"""Later than any time: it is only demanded that there is one."""

_A_LEASE_MICROSECONDS: Final = 60 * MICROSECONDS_PER_SECOND
"""Longer than leases usually are."""
