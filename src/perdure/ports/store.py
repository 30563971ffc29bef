"""The store: durable rows for runs, histories and inboxes, with atomic commits, claims, leases and queries.

**Promise.** `commit` applies each write whole or not at all, and answers only when what it answers `Applied` for is
durable. An exception from `commit` means that *none* of the batch is applied: a store that cannot tell (a COMMIT that
raised) settles it by re-reading before it answers.

**Ownership.** A store is opened with one *session* (`worker_id`): a row with a lease that `renew_lease` extends. A run
row names its owner's session. `free_expired` gives back the runs of sessions that are known to be dead or whose lease
has passed; a claim raises the run's fencing token, which refuses the old owner's writes.

**Clock.** `now` may go back. What waits for no time of its own is due nonetheless, as soon as a claim or a renewal
brings such a `now`; and no lease lasts longer than its length from then on, as soon as a renewal brings less than what
was noted when its session began or last renewed its lease: other calls may only come late. Both again with each renewal
for a lease, since what was decided before may be committed after that. `now` is read right before a call.

**Threads.** All methods are called on the event loop's thread and do their blocking work elsewhere.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import DEFAULT_NAMESPACE, FencingToken, RunKey, RunRef, WorkerId, WorkflowVersion
from perdure.kernel.locking import LockEntry
from perdure.kernel.messages import Message
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import TaskClaim
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.kernel.transition import Creation, Outcome, Parking, RunStatus, Write
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery
from perdure.ports.clock import Clock
from perdure.ports.following import BYTES_AT_ONCE, HistoryPart, HistoryPlace, Standing
from perdure.ports.tasks import ClaimedTask, ServedTasks, ServerSummary, Serving, TaskCost, TaskQuery, TaskSummary
from perdure.ports.transactions import StepTransaction
from perdure.ports.verification import Verification, VerificationWish

if TYPE_CHECKING:
    from perdure.ports.keeping import ClosedQuery, WholeRun

__all__ = [
    "Changes",
    "ClaimedRun",
    "InboxEntry",
    "LockQuery",
    "Page",
    "RunOrder",
    "RunQuery",
    "RunStore",
    "RunSummary",
    "RunTimes",
    "StoreStatus",
]


class RunTimes(msgspec.Struct, frozen=True, kw_only=True):
    """When things happened to a run, in UTC; None where it has not happened. `wake_at` is when it is due again, while
    nobody runs it."""

    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    closed_at: datetime | None
    wake_at: datetime | None


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A run's row. `owner` is the session that runs it now; `wake_at` is set only while nobody does, and `parked` only
    while it is not tried whether code can go on with it.

    `stage` is the last one entered ("" before the first), `progress` goes from 0 to 1 at completion, `sequence` counts
    the events so far. Times are microseconds since 1970, UTC, as they are stored (None where it has not happened);
    `times` has them as datetimes. `damage` says what of the row cannot be read and was left out here, empty: nothing.
    """

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
    parked: Parking | None = None
    damage: str = ""

    @property
    def id(self) -> str:
        """The run's business key."""
        return self.ref.id

    @property
    def times(self) -> RunTimes:
        """The times as aware datetimes."""
        return RunTimes(
            created_at=timestamp_to_datetime(self.created_at),
            started_at=_moment(self.started_at),
            updated_at=timestamp_to_datetime(self.updated_at),
            closed_at=_moment(self.closed_at),
            wake_at=_moment(self.wake_at),
        )


class InboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A message in an inbox; entries of a run are consumed in the order of `position`."""

    position: int
    message: Message
    message_id: str
    at: Timestamp


class ClaimedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that this session owns from now on. `recovered` says that its last owner died holding it, `parked` how it
    was parked until now, `due_at` when it was to be claimed by whoever has its code (None: when a message comes), and
    `inbox_position` which message of its inbox is the last (0: none is there)."""

    summary: RunSummary
    recovered: bool
    parked: Parking | None = None
    due_at: Timestamp | None = None
    inbox_position: int = 0


class RunOrder(StrEnum):
    """Order of a listing, by creation."""

    NEWEST_FIRST = "newest_first"
    OLDEST_FIRST = "oldest_first"


class RunQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list. Every condition narrows; an empty one does not. Only latest generations are listed.

    `labels` must all be present with these values. Times bound the creation (from inclusive, until exclusive).
    `only_parked`: see `RunSummary.parked`.
    `cursor` is `Page.next_cursor` of the page before; pages are stable under new runs (keyset paging).
    """

    namespace: str = DEFAULT_NAMESPACE
    statuses: frozenset[RunStatus] = frozenset()
    workflows: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    priorities: frozenset[Priority] = frozenset()
    labels: dict[str, str] = {}
    id_prefix: str = ""
    only_parked: bool = False
    parent_key: RunKey | None = None
    created_from: Timestamp | None = None
    created_until: Timestamp | None = None
    order: RunOrder = RunOrder.NEWEST_FIRST
    limit: int = 100
    cursor: str = ""


class LockQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries of the lines of locks: of a namespace, of a key, of a run (None: any).

    In the order in which they were requested; `after` is the position of the last entry of the page before.
    """

    namespace: str = DEFAULT_NAMESPACE
    key: str | None = None
    run_key: RunKey | None = None
    after: int = 0
    limit: int = 1_000


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of runs; `next_cursor` is empty on the last.

    Another may have fewer runs than were asked for, even none: a search that finds little ends its page after so many
    rows, and the next one goes on from there.
    """

    runs: tuple[RunSummary, ...]
    next_cursor: str = ""


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """News of commits made by other processes. Empty `run_keys` with `everything` set means: look at all you watch.

    `ready`: a run may be claimed. `queued`: a task may be. `parked`: a run was parked. `agenda`: entries of the agenda
    have changed.
    """

    run_keys: frozenset[RunKey] = frozenset()
    ready: bool = False
    queued: bool = False
    parked: bool = False
    everything: bool = False
    agenda: bool = False


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `doctor` shows: where the data is, its schema version, sizes, versions and settings read back."""

    location: str
    schema_version: int
    size_bytes: int
    facts: dict[str, str]


