"""The keeper: looks at what the agenda has due, decides, and commits what follows together with the changed entry.

Every process that works has one. They need not know of each other: a change that was decided from a version of the
entry that has passed is refused by the store, and the loser looks again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import msgspec

from perdure.errors import PerdureError, StoreError
from perdure.kernel.events import Event
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.logs import Recurring, logger_named
from perdure.ports.agenda import AgendaEntry, AgendaKey, AgendaQuery
from perdure.ports.clock import Clock
from perdure.ports.store import Changes, RunStore

__all__ = ["Host", "Keeper", "Outlook", "Settle"]

_logger = logger_named("perdure.timekeeping")

_PAGE: Final = 100
_PAUSE_AFTER_FAILURE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 24 * 3600.0


class Host(Protocol):
    """What the keeper needs from the worker around it."""

    @property
    def store(self) -> RunStore:
        """The store."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    def hear(self, changes: Changes) -> None:
        """Take note of runs that this process has just changed in the store: others hear of them by themselves."""
        ...

    def closing(self, run_key: RunKey) -> "asyncio.Future[Event | None]":
        """Return a future for the end of a run; None says: look into the store again."""
        ...

    def stop_waiting(self, run_key: RunKey, future: "asyncio.Future[Event | None]") -> None:
        """Forget a future of `closing`."""
        ...


class Outlook(msgspec.Struct, frozen=True):
    """What a settled entry waits for: the ends of these runs."""

    run_refs: tuple[RunRef, ...] = ()


Settle = Callable[[Host, AgendaEntry], Awaitable[Outlook | None]]
"""Does what an entry has due. None: the entry has changed meanwhile, and must be read again."""


