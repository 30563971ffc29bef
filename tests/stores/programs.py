"""Random programs of the differential test: what to do, in words that mean the same on every store.

Runs and sessions are named by numbers; a store's own keys and positions never occur. A `World` carries a program out on
one store, step by step, and answers each step with an observation in the same words.
"""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, TypeVar

import msgspec

from perdure.kernel.events import RunCreated, SignalReceived
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, Operation, RunKey, RunRef, WorkerId, WorkflowVersion
from perdure.kernel.locking import LockChange, LockRelease, LockRequest
from perdure.kernel.messages import (
    CancelMessage,
    ChildFailedMessage,
    Message,
    ResumeMessage,
    SignalMessage,
    TerminateMessage,
)
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import (
    Answers,
    Applied,
    Closed,
    Creation,
    Delivery,
    Exists,
    Missing,
    Outcome,
    RunRow,
    RunStatus,
    Seizure,
    Stale,
    Unread,
    Write,
)
from perdure.ports.agenda import AgendaChange, AgendaQuery
from perdure.ports.store import ClaimedRun, InboxEntry, LockQuery, RunOrder, RunQuery, RunSummary
from perdure.testing.store_conformance import START, StoreHarness, StoreSession
from perdure.testing.store_conformance.agenda import agenda_entry
from perdure.testing.store_conformance.harness import (
    Held,
    code_of,
    creation,
    event,
    later,
    parks,
    release,
    transition,
)

IDS = ("a", "b", "c\x00d", "c\x00", "é", "f", "g", "h")
NAMESPACES = ("default", "other")
WORKFLOWS = ("order", "report")
VERSIONS = ("1", "1", "2")
CODES = ("a", "b")
MESSAGES: tuple[Message, ...] = (
    SignalMessage(name="s1"),
    SignalMessage(name="s2"),
    ResumeMessage(),
    TerminateMessage(),
    CancelMessage(grace_until=later(60)),
    CancelMessage(),
)
SESSIONS = 2
KEYS = 1_000
LEASE_SECONDS = 30.0

T = TypeVar("T")
Observation = Any  # a tree of plain values that two stores must agree on


class Step(msgspec.Struct, frozen=True):
    """One step: `verb` names a method of `World`, `draws` decide everything about it."""

    verb: str
    draws: tuple[int, ...]


