"""Standby: a worker keeps warm copies of the runs that others own, and goes on with these sooner if they die.

**Promise.** A copy is of use only if it is, to the event, what the run's history says when this worker owns the run.
So it may be late, damaged, or missing: then the run is loaded as any other is. Before the claim a copy asks for
nothing and does nothing; it is a replay (`perdure.kernel.replay`), whose effects are those of a run that has none.
Who owns a run is decided by the claim alone, which fences the old owner.

**Keeping up.** Sessions tell each other of their commits. Of the runs that were told of, this worker asks, a batch at
a time, which of them others own, and reads on where it knows their histories up to. What it is told amid that is asked
for in the next batch, once, however often it was told of. It looks at all that others own when it begins, when news may
have been lost, and now and then (`perdure.execution.standby_looks`).

**Taking over.** The copies of what one claim has taken are compared and brought up to date by one question: it returns
what is missing, chained to the digest of the last event that the copy knows, and how far the inbox goes. A copy whose
last event is not the history's any more, or that does not end where the row of the claimed run says, is thrown away.

**Bounds.** `Settings.standby_runs`, `standby_bytes`: what is kept; about `BYTES_AT_ONCE` are read at once.
`standby_share`: after a batch this rests for so long that it takes no greater share of the time of the loop's thread.
Counted is the CPU time of that thread from the batch's begin to its end, what others did amid it included: a busy
worker is left in peace for longer. Nor do its looks at all that others own take a greater share of the store's time,
as long as one takes no longer than that share of ten minutes.

**Rejected.** Following by polling (each look would cost as much as there are runs); copies of states alone, without
code (replay is two thirds of a loading); assigning each run a standby worker (a take-over is decided by who claims
first: a worker that has died cannot name its heir); an index for the look at all (by the time of the last move, which
each commit changes: it would have each row of a run written in all its indexes).
"""

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from perdure.configuration import REMEMBERED_REASONS
from perdure.errors import StoreError
from perdure.execution.standby_looks import Looks, rest_seconds
from perdure.execution.warm_runs import WarmRun, WarmRuns
from perdure.kernel.identity import RunKey, WorkflowVersion
from perdure.kernel.program import Feed
from perdure.kernel.state import RunState
from perdure.logs import logger_named
from perdure.ports.following import BEGINNING, HistoryPart, HistoryPlace, Standing
from perdure.ports.store import RunSummary

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["Standby", "WarmLoad"]

_logger = logger_named("perdure.standby")


class WarmLoad(msgspec.Struct, frozen=True, kw_only=True):
    """A warm run that this worker goes on with. `code` drives it; `has_inbox`: messages may be waiting for it."""

    state: RunState
    feed: Feed
    code: str
    has_inbox: bool


