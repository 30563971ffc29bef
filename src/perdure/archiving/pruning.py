"""Pruning: closed runs whose time is over are written to an archive, if there is one, and then removed.

Batch by batch: the runs of a batch are read whole, appended to the archive and synced; then the store removes those
that may still go. A crash in between leaves them in the archive and in the database, and they are archived once more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Final

import msgspec

from perdure.archiving.filing import Filing, Sink
from perdure.archiving.refusals import LISTED_REFUSALS, UNREADABLE, Refusal
from perdure.archiving.turns import Turn, TurnState
from perdure.configuration import Retention
from perdure.errors import HistoryError, StoreCorruptError, StoreError, StoreLockedError
from perdure.kernel.identity import RunRef
from perdure.kernel.time import Timestamp, duration_microseconds, timestamp_to_datetime
from perdure.kernel.transition import CLOSED_STATUSES, RunStatus
from perdure.ports.agenda import AgendaQuery
from perdure.ports.clock import Clock
from perdure.ports.keeping import REMOVED_ROWS, ClosedQuery
from perdure.ports.store import RunQuery, RunStore, RunSummary
from perdure.timekeeping.deduplication import DEDUPLICATION_KIND, REQUEST_KIND, read_remembered

__all__ = ["PruneReport", "Pruning", "Selection"]

_PAGE: Final = 100
_LONGEST_REST_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.05
_PASSES_BEHIND: Final = 2
"""A run that should have gone by so many passes before shows that passes do not keep up."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the runs whose time is over are meant: of a namespace, statuses, workflows (None, empty: any).

    An earlier generation of a run is judged by what became of the run.
    """

    namespace: str | None = None
    statuses: frozenset[RunStatus] = frozenset()
    workflows: frozenset[str] = frozenset()


class PruneReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed: `runs` (generations of runs) with their `events`, and the bytes of the archive.

    `unreadable` are runs that stay, since they are damaged: they cannot be archived, no import would take them from
    there, their rows cannot be written, or a generation of theirs cannot be read. The first 1,000 of them are told in
    `refusals`.
    """

    runs: int = 0
    events: int = 0
    archived_bytes: int = 0
    unreadable: int = 0
    refusals: tuple[Refusal, ...] = ()


class _TurnLostError(Exception):
    """Another process has the turn."""


class _UnknownError(Exception):
    """Another generation of a run cannot be read, and so it is not known whether this one may go."""

    def __init__(self, cause: StoreError) -> None:
        super().__init__(str(cause))
        self.cause: Final = cause


