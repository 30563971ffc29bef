"""Writes as parameters of statements, made on the caller's thread.

So a value that cannot be encoded fails its caller alone, and the writer's thread, which competes with the loop for the
interpreter, has only lists to join. Parameters are flat lists, since one statement takes the values of many rows.
"""

from typing import Final

import msgspec

from perdure.errors import InternalError
from perdure.kernel.history import RecordedEvent, encode_event
from perdure.kernel.identity import RunKey, RunRef, WorkerId
from perdure.kernel.messages import encode_message, ends_by, wakes_parked
from perdure.kernel.tasks import Task, TaskClaim
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import (
    Answers,
    Applied,
    Closed,
    Creation,
    Delivery,
    Missing,
    Outcome,
    Park,
    Release,
    RunRow,
    RunStatus,
    Seizure,
    Transition,
    Write,
)
from perdure.ports.tasks import encode_task
from perdure.stores.sql.chain import digest_of_task, framed_event, genesis, linked

__all__ = [
    "ChainHead",
    "Column",
    "EncodedCreation",
    "EncodedDelivery",
    "EncodedPark",
    "EncodedRelease",
    "EncodedSeizure",
    "EncodedTransition",
    "EncodedWrite",
    "beginning_of",
    "claim_row",
    "encode_delivery",
    "encode_write",
    "fill_digests",
]

Column = int | float | str | bytes | None
"""What stands in one column of one row."""

ChainHead = tuple[bytes, bytes]
"""What the next event of a run is linked to: the genesis of its chain, and the digest of its last event."""


class EncodedCreation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run to be inserted. `child` is the write itself if it comes with a transition of the run's parent.

    `update_request` and `unanswered`: see `Creation`.
    """

    run_key: RunKey
    ref: RunRef
    request_id: str
    row: list[Column]
    labels: list[Column]
    history: list[Column]
    end_at: Timestamp | None = None
    child: Creation | None = None
    update_request: str = ""
    unanswered: RunKey | None = None


class EncodedDelivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message for an inbox. `answers`: what the inbox of the run `sender` gets by what became of it.

    `wakes_parked`: it makes a parked run due, too. `end_at`: see `perdure.kernel.messages.ends_by`; `end_before_begin`
    likewise, of a run that has not begun. `task` are the parameters of the claim that it needs, none if it needs none;
    `ends_task`: see `Delivery`.
    """

    target: RunKey | RunRef
    message_id: str
    data: str
    at: Timestamp
    request_id: str = ""
    unanswered: RunKey | None = None
    sender: RunKey | None = None
    answers: dict[type[Outcome], str] = {}
    wakes_parked: bool = False
    end_at: Timestamp | None = None
    end_before_begin: Timestamp | None = None
    task: tuple[int, ...] = ()
    ends_task: bool = False

    @property
    def task_of(self) -> RunKey:
        """The run whose task it needs."""
        return RunKey(self.task[0])