class RunStore(Protocol):
    """Durable state of all runs. See the module's docstring for the promises."""

    @property
    def location(self) -> str:
        """Where the data is, for people: a path or a URL without secrets."""
        ...

    @property
    def clock(self) -> Clock:
        """The time of all who use this store: that of the machine for a file, that of the server for a server's."""
        ...

    @property
    def commits_at_once(self) -> int:
        """How many calls of `commit` may usefully be under way at once; 1: the second would wait for the first."""
        ...

    async def open(self, *, session_name: str, lease_seconds: float, on_changes: Callable[[Changes], None]) -> WorkerId:
        """Open (and create or migrate) the database, begin a session, and listen for other processes' commits.

        `on_changes` is called on the event loop's thread. Raises a StoreError when the database cannot be used.
        """
        ...

    async def close(self) -> None:
        """Give back every run of this session, end the session and let go of the database."""
        ...

    def is_alone(self) -> bool:
        """Whether no other session has committed anything so far of which no news have come; False if that is unknown.

        Asked on the event loop's thread, and answered without waiting.
        """
        ...

    def new_run_key(self) -> RunKey:
        """Return a key never given out before, without waiting for anything."""
        ...

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Apply writes in one database transaction; return one outcome per write, in order, once they are durable.

        Raises a StoreError (StoreUnavailableError where trying again later makes sense); then nothing was applied.
        """
        ...

    async def transact(self, step: StepTransaction) -> Outcome:
        """Make a step in a transaction of its own, and commit its outcome with it, by the inbox of its run.

        Answers `Applied` once that is durable, or `Stale` if the run is not the owner's any more: then nothing of it is
        saved, as when it raises. Raises what the step raises, UsageError where there is no such transaction here,
        and StoreErrors.
        """
        ...

    async def create_within(self, transaction: object, creation: Creation) -> tuple[Outcome, RunSummary | None]:
        """Create a run, the first of its id, within a transaction of the caller's on a connection to this database.

        It is there, and workers hear of it, once the caller commits that. Answers `Applied` or `Exists`, and, where
        nothing is written, the run that has the request, or the id, as the transaction sees it. Raises UsageError for
        what is no such transaction, and what the driver of the connection raises: then nothing is written, either, and
        the caller's transaction is as it was, unless the driver says otherwise.
        """
        ...

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None = None
    ) -> list[ClaimedRun]:
        """Take at most `limit` due runs nobody owns that need these: the best class, then the longest due first.

        Before them runs that are due to be ended (`Release.end_at`), whatever they need, but for at most half of the
        limit while others are due; and with `code`, after all, parked ones that need these and that this code has not
        tried.
        """
        ...

    async def next_wake_at(self, *, workflows: frozenset[WorkflowVersion]) -> Timestamp | None:
        """Return when the next run that nobody owns comes due (possibly past), to go on or to be ended, or None."""
        ...

    async def renew_lease(self, *, now: Timestamp) -> bool:
        """Extend this session's lease. False: it had passed and the session's runs may belong to others now."""
        ...

    async def free_expired(self, *, now: Timestamp) -> int:
        """Give back the runs of dead sessions and of sessions whose lease has passed; return how many runs."""
        ...

    async def read_history(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[RecordedEvent]:
        """Return the next events after sequence `after`, at most `limit`. Raises HistoryError for damaged rows."""
        ...

    async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
        """Return the oldest entries of a run's inbox behind a position. Raises HistoryError for damaged ones there."""
        ...

    async def read_rest_of_inbox(self, run_key: RunKey) -> list[InboxEntry]:
        """Return those entries of a run's inbox that can be read, however many of the others are damaged."""
        ...

    async def list_standings(
        self, *, workflows: frozenset[WorkflowVersion], limit: int, among: Collection[RunKey] | None = None
    ) -> list[Standing]:
        """Return where open runs of these workflows stand that other sessions own, the last moved first.

        With `among` only of these runs; of them also of those that nobody owns since their owner has died.
        """
        ...

    async def read_on(
        self, places: Mapping[RunKey, HistoryPlace], *, limit: int, most_bytes: int = BYTES_AT_ONCE
    ) -> list[HistoryPart]:
        """Return what comes next in histories of which these places are known, as at one moment, at most `limit` events
        in all, from 2 on, and no more behind that with which they are `most_bytes`, as they are stored. Where
        a store keeps events that were committed together as one, up to 100, they count as one and come together.

        Left out are runs that do not exist, whose events are damaged or unreadable, and whose history does not have the
        place that is said to be known of it.
        """
        ...

    async def find(self, ref: RunRef | RunKey, *, latest: bool = True) -> RunSummary | None:
        """Return a run's row: by key; or by ref, its latest generation (or exactly that one, with `latest` False)."""
        ...

    async def find_by_request(self, namespace: str, request_id: str) -> RunSummary | None:
        """Return the row of the run that was created with a request id."""
        ...

    async def list_runs(self, query: RunQuery) -> Page:
        """Return one page of runs."""
        ...

    async def count_runs(self, query: RunQuery, *, most: int | None = None) -> int:
        """Return how many runs match, regardless of limit and cursor; with `most`, counting ends at so many."""
        ...

    async def change_agenda(self, change: AgendaChange) -> bool:
        """Apply a change and return True once it is durable; False, and nothing is applied, if the version differs.

        Raises a StoreError; then nothing was applied.
        """
        ...

    async def find_agenda(self, key: AgendaKey) -> AgendaEntry | None:
        """Return an entry of the agenda."""
        ...

    async def list_agenda(self, query: AgendaQuery) -> list[AgendaEntry]:
        """Return one page of entries."""
        ...

    async def next_agenda_at(self, *, after: Timestamp | None = None) -> Timestamp | None:
        """Return when the next entry comes due, later than `after` (None: possibly past), or None."""
        ...

    async def claim_tasks(
        self, *, now: Timestamp, limit: int, served: ServedTasks, costs: Sequence[TaskCost] = ()
    ) -> list[ClaimedTask]:
        """Take at most `limit` tasks nobody has that are `served`: the best class first, then by turns of those who
        share a queue (`Task.share`), by what their tasks take, then the longest queued.

        `costs`: how much longer or shorter than expected tasks have taken that this session had, told once each. How
        turns are taken stands in `perdure.stores.task_shares`, which all stores follow.

        One that is kept for another session (`Task.sticky_to`) is passed over until `Task.sticky_until`, unless that
        session has ended, or is known to be dead.

        A run whose task tells of its start (`Task.tells_start`) gets a message of it, in the same transaction.

        What fails for one task alone is told with it (`ClaimedTask.trouble`, `obstacle`), not raised: the claims of
        which nobody knows would be given back as if they had been begun.
        """
        ...

    async def announce(self, serving: Serving) -> None:
        """Let others know which queues this session serves, and which labels it has, until it ends."""
        ...

    async def list_servers(self) -> list[ServerSummary]:
        """Return the sessions that have announced something, in the order in which they began."""
        ...

    async def next_task_at(self, *, now: Timestamp, served: ServedTasks) -> Timestamp | None:
        """Return when the next task of these queues is kept for another session no longer, or None."""
        ...

    async def return_tasks(self, claims: Sequence[TaskClaim], *, begun: bool) -> None:
        """Let others claim tasks that this session has claimed, and may have `begun`; what it has no more stays.

        Whoever claims one learns of that (`recovered`), however often it was claimed and given back since.
        """
        ...

    async def correct_costs(self, costs: Sequence[TaskCost], *, now: Timestamp) -> None:
        """Correct what was charged for tasks that this session had, as `claim_tasks` does, without claiming any."""
        ...

    async def held_tasks(self) -> set[TaskClaim]:
        """Return this session's claims: those that the runs still want an outcome of, and no other session has."""
        ...

    async def list_tasks(self, query: TaskQuery) -> list[TaskSummary]:
        """Return one page of tasks, waiting and claimed, in the order in which they are claimed."""
        ...

    async def list_locks(self, query: LockQuery) -> list[LockEntry]:
        """Return one page of entries in the lines of locks: who holds what, and who waits."""
        ...

    async def verify(self, wish: VerificationWish) -> Verification:
        """Return what is not as it was written, in this store or of one run, and mend of it what is wished.

        Raises a StoreError where nothing can be read at all.
        """
        ...

    async def read_whole(self, run_key: RunKey, *, decrypts: bool = False) -> "WholeRun | None":
        """Return everything of one generation as it stands at one moment. See `perdure.ports.keeping`.

        Values that a codec keeps secret are as they are stored unless `decrypts`. Raises HistoryError for damaged rows.
        """
        ...

    async def bring_in(self, run: "WholeRun", *, sealed_as: RunKey) -> Outcome:
        """Insert a run whole, owned by nobody, unless its key, its generation or its start's request is taken.

        Answers `Applied`, or `Exists` with the run in the way: also one of the same id whose times contradict. Locks
        and who owned it are left out. Values that are encrypted were so for the run key `sealed_as`.
        """
        ...

    async def origins_of(self, run_keys: Collection[RunKey]) -> dict[RunKey, int]:
        """Return of each of these keys that was given out here where that was: a number that only this database has,
        and copies that were made of it since. Two databases mean the same run by a key if both say the same of it."""
        ...

    async def list_closed(self, query: "ClosedQuery") -> list[RunSummary]:
        """Return one page of closed runs that nothing open needs, of all generations."""
        ...

    async def remove_runs(self, run_keys: Sequence[RunKey]) -> list[RunKey]:
        """Remove these, in this order, with all their rows; return which: only closed runs that nothing open needs.

        Each is gone at once, its rows by and by, in transactions of at most `REMOVED_ROWS`; an interruption between
        these leaves rows that no run has, which the next call removes.
        """
        ...

    async def unremovable(self, run_keys: Sequence[RunKey]) -> list[RunKey]:
        """Return those that `remove_runs` leaves, since their rows lie on damaged pages or beside them.

        It costs as much as to remove them.
        """
        ...

    async def status(self) -> StoreStatus:
        """Return facts for an operator."""
        ...


def _moment(instant: Timestamp | None) -> datetime | None:
    return None if instant is None else timestamp_to_datetime(instant)
