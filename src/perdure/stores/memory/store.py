"""A session on the tables in memory."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from operator import itemgetter
from typing import Final, TypeVar

from perdure.errors import HistoryError, StoreError
from perdure.kernel.history import RecordedEvent, decode_event
from perdure.kernel.identity import FencingToken, RunKey, RunRef, WorkerId, WorkflowVersion
from perdure.kernel.locking import LockEntry
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Outcome, Write
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery
from perdure.ports.keeping import FOREIGN_KEYS, ClosedQuery, WholeRun
from perdure.ports.store import (
    Changes,
    ClaimedRun,
    InboxEntry,
    LockQuery,
    Page,
    RunOrder,
    RunQuery,
    RunSummary,
    StoreStatus,
)
from perdure.ports.verification import Verification, VerificationWish
from perdure.stores.cursors import read_cursor, write_cursor
from perdure.stores.memory import keeping
from perdure.stores.memory.gate import CommitGate
from perdure.stores.memory.inboxes import inbox_of, rest_of_inbox
from perdure.stores.memory.locks import list_locks
from perdure.stores.memory.ownership import heed_clock
from perdure.stores.memory.tables import MemoryDatabase, News, Run, Session, give_back, publish, summarise
from perdure.stores.memory.writes import apply, prepare

__all__ = ["MemoryStore"]

T = TypeVar("T")


class MemoryStore:
    """One worker's session on a `MemoryDatabase`: a `perdure.ports.store.RunStore`."""

    def __init__(self, database: MemoryDatabase | None = None, *, gate: CommitGate | None = None) -> None:
        """Use `database`, or a new one. Without a `gate` a commit gives way to other tasks once, then is applied."""
        self.database = MemoryDatabase() if database is None else database
        self._gate = gate
        self._session: Session | None = None

    @property
    def location(self) -> str:
        """Where the data is."""
        return "memory"

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
        session.is_dead = True
        del self.database.sessions[session.worker]
        publish(self.database, session, news)

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

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None = None
    ) -> list[ClaimedRun]:
        """Take due runs, and parked ones. Complexity: linear in the runs that nobody owns."""
        session = await self._turn()
        heed_clock(self.database, session, now=now, again=False)
        _begin_leases(self.database, now)
        fitting = [run for run in self.database.waiting.values() if _needs(run) in workflows]
        due = [run for run in fitting if run.wake_at is not None and run.wake_at <= now]
        due.sort(key=_claim_order)
        ending = [run for run in self.database.waiting.values() if run.end_at is not None and run.end_at <= now]
        ending.sort(key=lambda run: (run.end_at, run.run_key))
        untried = [run for run in fitting if _is_untried(run, code)]
        untried.sort(key=lambda run: (run.priority, run.run_key))
        limit = max(limit, 0)
        chosen = {run.run_key: run for run in [*ending[: (limit + 1) // 2], *due, *ending, *untried]}
        return [_claim(self.database, run, session.worker) for run in [*chosen.values()][:limit]]

    async def next_wake_at(self, *, workflows: frozenset[WorkflowVersion]) -> Timestamp | None:
        """Return the earliest time at which a run that nobody owns comes due."""
        await self._turn()
        times = [
            run.wake_at
            for run in self.database.waiting.values()
            if run.wake_at is not None and _needs(run) in workflows
        ]
        times += [run.end_at for run in self.database.waiting.values() if run.end_at is not None]
        return min(times, default=None)

    async def renew_lease(self, *, now: Timestamp) -> bool:
        """Extend the lease. If it had passed, what the session still owned is given back and a new lease begins."""
        session = await self._turn()
        heed_clock(self.database, session, now=now, again=True)
        self.database.latest_time = max(self.database.latest_time, now)
        held = session.lease_until is None or session.lease_until > now
        session.lease_until = Timestamp(now + session.lease_microseconds)
        if not held:
            self._free({session.worker}, now)
        return held

    async def free_expired(self, *, now: Timestamp) -> int:
        """Give back the runs of sessions that were killed or whose lease has passed, and forget the killed ones."""
        await self._turn()
        _begin_leases(self.database, now)
        sessions = self.database.sessions
        gone = {worker for worker, session in sessions.items() if session.is_dead or _has_passed(session, now)}
        if not gone:
            return 0
        for worker in gone:
            if sessions[worker].is_dead:
                del sessions[worker]
        return self._free(gone, now)

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

    async def read_inbox(self, run_key: RunKey, *, limit: int = 1_000) -> list[InboxEntry]:
        """Return the oldest entries. Raises HistoryError for one that cannot be decoded."""
        await self._turn()
        return inbox_of(self.database, run_key)[: max(limit, 0)]

    async def read_rest_of_inbox(self, run_key: RunKey) -> list[InboxEntry]:
        """Return those entries that can be decoded."""
        await self._turn()
        return rest_of_inbox(self.database, run_key)

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
        is_newest_first = query.order is RunOrder.NEWEST_FIRST
        runs = sorted(self._matching(query), key=_creation_order, reverse=is_newest_first)
        if query.cursor:
            last = read_cursor(query.cursor)
            runs = [run for run in runs if _is_beyond(_creation_order(run), last, is_newest_first=is_newest_first)]
        shown = runs[: max(query.limit, 0)]
        has_more = bool(shown) and len(runs) > len(shown)
        return Page(
            runs=tuple(summarise(run) for run in shown),
            next_cursor=write_cursor(shown[-1].created_at, shown[-1].run_key) if has_more else "",
        )

    async def count_runs(self, query: RunQuery, *, most: int | None = None) -> int:
        """Return how many runs match, up to `most`. Complexity: linear in all runs."""
        await self._turn()
        return sum(1 for _ in islice(self._matching(query), most))

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
            await asyncio.sleep(0)
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
        await asyncio.sleep(0)
        return self._alive()

    def _free(self, workers: set[WorkerId], now: Timestamp) -> int:
        news = News()
        freed = [run for run in self.database.runs.values() if run.owner in workers]
        for run in freed:
            run.is_recovered = True
            give_back(self.database, run, now, news)
        publish(self.database, self._session, news)
        return len(freed)

    def _matching(self, query: RunQuery) -> Iterable["Run"]:
        runs = self.database.runs
        return (
            run
            for generations in self.database.generations.values()
            if _matches(run := runs[generations[max(generations)]], query)
        )


_SCHEMA_VERSION: Final = 1


def _claim(database: MemoryDatabase, run: Run, worker: WorkerId) -> ClaimedRun:
    is_recovered, run.is_recovered = run.is_recovered, False
    parked, run.parked = run.parked, None
    run.owner = worker
    run.fencing_token = FencingToken(run.fencing_token + 1)
    due_at, run.wake_at = run.wake_at, None
    del database.waiting[run.run_key]
    return ClaimedRun(
        summary=summarise(run),
        recovered=is_recovered,
        parked=parked,
        due_at=due_at,
        inbox_position=max(database.inboxes.get(run.run_key, ()), default=0),
    )


def _is_untried(run: Run, code: str | None) -> bool:
    return code is not None and run.parked is not None and code not in run.parked.tried


def _needs(run: Run) -> WorkflowVersion:
    return WorkflowVersion(run.workflow, run.definition_version)


def _claim_order(run: Run) -> tuple[int, int, int]:
    return (run.priority, run.wake_at or 0, run.run_key)


def _begin_leases(database: MemoryDatabase, now: Timestamp) -> None:
    for session in database.sessions.values():
        if session.lease_until is None:
            session.lease_until = Timestamp(now + session.lease_microseconds)
            database.latest_time = max(database.latest_time, now)


def _has_passed(session: Session, now: Timestamp) -> bool:
    return session.lease_until is not None and session.lease_until <= now


def _matches(run: Run, query: RunQuery) -> bool:
    return (
        run.ref.namespace == query.namespace
        and (not query.statuses or run.status in query.statuses)
        and (not query.workflows or run.workflow in query.workflows)
        and (not query.tenants or run.tenant in query.tenants)
        and (not query.priorities or run.priority in query.priorities)
        and query.labels.items() <= run.labels.items()
        and run.ref.id.startswith(query.id_prefix)
        and (run.parked is not None or not query.only_parked)
        and (query.parent_key is None or run.parent_key == query.parent_key)
        and (query.created_from is None or run.created_at >= query.created_from)
        and (query.created_until is None or run.created_at < query.created_until)
    )


def _creation_order(run: Run) -> tuple[int, int]:
    return (run.created_at, run.run_key)


def _is_beyond(place: tuple[int, int], last: tuple[int, int], *, is_newest_first: bool) -> bool:
    return place < last if is_newest_first else place > last
