"""The tables in memory: rows, the database that holds them, and who owns or waits for what."""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from itertools import count

import msgspec

from perdure.kernel.history import EventRow
from perdure.kernel.identity import FencingToken, Operation, RunKey, RunRef, WorkerId
from perdure.kernel.locking import LockEntry
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Parking, RunStatus
from perdure.ports.store import Changes, RunSummary
from perdure.ports.tasks import Serving
from perdure.stores.memory.agenda import Agenda
from perdure.stores.task_shares import Shares

__all__ = [
    "Entry",
    "MemoryDatabase",
    "News",
    "Run",
    "Session",
    "TaskRow",
    "end_by",
    "give_back",
    "publish",
    "summarise",
    "wake",
]


class MemoryDatabase:
    """The tables, shared by sessions. Not for several event loops."""

    def __init__(self) -> None:
        self.identity = secrets.randbits(62)
        self.runs: dict[RunKey, Run] = {}
        self.generations: dict[tuple[str, str], dict[int, RunKey]] = {}
        self.requests: dict[tuple[str, str], RunKey] = {}
        self.message_requests: dict[tuple[str, str, str], RunKey] = {}
        self.events: dict[RunKey, list[EventRow]] = {}
        self.inboxes: dict[RunKey, dict[int, Entry]] = {}
        self.message_ids: dict[tuple[RunKey, str], int] = {}
        self.sessions: dict[WorkerId, Session] = {}
        self.waiting: dict[RunKey, Run] = {}
        self.agenda = Agenda()
        self.locks: dict[int, LockEntry] = {}
        self.tasks: dict[tuple[RunKey, Operation], TaskRow] = {}
        self.task_shares: dict[tuple[str, Priority], Shares] = {}
        self.latest_time = Timestamp(0)
        self.set_back_at: Timestamp | None = None
        self.next_lock = count(1).__next__
        self.next_run_key = count(1).__next__
        self.next_position = count(1).__next__
        self.next_worker = count(1).__next__

    def kill(self, worker: WorkerId) -> None:
        """Let a session die as its process would: it answers nothing any more and keeps its runs until it is freed."""
        session = self.sessions.get(worker)
        if session is not None:
            session.is_dead = True

    def dump(self) -> dict[str, list[dict[str, object]]]:
        """Return all tables as plain values: table name -> rows in the order of their keys. Equal dumps, equal data."""
        return {
            "runs": [msgspec.structs.asdict(self.runs[key]) for key in sorted(self.runs)],
            "events": [
                {"run_key": key, "sequence": row[0], "type": row[1], "version": row[2], "at": row[3], "data": row[4]}
                for key in sorted(self.events)
                for row in self.events[key]
            ],
            "inbox": [
                {"run_key": key, "position": position, **msgspec.structs.asdict(entry)}
                for key in sorted(self.inboxes)
                for position, entry in sorted(self.inboxes[key].items())
            ],
            "requests": [
                {"namespace": namespace, "request_id": request_id, "run_key": key}
                for (namespace, request_id), key in sorted(self.requests.items())
            ],
            "message_requests": [
                {"namespace": namespace, "id": run_id, "request_id": request_id, "run_key": key}
                for (namespace, run_id, request_id), key in sorted(self.message_requests.items())
            ],
            "sessions": [
                {
                    "worker": session.worker,
                    "name": session.name,
                    "lease_until": session.lease_until,
                    "is_dead": session.is_dead,
                }
                for _, session in sorted(self.sessions.items())
            ],
            "agenda": self.agenda.dump(),
            "locks": [msgspec.structs.asdict(self.locks[position]) for position in sorted(self.locks)],
            "tasks": [msgspec.structs.asdict(self.tasks[key]) for key in sorted(self.tasks)],
            "task_shares": [
                {"queue": queue, "priority": priority, "share": share, "tag": tag.had}
                for (queue, priority), shares in sorted(self.task_shares.items())
                for share, tag in sorted(shares.tags.items())
            ],
        }

    def take_messages(self, run_key: RunKey, positions: Iterable[int]) -> None:
        """Delete messages from an inbox."""
        inbox = self.inboxes.get(run_key, {})
        for position in positions:
            entry = inbox.pop(position, None)
            if entry is not None:
                self.message_ids.pop((run_key, entry.message_id), None)

    def line(self, namespace: str, key: str) -> list[LockEntry]:
        """Return the entries of the line of a lock, in their order, in which they stand in the table."""
        return [entry for entry in self.locks.values() if (entry.run.namespace, entry.key) == (namespace, key)]

    def latest(self, ref: RunRef) -> "Run | None":
        """Return the latest generation's row."""
        generations = self.generations.get((ref.namespace, ref.id))
        return self.runs[generations[max(generations)]] if generations else None


