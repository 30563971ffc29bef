"""A session on the tables in memory."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from operator import itemgetter
from types import coroutine
from typing import Final, TypeVar

from perdure.errors import HistoryError, StoreError, UsageError
from perdure.kernel.history import RecordedEvent, decode_event
from perdure.kernel.identity import RunKey, RunRef, WorkerId, WorkflowVersion
from perdure.kernel.locking import LockEntry
from perdure.kernel.tasks import TaskClaim
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Creation, Outcome, Write
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery
from perdure.ports.clock import Clock, SystemClock
from perdure.ports.following import BYTES_AT_ONCE, HistoryPart, HistoryPlace, Standing
from perdure.ports.keeping import FOREIGN_KEYS, ClosedQuery, WholeRun
from perdure.ports.store import (
    Changes,
    ClaimedRun,
    InboxEntry,
    LockQuery,
    Page,
    RunQuery,
    RunSummary,
    StoreStatus,
)
from perdure.ports.tasks import ClaimedTask, ServedTasks, ServerSummary, Serving, TaskCost, TaskQuery, TaskSummary
from perdure.ports.transactions import StepTransaction
from perdure.ports.verification import Verification, VerificationWish
from perdure.stores.memory import following, keeping, searching, sessions, tasks
from perdure.stores.memory.gate import CommitGate
from perdure.stores.memory.inboxes import inbox_of, rest_of_inbox
from perdure.stores.memory.locks import list_locks
from perdure.stores.memory.tables import MemoryDatabase, News, Session, give_back, publish, summarise
from perdure.stores.memory.writes import apply, prepare

__all__ = ["MemoryStore"]

T = TypeVar("T")


class MemoryStore:
    """One worker's session on a `MemoryDatabase`: a `perdure.ports.store.RunStore`."""

    def __init__(self, database: MemoryDatabase | None = None, *, gate: CommitGate | None = None) -> None:
        """Use `database`, or a new one. Without a `gate` a commit gives way to other tasks once, then is applied."""
        self.database = MemoryDatabase() if database is None else database
        self.clock: Clock = SystemClock()
        self._gate = gate
        self._session: Session | None = None

    @property
    def location(self) -> str:
        """Where the data is."""
        return "memory"

    @property
    def commits_at_once(self) -> int:
        """One, since nothing waits for a disk."""
        return 1

    @property
    def worker(self) -> WorkerId:
        """This session. Raises StoreError if the store is not open."""
        if self._session is None:
            raise StoreError("the store is not open")
        return self._session.worker

    async def open(self, *, session_name: str, lease_seconds: float, on_changes: Callable[[Changes], None]) -> WorkerId:
        """Begin a session. Raises StoreError if this store is open already."""
        if self._session is not None:
            raise StoreError("this store is open already: give each session a MemoryStore of its own")
        worker = WorkerId(self.database.next_worker())
        self._session = self.database.sessions[worker] = Session(
            worker=worker,
            name=session_name,
            lease_microseconds=round(lease_seconds * MICROSECONDS_PER_SECOND),
            on_changes=on_changes,
            known_time=self.database.latest_time,
        )
        return worker

    async def close(self) -> None:
        """Give back every run of this session and end it. Closing twice, or after a crash, does nothing."""
        session, self._session = self._session, None
        if session is None or session.is_dead:
            return
        news = News()
        for run in self.database.runs.values():
            if run.owner == session.worker:
                give_back(self.database, run, min(run.updated_at, self.database.latest_time), news)
        tasks.free_tasks(self.database, {session.worker}, news)
        session.is_dead = True
        del self.database.sessions[session.worker]
        publish(self.database, session, news)

    def is_alone(self) -> bool:
        """Say whether there is no other session."""
        return len(self.database.sessions) == 1

    def new_run_key(self) -> RunKey:
        """Return the next key."""
        return RunKey(self.database.next_run_key())

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Apply writes, all in one step. Raises StoreError after a crash; then nothing was applied."""
        prepared = [prepare(self.database, write) for write in writes]

        def change(session: Session, news: News) -> tuple[list[Outcome], list[Outcome]]:
            outcomes = [apply(self.database, session, one, news) for one in prepared]
            return outcomes, outcomes

        return await self._change(change, writes)

    async def transact(self, step: StepTransaction) -> Outcome:
        """Refuse: there is no database here on which anybody could write. See the port."""
        del step
        raise UsageError(
            "a transactional activity needs a database to write to, and a store in memory has none: open the engine on "
            "'sqlite:///path' or 'postgresql://...'"
        )

    async def create_within(self, transaction: object, creation: Creation) -> tuple[Outcome, RunSummary | None]:
        """Refuse: nobody has a transaction here. See the port."""
        del transaction, creation
        raise UsageError(
            "a run is started within a transaction of the database that holds the runs, and a store in memory is none: "
            "open the engine on 'sqlite:///path' or 'postgresql://...'"
        )

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None = None
    ) -> list[ClaimedRun]:
        """Take due runs, and parked ones. Complexity: linear in the runs that nobody owns."""
        session = await self._turn()
        return sessions.claim(self.database, session, now=now, limit=limit, workflows=workflows, code=code)

    async def next_wake_at(self, *, workflows: frozenset[WorkflowVersion]) -> Timestamp | None:
        """Return the earliest time at which a run that nobody owns comes due."""
        await self._turn()
        return sessions.next_wake_at(self.database, workflows)

    async def renew_lease(self, *, now: Timestamp) -> bool:
        """Extend the lease. If it had passed, what the session still owned is given back and a new lease begins."""
        session = await self._turn()
        return sessions.renew(self.database, session, now=now)

    async def free_expired(self, *, now: Timestamp) -> int:
        """Give back the runs of sessions that were killed or whose lease has passed, and forget the killed ones."""
        return sessions.free_expired(self.database, await self._turn(), now=now)

    async def read_history(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[RecordedEvent]:
        """Return events in their order. Raises HistoryError for a gap and for rows that cannot be decoded."""
        await self._turn()
        rows = self.database.events.get(run_key, [])
        first = bisect_right(rows, after, key=itemgetter(0))
        page = rows[first : first + max(limit, 0)]
        for expected, row in enumerate(page, start=after + 1):
            if row[0] != expected:
                raise HistoryError(f"event {expected} of run {run_key} is missing: the next one is number {row[0]}")
        return [decode_event(*row) for row in page]

    async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
        """Return the oldest entries behind a position. Raises HistoryError for one that cannot be decoded."""
        await self._turn()
        return inbox_of(self.database, run_key, after=after)[: max(limit, 0)]

    async def read_rest_of_inbox(self, run_key: RunKey) -> list[InboxEntry]:
        """Return those entries that can be decoded."""
        await self._turn()
        return rest_of_inbox(self.database, run_key)

    async def list_standings(
        self, *, workflows: frozenset[WorkflowVersion], limit: int, among: Collection[RunKey] | None = None
    ) -> list[Standing]:
        """Return where runs of others stand. Complexity: linear in all runs, or in those among which to look."""
        session = await self._turn()
        return following.list_standings(self.database, session.worker, workflows=workflows, limit=limit, among=among)

    async def read_on(
        self, places: Mapping[RunKey, HistoryPlace], *, limit: int, most_bytes: int = BYTES_AT_ONCE
    ) -> list[HistoryPart]:
        """Return what comes next in histories."""
        await self._turn()
        return following.read_on(self.database, places, limit=limit, most_bytes=most_bytes)

    async def find(self, ref: RunRef | RunKey, *, latest: bool = True) -> RunSummary | None:
        """Return a run's row."""
        await self._turn()
        if not isinstance(ref, RunRef):
            run = self.database.runs.get(ref)
        elif latest:
            run = self.database.latest(ref)
        else:
            key = self.database.generations.get((ref.namespace, ref.id), {}).get(ref.generation)
            run = None if key is None else self.database.runs[key]
        return None if run is None else summarise(run)

    async def find_by_request(self, namespace: str, request_id: str) -> RunSummary | None:
        """Return the row of the run that was created with a request id."""
        await self._turn()
        key = self.database.requests.get((namespace, request_id))
        return None if key is None else summarise(self.database.runs[key])

    async def list_runs(self, query: RunQuery) -> Page:
        """Return one page. Complexity: linear in all runs."""
        await self._turn()
        return searching.list_runs(self.database, query)

    async def count_runs(self, query: RunQuery, *, most: int | None = None) -> int:
        """Return how many runs match, up to `most`. Complexity: linear in all runs."""
        await self._turn()
        return searching.count_runs(self.database, query, most=most)

    async def change_agenda(self, change: AgendaChange) -> bool:
        """Apply a change in one step. Raises StoreError after a crash; then nothing was applied."""
        writes: tuple[Write, ...] = (*change.creations, *change.deliveries)
        prepared = [prepare(self.database, write) for write in writes]

        def put(session: Session, news: News) -> tuple[bool, list[Outcome] | None]:
            if not self.database.agenda.accepts(change):
                return False, None
            news.is_agenda = True
            news.run_keys.update(change.gone)
            self.database.agenda.apply(change)
            return True, [apply(self.database, session, one, news) for one in prepared]

        return await self._change(put, writes)

    async def find_agenda(self, key: AgendaKey) -> AgendaEntry | None:
        """Return an entry of the agenda."""
        await self._turn()
        return self.database.agenda.find(key)

    async def list_agenda(self, query: AgendaQuery) -> list[AgendaEntry]:
        """Return one page of entries. Complexity: linear in all."""
        await self._turn()
        return self.database.agenda.page(query)

    async def next_agenda_at(self, *, after: Timestamp | None = None) -> Timestamp | None:
        """Return when the next entry comes due, later than `after`."""
        await self._turn()
        return self.database.agenda.next_at(after=after)

    async def list_locks(self, query: LockQuery) -> list[LockEntry]:
        """Return one page of entries in the lines of locks."""
        await self._turn()
        return list_locks(self.database, query)

    async def claim_tasks(
        self, *, now: Timestamp, limit: int, served: ServedTasks, costs: Sequence[TaskCost] = ()
    ) -> list[ClaimedTask]:
        """Take tasks that nobody has. Complexity: linear in all tasks."""
        session, news = await self._turn(), News()
        claimed = tasks.claim_tasks(self.database, session, news, now=now, limit=limit, served=served, costs=costs)
        publish(self.database, session, news)
        return claimed

    async def return_tasks(self, claims: Sequence[TaskClaim], *, begun: bool) -> None:
        """Let others claim what this session has."""
        session, news = await self._turn(), News()
        tasks.return_tasks(self.database, session, claims, news, begun=begun)
        publish(self.database, session, news)

    async def correct_costs(self, costs: Sequence[TaskCost], *, now: Timestamp) -> None:
        """Correct what was charged for tasks."""
        await self._turn()
        tasks.correct_costs(self.database, costs, now=now)

    async def announce(self, serving: Serving) -> None:
        """Let others know what this session serves."""
        (await self._turn()).serving = serving

    async def list_servers(self) -> list[ServerSummary]:
        """Return the sessions that have announced something."""
        await self._turn()
        return tasks.list_servers(self.database)

    async def next_task_at(self, *, now: Timestamp, served: ServedTasks) -> Timestamp | None:
        """Return when a task is kept for another session no longer."""
        return tasks.next_task_at(self.database, await self._turn(), now=now, served=served)

    async def held_tasks(self) -> set[TaskClaim]:
        """Return what this session has. Complexity: linear in all tasks."""
        return tasks.held_tasks(self.database, await self._turn())

    async def list_tasks(self, query: TaskQuery) -> list[TaskSummary]:
        """Return one page of tasks. Complexity: linear in all tasks."""
        await self._turn()
        return tasks.list_tasks(self.database, query)

    async def verify(self, wish: VerificationWish) -> Verification:
        """Return how much there is: memory is not damaged, and this store keeps no digests."""
        await self._turn()
        named = None if wish.run is None else (wish.run.namespace, wish.run.id)
        runs = [run for run in self.database.runs.values() if named in (None, (run.ref.namespace, run.ref.id))]
        return Verification(
            location=self.location,
            runs=len(runs),
            events=sum(run.sequence for run in runs),
            messages=sum(len(self.database.inboxes.get(run.run_key, ())) for run in runs),
        )

    async def read_whole(self, run_key: RunKey, *, decrypts: bool = False) -> WholeRun | None:
        """Return everything of a run. Raises HistoryError."""
        del decrypts  # what is stored is all there is here
        await self._turn()
        return keeping.read_whole(self.database, run_key)

    async def bring_in(self, run: WholeRun, *, sealed_as: RunKey) -> Outcome:
        """Insert a run whole, in one step. Raises StoreError after a crash; then nothing was inserted."""
        del sealed_as
        prepared = keeping.prepare_whole(run)
        return await self._change(lambda _, news: (self._bring_in(run, prepared, news), ()))

    def _bring_in(self, run: WholeRun, prepared: keeping.Prepared, news: News) -> Outcome:
        return keeping.bring_in(self.database, run, prepared, news)

    async def origins_of(self, run_keys: Collection[RunKey]) -> dict[RunKey, int]:
        """Return where keys were given out: here, where nobody can make a copy."""
        await self._turn()
        return {key: self.database.identity for key in run_keys if 0 < key < FOREIGN_KEYS}

    async def list_closed(self, query: ClosedQuery) -> list[RunSummary]:
        """Return one page of closed runs that nothing open needs. Complexity: linear in all runs."""
        await self._turn()
        return keeping.list_closed(self.database, query)

    async def remove_runs(self, run_keys: Sequence[RunKey]) -> list[RunKey]:
        """Remove closed runs that nothing open needs, in one step. Raises StoreError after a crash."""
        return await self._change(lambda _, news: (self._remove(run_keys, news), ()))

    async def unremovable(self, run_keys: Sequence[RunKey]) -> list[RunKey]:
        """Return none: memory has no damaged pages."""
        del run_keys
        await self._turn()
        return []

    def _remove(self, run_keys: Sequence[RunKey], news: News) -> list[RunKey]:
        return keeping.remove(self.database, run_keys, news)

    async def status(self) -> StoreStatus:
        """Return the sizes of the tables. Bytes are those of events and messages."""
        await self._turn()
        database = self.database
        events = [row for rows in database.events.values() for row in rows]
        entries = [entry for inbox in database.inboxes.values() for entry in inbox.values()]
        return StoreStatus(
            location=self.location,
            schema_version=_SCHEMA_VERSION,
            size_bytes=sum(len(row[4]) for row in events) + sum(len(entry.data) for entry in entries),
            facts={
                "durability": "none: the data ends with the process",
                "runs": str(len(database.runs)),
                "events": str(len(events)),
                "inbox": str(len(entries)),
                "sessions": str(len(database.sessions)),
            },
        )

    def _alive(self) -> "Session":
        if self._session is None:
            raise StoreError("the store is not open")
        if self._session.is_dead:
            raise StoreError(f"session {self._session.worker} ({self._session.name}) was killed")
        return self._session

    async def _change(
        self, change: Callable[["Session", News], tuple[T, Sequence[Outcome] | None]], writes: Sequence[Write] = ()
    ) -> T:
        """Change the tables in one step, and tell others; return what the change returns first.

        What it returns then are the outcomes of `writes`; None: it has changed nothing.
        """
        worker = self._alive().worker
        if self._gate is None:
            await _give_way()
        else:
            await self._gate.before(worker, writes)
        session = self._alive()
        news = News()
        changed, outcomes = change(session, news)
        if outcomes is None:
            return changed
        publish(self.database, session, news)
        if self._gate is not None:
            await self._gate.after(worker, outcomes)
            self._alive()
        return changed

    async def _turn(self) -> "Session":
        """Give way once, as every store that does its work elsewhere does."""
        self._alive()
        await _give_way()
        return self._alive()


@coroutine
def _give_way() -> Generator[None, None, None]:
    """Let others run first, as `asyncio.sleep(0)` does, which takes thrice as long."""
    yield


_SCHEMA_VERSION: Final = 1
