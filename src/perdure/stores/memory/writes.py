"""Writes on the tables in memory: everything is encoded first, so that applying cannot fail half-way."""

import msgspec

from perdure.errors import InternalError
from perdure.kernel.events import ChildOutcome, RunCreated
from perdure.kernel.failure import Failure
from perdure.kernel.history import EventRow, encode_event
from perdure.kernel.identity import FencingToken, RunKey, RunRef, WorkerId
from perdure.kernel.messages import (
    CancelMessage,
    ChildFailedMessage,
    Message,
    TerminateMessage,
    decode_message,
    encode_message,
    ends_by,
)
from perdure.kernel.transition import (
    Applied,
    Closed,
    Creation,
    Delivery,
    Exists,
    Missing,
    Outcome,
    Park,
    Release,
    RunRow,
    RunStatus,
    Seizure,
    Stale,
    Transition,
    Unread,
    Write,
)
from perdure.stores.memory.inboxes import put, wake_for
from perdure.stores.memory.locks import change_locks_of
from perdure.stores.memory.ownership import park, release, seize
from perdure.stores.memory.tables import Entry, MemoryDatabase, News, Run, Session, TaskRow, end_by, wake
from perdure.stores.memory.tasks import change_tasks, encoded_tasks, take_task

__all__ = ["Prepared", "apply", "prepare"]


# --- commit: encode first, so that applying cannot fail half-way -------------------------------------------------


class _PreparedTransition(msgspec.Struct, frozen=True):
    write: Transition
    rows: list[EventRow]
    creations: list["_PreparedCreation"]
    deliveries: list["_PreparedDelivery"]
    tasks: list[TaskRow]


class _PreparedCreation(msgspec.Struct, frozen=True):
    write: Creation
    rows: list[EventRow]


class _PreparedDelivery(msgspec.Struct, frozen=True):
    write: Delivery
    entry: Entry
    answers: dict[type[Outcome], Entry]


Prepared = _PreparedTransition | _PreparedCreation | _PreparedDelivery | Release | Park | Seizure


def prepare(database: MemoryDatabase, write: Write) -> Prepared:
    """Encode a write. Raises InternalError, or what encoding raises, for one that can never be applied."""
    if type(write) is Transition:
        return _prepare_transition(database, write)
    if type(write) is Delivery:
        return _prepare_delivery(write)
    if type(write) is Creation:
        return _prepare_creation(database, write)
    assert type(write) is Release or type(write) is Park or type(write) is Seizure
    return write


def _prepare_transition(database: MemoryDatabase, write: Transition) -> _PreparedTransition:
    rows = [encode_event(event) for event in write.events]
    if [row[0] for row in rows] != list(range(write.expected_sequence + 1, write.row.sequence + 1)):
        raise InternalError(
            f"the events of a transition of run {write.run_key} must go without gaps from "
            f"{write.expected_sequence + 1} to {write.row.sequence}, and are {[row[0] for row in rows]}"
        )
    if write.creation is not None:
        _refuse_used_key(database, write.creation)
    return _PreparedTransition(
        write,
        rows,
        [_prepare_creation(database, creation) for creation in write.creations],
        [_prepare_delivery(delivery) for delivery in write.deliveries],
        encoded_tasks(write),
    )


def _prepare_creation(database: MemoryDatabase, write: Creation) -> _PreparedCreation:
    _refuse_used_key(database, write)
    return _PreparedCreation(write, [encode_event(event) for event in (write.created, *write.copied)])


def _prepare_delivery(write: Delivery) -> _PreparedDelivery:
    answers = write.answers
    return _PreparedDelivery(
        write,
        _entry(write, write.message),
        {}
        if answers is None
        else {
            outcome: _entry(write, message, of_answer=":answer")
            for outcome, message in ((Applied, answers.delivered), (Missing, answers.missing), (Closed, answers.closed))
            if message is not None
        },
    )


def _entry(write: Delivery, message: Message, *, of_answer: str = "") -> Entry:
    return Entry(data=encode_message(message), message_id=write.message_id + of_answer, at=write.at)


def _refuse_used_key(database: MemoryDatabase, write: Creation) -> None:
    run = database.runs.get(write.run_key)
    if run is not None and run.ref != write.ref:
        raise InternalError(f"run key {write.run_key} belongs to {run.ref} and cannot be given to {write.ref}")


# --- commit: apply ----------------------------------------------------------------------------------------------