class Standby:
    """Keeps warm runs for one worker. Without `Settings.standby` it does nothing and costs nothing."""

    def __init__(self, worker: "Worker") -> None:
        """Serve `worker`."""
        settings = worker.settings
        self._worker: Final = worker
        self._is_on: Final = settings.standby and worker.is_claiming
        self._share: Final = settings.standby_share
        self._warm: Final = WarmRuns(
            most=settings.standby_runs, most_bytes=settings.standby_bytes, rest_seconds=settings.idle_seconds
        )
        self._looks: Final = Looks(share=settings.standby_share)
        self._told: dict[RunKey, bool] = {}
        """What is to be asked for, and whether it has moved."""
        self._unfit: dict[RunKey, None] = {}
        self._news: Final = asyncio.Event()
        self._asked: dict[RunKey, tuple[HistoryPlace, asyncio.Future[HistoryPart | None]]] = {}
        self.taken_over = 0
        self.thrown_away = 0

    def __bool__(self) -> bool:
        """Whether warm runs are kept."""
        return self._is_on

    @property
    def warm(self) -> Mapping[RunKey, int]:
        """Of which runs copies are kept, each with the number of the last event that it knows."""
        return {key: run.place.sequence for key in self._warm if (run := self._warm.find(key)) is not None}

    def hear(self, run_keys: Collection[RunKey] | None) -> None:
        """Take note of commits of others; None: of which runs is not known."""
        if run_keys is None or len(self._told) > _MOST_TOLD:
            self._looks.demand()
            self._told.clear()
        else:
            active = self._worker.active
            self._looks.hear(run_keys)
            self._told.update((key, True) for key in run_keys if key not in active)
        self._news.set()

    def begin_anew(self) -> None:
        """Let go of all copies: their code is not this process' any more."""
        self._warm.clear()
        self._unfit.clear()
        self.hear(None)

    def stop(self) -> None:
        """Let go of all copies."""
        self._warm.clear()

    # --- keeping up --------------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Keep up for ever. What fails is tried again, and by a look at all."""
        while True:
            began = time.thread_time()
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 - a service loop: nothing may end it but the closing of the engine
                self._warn(error)
                self._looks.demand()
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
            await asyncio.sleep(rest_seconds(time.thread_time() - began, share=self._share))
            if not self._told:
                await self._wait_for_news()

    def _warn(self, error: Exception) -> None:
        text = "following the runs of others failed and will be tried again: %s"
        self._worker.recurring.warning(text, error, cause=error, with_lines=not isinstance(error, StoreError))

    async def _wait_for_news(self) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), self._seconds_until_look())

    def _seconds_until_look(self) -> float:
        return self._looks.seconds_left(self._worker.loop.time(), room_bytes=self._warm.room_bytes)

    async def _follow(self) -> None:
        """Bring some of the copies that are behind up to date."""
        if not self._seconds_until_look():
            await self._look_at_all()
        told = dict(islice(self._told.items(), _RUNS_AT_ONCE))
        for key in told:
            del self._told[key]
        try:
            await self._follow_some(told)
        except Exception:
            self._told |= {key: self._told.pop(key, told[key]) for key in told}  # behind what it may have held up
            raise

    async def _follow_some(self, told: Mapping[RunKey, bool]) -> None:
        """Bring those of the runs up to date that have a copy, or room for one, and that others own."""
        wanted = list(self._wanted(told))
        if not wanted:
            return
        worker = self._worker
        standings = await worker.store.list_standings(
            workflows=worker.registry.workflow_versions, limit=len(wanted), among=wanted
        )
        owned = {standing.run_key: standing for standing in standings}
        for key in wanted:
            if key not in owned:  # it has ended, or waits, or is this worker's by now
                self._warm.discard(key)
        places = {key: self._place_of(key) for key, standing in owned.items() if self._is_behind(standing)}
        if places:
            for key in await self._read_on(owned, places, told):
                self._told.setdefault(key, told[key])  # others have made the read long enough

    def _wanted(self, told: Mapping[RunKey, bool]) -> Iterator[RunKey]:
        """Yield the runs whose histories are to be read on."""
        places, room_bytes = self._warm.places, self._warm.room_bytes
        can_displace = self._warm.has_room(self._worker.loop.time())
        for key, has_moved in told.items():
            if key in self._warm:
                yield key
            elif key not in self._unfit:
                needed = self._warm.bytes_needed(key)
                if (places > 0 and needed <= room_bytes) or (has_moved and can_displace):
                    places -= 1
                    yield key
                else:
                    self._looks.leave_out(needed)

    async def _look_at_all(self) -> None:
        self._looks.begin()
        worker, warm = self._worker, self._warm
        began_at = worker.loop.time()
        limit = warm.most + len(self._unfit) + warm.left_out + 1  # so none of these hides that there are more
        try:
            standings = await worker.store.list_standings(workflows=worker.registry.workflow_versions, limit=limit)
        except Exception as error:  # noqa: BLE001 - whatever it is, what was told is followed; that may well go
            self._warn(error)
            self._looks.fail(began_at, worker.loop.time())
            return
        now = worker.loop.time()
        behind = [one.run_key for one in standings if self._is_behind(one) and one.run_key not in self._unfit]
        chosen = self._chosen(behind)
        self._looks.end(began_at, now, found=[key for key in chosen if key not in self._told])
        owned = {standing.run_key for standing in standings}
        chosen += [key for key in warm if key not in owned]
        # A copy that is not being made, and is behind, is one of a run that has moved.
        self._told |= {key: self._told.get(key, key in warm) for key in chosen}

    def _chosen(self, behind: Collection[RunKey]) -> list[RunKey]:
        """Return which of the runs that are behind have a copy, or a place for one."""
        warm, chosen = self._warm, list[RunKey]()
        places, room_bytes = warm.places, warm.room_bytes
        for key in behind:
            if key in warm:
                chosen.append(key)
            elif places > 0 and warm.bytes_needed(key) <= room_bytes:
                places -= 1
                chosen.append(key)
            else:
                self._looks.leave_out(warm.bytes_needed(key))
        return chosen

    def _place_of(self, run_key: RunKey) -> HistoryPlace:
        run = self._warm.find(run_key)
        return BEGINNING if run is None else run.place

    def _is_behind(self, standing: Standing) -> bool:
        return self._place_of(standing.run_key).sequence != standing.sequence

    async def _read_on(
        self, owned: Mapping[RunKey, Standing], places: Mapping[RunKey, HistoryPlace], told: Mapping[RunKey, bool]
    ) -> list[RunKey]:
        """Go on with copies; return of which runs there is more to be read."""
        worker, left = self._worker, list[RunKey]()
        parts = await worker.store.read_on(places, limit=_EVENTS_AT_ONCE)
        for key in places.keys() - {part.run_key for part in parts}:
            self._refuse(key, is_for_good=places[key] == BEGINNING)
        for part in parts:
            await asyncio.sleep(0)  # others come first
            key = part.run_key
            # It may have been claimed meanwhile, by this worker, or thrown away.
            if places[key] == self._place_of(key) and not (key in worker.active or key in worker.mail.loading):
                if part.events or key in self._warm:  # else an empty copy would take the place of another
                    self._go_on(owned[key].workflow, part, has_moved=told[key])
                if not part.is_last:
                    left.append(key)
        return left

    def _go_on(self, workflow: WorkflowVersion, part: HistoryPart, *, has_moved: bool) -> None:
        key, worker = part.run_key, self._worker
        run = self._warm.take(key) or WarmRun(workflow, code=worker.code)
        try:
            run.go_on(worker.registry, part)
        except Exception as error:  # noqa: BLE001 - user code, or damage: whoever loads the run tells of it
            _logger.debug("no warm copy is kept of run key %s: %s", key, error)
            run.close()
            self._refuse(key, is_for_good=True)
            return
        if run.size_bytes > self._warm.most_bytes:
            run.close()
            self._refuse(key, is_for_good=True)
            return
        if not self._warm.put(key, run, worker.loop.time(), has_moved=has_moved):
            self._looks.leave_out(run.size_bytes)

    def _refuse(self, run_key: RunKey, *, is_for_good: bool) -> None:
        """Throw a copy away; `is_for_good`: as long as this process has no other code there is no use in a new one."""
        self._warm.discard(run_key)
        if is_for_good:
            self._unfit[run_key] = None
            if len(self._unfit) > REMEMBERED_REASONS:
                del self._unfit[next(iter(self._unfit))]
        else:
            self._told[run_key] = True

    # --- taking over -------------------------------------------------------------------------------------------------

    async def take(self, summary: RunSummary) -> WarmLoad | None:
        """Return a run that this worker has claimed, by its row, as far as its history goes; None: load it."""
        run = self._warm.take(summary.run_key)
        if run is None:
            return None
        self._news.set()  # there is a place for another
        load: WarmLoad | None = None
        try:
            load = await self._finished(run, summary)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told of if it happens to the loading, too
            _logger.debug("the warm copy of run %s cannot be used: %s", summary.ref, error)
        finally:
            if load is None:
                run.close()
        self.taken_over += load is not None
        self.thrown_away += load is None
        return load

    async def _finished(self, run: WarmRun, summary: RunSummary) -> WarmLoad | None:
        """Bring a copy up to date; None if it is not one of this run, of this history, by this code."""
        worker = self._worker
        part = await self._ask(summary.run_key, run.place)
        while part is not None and not part.is_last:
            run.go_on(worker.registry, part)
            part = await self._ask(summary.run_key, run.place)
        workflow = WorkflowVersion(summary.workflow, summary.definition_version)
        if part is None or (part.place.sequence, run.workflow, run.code) != (summary.sequence, workflow, worker.code):
            return None
        run.go_on(worker.registry, part)
        state, feed = run.finish()
        return WarmLoad(state=state, feed=feed, code=run.code, has_inbox=part.inbox_position > 0)

    def _ask(self, run_key: RunKey, place: HistoryPlace) -> "asyncio.Future[HistoryPart | None]":
        """Ask what comes next, together with whoever asks in the same turn of the loop."""
        if not self._asked:
            self._worker.loop.call_soon(self._read_asked)
        future: asyncio.Future[HistoryPart | None] = self._worker.loop.create_future()
        self._asked[run_key] = (place, future)
        return future

    def _read_asked(self) -> None:
        asked, self._asked = self._asked, {}
        self._worker.mail.spawn(self._answer(asked))

    async def _answer(self, asked: Mapping[RunKey, "tuple[HistoryPlace, asyncio.Future[HistoryPart | None]]"]) -> None:
        worker = self._worker
        try:
            places = {run_key: place for run_key, (place, _) in asked.items()}
            parts = await worker.store.read_on(places, limit=max(worker.settings.history_page, _EVENTS_AT_ONCE))
            found = {part.run_key: part for part in parts}
        except Exception as error:  # noqa: BLE001 - they are loaded, and what is wrong is told of then
            _logger.debug("what comes next of %d warm runs cannot be read: %r", len(asked), error)
            found = {}
        for run_key, (_, future) in asked.items():
            if not future.done():
                future.set_result(found.get(run_key))


_RUNS_AT_ONCE: Final = 100
_EVENTS_AT_ONCE: Final = 500
"""So much is read at once, if it is not `BYTES_AT_ONCE` sooner: to replay it takes some 10 ms."""
_MOST_TOLD: Final = 20_000
"""Of so many runs that wait to be asked for; a look at all takes the place of more."""
_PAUSE_AFTER_FAILURE_SECONDS: Final = 1.0