class Draws:
    """Choices, in order, from a step's numbers; 0 (the simplest choice) when they are used up."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = iter(numbers)

    def below(self, bound: int) -> int:
        return next(self._numbers, 0) % bound

    def of(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def is_rare(self) -> bool:
        return self.below(6) == 5


VERBS = (
    *["commit"] * 16,
    *["claim"] * 6,
    *["pass_time"] * 3,
    "renew",
    "renew",
    "free",
    "kill",
    "close",
    "query",
    "wake",
    *["agenda"] * 3,
)


def program(seed: int, *, length: int = 40) -> list[Step]:
    """Return the program of a seed."""
    random = Random(seed)
    return [Step(random.choice(VERBS), tuple(random.randrange(2**16) for _ in range(150))) for _ in range(length)]


KINDS = (*(("creation", "creation", "begin", *["transition"] * 6, *["delivery"] * 3, "release", "park") * 3), "seize")


class World:
    """A program's world on one store. An observer's session is always open; it allocates all keys and reads."""

    def __init__(self, harness: StoreHarness) -> None:
        self.harness = harness
        self.now = START
        self.keys: list[RunKey] = []
        self.numbers: dict[RunKey, int] = {}
        self.sessions: list[StoreSession] = []
        self.workers: dict[WorkerId, int] = {}
        self.rows: dict[int, RunSummary] = {}
        self.unseen: set[int] = set()
        self.used = 0
        self.lock_operation = 0
        self.versions: dict[str, RunKey | None] = {}
        self.made: list[RunKey] = []

    async def open(self) -> None:
        self.observer = await self.harness.session("observer", lease_seconds=1e9)
        self.keys = [self.observer.store.new_run_key() for _ in range(KEYS)]
        self.numbers = {key: number for number, key in enumerate(self.keys)}
        self.sessions = [await self._session() for _ in range(SESSIONS)]

    async def do(self, step: Step) -> Observation:
        """Carry a step out; return what it answered and how all rows look after it."""
        verb: Callable[[Draws], Awaitable[Observation]] = getattr(self, step.verb)
        answer = await verb(Draws(step.draws))
        await self._look()
        return (step.verb, answer, [self._seen(row) for _, row in sorted(self.rows.items())], await self._lines())

    async def everything(self) -> list[Observation]:
        """Return all that can be read of all runs, one observation per run."""
        return [
            (
                number,
                [self._event(recorded) for recorded in await self.observer.store.read_history(key)],
                [self._entry(entry) for entry in await self.observer.inbox(key)],
            )
            for number, key in enumerate(self.keys[: self.used])
        ]

    # --- verbs ---

    async def commit(self, draws: Draws) -> Observation:
        owners = {row.owner for row in self.rows.values()}
        busy = [session for session in self.sessions if session.worker in owners]
        session = draws.of(self.sessions if draws.is_rare() else busy or self.sessions)
        batch = _Batch(self, session, draws)
        writes = [await batch.write() for _ in range(1 + draws.below(5))]
        outcomes = await session.commit(*writes)
        return [self._outcome(outcome) for outcome in outcomes]

    async def claim(self, draws: Draws) -> Observation:
        session = draws.of(self.sessions)
        workflows = some_code(draws)
        limit, code = draws.of((3, 1, 20)), draws.of((None, *CODES))
        claims = await session.store.claim(now=self.now, limit=limit, workflows=workflows, code=code)
        return [self._claimed(claimed) for claimed in claims]

    async def pass_time(self, draws: Draws) -> Observation:
        self.now = Timestamp(self.now + draws.of((1, 7, 20, 1, 7, 20, 31, 100)) * 1_000_000)
        return self.now

    async def renew(self, draws: Draws) -> Observation:
        return await draws.of(self.sessions).store.renew_lease(now=self.now)

    async def free(self, draws: Draws) -> Observation:
        session = draws.of([*self.sessions, self.observer])
        return await session.store.free_expired(now=self.now)

    async def kill(self, draws: Draws) -> Observation:
        number = draws.below(SESSIONS)
        await self.harness.kill(self.sessions[number])
        self.sessions[number] = await self._session()

    async def close(self, draws: Draws) -> Observation:
        number = draws.below(SESSIONS)
        await self.harness.end(self.sessions[number])
        self.sessions[number] = await self._session()

    async def query(self, draws: Draws) -> Observation:
        query = self._query(draws)
        store = self.observer.store
        pages, cursor = [], ""
        while True:
            page = await store.list_runs(msgspec.structs.replace(query, cursor=cursor))
            pages.append([self._seen(row) for row in page.runs])
            cursor = page.next_cursor
            if not cursor:
                return pages, await store.count_runs(query)

    async def agenda(self, draws: Draws) -> Observation:
        """Change an entry, with runs and messages; at times from a version that has passed."""
        store = draws.of(self.sessions).store
        name = draws.of(("x", "y"))
        known = self.versions.get(name)
        expected = draws.of((known, known, known, None, self.keys[0]))
        version = self.keys[-1 - len(self.made)]
        self.made.append(version)
        entry = agenda_entry(version, name, due_at=draws.of((self.now, None)), waits=draws.is_rare(), inputs=(b"[1]",))
        batch = _Batch(self, draws.of(self.sessions), draws)
        change = AgendaChange(
            key=entry.key,
            expected=expected,
            entry=None if draws.is_rare() else entry,
            creations=tuple(batch.some_creation() for _ in range(draws.below(3))),
            deliveries=tuple(batch.some_delivery() for _ in range(draws.below(2))),
            beside=agenda_entry(self.keys[0], draws.of(("x", "y")), kind="request") if draws.is_rare() else None,
        )
        is_applied = await store.change_agenda(change)
        if is_applied:
            self.versions[name] = None if change.entry is None else version
        entries = await self.observer.store.list_agenda(AgendaQuery(due_by=draws.of((None, self.now))))
        seen = [(one.key, self.numbers[one.version], one.due_at, one.waits, one.inputs) for one in entries]
        return is_applied, seen, await self.observer.store.next_agenda_at()

    async def wake(self, draws: Draws) -> Observation:
        workflows = some_code(draws)
        return await self.observer.store.next_wake_at(workflows=workflows)

    # --- the same words for all stores ---

    async def _lines(self) -> Observation:
        """Return the lines of locks, positions as they are: both stores count them from one."""
        return [
            msgspec.structs.replace(entry, run_key=RunKey(self.numbers[entry.run_key]))
            for namespace in NAMESPACES
            for entry in await self.observer.store.list_locks(LockQuery(namespace=namespace))
        ]

    def _seen(self, row: RunSummary) -> Observation:
        fields = msgspec.structs.asdict(row)
        fields["run_key"] = self.numbers[row.run_key]
        fields["parent_key"] = None if row.parent_key is None else self.numbers[row.parent_key]
        fields["owner"] = self._owner(row.owner)
        return fields

    def _claimed(self, claimed: ClaimedRun) -> Observation:
        return (self._seen(claimed.summary), claimed.recovered, claimed.parked, claimed.due_at)

    def _event(self, recorded: RecordedEvent) -> RecordedEvent:
        event = recorded.event
        if not isinstance(event, RunCreated) or event.parent is None:
            return recorded
        parent = msgspec.structs.replace(event.parent, run_key=self.numbers[RunKey(event.parent.run_key)])
        return msgspec.structs.replace(recorded, event=msgspec.structs.replace(event, parent=parent))

    def _entry(self, entry: InboxEntry) -> Observation:
        """Return an entry without its position; of a report of a conflict, which the store words, only what it is."""
        message = entry.message
        if isinstance(message, ChildFailedMessage):
            return (message.operation, message.outcome, message.failure.type, entry.at)
        return (message, entry.message_id, entry.at)

    def _owner(self, owner: WorkerId | None) -> int | None:
        return None if owner is None else self.workers[owner]

    def _outcome(self, outcome: Outcome) -> Observation:
        match outcome:
            case Applied():
                told = [self.numbers[run_key] for run_key in outcome.told]
                return ("applied", self.numbers[outcome.run_key], self._owner(outcome.owner), told)
            case Stale() | Unread() | Exists():
                return (type(outcome).__name__, self.numbers[outcome.run_key])
            case Closed():
                return ("closed", self.numbers[outcome.run_key], outcome.status)
            case Missing(target=target):
                return ("missing", target if isinstance(target, RunRef) else self.numbers[target])

    def new_number(self) -> int:
        """Return the number of a run that may come to be by the step under way."""
        self.used += 1
        self.unseen.add(self.used - 1)
        return self.used - 1

    async def _session(self) -> StoreSession:
        session = await self.harness.session("worker", lease_seconds=LEASE_SECONDS)
        await session.store.renew_lease(now=self.now)
        self.workers[session.worker] = len(self.workers)
        return session

    async def _look(self) -> None:
        """Read all rows again that exist, and those that the last step may have made."""
        for number in [*self.rows, *self.unseen]:
            row = await self.observer.store.find(self.keys[number])
            if row is not None:
                self.rows[number] = row
        self.unseen.clear()

    def _query(self, draws: Draws) -> RunQuery:
        def some(options: Sequence[T]) -> frozenset[T]:
            return frozenset({draws.of(options), draws.of(options)}) if draws.below(3) == 1 else frozenset()

        return RunQuery(
            namespace=draws.of(NAMESPACES),
            order=draws.of(tuple(RunOrder)),
            limit=draws.of((100, 1, 2, 3)),
            statuses=some(tuple(RunStatus)),
            workflows=some(WORKFLOWS),
            tenants=some(("", "t1", "t2")),
            priorities=some(tuple(Priority)),
            labels=draws.of(({}, {}, {"x": "1"}, {"y": ""}, {"x": "2", "y": "1"})),
            id_prefix=draws.of(("", "", "", "a", "c\x00", "c")),
            parent_key=draws.of((None, None, None, self.keys[0], self.keys[1])),
            created_from=draws.of((None, None, later(1), later(30))),
            created_until=draws.of((None, None, later(2), later(31))),
        )


def some_code(draws: Draws) -> frozenset[WorkflowVersion]:
    """Return what a worker has: mostly everything."""
    newer = code_of(WORKFLOWS[0], version=VERSIONS[-1])
    return draws.of((code_of(*WORKFLOWS) | newer, code_of(*WORKFLOWS), code_of(WORKFLOWS[0]), newer))


class _Batch:
    """Writes of one batch: mostly what a worker that knows the rows would write, sometimes what a wrong one would."""

    def __init__(self, world: World, session: StoreSession, draws: Draws) -> None:
        self.world = world
        self.session = session
        self.draws = draws
        self.advanced: dict[int, int] = {}

    async def write(self) -> Write:
        kind = self.draws.of(KINDS)
        run = self._held()
        match kind:
            case "creation":
                return self.some_creation()
            case "delivery":
                return self.some_delivery()
            case "seize":
                return self._seizure()
            case _ if run is None:
                return self.some_delivery() if self.draws.below(2) else self.some_creation()
            case "release":
                wake_at = self.draws.of((None, self.world.now, self._soon()))
                return await self._release(self._mistaken(run), wake_at=wake_at)
            case "park":
                return await self._park(self._mistaken(run))
            case "begin":
                return self._begin()
            case _:
                return await self._transition(run)

    async def _release(self, run: Held, *, wake_at: Timestamp | None) -> Write:
        return release(
            run,
            wake_at=wake_at,
            now=self.world.now,
            end_at=self._end(),
            inbox_position=self.draws.of((None, await self._seen(run))),
            recovered=self.draws.is_rare(),
        )

    def _seizure(self) -> Write:
        """Return the seizure of any run, mostly as its row stands."""
        key = self.world.keys[self._number()]
        row = self.world.rows.get(self.world.numbers[key])
        token = FencingToken(0) if row is None else row.fencing_token
        return Seizure(run_key=key, fencing_token=FencingToken(token + self.draws.of((0, 0, 0, 1))))

    async def _park(self, run: Held) -> Write:
        seen = await self._seen(run)
        tried = self.draws.of((CODES[:1], CODES[1:], CODES))
        recovered = self.draws.is_rare()
        now = self.world.now
        return parks(
            run,
            tried=tried,
            tried_position=seen,
            now=now,
            wake_at=self.draws.of((None, None, self._soon())),
            end_at=self._end(),
            inbox_position=self.draws.of((None, seen, seen)),
            recovered=recovered,
        )

    async def _seen(self, run: Held) -> int:
        """Return up to which position of a run's inbox its owner may have looked."""
        entries = await self.world.observer.inbox(run.run_key)
        return self.draws.of([0, *(entry.position for entry in entries)])

    def _end(self) -> Timestamp | None:
        return self.draws.of((None, None, self._soon()))

    def _number(self) -> int:
        """Return the number of a run, or (rarely) of one that never was."""
        if self.draws.is_rare() or not self.world.rows:
            return self.draws.below(self.world.used + 1)
        return self.draws.of(sorted(self.world.rows))

    def _soon(self) -> Timestamp:
        return Timestamp(self.world.now + self.draws.below(40) * 1_000_000)

    def _held(self) -> Held | None:
        """Return a run that this session owns; rarely any other, as if it did."""
        world = self.world
        rows = [world.rows[number] for number in sorted(world.rows)]
        own = [row for row in rows if row.owner == self.session.worker]
        candidates = rows if self.draws.is_rare() else own
        if not candidates:
            return None
        row = self.draws.of(candidates)
        ahead = self.advanced.get(world.numbers[row.run_key], 0)
        return Held(
            run_key=row.run_key,
            ref=row.ref,
            owner=self.session.worker,
            fencing_token=row.fencing_token,
            sequence=row.sequence + ahead,
        )

    def _mistaken(self, run: Held) -> Held:
        if not self.draws.is_rare():
            return run
        change = msgspec.structs.replace
        return self.draws.of(
            (
                change(run, fencing_token=FencingToken(run.fencing_token - 1)),
                change(run, fencing_token=FencingToken(run.fencing_token + 1)),
                change(run, sequence=max(run.sequence - 1, 0)),
                change(run, sequence=run.sequence + 1),
                change(run, owner=self.world.observer.worker),
                change(run, run_key=self.world.keys[self._number()]),
            )
        )

    def some_creation(self, *, parent: Held | None = None, ref: RunRef | None = None) -> Creation:
        draws, world = self.draws, self.world
        if ref is None:
            ref = RunRef(namespace=draws.of(NAMESPACES), id=draws.of(IDS), generation=self._generation())
        if parent is not None and (ref.namespace, ref.id) == (parent.ref.namespace, parent.ref.id):
            # Whether a run that closes may leave its own id to a child is not for the stores to agree on.
            ref = msgspec.structs.replace(ref, id=f"child of {ref.id}")
        made = creation(
            world.keys[world.new_number()],
            ref.id,
            namespace=ref.namespace,
            generation=ref.generation,
            workflow=draws.of(WORKFLOWS),
            version=draws.of(VERSIONS),
            priority=draws.of(tuple(Priority)),
            tenant=draws.of(("", "t1", "t2")),
            labels=draws.of(({}, {"x": "1"}, {"y": ""}, {"x": "2", "y": "1"})),
            parent=parent,
            operation=1 + draws.below(3),
            at=world.now,
            wake_at=draws.of((world.now, self._soon())),
            request_id=draws.of(("", "", "", "r1", "r2")),
            deadline_at=self._end(),
        )
        return self._with_copy(made) if draws.is_rare() else made

    def _with_copy(self, made: Creation) -> Creation:
        """Let a run begin with a copied history."""
        at = Timestamp(self.world.now + 1_000_000)
        status = self.draws.of((RunStatus.RUNNING, RunStatus.SUSPENDED, RunStatus.CREATED))
        row = RunRow(
            sequence=2, status=status, stage="s", progress=0.25, priority=made.priority, updated_at=at, started_at=at
        )
        return msgspec.structs.replace(made, copied=(event(2, at=at),), row=row)

    def _generation(self) -> int:
        return self.draws.of((1, 1, 2, 3))

    def _begin(self) -> Write:
        begins = msgspec.structs.replace(self.some_creation(), copied=(), row=None)
        run = Held(
            run_key=begins.run_key,
            ref=begins.ref,
            owner=self.session.worker,
            fencing_token=FencingToken(1),
            sequence=0,
        )
        return transition(
            run,
            events=1 + self.draws.below(3),
            begins=begins,
            status=self.draws.of((RunStatus.RUNNING, RunStatus.RUNNING, RunStatus.COMPLETED)),
            at=self.world.now,
            priority=begins.priority,
            labels=self._labels(),
        )

    async def _transition(self, known: Held) -> Write:
        draws, world = self.draws, self.world
        run = self._mistaken(known)
        events = draws.below(4)
        status = draws.of((RunStatus.RUNNING, RunStatus.RUNNING, RunStatus.SUSPENDED, RunStatus.RUNNING, *RunStatus))
        creations = [self.some_creation(parent=run) for _ in range(draws.of((0, 0, 0, 1, 2)))]
        moves_inbox_to = None
        if status is RunStatus.CONTINUED and draws.below(3):
            ref = msgspec.structs.replace(run.ref, generation=run.ref.generation + 1)
            following = self.some_creation(ref=ref)
            creations.append(msgspec.structs.replace(following, request_id=""))
            moves_inbox_to = following.run_key
        self.advanced[world.numbers[known.run_key]] = self.advanced.get(world.numbers[known.run_key], 0) + events
        return transition(
            run,
            events=events,
            what=SignalReceived(name=draws.of(("x", "y\x00", "é'"))) if draws.is_rare() else None,
            status=status,
            priority=draws.of(tuple(Priority)),
            at=world.now,
            consumed=await self._consumed(run.run_key),
            deliveries=[
                self._asking(run) if draws.below(2) else self.some_delivery() for _ in range(draws.of((0, 0, 1, 2)))
            ],
            creations=creations,
            labels=self._labels(),
            moves_inbox_to=moves_inbox_to,
            must_not_overtake=[draws.of(("m1", "m2", "m3"))] if draws.is_rare() else [],
            end_at=self._end(),
            locks=await self._locks(run.run_key, is_last=status.is_closed),
        )

    async def _locks(self, run_key: RunKey, *, is_last: bool) -> list[LockChange]:
        """Return requests, within some of what the run holds, and releases; all of them where the run ends."""
        draws = self.draws
        row = self.world.rows.get(self.world.numbers[run_key])
        query = LockQuery(namespace="default" if row is None else row.ref.namespace, run_key=run_key)
        entries = await self.world.observer.store.list_locks(query)
        released = [entry for entry in entries if is_last or draws.below(4) == 3]
        kept = [entry.operation for entry in entries if entry not in released]
        changes: list[LockChange] = [LockRelease(operation=entry.operation) for entry in released]
        if draws.is_rare():
            changes.append(LockRelease(operation=Operation(1_000_000)))
        for _ in range(0 if is_last else draws.of((0, 0, 1, 1, 2))):
            self.world.lock_operation += 1
            changes.append(
                LockRequest(
                    operation=Operation(self.world.lock_operation),
                    key=draws.of(("k1", "k2", "k3")),
                    limit=draws.of((1, 1, 2, None)),
                    holding=tuple(kept) if draws.below(4) else (),
                    waits=not draws.is_rare(),
                )
            )
        return changes

    def _labels(self) -> dict[str, str | None] | None:
        changes: tuple[dict[str, str | None], ...] = ({}, {}, {"x": "2"}, {"x": None, "y": "1"}, {"z": None})
        return self.draws.of(changes) or None

    async def _consumed(self, run_key: RunKey) -> list[int]:
        of = self.world.keys[self._number()] if self.draws.is_rare() else run_key
        entries = await self.world.observer.inbox(of)
        return [entry.position for entry in entries if self.draws.below(2)]

    def some_delivery(self) -> Delivery:
        draws, world = self.draws, self.world
        ref = RunRef(namespace=draws.of(NAMESPACES), id=draws.of(IDS), generation=self._generation())
        return Delivery(
            target=world.keys[self._number()] if draws.below(2) else ref,
            message=draws.of(MESSAGES),
            message_id=draws.of(("", "m1", "m2", "m3")),
            at=draws.of((world.now, self._soon())),
            request_id=draws.of(("", "", "", "r1", "r2", "r3")),
        )

    def _asking(self, sender: Held) -> Delivery:
        """Return a delivery of a run that wants to know what becomes of it."""
        answers = Answers(
            run_key=sender.run_key,
            delivered=self.draws.of((None, SignalMessage(name="delivered"))),
            missing=SignalMessage(name="missing"),
            closed=SignalMessage(name="closed"),
        )
        return msgspec.structs.replace(self.some_delivery(), answers=answers, request_id="")