def apply(database: MemoryDatabase, session: Session, prepared: Prepared, news: News) -> Outcome:
    """Apply a write whole or not at all, and add what it changed to `news`."""
    if type(prepared) is _PreparedTransition:
        return _apply_transition(database, prepared, news)
    if type(prepared) is _PreparedDelivery:
        claim = prepared.write.task
        if claim is not None and not take_task(database, session, claim, ends=prepared.write.ends_task):
            return Stale(claim.run_key)
        return _deliver(database, prepared, news)
    if type(prepared) is _PreparedCreation:
        return _create(database, prepared, news)
    if type(prepared) is Release:
        return release(database, session, prepared, news)
    if type(prepared) is Seizure:
        return seize(database, session, prepared, news)
    assert type(prepared) is Park
    return park(database, session, prepared, news)


def _apply_transition(database: MemoryDatabase, prepared: _PreparedTransition, news: News) -> Outcome:
    write = prepared.write
    begins = write.creation
    refusal = _staleness(database, write) if begins is None else _refusal(database, begins)
    if refusal is None and not _can_continue(database, write):
        refusal = Stale(write.run_key)
    if refusal is None and any((write.run_key, told) in database.message_ids for told in write.must_not_overtake):
        refusal = Unread(write.run_key)
    if refusal is not None:
        return refusal
    if begins is None:
        run = database.runs[write.run_key]
    else:
        run = _insert(database, begins, owner=write.owner, fencing_token=write.fencing_token)
    database.events[write.run_key] += prepared.rows
    _update(run, write)
    for end_at in (write.end_at, None if begins is None else begins.end_at):
        end_by(run, end_at, news)
    database.take_messages(run.run_key, write.consumed)
    for creation in prepared.creations:
        if not isinstance(_create(database, creation, news), Applied):
            _report_conflict(database, run, creation.write, news)
    if write.moves_inbox_to is not None:
        _move_inbox(database, run, write.moves_inbox_to, news)
    for delivery in prepared.deliveries:
        _answer(database, run, delivery.answers.get(type(_deliver(database, delivery, news))))
    news.run_keys.add(run.run_key)
    if prepared.tasks or write.withdrawn:
        change_tasks(database, write, prepared.tasks, news)
    told = change_locks_of(database, write, news) if write.locks else ()
    return Applied(run.run_key, run.owner, told)


def _staleness(database: MemoryDatabase, write: Transition) -> Stale | None:
    run = database.runs.get(write.run_key)
    if (
        run is not None
        and run.fencing_token == write.fencing_token
        and run.sequence == write.expected_sequence
        and run.owner == write.owner
    ):
        return None
    return Stale(write.run_key)


def _can_continue(database: MemoryDatabase, write: Transition) -> bool:
    """Whether the next generation, if there is to be one, can be created: else the run would end without it."""
    successor = next((one for one in write.creations if one.run_key == write.moves_inbox_to), None)
    if successor is None:
        return True
    following = successor.ref
    ref = database.runs[write.run_key].ref if write.creation is None else write.creation.ref
    latest = database.latest(ref)
    return (
        (following.namespace, following.id, following.generation) == (ref.namespace, ref.id, ref.generation + 1)
        and write.row.status.is_closed
        and (latest is None or latest.ref.generation <= ref.generation)
        and _first_of_request(database, successor) is None
    )


def _update(run: Run, write: Transition) -> None:
    row = write.row
    _place(run, row)
    if write.labels:
        changed = {**run.labels, **write.labels}
        run.labels = {name: value for name, value in changed.items() if value is not None}
    if row.status.is_closed:
        run.owner = run.end_at = None


def _place(run: Run, row: RunRow) -> None:
    run.sequence = row.sequence
    run.status = row.status
    run.stage = row.stage
    run.progress = row.progress
    run.priority = row.priority
    run.updated_at = row.updated_at
    run.started_at = row.started_at
    run.closed_at = row.closed_at


def _create(database: MemoryDatabase, prepared: _PreparedCreation, news: News) -> Outcome:
    refusal = _refusal(database, prepared.write)
    if refusal is not None:
        return refusal
    run = _insert(database, prepared.write, owner=None, fencing_token=FencingToken(0))
    database.events[run.run_key] += prepared.rows
    if prepared.write.row is not None:
        _place(run, prepared.write.row)
    wake(database, run, prepared.write.wake_at, news)
    end_by(run, prepared.write.end_at, news)
    return Applied(run.run_key)


def _refusal(database: MemoryDatabase, write: Creation) -> Outcome | None:
    """Return what answers a creation without inserting anything, or None where it may go ahead."""
    repeated = _first_of_request(database, write)
    if repeated is not None:
        return repeated
    latest = database.latest(write.ref)
    if latest is None:
        return None if write.ref.generation == 1 else Missing(write.ref)
    if latest.ref.generation >= write.ref.generation or not latest.status.is_closed:
        return Exists(latest.run_key)
    return None if latest.ref.generation == write.ref.generation - 1 else Missing(write.ref)


