"""What the suite stands on: a database under test, sessions on it, and short ways to write to runs."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from perdure.kernel.events import Event, ParentLink, RunCreated, SignalReceived
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import (
    DEFAULT_NAMESPACE,
    FencingToken,
    Operation,
    RunKey,
    RunRef,
    WorkerId,
    WorkflowVersion,
)
from perdure.kernel.lineage import CarriedUpdate
from perdure.kernel.locking import LockChange
from perdure.kernel.messages import Message, SignalMessage
from perdure.kernel.priority import Priority
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import (
    Answers,
    Applied,
    Creation,
    Delivery,
    Outcome,
    Park,
    Parking,
    Release,
    RunRow,
    RunStatus,
    Transition,
    Write,
)
from perdure.ports.store import Changes, ClaimedRun, InboxEntry, RunStore, RunSummary

__all__ = [
    "FAR",
    "LEASE_SECONDS",
    "NEVER",
    "START",
    "Held",
    "StoreHarness",
    "StoreSession",
    "code_of",
    "creation",
    "delivery",
    "event",
    "later",
    "parking",
    "parks",
    "release",
    "transition",
]

START: Final = Timestamp(1_700_000_000_000_000)
FAR: Final = Timestamp(4_000_000_000_000_000)
"""Later than any time at which a run of the suite comes due."""
NEVER: Final = Timestamp(5_000_000_000_000_000)
"""Later than any claim."""
LEASE_SECONDS: Final = 30.0

_HEARING_SECONDS: Final = 10.0


def code_of(*names: str, version: str = "1") -> frozenset[WorkflowVersion]:
    """Return what a worker says that has these workflows, each in one version."""
    return frozenset(WorkflowVersion(name, version) for name in names)


def later(seconds: float) -> Timestamp:
    """Return the instant that is `seconds` after START."""
    return Timestamp(START + round(seconds * MICROSECONDS_PER_SECOND))


class Held(msgspec.Struct, kw_only=True):
    """A run as its owner knows it."""

    run_key: RunKey
    ref: RunRef
    owner: WorkerId
    fencing_token: FencingToken
    sequence: int

    @classmethod
    def of(cls, claimed: ClaimedRun) -> "Held":
        """Return a run that was just claimed."""
        row = claimed.summary
        assert row.owner is not None
        return cls(
            run_key=row.run_key,
            ref=row.ref,
            owner=row.owner,
            fencing_token=row.fencing_token,
            sequence=row.sequence,
        )


class StoreSession:
    """An open store and what it hears. Its verbs commit one write and demand that it is applied."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.worker = WorkerId(0)
        self.changes: list[Changes] = []
        self._heard = asyncio.Event()

    async def open(self, *, name: str, lease_seconds: float) -> None:
        """Open the store and begin its lease at START."""
        self.worker = await self.store.open(session_name=name, lease_seconds=lease_seconds, on_changes=self._hear)
        assert await self.store.renew_lease(now=START)

    async def commit(self, *writes: Write) -> list[Outcome]:
        """Commit writes together."""
        return await self.store.commit(writes)

    async def commit_one(self, write: Write) -> Outcome:
        """Commit one write."""
        (outcome,) = await self.store.commit([write])
        return outcome

    async def create(self, run_id: str = "run", **options: object) -> RunKey:
        """Create a run that nobody owns; `options` as those of `creation`."""
        write = creation(self.store.new_run_key(), run_id, **options)  # type: ignore[arg-type]
        outcome = await self.commit_one(write)
        assert isinstance(outcome, Applied), outcome
        return outcome.run_key

    async def claim(self, *, now: Timestamp = FAR, limit: int = 100) -> list[ClaimedRun]:
        """Claim what is due."""
        return await self.store.claim(now=now, limit=limit, workflows=code_of("order", "report"))

    async def hold(self, run_id: str = "run", **options: object) -> Held:
        """Create a run and claim it. Nothing else must be due."""
        return await self.take(await self.create(run_id, **options))

    async def take(self, run_key: RunKey) -> Held:
        """Claim a run that is due, and read its history, as its owners do. Nothing else must be due."""
        (claimed,) = await self.claim(now=later(LEASE_SECONDS))
        assert claimed.summary.run_key == run_key
        await self.store.read_history(run_key)
        return Held.of(claimed)

    async def advance(self, run: Held, *, events: int = 1, **fields: object) -> None:
        """Apply a transition; `fields` as those of `transition`."""
        outcome = await self.commit_one(transition(run, events=events, **fields))  # type: ignore[arg-type]
        assert isinstance(outcome, Applied), outcome
        run.sequence += events

    async def finish(self, run: Held, status: RunStatus = RunStatus.COMPLETED) -> None:
        """Close a run."""
        await self.advance(run, status=status)

    async def give_back(self, run: Held, *, wake_at: Timestamp | None = None, now: Timestamp = START) -> None:
        """Release a run."""
        outcome = await self.commit_one(release(run, wake_at=wake_at, now=now))
        assert isinstance(outcome, Applied), outcome

    async def row(self, run_key: RunKey) -> RunSummary:
        """Return the row of a run that must exist."""
        found = await self.store.find(run_key)
        assert found is not None
        return found

    async def inbox(self, run_key: RunKey) -> list[InboxEntry]:
        """Return a run's inbox."""
        return await self.store.read_inbox(run_key)

    async def signals(self, run_key: RunKey) -> list[str]:
        """Return the names of the signals in a run's inbox."""
        entries = await self.inbox(run_key)
        return [entry.message.name for entry in entries if isinstance(entry.message, SignalMessage)]

    async def hear_of(self, run_key: RunKey) -> None:
        """Wait until the store has told that a run changed elsewhere."""
        await self.hear_that(lambda news: run_key in news.run_keys)

    async def hear_of_ready(self) -> None:
        """Wait until the store has told that a run may be claimed."""
        await self.hear_that(lambda news: news.ready)

    async def hear_of_agenda(self) -> None:
        """Wait until the store has told that the agenda changed."""
        await self.hear_that(lambda news: news.agenda)

    async def hear_of_parked(self) -> None:
        """Wait until the store has told that a run was parked."""
        await self.hear_that(lambda news: news.parked)

    async def hear_that(self, is_so: Callable[[Changes], bool]) -> None:
        """Wait until the store has told something that is so."""
        async with asyncio.timeout(_HEARING_SECONDS):
            while not any(news.everything or is_so(news) for news in self.changes):
                self._heard.clear()
                await self._heard.wait()

    def _hear(self, changes: Changes) -> None:
        self.changes.append(changes)
        self._heard.set()


