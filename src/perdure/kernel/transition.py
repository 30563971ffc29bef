"""Transitions: the values by which the world changes.

Whoever wants to change something about a run hands a `Write` to the store, which applies it whole, in one database
transaction, or not at all, and answers with an `Outcome`.

* `Transition`: the owner of a run appends events; with them everything that follows from them (row, inbox rows
  consumed, messages to other runs, new runs). Refused with `Stale` unless the run's row still holds the same fencing
  token and sequence, and with `Unread` where it would overtake a message that was acknowledged.
* `Creation`: a client starts a run that some worker shall claim.
* `Delivery`: a client (or another run) puts a message into a run's inbox.
* `Release`: the owner gives a run back that has nothing to do, with the time at which it must be woken.
* `Park`: the owner gives a run back that its code cannot go on with, with the reason.
"""

from enum import StrEnum
from typing import Required, TypedDict

import msgspec

from perdure.kernel.events import RunCreated, RunForked
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, Operation, RunKey, RunRef, WorkerId
from perdure.kernel.locking import LockChange
from perdure.kernel.messages import Message, request_of_update
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import Task, TaskClaim
from perdure.kernel.time import Timestamp

__all__ = [
    "CLOSED_STATUSES",
    "OPEN_STATUSES",
    "Answers",
    "Applied",
    "Closed",
    "Creation",
    "Delivery",
    "Exists",
    "MessageIds",
    "Missing",
    "Outcome",
    "Park",
    "Parking",
    "Release",
    "RunRow",
    "RunStatus",
    "Seizure",
    "Stale",
    "Transition",
    "Unread",
    "Write",
]


class RunStatus(StrEnum):
    """Where a run stands in its life."""

    CREATED = "created"
    RUNNING = "running"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    CONTINUED = "continued"

    @property
    def is_closed(self) -> bool:
        """Whether the run (this generation of it) has ended."""
        return self in CLOSED_STATUSES

    @property
    def may_be_unbegun(self) -> bool:
        """Whether a run that stands so may not have begun: it may be suspended before."""
        return self is RunStatus.CREATED or self is RunStatus.SUSPENDED


CLOSED_STATUSES = frozenset(
    {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TERMINATED, RunStatus.CONTINUED}
)
OPEN_STATUSES = frozenset({RunStatus.CREATED, RunStatus.RUNNING, RunStatus.SUSPENDED})


class RunRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What of a run's state stands in its row, for lists and for claiming.

    `sequence` is the number of the last event; `progress` goes from 0 to 1; `closed_at` is None while it is open.
    """

    sequence: int
    status: RunStatus
    stage: str
    progress: float
    priority: Priority
    updated_at: Timestamp
    started_at: Timestamp | None = None
    closed_at: Timestamp | None = None


class Creation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new generation of a run; `created` is its first event (a `RunCreated` with sequence 1).

    Refused with `Exists` if this (namespace, id, generation) is taken. A generation above 1 also demands that the one
    before it is closed (the reuse of a closed id). `wake_at` is when a worker shall claim it.
    A fork brings `copied` with it: its further events, of which the last is its `RunForked`; `row` is where it stands
    after them. `request_id` is the caller's: a second creation with the same one answers `Applied` with the first one's
    key, and so does one above generation 1 after a `Delivery` of it (of its `update_request`, if it has one) with the
    key of the run that took that in, unless that is the `unanswered` one: see `Delivery`.
    """

    run_key: RunKey
    ref: RunRef
    workflow: str
    definition_version: str
    priority: Priority
    tenant: str
    labels: dict[str, str]
    parent_key: RunKey | None
    created: RecordedEvent
    wake_at: Timestamp
    request_id: str = ""
    unanswered: RunKey | None = None
    copied: tuple[RecordedEvent, ...] = ()
    row: RunRow | None = None

    @property
    def update_request(self) -> str:
        """The request id of the update with which the run begins, which counts as delivered to it; empty: none has."""
        created = self.created.event
        if not self.request_id or not isinstance(created, RunCreated):
            return ""
        is_update = any(update.update_id == self.request_id for update in created.carried_updates)
        return request_of_update(self.request_id) if is_update else ""

    @property
    def begun_at(self) -> Timestamp:
        """When the run began to exist; a fork when it was made."""
        return self.copied[-1].at if self.copied else self.created.at

    @property
    def end_at(self) -> Timestamp | None:
        """When the run's deadline ends it, or the grace of a cancellation that was copied, whoever has its code."""
        standing = (self.copied[-1] if self.copied else self.created).event
        if isinstance(standing, RunForked):
            limits = (standing.deadline_at, standing.grace_until)
            return min((limit for limit in limits if limit is not None), default=None)
        return standing.deadline_at if isinstance(standing, RunCreated) else None