def _first_of_request(database: MemoryDatabase, write: Creation) -> Applied | None:
    """Return the answer to a creation whose request was made before."""
    if not write.request_id:
        return None
    first = database.requests.get((write.ref.namespace, write.request_id))
    if first is None and write.ref.generation > 1:
        asked = (write.ref.namespace, write.ref.id, write.update_request or write.request_id)
        first = _taker(database, asked, unanswered=write.unanswered)
    return None if first is None else Applied(first, database.runs[first].owner)


def _taker(database: MemoryDatabase, request: tuple[str, str, str], *, unanswered: RunKey | None) -> RunKey | None:
    """Return the run that has taken a request in, unless that is known to have ended without an answer."""
    first = database.message_requests.get(request)
    return None if first == unanswered else first


def _insert(database: MemoryDatabase, write: Creation, *, owner: WorkerId | None, fencing_token: FencingToken) -> Run:
    at = write.begun_at
    run = database.runs[write.run_key] = Run(
        run_key=write.run_key,
        ref=write.ref,
        workflow=write.workflow,
        definition_version=write.definition_version,
        status=RunStatus.CREATED,
        stage="",
        progress=0.0,
        priority=write.priority,
        tenant=write.tenant,
        labels=dict(write.labels),
        parent_key=write.parent_key,
        created_at=at,
        started_at=None,
        updated_at=at,
        closed_at=None,
        sequence=1,
        owner=owner,
        fencing_token=fencing_token,
        wake_at=None,
    )
    database.generations.setdefault((write.ref.namespace, write.ref.id), {})[write.ref.generation] = write.run_key
    database.events[write.run_key] = []
    if write.request_id:
        database.requests[write.ref.namespace, write.request_id] = write.run_key
        if write.update_request:
            database.message_requests[write.ref.namespace, write.ref.id, write.update_request] = write.run_key
    return run


def _report_conflict(database: MemoryDatabase, parent: Run, refused: Creation, news: News) -> None:
    created = refused.created.event
    if not isinstance(created, RunCreated) or created.parent is None:
        return
    message = ChildFailedMessage(
        operation=created.parent.operation,
        generation=created.parent.ref.generation,
        outcome=ChildOutcome.FAILED,
        failure=Failure(
            type="RunExistsError",
            types=("RunExistsError", "StateError"),
            message=f"the child run {refused.ref} cannot be created: its id is taken",
        ),
    )
    report = Delivery(
        target=parent.run_key,
        message=message,
        message_id=f"{parent.run_key}:{parent.sequence}:{created.parent.operation}:conflict",
        at=parent.updated_at,
    )
    _deliver(database, _prepare_delivery(report), news)


def _move_inbox(database: MemoryDatabase, run: Run, to: RunKey, news: News) -> None:
    target = database.runs.get(to)
    if target is None or not (moved := database.inboxes.pop(run.run_key, None)):
        return
    database.inboxes.setdefault(to, {}).update(moved)
    for position, entry in moved.items():
        database.message_ids.pop((run.run_key, entry.message_id), None)
        if entry.message_id:
            database.message_ids[to, entry.message_id] = position
    if target.owner is None and not target.status.is_closed:
        wake(database, target, run.updated_at, news)
        if any(isinstance(decode_message(entry.data), TerminateMessage | CancelMessage) for entry in moved.values()):
            end_by(target, run.updated_at, news)


def _deliver(database: MemoryDatabase, prepared: _PreparedDelivery, news: News) -> Outcome:
    write, entry = prepared.write, prepared.entry
    target = write.target
    run = database.latest(target) if isinstance(target, RunRef) else database.runs.get(target)
    if run is None:
        return Missing(target)
    request = (run.ref.namespace, run.ref.id, write.request_id)
    first = _taker(database, request, unanswered=write.unanswered)
    if first is not None:
        return Applied(first, database.runs[first].owner)
    if run.status.is_closed:
        return Closed(run.run_key, run.status)
    if write.request_id:
        database.message_requests[request] = run.run_key
    if put(database, run, entry):
        wake_for(database, run, write.message, write.at, news)
        end_by(run, ends_by(write.message, write.at, has_begun=not run.status.may_be_unbegun), news)
    return Applied(run.run_key, run.owner)


def _answer(database: MemoryDatabase, sender: Run, entry: Entry | None) -> None:
    """Tell a run what became of a message that it sent, unless it has ended or does not want to know."""
    if entry is not None and not sender.status.is_closed:
        put(database, sender, entry)