class StoreHarness(ABC):
    """One fresh database under test, on which the suite opens sessions."""

    def __init__(self) -> None:
        self._open: list[StoreSession] = []

    @abstractmethod
    def new_store(self) -> RunStore:
        """Return another store on this database, not open yet."""

    @abstractmethod
    async def crash(self, store: RunStore) -> None:
        """Let a session die as if its process had: nothing is given back, and others can see that it is dead."""

    @abstractmethod
    async def damage_event(self, run_key: RunKey, sequence: int, *, data: bytes) -> None:
        """Overwrite the data of a history row behind the store's back."""

    @abstractmethod
    async def remove_event(self, run_key: RunKey, sequence: int) -> None:
        """Delete a history row behind the store's back."""

    async def session(self, name: str = "worker", *, lease_seconds: float = LEASE_SECONDS) -> StoreSession:
        """Open a session."""
        session = StoreSession(self.new_store())
        await session.open(name=name, lease_seconds=lease_seconds)
        self._open.append(session)
        return session

    def unborn(self, session: StoreSession, run_id: str = "run") -> Held:
        """Return what a session that creates a run as its owner knows before its first write."""
        return Held(
            run_key=session.store.new_run_key(),
            ref=RunRef(id=run_id),
            owner=session.worker,
            fencing_token=FencingToken(1),
            sequence=0,
        )

    async def end(self, session: StoreSession) -> None:
        """Close a session."""
        self._open.remove(session)
        await session.store.close()

    async def kill(self, session: StoreSession) -> None:
        """Let a session die."""
        self._open.remove(session)
        await self.crash(session.store)

    async def close(self) -> None:
        """Close all sessions that are still open."""
        for session in self._open[:]:
            await self.end(session)


# --- writes -----------------------------------------------------------------------------------------------------


def event(sequence: int, *, at: Timestamp = START, what: Event | None = None) -> RecordedEvent:
    """Return some event in its place."""
    name = f"event {sequence}"
    return RecordedEvent(sequence, at, SignalReceived(name=name) if what is None else what)