class Pruning:
    """One pass over a store."""

    def __init__(
        self,
        store: RunStore,
        clock: Clock,
        retention: Retention,
        selection: Selection | None = None,
        *,
        rests: float = 0.0,
    ) -> None:
        """Prepare. `retention` says how long runs are kept, `selection` which are meant.

        After each batch it `rests` for so many times as long as that took: what else the process does has its turns.
        Not while it is behind: then runs would end faster than they go.
        """
        self._store: Final = store
        self._clock: Final = clock
        self._retention: Final = retention
        self._selection: Final = selection or Selection()
        self._rests: Final = rests
        self._newest: Final[dict[tuple[str, str], frozenset[str]]] = {}
        self._remembered: frozenset[tuple[str, str]] | None = None
        self._refused: Final[set[tuple[str, str]]] = set()
        self._now = clock.now()
        self._turn: Turn | None = None
        self.report = PruneReport()

    async def count(self) -> PruneReport:
        """Return what a pass would remove now, at most: damaged runs would stay, and what follows them."""
        async for batch in self._batches(is_dry=True):
            self._note(batch)
        return self.report

    async def run(
        self,
        *,
        holder: str,
        archive: Sink | None = None,
        is_duty: bool = False,
        waits: bool = False,
        on_progress: Callable[[PruneReport], object] | None = None,
    ) -> PruneReport:
        """Remove what may go; `holder` is who is named to others that want to do the same meanwhile.

        `is_duty`: it is the pass of an engine's retention, which others of the namespace need not make soon again.
        `waits`: another's short pass is waited for, and so is the end of a turn whose holder has died.

        Raises StoreLockedError if another is at it, or, if this `waits`, prolongs its turn, and StoreErrors; what was
        removed until then is.
        """
        self._turn = turn = Turn(self._store, self._clock, holder)
        filing = None if archive is None else Filing(self._store, self._clock, archive, keep_turn=self._keep_turn)
        await self._take(turn, waits=waits)
        is_done = False
        try:
            is_done = await self._remove_all(filing, on_progress)
        finally:
            await turn.end(passed=self._selection.namespace if is_done and is_duty else None)
        return self.report

    async def _take(self, turn: Turn, *, waits: bool) -> None:
        """Take the turn. How long a short pass takes on a busy machine nobody knows: only a holder that prolongs its
        turn is known to live, and to have much to do. Raises StoreLockedError.
        """
        before: TurnState | None = None
        while (busy := await turn.take()) is not None:
            if not waits or (before is not None and busy.prolongs(before)):
                end = timestamp_to_datetime(busy.until or self._now)
                message = (
                    f"{busy.holder} is removing runs of this database (until {end:%T} UTC, or longer); try again later"
                )
                raise StoreLockedError(message)
            before = busy
            await asyncio.sleep(_PAUSE_SECONDS)

    # --- which ---------------------------------------------------------------------------------------------------

    async def _batches(self, *, is_dry: bool) -> AsyncIterator[list[RunSummary]]:
        """Yield runs that may go, so many at a time that their removal is a small piece of work."""
        shortest = self._retention.shortest
        if shortest is None:
            return
        batch: list[RunSummary] = []
        async for summary in self._closed(Timestamp(self._now - duration_microseconds(shortest))):
            if not await self._may_go(summary, batch, is_dry=is_dry):
                continue
            batch.append(summary)
            if len(batch) >= _PAGE or sum(run.sequence for run in batch) >= REMOVED_ROWS:
                yield batch
                batch = []
        if batch:
            yield batch

    async def _closed(self, closed_until: Timestamp) -> AsyncIterator[RunSummary]:
        chosen = self._selection
        query = ClosedQuery(
            closed_until=closed_until,
            namespace=chosen.namespace,
            statuses=chosen.statuses | {RunStatus.CONTINUED} if chosen.statuses else frozenset(),
            workflows=chosen.workflows,
            limit=_PAGE,
        )
        while page := await self._store.list_closed(query):
            await self._keep_turn()
            for summary in page:
                yield summary
            last = page[-1]
            query = msgspec.structs.replace(query, after=(last.closed_at or Timestamp(0), last.run_key))

    async def _may_go(self, summary: RunSummary, batch: list[RunSummary], *, is_dry: bool) -> bool:
        """Whether a run may go, with those of the batch. What follows a damaged one stays with it."""
        if _name(summary) in self._refused:
            return False
        try:
            return await self._is_over(summary) and await self._follows(summary, batch, is_dry=is_dry)
        except _UnknownError as error:
            self._refuse(summary, error.cause)
            return False

    async def _is_over(self, summary: RunSummary) -> bool:
        """Whether the time of a run is over, and nothing asks for it to be kept."""
        status = await self._status_of(summary)
        if self._selection.statuses and status not in self._selection.statuses:
            return False
        time = self._retention.time_of(summary.workflow, status)
        if time is None or summary.closed_at is None or summary.closed_at > self._now - duration_microseconds(time):
            return False
        if summary.ref.id in await self._newest_of(summary):
            return False
        return _name(summary) not in await self._still_remembered()

    async def _status_of(self, summary: RunSummary) -> RunStatus:
        """Return how a run ended, where this generation of it was only continued."""
        if summary.status is not RunStatus.CONTINUED:
            return summary.status
        latest = await self._find(RunRef(namespace=summary.ref.namespace, id=summary.ref.id))
        return latest.status if latest is not None and latest.status.is_closed else summary.status

    async def _follows(self, summary: RunSummary, batch: list[RunSummary], *, is_dry: bool) -> bool:
        """Whether the generation before this one is gone, or goes before it: the store demands that order."""
        if summary.ref.generation == 1:
            return True
        before = _before(summary.ref)
        if any(run.ref == before for run in batch):
            return True
        found = await self._find(before, latest=False)
        return found is None or (is_dry and await self._is_over(found))

    async def _find(self, ref: RunRef, *, latest: bool = True) -> RunSummary | None:
        """Return the row of another generation. Raises _UnknownError if it cannot be read."""
        try:
            return await self._store.find(ref, latest=latest)
        except UNREADABLE as error:
            raise _UnknownError(error) from error

    async def _newest_of(self, summary: RunSummary) -> frozenset[str]:
        """Return the ids of the newest closed runs of a workflow, which stay."""
        if not self._retention.newest:
            return frozenset()
        key = (summary.ref.namespace, summary.workflow)
        if key not in self._newest:
            query = RunQuery(
                namespace=summary.ref.namespace,
                workflows=frozenset({summary.workflow}),
                statuses=CLOSED_STATUSES,
                limit=self._retention.newest,
            )
            self._newest[key] = frozenset(await self._first_of(query))
        return self._newest[key]

    async def _first_of(self, query: RunQuery) -> list[str]:
        """Return the ids of as many runs as a query's limit says: a page may end before it has them."""
        found: list[str] = []
        wanted = query.limit
        while True:
            page = await self._store.list_runs(query)
            found += [run.ref.id for run in page.runs]
            if len(found) >= wanted or not page.next_cursor:
                return found[:wanted]
            query = msgspec.structs.replace(query, cursor=page.next_cursor, limit=wanted - len(found))

    async def _still_remembered(self) -> frozenset[tuple[str, str]]:
        """Return the runs that a start by a key, or a repeated one, would still be answered with."""
        if self._remembered is None:
            found: set[tuple[str, str]] = set()
            for kind in (DEDUPLICATION_KIND, REQUEST_KIND):
                query = AgendaQuery(kind=kind, limit=1_000)
                while page := await self._store.list_agenda(query):
                    for entry in page:
                        try:
                            found.add((entry.key.namespace, read_remembered(entry).run_id))
                        except HistoryError:
                            continue  # it names no run that anybody could be given
                    query = msgspec.structs.replace(query, after=page[-1].key)
            self._remembered = frozenset(found)
        return self._remembered

    # --- how -----------------------------------------------------------------------------------------------------

    async def _remove_all(self, filing: Filing | None, on_progress: Callable[[PruneReport], object] | None) -> bool:
        """Remove batch by batch; return False where the turn went to another process meanwhile."""
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        await self._store.remove_runs([])  # what a pass that was killed has left
        try:
            async for batch in self._batches(is_dry=False):
                await self._remove(batch, filing)
                if on_progress is not None:
                    on_progress(self.report)
                await asyncio.sleep(self._rest(loop.time() - begun_at, batch[-1]))
                begun_at = loop.time()
        except _TurnLostError:
            return False
        return True

    def _rest(self, seconds: float, last: RunSummary) -> float:
        """Return for how many seconds to rest after a batch that took some, whose last run is `last`."""
        return 0.0 if self._is_behind(last) else min(self._rests * seconds, _LONGEST_REST_SECONDS)

    def _is_behind(self, last: RunSummary) -> bool:
        """Whether a run should have gone before the pass before this one."""
        keep = self._retention.time_of(last.workflow, last.status) or timedelta(0)
        due_at = (last.closed_at or self._now) + duration_microseconds(keep)
        return self._clock.now() - due_at > _PASSES_BEHIND * duration_microseconds(self._retention.every)

    async def _keep_turn(self) -> None:
        """Keep the turn for longer, however long anything takes. Raises _TurnLostError if it is another's."""
        if self._turn is not None and not await self._turn.prolong():
            raise _TurnLostError

    async def _remove(self, batch: list[RunSummary], filing: Filing | None) -> None:
        if filing is not None:
            batch = await self._filed(await self._removable(batch), filing)
        await self._keep_turn()
        removed = set(await self._store.remove_runs([run.run_key for run in batch]))
        self._note([run for run in batch if run.run_key in removed])
        await self._removable([run for run in batch if run.run_key not in removed])

    async def _removable(self, batch: list[RunSummary]) -> list[RunSummary]:
        """Refuse those of a batch that damage keeps here, which each pass would archive once more; return the others,
        but for what belongs to a refused one.

        That costs a tenth of what it costs to archive and remove them, about.
        """
        if not batch:
            return batch
        stuck = set(await self._store.unremovable([run.run_key for run in batch]))
        for run in batch:
            if run.run_key in stuck:
                self._refuse(run, StoreCorruptError("its rows lie on a damaged page, or beside one"))
        return [run for run in batch if _name(run) not in self._refused]

    async def _filed(self, batch: list[RunSummary], filing: Filing) -> list[RunSummary]:
        """Write runs to the archive; return those that are safe there."""
        filed = await filing.file(batch)
        for summary, error in filed.damaged.values():
            self._refuse(summary, error)
        written = self.report.archived_bytes + filed.size_bytes
        self.report = msgspec.structs.replace(self.report, archived_bytes=written)
        return filed.runs

    def _refuse(self, summary: RunSummary, error: StoreError) -> None:
        """Note a run that is damaged, unless another generation of it is."""
        if _name(summary) in self._refused:
            return
        self._refused.add(_name(summary))
        report = self.report
        told = (Refusal(str(summary.ref), str(error)),) if report.unreadable < LISTED_REFUSALS else ()
        self.report = msgspec.structs.replace(
            report, unreadable=report.unreadable + 1, refusals=(*report.refusals, *told)
        )

    def _note(self, batch: list[RunSummary]) -> None:
        report = self.report
        self.report = msgspec.structs.replace(
            report, runs=report.runs + len(batch), events=report.events + sum(run.sequence for run in batch)
        )


def _name(summary: RunSummary) -> tuple[str, str]:
    return summary.ref.namespace, summary.ref.id


def _before(ref: RunRef) -> RunRef:
    return RunRef(namespace=ref.namespace, id=ref.id, generation=ref.generation - 1)