class Answers(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a run that sends a message gets into its own inbox, in the same transaction, by what became of the message.

    Nothing where it has ended by then; None: nothing in this case.
    """

    run_key: RunKey
    delivered: Message | None
    missing: Message
    closed: Message


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message for the inbox of a run: named by key, or by ref, meaning its latest generation.

    Refused with `Missing` or `Closed`. A `message_id` that is in the inbox already is not delivered twice (empty: it
    has none, and whether it was lost can be told by less). A
    `request_id` is the caller's: a second delivery with it to a run of this id, of whatever generation, is answered
    `Applied` for ever, with the run that took the first one in, also when that has ended, and changes nothing.
    `unanswered`: but if it was this run that did, which has ended without an answer, then the request is made anew.
    `task`: whoever tells this has claimed a task of the target; refused with `Stale` if it is theirs no more.
    `ends_task`: the task is done with, whatever becomes of the message.
    """

    target: RunKey | RunRef
    message: Message
    message_id: str
    at: Timestamp
    request_id: str = ""
    unanswered: RunKey | None = None
    answers: Answers | None = None
    task: TaskClaim | None = None
    ends_task: bool = False


class MessageIds(TypedDict, total=False):
    """By what a client's message is known when it is delivered again: see `Delivery`."""

    message_id: Required[str]
    request_id: str
    unanswered: RunKey | None


class Release(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Give a run's ownership back; claim it again at `wake_at` (None: when a message comes).

    `expected_sequence` guards like a transition's. A message already waiting in the inbox makes it due at once.
    `end_at` is when anybody may end it without its code, as far as the inbox up to `inbox_position` says: a later
    message leaves what the row says, if that is sooner. Without a position that is not known: the row's stays, but not
    before `end_at`.
    `recovered`: as for the claim of it, nobody has gone on with it since its last owner died.
    """

    run_key: RunKey
    fencing_token: FencingToken
    expected_sequence: int
    wake_at: Timestamp | None
    now: Timestamp
    end_at: Timestamp | None = None
    inbox_position: int | None = None
    recovered: bool = False


class Parking(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run does not go on, and since when: no code that has tried could go on from its history.

    `reason` is the last error; its traceback shows where code and history differ. `tried` names the code that could
    not (a process as it was from one change of its definitions to the next), the latest last.
    """

    reason: Failure
    since: Timestamp
    tried: tuple[str, ...]

    def tried_also_by(self, code: str, reason: Failure) -> "Parking":
        """Return this after another code could not go on, either. More than 1,000 are not remembered: the oldest is
        forgotten, and if its process still works it tries the run again."""
        others = (other for other in self.tried if other != code)
        return Parking(reason=reason, since=self.since, tried=(*others, code)[-_TRIED_LIMIT:])


_TRIED_LIMIT = 1_000


class Park(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Give a run's ownership back because the owner's code cannot go on with it; nothing else of the run changes.

    It is claimed again by code that has not tried yet, at `wake_at`, or when a message comes that asks for it
    (`perdure.kernel.messages.wakes_parked`); one that came after `tried_position` makes it due at once.
    `expected_sequence` guards like a transition's; `end_at`, `inbox_position` and `recovered` are as for `Release`.
    """

    run_key: RunKey
    fencing_token: FencingToken
    expected_sequence: int
    parking: Parking
    tried_position: int
    now: Timestamp
    wake_at: Timestamp | None = None
    end_at: Timestamp | None = None
    inbox_position: int | None = None
    recovered: bool = False


class Transition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything that one advance of a run changes.

    `creation` is set when the run's row does not exist yet: then the row is inserted, owned by `owner`, and the first
    of `events` is the creation's. `consumed` are positions of inbox rows to delete. `creations` are child runs or the
    next generation, `deliveries` messages to other runs: those to runs that are closed or missing are dropped, and a
    child whose id is taken gives a `ChildFailedMessage` into this run's own inbox. `moves_inbox_to` is the next
    generation's key on continue-as-new: what the inbox still holds goes there. `locks` change the lines of locks,
    in this order, after the deliveries: who is let in by that, or refused, gets a message. `must_not_overtake` are
    message ids: while one of them is in the run's inbox the transition is refused with `Unread`. `activities` and
    `cancelled` are what may be released once the transition is durable: operations whose next attempt is to start, and
    to stop. `end_at` is a moment from which anybody may end the run without its code, beside those that its row knows.
    `is_unlinked`: the event before these cannot be read, so nothing shows that they follow it. `withdrawn` are
    operations whose tasks are taken out of their queues, be they claimed or not, before the `queued` ones are put in.
    """

    run_key: RunKey
    fencing_token: FencingToken
    expected_sequence: int
    owner: WorkerId
    events: tuple[RecordedEvent, ...]
    row: RunRow
    creation: Creation | None = None
    consumed: tuple[int, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    creations: tuple[Creation, ...] = ()
    labels: dict[str, str | None] | None = None
    moves_inbox_to: RunKey | None = None
    locks: tuple[LockChange, ...] = ()
    must_not_overtake: tuple[str, ...] = ()
    end_at: Timestamp | None = None
    is_unlinked: bool = False
    activities: tuple[int, ...] = ()
    cancelled: tuple[int, ...] = ()
    queued: tuple[Task, ...] = ()
    withdrawn: tuple[Operation, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it changes nothing but the run's row, by what `row` says of it, and appends to its history; nearly
        all of a step's do. With a `creation` that comes first."""
        return not (
            self.consumed
            or self.deliveries
            or self.creations
            or self.labels
            or self.moves_inbox_to is not None
            or self.must_not_overtake
            or self.end_at is not None
            or self.locks
            or self.queued
            or self.withdrawn
        )


class Seizure(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Take an open run from whoever owns it, to end it: who owned it is fenced.

    `fencing_token` is the one that its row holds; it holds the next one afterwards. Refused with `Stale` if the run has
    ended, or the token was another.
    """

    run_key: RunKey
    fencing_token: FencingToken


Write = Transition | Creation | Delivery | Release | Park | Seizure
"""Everything a store commits."""


class Applied(msgspec.Struct, frozen=True, gc=False):
    """The write is durable. `run_key` is the run it concerned (for a delivery the one that took it in, maybe before).

    `told` are the runs into whose inboxes it put what became of their requests for locks, in the order it did.
    """

    run_key: RunKey
    owner: WorkerId | None = None
    told: tuple[RunKey, ...] = ()


class Stale(msgspec.Struct, frozen=True):
    """Refused: another worker owns the run now, or the sequence has moved."""

    run_key: RunKey


class Unread(msgspec.Struct, frozen=True):
    """Refused: a message that the transition must not overtake stands in the inbox; it is to be taken first."""

    run_key: RunKey


class Exists(msgspec.Struct, frozen=True):
    """Refused: a run of this id exists; `run_key` is the latest generation's."""

    run_key: RunKey


class Missing(msgspec.Struct, frozen=True):
    """Refused: no such run."""

    target: RunKey | RunRef


class Closed(msgspec.Struct, frozen=True):
    """Refused: the run has ended with `status`."""

    run_key: RunKey
    status: RunStatus


Outcome = Applied | Stale | Unread | Exists | Missing | Closed
"""What became of a write."""