class Run(msgspec.Struct, kw_only=True):
    """A run's row: a `RunSummary` that changes. `is_recovered` holds from its owner's death to the next claim."""

    run_key: RunKey
    ref: RunRef
    workflow: str
    definition_version: str
    status: RunStatus
    stage: str
    progress: float
    priority: Priority
    tenant: str
    labels: dict[str, str]
    parent_key: RunKey | None
    created_at: Timestamp
    started_at: Timestamp | None
    updated_at: Timestamp
    closed_at: Timestamp | None
    sequence: int
    owner: WorkerId | None
    fencing_token: FencingToken
    wake_at: Timestamp | None
    end_at: Timestamp | None = None
    is_recovered: bool = False
    parked: Parking | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A message in an inbox, encoded. An empty `message_id` names nothing."""

    data: bytes
    message_id: str
    at: Timestamp


class TaskRow(msgspec.Struct, kw_only=True):
    """A task's row, the task encoded. `claims` counts how often it was claimed; `is_recovered` holds from its owner's
    loss to the next claim."""

    run_key: RunKey
    operation: Operation
    attempt: int
    namespace: str
    queue: str
    activity: str
    priority: Priority
    queued_at: Timestamp
    data: bytes
    labels: str = ""
    share: str = ""
    cost: float = 1.0
    sticky_to: WorkerId | None = None
    sticky_until: Timestamp | None = None
    owner: WorkerId | None = None
    claims: int = 0
    is_recovered: bool = False


class Session(msgspec.Struct, kw_only=True):
    """A session. `lease_until` is None until some call after its opening says what time it is; `known_time` is the
    latest time that was noted when it began, or last renewed its lease."""

    worker: WorkerId
    name: str
    lease_microseconds: int
    on_changes: Callable[[Changes], None]
    known_time: Timestamp = Timestamp(0)
    lease_until: Timestamp | None = None
    serving: Serving | None = None
    is_dead: bool = False


class News:
    """What a call changed that other sessions may want to hear of.

    `is_ready`: some run may be claimed, `is_queued`: some task. `is_parked`: a run was parked. `is_agenda`: the agenda
    has changed.
    """

    __slots__ = ("is_agenda", "is_parked", "is_queued", "is_ready", "run_keys")

    def __init__(self) -> None:
        self.run_keys: set[RunKey] = set()
        self.is_ready = False
        self.is_queued = False
        self.is_parked = False
        self.is_agenda = False

    def __bool__(self) -> bool:
        """Whether there is anything to hear."""
        return bool(self.run_keys) or self.is_ready or self.is_queued or self.is_parked or self.is_agenda


def wake(database: MemoryDatabase, run: Run, at: Timestamp, news: News) -> None:
    """Make a run that nobody owns due at a time, unless it is due earlier already."""
    if run.wake_at is None or at < run.wake_at:
        run.wake_at = at
    database.waiting[run.run_key] = run
    news.run_keys.add(run.run_key)
    news.is_ready = True


def end_by(run: Run, at: Timestamp | None, news: News) -> None:
    """Note that an open run is to be ended at a time, unless it is to be earlier already; None: it is not."""
    if at is None or run.status.is_closed:
        return
    if run.end_at is None or at < run.end_at:
        run.end_at = at
    news.is_ready = news.is_ready or run.owner is None


def give_back(database: MemoryDatabase, run: Run, at: Timestamp, news: News) -> None:
    """Take a run from its owner and make it due."""
    run.owner = None
    wake(database, run, at, news)


def publish(database: MemoryDatabase, origin: "Session | None", news: News) -> None:
    """Tell all other living sessions, each in a turn of the loop of its own."""
    listeners = [other for other in database.sessions.values() if other is not origin and not other.is_dead]
    if listeners and (news.run_keys or news.is_agenda):
        changes = Changes(
            run_keys=frozenset(news.run_keys),
            ready=news.is_ready,
            queued=news.is_queued,
            parked=news.is_parked,
            agenda=news.is_agenda,
        )
        loop = asyncio.get_running_loop()
        for listener in listeners:
            loop.call_soon(_tell, listener, changes)


def _tell(listener: Session, changes: Changes) -> None:
    if not listener.is_dead:
        listener.on_changes(changes)


def summarise(run: Run) -> RunSummary:
    """Return a row as others may see it."""
    return RunSummary(
        run_key=run.run_key,
        ref=run.ref,
        workflow=run.workflow,
        definition_version=run.definition_version,
        status=run.status,
        stage=run.stage,
        progress=run.progress,
        priority=run.priority,
        tenant=run.tenant,
        labels=dict(run.labels),
        parent_key=run.parent_key,
        created_at=run.created_at,
        started_at=run.started_at,
        updated_at=run.updated_at,
        closed_at=run.closed_at,
        sequence=run.sequence,
        owner=run.owner,
        fencing_token=run.fencing_token,
        wake_at=run.wake_at,
        parked=run.parked,
    )
