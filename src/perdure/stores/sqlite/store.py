"""The SQLite store as the engine sees it: the port `RunStore` on the event loop's thread."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import apsw

from perdure.errors import StoreError, UsageError
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef, WorkerId, WorkflowVersion
from perdure.kernel.locking import LockEntry
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Creation, Outcome, Write
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery
from perdure.ports.clock import Clock, SystemClock
from perdure.ports.following import BYTES_AT_ONCE, HistoryPart, HistoryPlace, Standing
from perdure.ports.keeping import ClosedQuery, WholeRun
from perdure.ports.store import Changes, ClaimedRun, InboxEntry, LockQuery, Page, RunQuery, RunSummary, StoreStatus
from perdure.ports.transactions import StepTransaction
from perdure.ports.verification import Verification, VerificationWish
from perdure.stores.announcing import Announcer
from perdure.stores.sqlite import agenda, following, keeping, reads, searching
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.encoding import EncodedCreation, encode_write
from perdure.stores.sqlite.histories import read_history
from perdure.stores.sqlite.lock_lines import list_locks
from perdure.stores.sqlite.notices import Notices
from perdure.stores.sqlite.opened import OpenedDatabase, open_database
from perdure.stores.sqlite.ownership import Ownership
from perdure.stores.sqlite.reader import Reader
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.sessions import KEYS_PER_SESSION_BITS
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.sweeping import Sweeper
from perdure.stores.sqlite.task_methods import TaskMethods
from perdure.stores.sqlite.transactions import StepJob
from perdure.stores.sqlite.trials import Trials, try_to_remove
from perdure.stores.sqlite.unreadable import Unreadable
from perdure.stores.sqlite.within import create_within, touch
from perdure.stores.sqlite.writer import Writer
from perdure.stores.to_the_end import to_its_end

__all__ = ["SqliteStore"]

Result = TypeVar("Result")
Part = TypeVar("Part")

# Seven years of 300 new runs a second in one session, and a hundred million sessions, in 63 bits.
_KEY_COUNT_MASK: Final = (1 << KEYS_PER_SESSION_BITS) - 1


class SqliteStore(TaskMethods):
    """One session on a database file. See the package's docstring for the promises and the parts."""

    def __init__(
        self,
        path: Path,
        *,
        settings: SqliteSettings | None = None,
        clock: Clock | None = None,
        disk: Disk | None = None,
    ) -> None:
        """Prepare; `open` does the work. `clock` says when a lease begins; `disk` is where the files are."""
        self._path: Final = path.absolute()
        self._settings: Final = settings or SqliteSettings()
        self.clock: Final[Clock] = clock or SystemClock()
        self._disk: Final = disk or LocalDisk()
        self._opened: OpenedDatabase | None = None
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        # Lists and counts may take long; what runs need to go on does not wait for them.
        self._browser: Reader | None = None
        self._next_run_key = 0
        self._notices: Notices | None = None
        self._announcer: Announcer | None = None
        self._checking: asyncio.Task[None] | None = None
        self._unreadable = Unreadable()
        self._ownership: Ownership | None = None
        self._trials: Trials | None = None
        self._sweeper: Final = Sweeper(self._writing)

    @property
    def location(self) -> str:
        """The database file's path."""
        return str(self._path)

    @property
    def commits_at_once(self) -> int:
        """One: SQLite has one writer."""
        return 1

    async def open(self, *, session_name: str, lease_seconds: float, on_changes: Callable[[Changes], None]) -> WorkerId:
        """Open (and create or upgrade) the file and begin a session.

        Raises UsageError if this store is open already or the platform lacks file locks, and the StoreError that says
        why the file cannot be used: StoreUnavailableError, StoreLockedError, StoreCorruptError, SchemaTooNewError,
        StoreVersionError.
        """
        if self._opened is not None:
            raise UsageError("this store is open already: each session needs a store of its own")
        loop = asyncio.get_running_loop()
        unreadable = Unreadable(lambda: on_changes(Changes(ready=True)))
        opened = await loop.run_in_executor(
            None,
            lambda: open_database(
                self._path,
                settings=self._settings,
                disk=self._disk,
                session_name=session_name,
                lease_microseconds=round(lease_seconds * MICROSECONDS_PER_SECOND),
                unreadable=unreadable,
                now=self.clock.now(),
            ),
        )
        self._opened, self._unreadable = opened, unreadable
        self._notices = notices = Notices(
            opened.session.worker_id,
            mailbox=opened.mailbox,
            others=opened.others,
            address=opened.presence.socket_path,
            solitude=opened.presence.solitude(opened.session.worker_id),
            on_changes=on_changes,
        )
        self._next_run_key = opened.session.worker_id << KEYS_PER_SESSION_BITS
        self._reader, self._browser = self._new_reader(opened), self._new_reader(opened)
        self._writer = Writer(
            opened.database,
            lock=opened.presence.writer_lock,
            session=opened.session,
            loop=loop,
            publish=notices.publish,
        )
        self._trials = Trials(unreadable, self._browser, self._writer, owner=opened.session.worker_id, clock=self.clock)
        self._ownership = Ownership(
            opened.session,
            opened.presence,
            self._writer,
            unreadable,
            known_time=opened.known_time,
            browse=self._browser.ask,
            can_write=self._trials.can_write,
            on_changes=on_changes,
        )
        self._writer.start()
        notices.listen(loop)
        notices.greet()
        last_notices, every = partial(self._reader.ask, reads.last_notices), self._settings.safety_check_seconds
        self._checking = loop.create_task(notices.check(last_notices, every_seconds=every), name="perdure-notices")
        self._announcer = Announcer(self.find, self._tell_of_run, on_changes)
        return opened.session.worker_id

    async def close(self) -> None:
        """Give back every run of this session, end it and let go of the file. Closing twice does nothing."""
        opened, ownership = self._opened, self._ownership
        if opened is None or ownership is None:
            return
        await self._announcing().close()
        self._opened = self._announcer = None
        try:
            await ownership.end(is_unused=not self._next_run_key & _KEY_COUNT_MASK)
        finally:
            await self._let_go()
            opened.close()

    def abandon(self) -> None:
        """Let go of the file as the kernel does for a dead process: nothing is given back, nothing removed. Blocks.

        Serves tests of what follows a death. Call it while no code of the store's event loop runs.
        """
        opened, writer, notices = self._opened, self._writer, self._notices
        if opened is None or writer is None or notices is None:
            return
        readers = (self._reader, self._browser)
        self._opened = self._writer = self._reader = self._browser = self._notices = self._checking = None
        writer.stop()
        writer.join()
        for reader in filter(None, readers):
            reader.abandon()
        notices.close(writer.loop)
        opened.database.disconnect()
        opened.presence.close(None)

    def is_alone(self) -> bool:
        """Say whether no other session can have committed anything by now."""
        return self._notices is not None and self._notices.is_alone()

    def new_run_key(self) -> RunKey:
        """Return a key never given out before: the session's number and a count.

        Raises StoreError after 68 thousand million keys in one session.
        """
        self._next_run_key += 1
        if not self._next_run_key & _KEY_COUNT_MASK:
            raise StoreError(f"the session on {self._path} has given out all its run keys; close and open the store")
        return RunKey(self._next_run_key)

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Apply writes in one transaction; return their outcomes once they are durable. See the port."""
        owner = self._session_id()
        encoded = [encode_write(write, owner=owner) for write in writes]
        return await self._writing().commit(encoded)

    async def transact(self, step: StepTransaction) -> Outcome:
        """Make a step in the thread that writes; `step.perform` is given its apsw connection. See the port."""
        if step.is_async:
            raise UsageError(
                "a transactional activity on SQLite is a plain `def`: it runs in the thread that writes, and whoever "
                "else writes waits for it"
            )
        made = await to_its_end(self._writing().call(StepJob(step)))
        if isinstance(made, BaseException):
            raise made
        return made

    async def create_within(self, transaction: object, creation: Creation) -> tuple[Outcome, RunSummary | None]:
        """Create a run on a connection of apsw to this file. See the port."""
        encoded = encode_write(creation, owner=self._session_id())
        assert isinstance(encoded, EncodedCreation)
        outcome, existing = create_within(transaction, encoded, path=self._path)
        if existing is None:
            self._announcing().expect(creation.run_key)
        return outcome, existing

    async def _tell_of_run(self, run_key: RunKey) -> None:
        await self._writing().call(partial(touch, run_key=run_key))

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None = None
    ) -> list[ClaimedRun]:
        """Take due runs that nobody owns, and parked ones that `code` has not tried.

        Complexity: their number, plus the due runs of other workflows, and the parked runs, that are passed.
        """
        return await self._owning().claim(now=now, limit=limit, workflows=workflows, code=code)

    async def next_wake_at(self, *, workflows: frozenset[WorkflowVersion]) -> Timestamp | None:
        """Return when the next run that nobody owns comes due."""

        def ask() -> Awaitable[Timestamp | None]:
            passing = self._unreadable.unclaimable | self._unreadable.undue
            return self._reading().ask(lambda connection: reads.next_wake_at(connection, workflows, passing=passing))

        return await self._past_damage(ask)

    async def renew_lease(self, *, now: Timestamp) -> bool:
        """Extend the lease. If it had passed, what the session still owned is given back and a new lease begins."""
        return await self._owning().renew_lease(now=now)

    async def free_expired(self, *, now: Timestamp) -> int:
        """Give back the runs of sessions whose process has ended (known at once) or whose lease has passed."""
        return await self._owning().free_expired(now=now)

    async def read_history(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[RecordedEvent]:
        """Return events in their order. Raises HistoryError for gaps and undecodable rows."""
        return await self._reading().ask(lambda connection: read_history(connection, run_key, after=after, limit=limit))

    async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
        """Return the oldest entries behind a position. Raises HistoryError for one that cannot be decoded."""
        return await self._reading().ask(partial(reads.read_inbox, run_key=run_key, after=after, limit=limit))

    async def read_rest_of_inbox(self, run_key: RunKey) -> list[InboxEntry]:
        """Return those entries that are as they were written."""
        return await self._reading().ask(lambda connection: reads.read_rest_of_inbox(connection, run_key))

    async def list_standings(
        self, *, workflows: frozenset[WorkflowVersion], limit: int, among: Collection[RunKey] | None = None
    ) -> list[Standing]:
        """Return where runs of others stand."""
        worker, unreadable = self._session_id(), self._unreadable
        listing = partial(following.list_standings, worker=worker, workflows=workflows, limit=limit, among=among)
        return await self._past_damage(lambda: self._browsing().ask(partial(listing, passing=unreadable.keys)))

    async def read_on(
        self, places: Mapping[RunKey, HistoryPlace], *, limit: int, most_bytes: int = BYTES_AT_ONCE
    ) -> list[HistoryPart]:
        """Return what comes next in histories."""
        return await self._reading().ask(partial(following.read_on, places=places, limit=limit, most_bytes=most_bytes))

    async def find(self, ref: RunRef | RunKey, *, latest: bool = True) -> RunSummary | None:
        """Return a run's row."""
        return await self._reading().ask(lambda connection: reads.find(connection, ref, latest=latest))

    async def find_by_request(self, namespace: str, request_id: str) -> RunSummary | None:
        """Return the row of the run that was created with a request id."""
        return await self._reading().ask(lambda connection: reads.find_by_request(connection, namespace, request_id))

    async def list_runs(self, query: RunQuery) -> Page:
        """Return one page of runs. Raises InvalidArgumentError for a cursor that no page gave."""
        most = self._settings.searched_rows

        def ask() -> Awaitable[Page]:
            listing = partial(searching.list_runs, query=query, most_rows=most, passing=self._unreadable.keys)
            return self._browsing().ask(listing)

        return await self._past_damage(ask)

    async def count_runs(self, query: RunQuery, *, most: int | None = None) -> int:
        """Return how many runs match, up to `most`."""

        def ask() -> Awaitable[int]:
            counting = partial(searching.count_runs, query=query, most=most, passing=self._unreadable.keys)
            return self._browsing().ask(counting)

        return await self._past_damage(ask)

    async def change_agenda(self, change: AgendaChange) -> bool:
        """Apply a change in one transaction; False if its version has passed. See the port."""
        return await self._writing().call(agenda.changing(change, owner=self._session_id()))

    async def find_agenda(self, key: AgendaKey) -> AgendaEntry | None:
        """Return an entry of the agenda."""
        return await self._reading().ask(lambda connection: agenda.find_agenda(connection, key))

    async def list_agenda(self, query: AgendaQuery) -> list[AgendaEntry]:
        """Return one page of entries."""
        return await self._reading().ask(lambda connection: agenda.list_agenda(connection, query))

    async def next_agenda_at(self, *, after: Timestamp | None = None) -> Timestamp | None:
        """Return when the next entry comes due, later than `after`."""
        return await self._reading().ask(lambda connection: agenda.next_agenda_at(connection, after=after))

    async def list_locks(self, query: LockQuery) -> list[LockEntry]:
        """Return one page of entries in the lines of locks."""
        return await self._browsing().ask(lambda connection: list_locks(connection, query))

    async def verify(self, wish: VerificationWish) -> Verification:
        """Return what is not as it was written, and mend of it what is wished."""
        from perdure.stores.sqlite.verification import Verifier  # noqa: PLC0415 - only who verifies pays for it

        writer = self._writing()

        async def mend(change: Callable[[apsw.Connection], Result]) -> Result:
            mended = await writer.call(lambda connection, news: _told(change(connection), news))
            self._unreadable.revise_soon()
            return mended

        return await Verifier(self._browsing().ask, wish, mend=mend).verify(self.location)

    async def read_whole(self, run_key: RunKey, *, decrypts: bool = False) -> WholeRun | None:
        """Return everything of a run as it stands at one moment. Raises HistoryError."""
        del decrypts  # what is stored is all there is here
        return await self._browsing().ask(lambda connection: keeping.read_whole(connection, run_key))

    async def bring_in(self, run: WholeRun, *, sealed_as: RunKey) -> Outcome:
        """Insert a run whole, in one transaction. See the port."""
        del sealed_as
        return await self._writing().call(keeping.bringing_in(run))

    async def origins_of(self, run_keys: Collection[RunKey]) -> dict[RunKey, int]:
        """Return where keys were given out. See the port."""
        return await self._browsing().ask(lambda connection: keeping.origins_of(connection, run_keys))

    async def list_closed(self, query: ClosedQuery) -> list[RunSummary]:
        """Return one page of closed runs that nothing open needs."""

        def ask() -> Awaitable[list[RunSummary]]:
            unread, passing = self._unreadable.keys, self._unreadable.unclaimable | self._unreadable.keys
            return self._browsing().ask(partial(keeping.list_closed, query=query, passing=passing, unread=unread))

        return await self._past_damage(ask)

    async def remove_runs(self, run_keys: Sequence[RunKey]) -> list[RunKey]:
        """Remove closed runs that nothing open needs, in small transactions. See the port."""
        removed = await self._past_damage(partial(self._remove, run_keys))
        self._unreadable.widen()
        await self._sweeper.sweep(is_anew=not run_keys)
        return removed

    async def unremovable(self, run_keys: Sequence[RunKey]) -> list[RunKey]:
        """Return those that damage would keep from being removed: that is tried, and undone."""
        await self._past_damage(partial(self._remove, run_keys, is_trial=True))
        self._unreadable.widen()
        return [run_key for run_key in run_keys if run_key in self._unreadable.unclaimable]

    def _remove(self, run_keys: Sequence[RunKey], *, is_trial: bool = False) -> Awaitable[list[RunKey]]:
        unread, passing = self._unreadable.keys, self._unreadable.unclaimable
        remove = try_to_remove if is_trial else keeping.remove
        return self._writing().call(partial(remove, run_keys=run_keys, passing=passing, unread=unread))

    async def status(self) -> StoreStatus:
        """Return sizes, versions, the settings read back and who is alive."""
        return await self._browsing().ask(partial(reads.status, path=self._open().database.path))

    async def _past_damage(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        browser = self._browsing()
        assert self._trials is not None
        return await self._unreadable.past_damage(ask, browser.ask, self._trials.can_write)

    def _open(self) -> OpenedDatabase:
        if self._opened is None:
            raise StoreError(f"the store on {self._path} is not open")
        return self._opened

    def _new_reader(self, opened: OpenedDatabase) -> Reader:
        return Reader(opened.database.path, settings=self._settings, vfs=self._disk.vfs)

    def _session_id(self) -> WorkerId:
        return self._open().session.worker_id

    def _part(self, part: Part | None) -> Part:
        """Return a part of a store that is open. Raises StoreError."""
        self._open()
        assert part is not None
        return part

    def _announcing(self) -> Announcer:
        return self._part(self._announcer)

    def _writing(self) -> Writer:
        return self._part(self._writer)

    def _owning(self) -> Ownership:
        return self._part(self._ownership)

    def _reading(self) -> Reader:
        return self._part(self._reader)

    def _browsing(self) -> Reader:
        return self._part(self._browser)

    async def _let_go(self) -> None:
        """End the threads and the listening."""
        loop = asyncio.get_running_loop()
        writer, notices, checking = self._writer, self._notices, self._checking
        readers = (self._reader, self._browser)
        self._opened = self._writer = self._reader = self._browser = self._notices = self._checking = None
        assert writer is not None
        assert notices is not None
        assert checking is not None
        checking.cancel()
        self._unreadable.close()
        writer.stop()
        await loop.run_in_executor(None, writer.join)
        for reader in filter(None, readers):
            await reader.close()
        notices.close(loop)


def _told(result: Result, news: News) -> Result:
    """Have everybody look at runs that may be due by what was mended."""
    news.is_ready = True
    return result
