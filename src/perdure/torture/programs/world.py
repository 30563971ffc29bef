"""The world of a program: carries it out on one store, and answers each step in the same words on all of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from perdure.kernel.events import RunCreated
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef, WorkerId
from perdure.kernel.messages import ChildFailedMessage, LockGrantedMessage
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import Task, TaskClaim
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import (
    Applied,
    Closed,
    Exists,
    Missing,
    Outcome,
    RunStatus,
    Stale,
    Unread,
)
from perdure.ports.agenda import AgendaChange, AgendaQuery
from perdure.ports.keeping import ClosedQuery, WholeRun
from perdure.ports.store import ClaimedRun, InboxEntry, LockQuery, RunOrder, RunQuery, RunSummary
from perdure.ports.tasks import ClaimedTask, TaskCost, TaskQuery
from perdure.testing.store_conformance import START, StoreHarness, StoreSession
from perdure.testing.store_conformance.agenda import agenda_entry
from perdure.testing.store_conformance.harness import later
from perdure.testing.store_conformance.tasks import outcome
from perdure.torture.programs.batch import Batch
from perdure.torture.programs.steps import Draws, Step
from perdure.torture.programs.words import CODES, NAMESPACES, WORKFLOWS, some_code, some_tasks

__all__ = ["Observation", "World"]

T = TypeVar("T")
Observation = Any
"""A tree of plain values that two stores must agree on."""


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
        self.positions: dict[int, int] = {}
        self.versions: dict[str, RunKey | None] = {}
        self.made: list[RunKey] = []
        self.removed: list[WholeRun] = []
        self.tasks: list[tuple[StoreSession, TaskClaim]] = []
        self.costs: list[TaskCost] = []

    async def open(self) -> None:
        """Open the sessions."""
        self.observer = await self.harness.session("observer", lease_seconds=1e9)
        self.keys = [self.observer.store.new_run_key() for _ in range(_KEYS)]
        self.numbers = {key: number for number, key in enumerate(self.keys)}
        self.sessions = [await self._session() for _ in range(_SESSIONS)]

    async def do(self, step: Step) -> Observation:
        """Carry a step out; return what it answered and how all rows look after it."""
        verb: Callable[[Draws], Awaitable[Observation]] = getattr(self, step.verb)
        answer = await verb(Draws(step.draws))
        await self._look()
        rows = [self._seen(row) for _, row in sorted(self.rows.items())]
        return (step.verb, answer, rows, await self._lines(), await self._queues())

    async def leave(self, end: Callable[[StoreSession], Awaitable[None]]) -> None:
        """End all sessions."""
        for session in (self.observer, *self.sessions):
            await end(session)

    async def observe_anew(self) -> None:
        """Open another session that reads, in the place of the one that has left."""
        self.observer = await self.harness.session("observer", lease_seconds=1e9)
        self.workers[self.observer.worker] = len(self.workers)

    async def come_back(self) -> None:
        """Open other sessions in the place of those that have left."""
        await self.observe_anew()
        self.sessions = [await self._session() for _ in range(_SESSIONS)]

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
        """Commit a batch of writes of one session."""
        owners = {row.owner for row in self.rows.values()}
        busy = [session for session in self.sessions if session.worker in owners]
        session = draws.of(self.sessions if draws.is_rare() else busy or self.sessions)
        batch = Batch(self, session, draws)
        writes = [await batch.write() for _ in range(1 + draws.below(5))]
        outcomes = await session.commit(*writes)
        return [self._outcome(outcome) for outcome in outcomes]

    async def claim(self, draws: Draws) -> Observation:
        """Claim runs for a session."""
        session = draws.of(self.sessions)
        workflows = some_code(draws)
        limit, code = draws.of((3, 1, 20)), draws.of((None, *CODES))
        claims = await session.store.claim(now=self.now, limit=limit, workflows=workflows, code=code)
        return [self._claimed(claimed) for claimed in claims]

    async def take_tasks(self, draws: Draws) -> Observation:
        """Claim tasks for a session, and perhaps tell of them at once."""
        session = draws.of(self.sessions)
        served = some_tasks(draws)
        claimed: list[ClaimedTask] = []
        for limit in draws.of(((3,), (1,), (20,), (1, 1, 1, 1), (2, 1, 2))):
            costs, self.costs = self.costs, []
            some = await session.store.claim_tasks(now=self.now, limit=limit, served=served, costs=costs)
            self.costs = [_cost_of(one, draws.of((-0.5, 20.0))) for one in some]
            claimed += some
        self.tasks += [(session, one.claim) for one in claimed]
        told = [outcome(one.claim, ends=draws.below(3) > 0) for one in claimed if draws.below(2)]
        outcomes = [self._outcome(one) for one in await session.commit(*told)] if told else []
        at = await session.store.next_task_at(now=self.now, served=some_tasks(draws))
        return [(self._task_claim(one.claim), self._task(one.task), one.recovered) for one in claimed], outcomes, at

    async def tell_tasks(self, draws: Draws) -> Observation:
        """Tell of tasks that somebody has claimed, or had, give some back, and ask which are lost."""
        session = draws.of(self.sessions)
        some = [claim for owner, claim in self.tasks[-8:] if owner is session or draws.is_rare()]
        await session.store.return_tasks(some[:1] if draws.is_rare() else [], begun=draws.is_rare())
        told = [outcome(claim, ends=draws.below(3) > 0) for claim in some if draws.below(3)]
        outcomes = [self._outcome(one) for one in await session.commit(*told)] if told else []
        held = await session.store.held_tasks()
        return outcomes, sorted(self._task_claim(claim) for claim in held)

    async def pass_time(self, draws: Draws) -> Observation:
        """Let time pass."""
        self.now = Timestamp(self.now + draws.of((1, 7, 20, 1, 7, 20, 31, 100)) * 1_000_000)
        return self.now

    async def renew(self, draws: Draws) -> Observation:
        """Renew a session's lease."""
        return await draws.of(self.sessions).store.renew_lease(now=self.now)

    async def free(self, draws: Draws) -> Observation:
        """Give back the runs of sessions that are dead or late."""
        session = draws.of([*self.sessions, self.observer])
        return await session.store.free_expired(now=self.now)

    async def kill(self, draws: Draws) -> Observation:
        """Let a session die, and open another."""
        number = draws.below(_SESSIONS)
        await self.harness.kill(self.sessions[number])
        self.sessions[number] = await self._session()

    async def close(self, draws: Draws) -> Observation:
        """Close a session in good order, and open another."""
        number = draws.below(_SESSIONS)
        await self.harness.end(self.sessions[number])
        self.sessions[number] = await self._session()

    async def query(self, draws: Draws) -> Observation:
        """List and count runs, page by page."""
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
        batch = Batch(self, draws.of(self.sessions), draws)
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

    async def remove(self, draws: Draws) -> Observation:
        """List closed runs that may go, and remove some, and others."""
        store = draws.of(self.sessions).store
        query = ClosedQuery(
            closed_until=self.now,
            namespace=draws.of((None, *NAMESPACES)),
            workflows=draws.of((frozenset[str](), frozenset(WORKFLOWS[:1]))),
            limit=draws.of((100, 1, 2)),
        )
        listed = [summary.run_key for summary in await store.list_closed(query)]
        keys = [*listed, self.keys[draws.below(self.used + 1)]][draws.below(2) :]
        wholes = {key: await store.read_whole(key) for key in keys}
        removed = await store.remove_runs(keys)
        self.removed += [whole for key in removed if (whole := wholes[key]) is not None]
        seen = [None if whole is None else self._whole(whole) for whole in wholes.values()]
        back = await self.bring_back(draws) if removed and draws.below(2) else []
        return [self.numbers[key] for key in listed], seen, [self.numbers[key] for key in removed], back

    async def bring_back(self, draws: Draws) -> Observation:
        """Bring back the runs that were removed last, and bring in one that may be there; at times as the next ones."""
        store = draws.of(self.sessions).store
        wholes = [*self.removed[-4:], await store.read_whole(self.keys[draws.below(self.used + 1)])]
        outcomes: list[Observation] = []
        for whole in filter(None, wholes):
            ref = whole.summary.ref
            if draws.is_rare():
                ref = msgspec.structs.replace(ref, generation=ref.generation + 1)
            summary = msgspec.structs.replace(whole.summary, ref=ref, owner=None)
            run = msgspec.structs.replace(whole, summary=summary)
            outcomes.append(self._outcome(await store.bring_in(run, sealed_as=summary.run_key)))
        return outcomes

    async def wake(self, draws: Draws) -> Observation:
        """Ask when the next run comes due."""
        workflows = some_code(draws)
        return await self.observer.store.next_wake_at(workflows=workflows)

    # --- the same words for all stores ---

    async def _lines(self) -> Observation:
        """Return the lines of locks."""
        store = self.observer.store
        return [
            msgspec.structs.replace(
                entry, position=self._position(entry.position), run_key=RunKey(self.numbers[entry.run_key])
            )
            for namespace in NAMESPACES
            for entry in await store.list_locks(LockQuery(namespace=namespace))
        ]

    async def _queues(self) -> Observation:
        """Return what is in task queues."""
        store = self.observer.store
        return [
            msgspec.structs.replace(
                one,
                run_key=RunKey(self.numbers[one.run_key]),
                owner=self._owner(one.owner),
                sticky_to=self._owner(one.sticky_to),
            )
            for namespace in NAMESPACES
            for one in await store.list_tasks(TaskQuery(namespace=namespace))
        ]

    def _task(self, task: Task) -> Task:
        return msgspec.structs.replace(task, sticky_to=self._owner(task.sticky_to))

    def _task_claim(self, claim: TaskClaim) -> Observation:
        return (self.numbers[claim.run_key], claim.operation, claim.attempt, claim.number)

    def _seen(self, row: RunSummary) -> Observation:
        fields = msgspec.structs.asdict(row)
        fields["run_key"] = self.numbers[row.run_key]
        fields["parent_key"] = None if row.parent_key is None else self.numbers[row.parent_key]
        fields["owner"] = self._owner(row.owner)
        return fields

    def _whole(self, whole: WholeRun) -> Observation:
        return (
            self._seen(whole.summary),
            (whole.request_id, whole.end_at, whole.recovered, whole.requests),
            [self._event(recorded) for recorded in whole.history],
            [self._entry(entry) for entry in whole.inbox],
            [(self._position(entry.position), entry.key, entry.operation, entry.granted_at) for entry in whole.locks],
            whole.queues,
        )

    def _position(self, position: int) -> int:
        """Return the number of an entry of a line, in the order in which they are seen: stores count as they like."""
        return self.positions.setdefault(position, len(self.positions) + 1)

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
        if isinstance(message, LockGrantedMessage):
            message = msgspec.structs.replace(message, token=self._position(message.token))
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
        session = await self.harness.session("worker", lease_seconds=_LEASE_SECONDS)
        await session.store.renew_lease(now=self.now)
        self.workers[session.worker] = len(self.workers)
        return session

    async def _look(self) -> None:
        """Read all rows again that exist, and those that the last step may have made, or brought back."""
        brought_back = (self.numbers[whole.summary.run_key] for whole in self.removed)
        numbers = list(dict.fromkeys([*self.rows, *self.unseen, *brought_back]))
        for number in numbers:
            row = await self.observer.store.find(self.keys[number])
            if row is not None:
                self.rows[number] = row
            else:
                self.rows.pop(number, None)
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


def _cost_of(claimed: ClaimedTask, seconds: float) -> TaskCost:
    task = claimed.task
    return TaskCost(queue=task.queue, priority=task.priority, share=claimed.share, seconds=seconds - claimed.charged)


_SESSIONS: Final = 2
_KEYS: Final = 300
"""Far more than the runs and versions of a program: of 1,500 programs of 50 steps the longest needed 69."""
_LEASE_SECONDS: Final = 30.0
