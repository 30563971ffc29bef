"""The store of a simulated process: the memory store with latencies, outages, points, and a look at every commit."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from perdure.errors import StoreUnavailableError
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, RunKey, RunRef, WorkerId, WorkflowVersion
from perdure.kernel.tasks import TaskClaim
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied, Outcome, Park, Release, Seizure, Transition, Write
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaQuery
from perdure.ports.following import BYTES_AT_ONCE, HistoryPart, HistoryPlace, Standing
from perdure.ports.keeping import ClosedQuery, WholeRun
from perdure.ports.store import Changes, ClaimedRun, InboxEntry, RunSummary
from perdure.ports.tasks import ClaimedTask, ServedTasks, TaskCost
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.stores.memory.keeping import Prepared
from perdure.stores.memory.tables import News, Session
from perdure.torture.simulation.kinds import BROUGHT_IN, REMOVED, kinds_of_change, kinds_of_writes
from perdure.torture.simulation.lock_laws import broken_lock_laws
from perdure.torture.simulation.shadow import Shadow
from perdure.torture.simulation.tables import Tables
from perdure.torture.simulation.world import Process

__all__ = ["SimulatedStore"]


class SimulatedStore(MemoryStore):
    """A session of a simulated process. Calls take time before and after they have their effect.

    With a `shadow` each is done there too, in the same step, and the answers are compared.
    """

    commits_at_once = 1

    def __init__(
        self,
        database: MemoryDatabase,
        process: Process,
        shadow: Shadow | None = None,
        tables: Tables | None = None,
    ) -> None:
        """Open sessions on `database` for `process`. With a look at the `tables` the laws of locks are checked."""
        self._commits = _Gate(database, process, shadow, tables)
        super().__init__(database, gate=self._commits)
        self._process = process
        self._lag = process.lag
        self._point = partial(process.world.point, process)
        self._shadow = shadow
        self._tables = tables
        self._claimed: set[tuple[RunKey, FencingToken]] = set()
        self._tasks: set[TaskClaim] = set()

    async def open(self, *, session_name: str, lease_seconds: float, on_changes: Callable[[Changes], None]) -> WorkerId:
        """See `RunStore.open`."""
        self._refuse_during_outage()
        self.on_changes = on_changes
        worker = await super().open(session_name=session_name, lease_seconds=lease_seconds, on_changes=on_changes)
        session, now = self.database.sessions[worker], self._process.world.now()
        session.lease_until = Timestamp(now + session.lease_microseconds)
        session.known_time = self.database.latest_time = max(self.database.latest_time, now)
        if self._shadow is not None:
            self._shadow.open(worker, name=session_name, lease_microseconds=session.lease_microseconds, now=now)
        await self._point("after opening")
        return worker

    async def close(self) -> None:
        """See `RunStore.close`."""
        session = self._session
        await super().close()
        if self._shadow is not None and session is not None and session.worker not in self.database.sessions:
            self._shadow.close(session.worker)

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None = None
    ) -> list[ClaimedRun]:
        """See `RunStore.claim`."""
        await self._lag()
        self._refuse_during_outage()
        claimed = await super().claim(now=now, limit=limit, workflows=workflows, code=code)
        if self._shadow is not None:
            self._shadow.claim(self.worker, claimed, now=now, limit=limit, workflows=workflows, code=code)
        if claimed:
            await self._point("after claim")
        await self._lag()
        self._claimed |= {(run.summary.run_key, run.summary.fencing_token) for run in claimed}
        return claimed

    async def claim_tasks(
        self, *, now: Timestamp, limit: int, served: ServedTasks, costs: Sequence[TaskCost] = ()
    ) -> list[ClaimedTask]:
        """See `RunStore.claim_tasks`."""
        await self._lag()
        self._refuse_during_outage()
        claimed = await super().claim_tasks(now=now, limit=limit, served=served, costs=costs)
        if self._shadow is not None:
            self._shadow.claim_tasks(self.worker, claimed, now=now, limit=limit, served=served, costs=costs)
        if claimed:
            await self._point("after claiming tasks")
        await self._lag()
        self._tasks |= {one.claim for one in claimed}
        return claimed

    async def return_tasks(self, claims: Sequence[TaskClaim], *, begun: bool) -> None:
        """See `RunStore.return_tasks`."""
        await self._lag()
        self._refuse_during_outage()
        await super().return_tasks(claims, begun=begun)
        if self._shadow is not None:
            self._shadow.return_tasks(self.worker, claims, begun=begun)

    async def correct_costs(self, costs: Sequence[TaskCost], *, now: Timestamp) -> None:
        """See `RunStore.correct_costs`."""
        await self._lag()
        self._refuse_during_outage()
        await super().correct_costs(costs, now=now)
        if self._shadow is not None:
            self._shadow.correct_costs(self.worker, costs, now=now)

    async def held_tasks(self) -> set[TaskClaim]:
        """See `RunStore.held_tasks`."""
        self._refuse_during_outage()
        held = await super().held_tasks()
        if self._shadow is not None:
            self._shadow.held_tasks(self.worker, held)
        await self._lag()
        return held

    async def next_wake_at(self, *, workflows: frozenset[WorkflowVersion]) -> Timestamp | None:
        """See `RunStore.next_wake_at`."""
        await self._lag()
        self._refuse_during_outage()
        found = await super().next_wake_at(workflows=workflows)
        if self._shadow is not None:
            self._shadow.next_wake_at(found, workflows=workflows)
        await self._lag()
        return found

    async def renew_lease(self, *, now: Timestamp) -> bool:
        """See `RunStore.renew_lease`."""
        await self._lag()
        self._refuse_during_outage()
        kept = await super().renew_lease(now=now)
        if self._shadow is not None:
            self._shadow.renew(self.worker, kept, now=now)
        await self._lag()
        if not kept:
            self._process.lost |= self._claimed
            self._process.lost_tasks |= self._tasks
        return kept

    async def free_expired(self, *, now: Timestamp) -> int:
        """See `RunStore.free_expired`."""
        await self._lag()
        self._refuse_during_outage()
        freed = await super().free_expired(now=now)
        if self._shadow is not None:
            self._shadow.free_expired(self.worker, freed, now=now)
        if freed:
            await self._point("after freeing")
        return freed

    async def read_history(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[RecordedEvent]:
        """See `RunStore.read_history`."""
        self._refuse_during_outage()
        page = await super().read_history(run_key, after=after, limit=limit)
        if self._shadow is not None:
            self._shadow.read_history(page, run_key, after=after, limit=limit)
        await self._point("while loading")
        await self._lag()
        return page

    async def list_standings(
        self, *, workflows: frozenset[WorkflowVersion], limit: int, among: Collection[RunKey] | None = None
    ) -> list[Standing]:
        """See `RunStore.list_standings`."""
        await self._lag()
        self._refuse_during_outage()
        found = await super().list_standings(workflows=workflows, limit=limit, among=among)
        if self._shadow is not None:
            self._shadow.list_standings(self.worker, found, workflows=workflows, limit=limit, among=among)
        await self._lag()
        return found

    async def read_on(
        self, places: Mapping[RunKey, HistoryPlace], *, limit: int, most_bytes: int = BYTES_AT_ONCE
    ) -> list[HistoryPart]:
        """See `RunStore.read_on`."""
        await self._lag()
        self._refuse_during_outage()
        parts = await super().read_on(places, limit=limit, most_bytes=most_bytes)
        if self._shadow is not None:
            self._shadow.read_on(parts, places)
        await self._point("while following")
        await self._lag()
        return parts

    async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
        """See `RunStore.read_inbox`."""
        await self._lag()
        self._refuse_during_outage()
        entries = await super().read_inbox(run_key, after=after, limit=limit)
        if self._shadow is not None:
            self._shadow.read_inbox(entries, run_key, after=after, limit=limit)
        await self._lag()
        return entries

    async def find(self, ref: RunRef | RunKey, *, latest: bool = True) -> RunSummary | None:
        """See `RunStore.find`."""
        self._refuse_during_outage()
        found = await super().find(ref, latest=latest)
        if self._shadow is not None:
            self._shadow.find(found, ref, latest=latest)
        await self._lag()
        return found

    async def find_by_request(self, namespace: str, request_id: str) -> RunSummary | None:
        """See `RunStore.find_by_request`."""
        await self._lag()
        self._refuse_during_outage()
        found = await super().find_by_request(namespace, request_id)
        if self._shadow is not None:
            self._shadow.find_by_request(found, namespace, request_id)
        await self._lag()
        return found

    async def change_agenda(self, change: AgendaChange) -> bool:
        """See `RunStore.change_agenda`: a commit, with its points."""
        await self._lag()
        self._commits.about = kinds_of_change(change)
        return await super().change_agenda(change)

    async def list_closed(self, query: ClosedQuery) -> list[RunSummary]:
        """See `RunStore.list_closed`."""
        await self._lag()
        self._refuse_during_outage()
        found = await super().list_closed(query)
        if self._shadow is not None:
            self._shadow.list_closed(found, query)
        return found

    async def read_whole(self, run_key: RunKey, *, decrypts: bool = False) -> WholeRun | None:
        """See `RunStore.read_whole`."""
        await self._lag()
        self._refuse_during_outage()
        return await super().read_whole(run_key, decrypts=decrypts)

    async def bring_in(self, run: WholeRun, *, sealed_as: RunKey) -> Outcome:
        """See `RunStore.bring_in`: a commit, with its points."""
        await self._lag()
        self._commits.about = frozenset({BROUGHT_IN})
        return await super().bring_in(run, sealed_as=sealed_as)

    def _bring_in(self, run: WholeRun, prepared: Prepared, news: News) -> Outcome:
        outcome = super()._bring_in(run, prepared, news)
        if self._shadow is not None:
            self._shadow.bring_in(outcome, run)
        return outcome

    async def remove_runs(self, run_keys: Sequence[RunKey]) -> list[RunKey]:
        """See `RunStore.remove_runs`: a commit, with its points."""
        await self._lag()
        self._commits.about = frozenset({REMOVED})
        return await super().remove_runs(run_keys)

    def _remove(self, run_keys: Sequence[RunKey], news: News) -> list[RunKey]:
        ids = {key: run.ref.id for key in run_keys if (run := self.database.runs.get(key)) is not None}
        removed = super()._remove(run_keys, news)
        if self._tables is not None:
            self._tables.removed.update((key, ids[key]) for key in removed)
        if self._shadow is not None:
            self._shadow.remove(removed, run_keys)
        return removed

    async def list_agenda(self, query: AgendaQuery) -> list[AgendaEntry]:
        """See `RunStore.list_agenda`."""
        self._refuse_during_outage()
        entries = await super().list_agenda(query)
        if entries:
            await self._point("after reading the agenda")
        await self._lag()
        return entries

    async def pass_point(self, name: str) -> None:
        """Let the plan strike here, where a process does something durable past its store."""
        await self._point(name)

    async def _turn(self) -> Session:
        if self._process.world.would_go_on(self._process):
            return self._alive()
        return await super()._turn()

    async def lag(self) -> None:
        """Take as long as a call takes."""
        await self._lag()

    def _refuse_during_outage(self) -> None:
        _refuse_during_outage(self._process)


class _Gate:
    """Every commit passes a point before and after it is applied, takes its time, and is looked at.

    `about` is what the next one is about, if not of writes.
    """

    def __init__(
        self, database: MemoryDatabase, process: Process, shadow: Shadow | None, tables: Tables | None
    ) -> None:
        self._database = database
        self._tables = tables
        self._process = process
        self._shadow = shadow
        self.about: frozenset[str] = frozenset()
        self._applied: tuple[Sequence[Write], frozenset[str]] = ((), frozenset())

    async def before(self, worker: WorkerId, writes: Sequence[Write]) -> None:
        """See `CommitGate.before`."""
        del worker
        about, self.about = self.about or kinds_of_writes(writes), frozenset()
        await self._process.world.point(self._process, "before commit", about)
        await self._process.lag()
        _refuse_during_outage(self._process)
        self._applied = writes, about

    async def after(self, worker: WorkerId, outcomes: Sequence[Outcome]) -> None:
        """See `CommitGate.after`."""
        world, (writes, about) = self._process.world, self._applied
        world.has_changed = True
        for look in world.on_commit:
            look()
        if self._shadow is not None:
            self._shadow.commit(worker, writes, outcomes)
        released = {write.run_key for write in writes if isinstance(write, Release | Park | Seizure)}
        for write, outcome in zip(writes, outcomes, strict=True):
            if type(write) is Transition and type(outcome) is Applied and write.run_key not in released:
                self._check_ownership(worker, write)
        if self._tables is not None and any(type(write) is Transition and write.locks for write in writes):
            world.findings += broken_lock_laws(self._tables)
        await world.point(self._process, "after commit", about)
        await self._process.lag()

    def _check_ownership(self, worker: WorkerId, write: Transition) -> None:
        """Say the rule of fencing once more, where a slip in the store's own check would show."""
        run = self._database.runs.get(write.run_key)
        if run is None:
            return
        owner_allowed = run.owner == worker or (run.owner is None and run.status.is_closed)
        if run.fencing_token != write.fencing_token or not owner_allowed:
            self._process.world.findings.append(
                f"run {run.ref}: a transition under token {write.fencing_token} of session {worker} was applied, "
                f"though the row holds token {run.fencing_token} and owner {run.owner}"
            )


def _refuse_during_outage(process: Process) -> None:
    world = process.world
    if world.now_microseconds < world.unavailable_until:
        raise StoreUnavailableError("the simulated store is away at the moment; nothing was saved")