class Keeper:
    """Keeps the agenda for one process."""

    def __init__(self, host: Host, kinds: Mapping[str, Settle]) -> None:
        """Keep entries of these kinds; others are left to processes that know them."""
        self._host: Final = host
        self._kinds: Final = kinds
        self._wake: Final = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_rings_at = 0.0
        self._watches: Final[dict[RunRef, asyncio.Task[None]]] = {}
        self._outlooks: dict[AgendaKey, tuple[RunKey, Outlook]] = {}
        self._complaints: dict[AgendaKey, str] = {}
        self._complaints_before: dict[AgendaKey, str] = {}
        self._held_up: set[RunRef] = set()

    def wake(self) -> None:
        """Look at the agenda soon."""
        self._wake.set()

    def stop(self) -> None:
        """Set no more timers and watch no more runs."""
        if self._timer is not None:
            self._timer.cancel()
        for watch in self._watches.values():
            watch.cancel()

    async def work(self) -> None:
        """Keep the agenda for ever. What fails is tried again after a pause."""
        self._wake.set()
        recurring = Recurring(_logger.name, asyncio.get_running_loop().time)
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._set_timer(is_whole=await self._look())
            except Exception as error:  # noqa: BLE001 - a service loop: nothing may end it but the closing of the engine
                recurring.warning(
                    "keeping the agenda failed and will be tried again: %s",
                    error,
                    cause=error,
                    with_lines=not isinstance(error, StoreError),
                )
                self._wake_after(_PAUSE_AFTER_FAILURE_SECONDS)

    async def _look(self) -> bool:
        """Settle what is due, then what waits for runs; return False if something could not be settled."""
        now = self._host.clock.now()
        self._complaints_before, self._complaints = self._complaints, {}
        self._outlooks = {key: known for key, known in self._outlooks.items() if self._watches_all(known[1])}
        is_whole = await self._settle_all(AgendaQuery(due_by=now, limit=_PAGE))
        is_whole &= await self._settle_all(AgendaQuery(waits=True, limit=_PAGE))
        if is_whole:
            self._held_up &= self._watches.keys()  # nothing waits for the others any more
        return is_whole

    async def _settle_all(self, query: AgendaQuery) -> bool:
        is_whole = True
        while page := await self._host.store.list_agenda(query):
            entries = [entry for entry in page if not (query.waits and self._waits_still(entry))]
            is_whole &= all(await asyncio.gather(*map(self._try_to_settle, entries)))
            query = msgspec.structs.replace(query, after=page[-1].key)
        return is_whole

    async def _try_to_settle(self, entry: AgendaEntry) -> bool:
        """Settle one entry; a broken one must not keep the others from being settled."""
        if entry.key.kind not in self._kinds:
            return False
        try:
            outlook = await self._settle(entry)
        except Exception as error:  # noqa: BLE001 - a service loop: one entry must not keep the others from their time
            self._complain(entry.key, error)
            return False
        self._outlooks[entry.key] = (entry.version, outlook)
        for ref in outlook.run_refs:
            if ref not in self._watches:
                watch = asyncio.get_running_loop().create_task(self._watch(ref), name="perdure-agenda-watch")
                self._watches[ref] = watch
        return True

    def _complain(self, key: AgendaKey, error: Exception) -> None:
        """Log why an entry could not be settled, once as long as it stays so."""
        complaint = str(error)
        if complaint not in (self._complaints_before.get(key), self._complaints.get(key)):
            with_lines = None if isinstance(error, PerdureError) else error
            name = f"{key.kind} {key.namespace}/{key.id}"
            _logger.error("the %s could not be settled and is tried again: %s", name, complaint, exc_info=with_lines)
        self._complaints[key] = complaint

    def _waits_still(self, entry: AgendaEntry) -> bool:
        """Whether an entry was settled as it is, and all runs are watched for which it waits."""
        version, outlook = self._outlooks.get(entry.key, (None, Outlook()))
        return version == entry.version and self._watches_all(outlook)

    def _watches_all(self, outlook: Outlook) -> bool:
        return bool(outlook.run_refs) and all(ref in self._watches for ref in outlook.run_refs)

    async def _settle(self, entry: AgendaEntry) -> Outlook:
        settle = self._kinds[entry.key.kind]
        while (outlook := await settle(self._host, entry)) is None:
            again = await self._host.store.find_agenda(entry.key)
            if again is None:
                return Outlook()
            entry = again
        return outlook

    async def _watch(self, ref: RunRef) -> None:
        """Look at the agenda again when a run has ended."""
        try:
            await self._end_of(ref)
            self._held_up.discard(ref)
        except PerdureError as error:
            if ref not in self._held_up:
                _logger.warning("run %s, for which the agenda waits, does not go on here: %s", ref, error)
                self._held_up.add(ref)
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
        finally:
            del self._watches[ref]
            self._wake.set()

    async def _end_of(self, ref: RunRef) -> None:
        """Wait for the end of a run. Raises the reason if it is parked here."""
        host = self._host
        summary = await host.store.find(ref)
        if summary is None or summary.status.is_closed:
            return
        ending = host.closing(summary.run_key)
        try:
            again = await host.store.find(summary.run_key)  # it may have ended before anybody waited
            if again is not None and not again.status.is_closed:
                await ending
        finally:
            host.stop_waiting(summary.run_key, ending)

    async def _set_timer(self, *, is_whole: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not is_whole:
            self._wake_after(_PAUSE_AFTER_FAILURE_SECONDS)
        # What could not be settled stays due, and must not hide what comes next.
        due_at = await self._host.store.next_agenda_at(after=None if is_whole else self._host.clock.now())
        if due_at is not None:
            self._wake_at(due_at)

    def _wake_at(self, moment: Timestamp) -> None:
        self._wake_after(max(moment - self._host.clock.now(), 0) / MICROSECONDS_PER_SECOND)

    def _wake_after(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        delay = min(seconds, _LONGEST_PAUSE_SECONDS)
        rings_at = loop.time() + delay  # kept beside the timer: uvloop's of short delays do not know it
        if self._timer is not None:
            if self._timer_rings_at <= rings_at:
                return
            self._timer.cancel()
        self._timer = loop.call_later(delay, self._timer_due)
        self._timer_rings_at = rings_at

    def _timer_due(self) -> None:
        self._timer = None
        self._wake.set()