class EncodedRelease(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run to be given back."""

    run_key: RunKey
    row: tuple[Column, ...]


class EncodedPark(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run to be parked."""

    run_key: RunKey
    row: tuple[Column, ...]


class EncodedTransition(msgspec.Struct, frozen=True, gc=False):
    """A run that moves on. `update` is empty when `creation` inserts the run. `outcome` is its answer if it applies.

    `frames` are the events of `history` as its chain takes them: the digests come in when the one before them is known.
    `is_plain` says that it only appends events and updates its row, as nearly all transitions do.
    """

    write: Transition
    update: tuple[Column, ...]
    history: list[Column]
    frames: list[bytes]
    outcome: Applied
    is_plain: bool
    creation: EncodedCreation | None = None
    creations: tuple[EncodedCreation, ...] = ()
    deliveries: tuple[EncodedDelivery, ...] = ()
    tasks: tuple[Column, ...] = ()

    @property
    def run_key(self) -> RunKey:
        """The run's key."""
        return self.write.run_key


class EncodedSeizure(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run to be taken from its owner."""

    run_key: RunKey
    row: tuple[Column, ...]
    outcome: Applied


EncodedWrite = EncodedTransition | EncodedCreation | EncodedDelivery | EncodedRelease | EncodedPark | EncodedSeizure
"""A write ready for the writer's thread."""


def beginning_of(namespace: str, run_id: str, generation: int) -> ChainHead:
    """Return where the chain of a run begins."""
    beginning = genesis(namespace, run_id, generation)
    return beginning, beginning


def fill_digests(history: list[Column], frames: list[bytes], head: ChainHead, *, start: int = 0) -> ChainHead:
    """Put digests into the rows of events from `start` on, by what is before them; return what is then the last."""
    beginning, digest = head
    place = start + _DIGEST_COLUMN
    for frame in frames:
        history[place] = digest = linked(beginning, digest, frame)
        place += _EVENT_COLUMNS
    return beginning, digest


_DIGEST_COLUMN: Final = 6
_EVENT_COLUMNS: Final = 7


def encode_write(write: Write, *, owner: WorkerId) -> EncodedWrite:
    """Return a write of the session `owner` as parameters. Raises whatever the encoding of its values raises."""
    match write:
        case Transition():
            return _encode_transition(write)
        case Creation():
            return _encode_creation(write)
        case Delivery():
            return encode_delivery(write, owner=owner)
        case Release():
            return EncodedRelease(run_key=write.run_key, row=_released_row(write, owner=owner))
        case Park():
            return EncodedPark(run_key=write.run_key, row=_parked_row(write, owner=owner))
        case Seizure():
            seized = (owner, write.run_key, write.fencing_token)
            return EncodedSeizure(run_key=write.run_key, row=seized, outcome=Applied(write.run_key, owner))


def _released_row(write: Release | Park, *, owner: WorkerId) -> tuple[Column, ...]:
    return (
        write.run_key,
        write.fencing_token,
        write.expected_sequence,
        owner,
        write.wake_at,
        write.now,
        write.end_at,
        write.inbox_position,
        write.recovered,
    )


def _parked_row(write: Park, *, owner: WorkerId) -> tuple[Column, ...]:
    parking = msgspec.json.encode(write.parking).decode()
    return (*_released_row(write, owner=owner), parking, write.tried_position)


def _encode_transition(write: Transition) -> EncodedTransition:
    row = write.row
    run_key = write.run_key
    owner = write.owner if row.closed_at is None else None
    history, frames = _encode_events(run_key, write.events, after=write.expected_sequence, last=row.sequence)
    update: tuple[Column, ...] = ()
    if write.creation is None:
        update = (
            run_key,
            write.fencing_token,
            write.expected_sequence,
            row.sequence,
            row.status,
            row.stage,
            row.progress,
            row.priority,
            row.updated_at,
            row.started_at,
            row.closed_at,
            write.owner,
        )
    if update and write.is_plain:
        return EncodedTransition(write, update, history, frames, Applied(run_key, owner), is_plain=True)
    return EncodedTransition(
        write,
        update,
        history,
        frames,
        Applied(run_key, owner),
        is_plain=False,
        creation=None if write.creation is None else _encode_owned_creation(write, write.creation, owner=owner),
        creations=tuple(_encode_creation(creation, parent_key=run_key) for creation in write.creations),
        deliveries=tuple(
            encode_delivery(delivery, owner=write.owner, is_answered=row.closed_at is None)
            for delivery in write.deliveries
        ),
        tasks=tuple(column for task in write.queued for column in _task_row(run_key, task)),
    )


def _task_row(run_key: RunKey, task: Task) -> tuple[Column, ...]:
    fields: tuple[Column, ...] = (
        run_key,
        task.operation,
        task.attempt,
        task.ref.namespace,
        task.queue,
        task.activity,
        task.priority,
        task.queued_at,
        encode_task(task).decode(),
        task.labels,
    )
    placing = (task.sticky_to, task.sticky_until, task.share, task.expected_seconds)
    return (*fields, digest_of_task(fields), *placing)


def _encode_events(
    run_key: RunKey, events: tuple[RecordedEvent, ...], *, after: int, last: int
) -> tuple[list[Column], list[bytes]]:
    """Return the rows of events, each with an empty place for its digest, and what is hashed of each."""
    parameters: list[Column] = []
    frames: list[bytes] = []
    expected = after
    for event in events:
        sequence, type_name, version, at, data = encode_event(event)
        expected += 1
        if sequence != expected:
            break
        text = data.decode()
        parameters += (run_key, sequence, type_name, version, at, text, None)
        frames.append(framed_event(sequence, type_name, version, at, text))
    else:
        if expected == last:
            return parameters, frames
    raise InternalError(
        f"the events of a write of run {run_key} must go without gaps from {after + 1} to {last}, "
        f"and are {[event.sequence for event in events]}"
    )


def _encode_creation(write: Creation, *, parent_key: RunKey | None = None) -> EncodedCreation:
    place = write.row or _unbegun(write)
    row: list[Column] = [
        *_identity(write),
        place.status,
        place.stage,
        place.progress,
        place.priority,
        write.tenant,
        write.parent_key,
        write.begun_at,
        place.started_at,
        place.updated_at,
        None,
        place.sequence,
        None,
        _UNCLAIMED,
        write.wake_at,
        write.request_id,
    ]
    return EncodedCreation(
        run_key=write.run_key,
        ref=write.ref,
        request_id=write.request_id,
        row=row,
        labels=_labels(write),
        history=_whole_history(write, last=place.sequence),
        end_at=write.end_at,
        child=write if parent_key is not None and write.parent_key == parent_key else None,
        update_request=write.update_request if write.request_id else "",
        unanswered=write.unanswered,
    )


def _encode_owned_creation(write: Transition, creation: Creation, *, owner: WorkerId | None) -> EncodedCreation:
    row = write.row
    columns: list[Column] = [
        *_identity(creation),
        row.status,
        row.stage,
        row.progress,
        row.priority,
        creation.tenant,
        creation.parent_key,
        creation.created.at,
        row.started_at,
        row.updated_at,
        row.closed_at,
        row.sequence,
        owner,
        write.fencing_token,
        None,
        creation.request_id,
    ]
    return EncodedCreation(
        run_key=creation.run_key,
        ref=creation.ref,
        request_id=creation.request_id,
        row=columns,
        labels=_labels(creation),
        history=[],
        end_at=creation.end_at,
        update_request=creation.update_request if creation.request_id else "",
        unanswered=creation.unanswered,
    )


def _whole_history(write: Creation, *, last: int) -> list[Column]:
    history, frames = _encode_events(write.run_key, (write.created, *write.copied), after=0, last=last)
    ref = write.ref
    fill_digests(history, frames, beginning_of(ref.namespace, ref.id, ref.generation))
    return history


_UNCLAIMED: Final = 0


def _unbegun(creation: Creation) -> RunRow:
    return RunRow(
        sequence=1,
        status=RunStatus.CREATED,
        stage="",
        progress=0.0,
        priority=creation.priority,
        updated_at=creation.created.at,
    )


def _identity(creation: Creation) -> tuple[Column, ...]:
    ref = creation.ref
    return (
        creation.run_key,
        ref.namespace,
        ref.id,
        ref.generation,
        creation.workflow,
        creation.definition_version,
    )


def _labels(creation: Creation) -> list[Column]:
    parameters: list[Column] = []
    for name, value in creation.labels.items():
        parameters += (creation.run_key, name, value, creation.ref.namespace, creation.begun_at)
    return parameters


def encode_delivery(write: Delivery, *, owner: WorkerId, is_answered: bool = False) -> EncodedDelivery:
    """Return a delivery of a session as parameters; `is_answered`: its sender wants to hear what became of it."""
    return EncodedDelivery(
        target=write.target,
        message_id=write.message_id,
        data=encode_message(write.message).decode(),
        at=write.at,
        request_id=write.request_id,
        unanswered=write.unanswered,
        sender=write.answers.run_key if write.answers is not None and is_answered else None,
        answers={} if write.answers is None or not is_answered else _encode_answers(write.answers),
        wakes_parked=wakes_parked(write.message),
        end_at=ends_by(write.message, write.at, has_begun=True),
        end_before_begin=ends_by(write.message, write.at, has_begun=False),
        task=() if write.task is None else claim_row(write.task, owner=owner),
        ends_task=write.ends_task,
    )


def claim_row(claim: TaskClaim, *, owner: WorkerId) -> tuple[int, ...]:
    """Return the parameters that name a claim of a session."""
    return (claim.run_key, claim.operation, claim.attempt, claim.number, owner)


def _encode_answers(answers: Answers) -> dict[type[Outcome], str]:
    messages = ((Applied, answers.delivered), (Missing, answers.missing), (Closed, answers.closed))
    return {outcome: encode_message(message).decode() for outcome, message in messages if message is not None}
