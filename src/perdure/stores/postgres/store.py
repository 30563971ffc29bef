"""The PostgreSQL store as the engine sees it: the port `RunStore`."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

from perdure.errors import StoreError, UsageError
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef, WorkerId, WorkflowVersion
from perdure.kernel.locking import LockEntry
from perdure.kernel.tasks import TaskClaim
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Creation, Outcome, Write
from perdure.logs import Recurring
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery
from perdure.ports.clock import Clock
from perdure.ports.following import BYTES_AT_ONCE, HistoryPart, HistoryPlace, Standing
from perdure.ports.keeping import ClosedQuery, WholeRun
from perdure.ports.store import Changes, ClaimedRun, InboxEntry, LockQuery, Page, RunQuery, RunSummary, StoreStatus
from perdure.ports.tasks import ClaimedTask, ServedTasks, ServerSummary, Serving, TaskCost, TaskQuery, TaskSummary
from perdure.ports.transactions import StepTransaction
from perdure.ports.verification import Verification, VerificationWish
from perdure.stores.announcing import Announcer
from perdure.stores.memory.tables import News
from perdure.stores.postgres import agenda, following, keeping, reading, searching, sessions, tasks, verification
from perdure.stores.postgres.clock import ServerClock
from perdure.stores.postgres.connection import Connection, connect_for_session, driver_errors, end
from perdure.stores.postgres.faults import store_error
from perdure.stores.postgres.home import Home
from perdure.stores.postgres.identity import identity_of
from perdure.stores.postgres.keeping import KEYS_PER_SESSION_BITS
from perdure.stores.postgres.open_session import OpenSession
from perdure.stores.postgres.opening import demand_same_database, demand_suitable, has_tables, reached
from perdure.stores.postgres.processes import own_process
from perdure.stores.postgres.schema import prepare_schema
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.status import read_status
from perdure.stores.postgres.step_pools import connections_of
from perdure.stores.postgres.urls import location_of
from perdure.stores.postgres.within import create_within

__all__ = ["PostgresStore"]

Result = TypeVar("Result")

_KEY_COUNT_MASK: Final = (1 << KEYS_PER_SESSION_BITS) - 1


class PostgresStore:
    """One session on a database."""

    def __init__(
        self,
        url: str,
        *,
        settings: PostgresSettings | None = None,
        clock: Clock | None = None,
        transaction_pool: object | None = None,
    ) -> None:
        """Prepare; `open` does the work. `clock`: what is taken for the time, instead of the server's.
        `transaction_pool`: where steps get their connections (the store's own): a pool of asyncpg or psycopg, or an
        engine of SQLAlchemy's. Raises UsageError for what is no such pool."""
        self._pool: Final = None if transaction_pool is None else connections_of(transaction_pool)
        self._url: Final = url
        self._settings: Final = settings or PostgresSettings()
        self.clock: Final[Clock] = clock or ServerClock()
        self._opened: OpenSession | None = None
        self._announcer: Announcer | None = None
        self._next_run_key = 0

    @property
    def location(self) -> str:
        """The URL without user and password."""
        return f"{location_of(self._url)} (schema {self._settings.schema})"

    @property
    def commits_at_once(self) -> int:
        """As many as the settings say."""
        return self._settings.lanes

    async def open(self, *, session_name: str, lease_seconds: float, on_changes: Callable[[Changes], None]) -> WorkerId:
        """Connect, create or upgrade the tables, and begin a session. Raises UsageError and StoreErrors."""
        if self._opened is not None:
            raise UsageError("this store is open already: each session needs a store of its own")
        async with self._named("opening"):
            opened = await self._open(session_name, lease_seconds, on_changes)
        self._opened = opened
        self._announcer = Announcer(self.find, opened.tell_of_run, on_changes)
        opened.take_over(self._free_dead())
        self._next_run_key = opened.session.worker_id << KEYS_PER_SESSION_BITS
        return opened.session.worker_id

    async def has_tables(self) -> bool:
        """Whether a Perdure has made its tables here; nothing is changed. Raises UsageError and StoreErrors."""
        async with self._named("opening"):
            connection = await reached(connect_for_session(self._url, self._settings))
            try:
                return await has_tables(connection, schema=self._settings.schema)
            finally:
                await end(connection)

    async def _open(
        self, session_name: str, lease_seconds: float, on_changes: Callable[[Changes], None]
    ) -> OpenSession:
        settings = self._settings.for_lease(lease_seconds)
        home = Home(self._url, settings, self.clock, on_changes=on_changes)
        try:
            connection = await reached(home.connect())
            await demand_suitable(connection, schema=self._settings.schema, location=self.location)
            await prepare_schema(connection, schema=self._settings.schema, location=self.location, now=self.clock.now())
            session = sessions.SessionRow(
                worker_id=WorkerId(await connection.fetchval("SELECT nextval('worker_ids')")),
                name=session_name,
                host=socket.gethostname(),
                pid=os.getpid(),
                process=own_process(),
                started_at=self.clock.now(),  # tables may have been upgraded for long
                lease_microseconds=round(lease_seconds * MICROSECONDS_PER_SECOND),
            )
            identity = await identity_of(connection)
            if self._settings.session_url:
                await demand_same_database(self._url, self._settings, identity)
            await home.begin(session.worker_id)
            async with connection.transaction():
                origin = secrets.randbits(62)
                surroundings = await sessions.begin_session(
                    connection, session, lanes=self._settings.writers, origin=origin
                )
            home.keep()
        except BaseException:
            home.abandon()
            raise
        return OpenSession(
            self._url,
            settings,
            session,
            home,
            surroundings=surroundings,
            location=self.location,
            identity=identity,
            pool=self._pool,
        )

    async def close(self) -> None:
        """Give back every run of this session, end it and let go of the connections. Closing twice does nothing."""
        opened = self._opened
        if opened is None:
            return
        await self._announcing().close()
        self._opened = self._announcer = None
        is_unused = not self._next_run_key & _KEY_COUNT_MASK
        try:
            await opened.finish()
            await opened.change(
                lambda connection, news: sessions.give_back_all(connection, opened.session, news), is_last=True
            )
            if await opened.home.finish():
                await opened.change(
                    lambda connection, _: sessions.end_session(connection, opened.session, is_unused=is_unused),
                    is_last=True,
                )
        finally:
            await opened.close()

    def abandon(self) -> None:
        """Let go of the connections as the kernel does for a dead process: nothing is given back, nothing removed.

        Serves tests of what follows a death.
        """
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.abandon()

    def is_alone(self) -> bool:
        """Answer that it is not known."""
        return False

    def new_run_key(self) -> RunKey:
        """Return a key never given out before: the session's number and a count."""
        self._next_run_key += 1
        if not self._next_run_key & _KEY_COUNT_MASK:
            raise StoreError(f"the session on {self.location} has given out all its run keys; close and open the store")
        return RunKey(self._next_run_key)

    # --- to write ----------------------------------------------------------------------------------------------------

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Apply writes in one transaction; return their outcomes once they are durable. See the port."""
        return await self._open_now().tell_of(lambda commits: commits.commit(writes))

    async def transact(self, step: StepTransaction) -> Outcome:
        """Make a step in a transaction; `step.perform` is given an asyncpg connection. See the port."""
        return await self._open_now().transactions.make(step)

    async def create_within(self, transaction: object, creation: Creation) -> tuple[Outcome, RunSummary | None]:
        """Create a run on an asyncpg or a psycopg connection, or one of SQLAlchemy over these. See the port."""
        opened, announcer, schema = self._open_now(), self._announcing(), self._settings.schema
        outcome, existing = await create_within(
            transaction, creation, opened.commits, schema=schema, identity=opened.identity
        )
        if existing is None:
            announcer.expect(creation.run_key)
        return outcome, existing

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None = None
    ) -> list[ClaimedRun]:
        """Take due runs that nobody owns, and parked ones that `code` has not tried."""
        opened = self._open_now()
        claiming = partial(sessions.claim, session=opened.session, now=now, limit=limit, workflows=workflows, code=code)
        claimed = await opened.change(lambda connection, news: claiming(connection, news=news))
        for run in claimed:
            opened.commits.heads.expect(run.summary.run_key)
        return claimed

    async def claim_tasks(
        self, *, now: Timestamp, limit: int, served: ServedTasks, costs: Sequence[TaskCost] = ()
    ) -> list[ClaimedTask]:
        """Take tasks that nobody has."""
        opened = self._open_now()
        claiming = partial(tasks.claim_tasks, session=opened.session, now=now, limit=limit, served=served, costs=costs)
        deliver = opened.commits.decide_within
        taken = await opened.change(lambda connection, news: claiming(connection, news=news, deliver=deliver))
        opened.home.hear_of_tasks(taken)
        return taken.claimed

    async def return_tasks(self, claims: Sequence[TaskClaim], *, begun: bool) -> None:
        """Let others claim what this session has."""
        opened = self._open_now()
        returning = partial(tasks.return_tasks, session=opened.session, claims=claims, begun=begun)
        await opened.change(lambda connection, news: returning(connection, news=news))

    async def correct_costs(self, costs: Sequence[TaskCost], *, now: Timestamp) -> None:
        """Correct what was charged for tasks."""
        if costs:
            session = self._open_now().session
            await self._open_now().change(
                lambda connection, _: tasks.correct_costs(connection, session, costs=costs, now=now)
            )

    async def next_wake_at(self, *, workflows: frozenset[WorkflowVersion]) -> Timestamp | None:
        """Return when the next run that nobody owns comes due."""
        return await self._ask(lambda connection: sessions.next_wake_at(connection, workflows))

    async def renew_lease(self, *, now: Timestamp) -> bool:
        """Extend the lease. If it had passed, what the session still owned is given back and a new lease begins."""
        return await self._open_now().renew(now)

    async def free_expired(self, *, now: Timestamp) -> int:
        """Give back the runs of sessions whose process has ended (known soon, and then done without being asked for,
        too) or whose lease has passed."""
        opened = self._open_now()
        missed = await self._ask(opened.home.find_dead)

        async def free(connection: Connection, news: News) -> sessions.Freed:
            dead = missed.intersection(await opened.home.absent(connection)) if missed else missed
            return await sessions.free_expired(connection, opened.session, news, now=now, dead=dead)

        freed = await opened.change(free)
        if freed.runs or freed.dead:
            opened.home.tell_everything()
        return freed.runs

    async def _free_dead(self) -> None:
        """Give back what the dead owned whenever somebody is found dead, for ever."""
        recurring = Recurring("perdure.store", asyncio.get_running_loop().time)
        opened = self._open_now()
        while True:
            await opened.home.wait_for_dead()
            try:
                await self.free_expired(now=self.clock.now())
            except Exception as error:  # noqa: BLE001 - a service loop: only the closing of the store ends it
                recurring.warning("giving back what dead sessions owned failed: %s", error, cause=error)

    async def change_agenda(self, change: AgendaChange) -> bool:
        """Apply a change in one transaction; False if its version has passed. See the port."""
        put = partial(agenda.change_entry, change=change)
        return await self._open_now().tell_of(lambda commits: commits.change_agenda(put, change))

    async def bring_in(self, run: WholeRun, *, sealed_as: RunKey) -> Outcome:
        """Insert a run whole, in one transaction. See the port."""
        del sealed_as
        opened = self._open_now()
        bringing = partial(keeping.bring_in, run=run, in_blocks=opened.commits.in_blocks)
        return await opened.change(lambda connection, news: bringing(connection, news=news))

    async def remove_runs(self, run_keys: Sequence[RunKey]) -> list[RunKey]:
        """Remove closed runs that nothing open needs. See the port."""
        if not run_keys:
            return []
        return await self._open_now().change(lambda connection, news: keeping.remove(connection, run_keys, news))

    async def unremovable(self, run_keys: Sequence[RunKey]) -> list[RunKey]:
        """Return none: whether pages are damaged is for the server to say."""
        del run_keys
        self._open_now()
        return []

    # --- to ask ------------------------------------------------------------------------------------------------------

    async def read_history(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[RecordedEvent]:
        """Return events in their order. Raises HistoryError for gaps and damaged rows."""
        opened, page = self._open_now(), reading.Page(run_key, after, limit)
        async with self._named("reading"):
            rows = await opened.histories.ask(page)
        events, head = reading.events_of(page, rows)
        if head is not None:
            opened.commits.heads.learn(run_key, head)
        return events

    async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
        """Return the oldest entries behind a position. Raises HistoryError for one that is damaged."""
        async with self._named("reading"):
            return reading.messages_of(run_key, await self._open_now().inboxes.ask(reading.Page(run_key, after, limit)))

    async def read_rest_of_inbox(self, run_key: RunKey) -> list[InboxEntry]:
        """Return those entries that are as they were written."""
        return await self._ask(lambda connection: reading.read_rest_of_inbox(connection, run_key))

    async def list_standings(
        self, *, workflows: frozenset[WorkflowVersion], limit: int, among: Collection[RunKey] | None = None
    ) -> list[Standing]:
        """Return where runs of others stand."""
        worker = self._open_now().session.worker_id
        listing = partial(following.list_standings, worker=worker, workflows=workflows, limit=limit, among=among)
        return await self._ask(listing)

    async def read_on(
        self, places: Mapping[RunKey, HistoryPlace], *, limit: int, most_bytes: int = BYTES_AT_ONCE
    ) -> list[HistoryPart]:
        """Return what comes next in histories."""
        opened, read = self._open_now(), following.read_on_and_heads
        parts, heads = await self._ask(lambda connection: read(connection, places, limit=limit, most_bytes=most_bytes))
        for run_key, head in heads.items():
            opened.commits.heads.learn(run_key, head)
        return parts

    async def find(self, ref: RunRef | RunKey, *, latest: bool = True) -> RunSummary | None:
        """Return a run's row."""
        opened = self._open_now()
        if isinstance(ref, RunRef) and not latest:
            return await self._ask(lambda connection: reading.run_of_generation(connection, ref))
        async with self._named("reading"):
            row = await (opened.latest_runs.ask(ref) if isinstance(ref, RunRef) else opened.runs_of_keys.ask(ref))
        return reading.summary_of(row)

    async def find_by_request(self, namespace: str, request_id: str) -> RunSummary | None:
        """Return the row of the run that was created with a request id."""
        return await self._ask(lambda connection: reading.find_by_request(connection, namespace, request_id))

    async def list_runs(self, query: RunQuery) -> Page:
        """Return one page of runs. Raises InvalidArgumentError for a cursor that no page gave."""
        return await self._ask(lambda connection: searching.list_runs(connection, query))

    async def count_runs(self, query: RunQuery, *, most: int | None = None) -> int:
        """Return how many runs match, up to `most`."""
        return await self._ask(lambda connection: searching.count_runs(connection, query, most=most))

    async def find_agenda(self, key: AgendaKey) -> AgendaEntry | None:
        """Return an entry of the agenda."""
        return await self._ask(lambda connection: reading.find_agenda(connection, key))

    async def list_agenda(self, query: AgendaQuery) -> list[AgendaEntry]:
        """Return one page of entries."""
        return await self._ask(lambda connection: reading.list_agenda(connection, query))

    async def next_agenda_at(self, *, after: Timestamp | None = None) -> Timestamp | None:
        """Return when the next entry comes due, later than `after`."""
        return await self._ask(lambda connection: reading.next_agenda_at(connection, after=after))

    async def announce(self, serving: Serving) -> None:
        """Let others know what this session serves."""
        opened = self._open_now()
        announcing = partial(tasks.announce, session=opened.session, serving=serving)
        await opened.change(lambda connection, _: announcing(connection))

    async def list_servers(self) -> list[ServerSummary]:
        """Return the sessions that have announced something."""
        return await self._ask(tasks.list_servers)

    async def next_task_at(self, *, now: Timestamp, served: ServedTasks) -> Timestamp | None:
        """Return when a task is kept for another session no longer."""
        session = self._open_now().session
        return await self._ask(partial(tasks.next_task_at, session=session, now=now, served=served))

    async def held_tasks(self) -> set[TaskClaim]:
        """Return what this session has."""
        session = self._open_now().session
        return await self._ask(lambda connection: tasks.held_tasks(connection, session))

    async def list_tasks(self, query: TaskQuery) -> list[TaskSummary]:
        """Return one page of tasks."""
        return await self._ask(lambda connection: tasks.list_tasks(connection, query))

    async def list_locks(self, query: LockQuery) -> list[LockEntry]:
        """Return one page of entries in the lines of locks."""
        return await self._ask(lambda connection: reading.list_locks(connection, query))

    async def verify(self, wish: VerificationWish) -> Verification:
        """Return what is not as it was written. Raises UsageError for a wish to mend it."""
        if wish.repairs or wish.quarantines:
            raise UsageError(
                "nothing is repaired in a database of a PostgreSQL server, nor parked: what the server has damaged its "
                "backups bring back. Verify without that."
            )
        return await self._ask(lambda connection: verification.verify(connection, wish, location=self.location))

    async def read_whole(self, run_key: RunKey, *, decrypts: bool = False) -> WholeRun | None:
        """Return everything of a run as it stands at one moment. Raises HistoryError."""
        del decrypts  # what is stored is all there is here
        return await self._ask(lambda connection: keeping.read_whole(connection, run_key))

    async def origins_of(self, run_keys: Collection[RunKey]) -> dict[RunKey, int]:
        """Return where keys were given out. See the port."""
        return await self._ask(lambda connection: keeping.origins_of(connection, run_keys))

    async def list_closed(self, query: ClosedQuery) -> list[RunSummary]:
        """Return one page of closed runs that nothing open needs."""
        return await self._ask(lambda connection: keeping.list_closed(connection, query))

    async def status(self) -> StoreStatus:
        """Return sizes and versions."""
        opened = self._open_now()
        reading = partial(
            read_status, own=opened.session.worker_id, schema=self._settings.schema, location=self.location
        )
        return await self._ask(reading)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _announcing(self) -> Announcer:
        assert self._announcer is not None
        return self._announcer

    def _open_now(self) -> OpenSession:
        if self._opened is None:
            raise StoreError(f"the store on {self.location} is not open")
        return self._opened

    async def _ask(self, ask: Callable[[Connection], Awaitable[Result]]) -> Result:
        async with self._named("reading"):
            return await self._open_now().ask(ask)

    @asynccontextmanager
    async def _named(self, doing: str) -> AsyncIterator[None]:
        try:
            yield
        except driver_errors() as error:
            raise store_error(error, location=self.location, doing=doing) from error