def creation(
    run_key: RunKey,
    run_id: str = "run",
    *,
    namespace: str = DEFAULT_NAMESPACE,
    generation: int = 1,
    workflow: str = "order",
    version: str = "1",
    priority: Priority = Priority.NORMAL,
    tenant: str = "",
    labels: dict[str, str] | None = None,
    parent: Held | None = None,
    operation: int = 1,
    at: Timestamp = START,
    wake_at: Timestamp = START,
    request_id: str = "",
    unanswered: RunKey | None = None,
    updates: tuple[CarriedUpdate, ...] = (),
    input: bytes = b"null",
    deadline_at: Timestamp | None = None,
) -> Creation:
    """Return a creation; `parent` makes it a child that `operation` of the parent asked for, `updates` come with it."""
    ref = RunRef(namespace=namespace, id=run_id, generation=generation)
    link = (
        None if parent is None else ParentLink(run_key=parent.run_key, ref=parent.ref, operation=Operation(operation))
    )
    created = RunCreated(
        workflow=workflow,
        definition_version=version,
        ref=ref,
        input=msgspec.Raw(input),
        seed=7,
        priority=priority,
        tenant=tenant,
        labels=labels or {},
        parent=link,
        deadline_at=deadline_at,
        carried_updates=updates,
    )
    return Creation(
        run_key=run_key,
        ref=ref,
        workflow=workflow,
        definition_version=version,
        priority=priority,
        tenant=tenant,
        labels=labels or {},
        parent_key=None if parent is None else parent.run_key,
        created=RecordedEvent(1, at, created),
        wake_at=wake_at,
        request_id=request_id,
        unanswered=unanswered,
    )


def transition(
    run: Held,
    *,
    events: int = 1,
    what: Event | None = None,
    status: RunStatus = RunStatus.RUNNING,
    priority: Priority = Priority.NORMAL,
    at: Timestamp = START,
    begins: Creation | None = None,
    consumed: Sequence[int] = (),
    deliveries: Sequence[Delivery] = (),
    creations: Sequence[Creation] = (),
    labels: dict[str, str | None] | None = None,
    moves_inbox_to: RunKey | None = None,
    must_not_overtake: Sequence[str] = (),
    end_at: Timestamp | None = None,
    locks: Sequence[LockChange] = (),
) -> Transition:
    """Return a transition with the next `events` events; with `begins` the first of them is that creation's."""
    sequence = run.sequence + events
    recorded = [event(number, at=at, what=what) for number in range(run.sequence + 1, sequence + 1)]
    if begins is not None:
        recorded[0] = begins.created
    return Transition(
        run_key=run.run_key,
        fencing_token=run.fencing_token,
        expected_sequence=run.sequence,
        owner=run.owner,
        events=tuple(recorded),
        row=RunRow(
            sequence=sequence,
            status=status,
            stage="packing",
            progress=0.5,
            priority=priority,
            updated_at=at,
            started_at=START,
            closed_at=at if status.is_closed else None,
        ),
        creation=begins,
        consumed=tuple(consumed),
        deliveries=tuple(deliveries),
        creations=tuple(creations),
        labels=labels,
        moves_inbox_to=moves_inbox_to,
        must_not_overtake=tuple(must_not_overtake),
        end_at=end_at,
        locks=tuple(locks),
    )


def delivery(
    target: RunKey | RunRef,
    name: str = "signal",
    *,
    message: Message | None = None,
    message_id: str = "",
    at: Timestamp = START,
    request_id: str = "",
    unanswered: RunKey | None = None,
    answers: Answers | None = None,
) -> Delivery:
    """Return the delivery of a message, or of a signal called `name`; its id is its name unless given."""
    return Delivery(
        target=target,
        message=SignalMessage(name=name) if message is None else message,
        message_id=message_id or name,
        at=at,
        request_id=request_id,
        unanswered=unanswered,
        answers=answers,
    )


def release(
    run: Held,
    *,
    wake_at: Timestamp | None = None,
    now: Timestamp = START,
    end_at: Timestamp | None = None,
    inbox_position: int | None = None,
    recovered: bool = False,
) -> Release:
    """Return the release of a run."""
    return Release(
        run_key=run.run_key,
        fencing_token=run.fencing_token,
        expected_sequence=run.sequence,
        wake_at=wake_at,
        now=now,
        end_at=end_at,
        inbox_position=inbox_position,
        recovered=recovered,
    )


def parking(tried: tuple[str, ...] = ("a",)) -> Parking:
    """Return why a run of the suite is parked."""
    return Parking(reason=Failure(type="NonDeterminismError", message="it differs"), since=START, tried=tried)


def parks(
    run: Held,
    *,
    tried: tuple[str, ...] = ("a",),
    tried_position: int = 0,
    inbox_position: int | None = 0,
    now: Timestamp = START,
    wake_at: Timestamp | None = None,
    end_at: Timestamp | None = None,
    recovered: bool = False,
) -> Park:
    """Return the parking of a run."""
    released = release(run, wake_at=wake_at, now=now, end_at=end_at, inbox_position=inbox_position, recovered=recovered)
    return Park(**msgspec.structs.asdict(released), parking=parking(tried), tried_position=tried_position)
