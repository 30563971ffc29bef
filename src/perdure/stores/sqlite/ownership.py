"""What a session of an open database owns: it claims runs, keeps its lease, and gives back what it or others leave.

Each is asked past damage (`perdure.stores.sqlite.unreadable`). What a late lease could not give back stays the
session's; it is given back by a later renewal, unless another has claimed it meanwhile, or this session itself.

There is one renewal at a time, which goes on though its caller gives up: who may be the later the later the lease is.
The next waits for it, and so do claims and the end of the session. A loss of the lease is told to the next caller who
is still there. Until then nothing is claimed, and what has become the session's since by a commit is given back by that
next renewal: in memory it is dropped with everything else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from perdure.errors import StoreCorruptError, StoreError
from perdure.kernel.identity import RunKey, WorkflowVersion
from perdure.kernel.time import Timestamp
from perdure.logs import logger_named
from perdure.ports.store import Changes, ClaimedRun
from perdure.ports.tasks import ClaimedTask, ServedTasks, TaskCost
from perdure.stores.sqlite.passed_tasks import PassedTasks
from perdure.stores.sqlite.presence import Presence
from perdure.stores.sqlite.sessions import (
    LeftRuns,
    Session,
    claim,
    end_session,
    free_expired,
    free_left,
    renew,
)
from perdure.stores.sqlite.tasks import ClaimedTasks, claim_tasks
from perdure.stores.sqlite.unreadable import Browse, CanWrite, Stale, Unreadable
from perdure.stores.sqlite.writer import Writer

__all__ = ["Ownership"]

Result = TypeVar("Result")

_LOGGER: Final = logger_named("perdure.store")


class Ownership:
    """What one session owns. Methods are those of `RunStore`, and raise what these raise."""

    def __init__(
        self,
        session: Session,
        presence: Presence,
        writer: Writer,
        unreadable: Unreadable,
        *,
        known_time: Timestamp,
        browse: Browse,
        can_write: CanWrite,
        on_changes: Callable[[Changes], None],
    ) -> None:
        """Prepare; the writer need not have been started yet. `known_time`: the latest that was noted by then.
        `on_changes` has this session hear of runs that it has told something itself."""
        self._on_changes: Final = on_changes
        self._session: Final = session
        self._presence: Final = presence
        self._writer: Final = writer
        self._unreadable: Final = unreadable
        self._browse: Final = browse
        self._can_write: Final = can_write
        self._passed_tasks: Final = PassedTasks()
        self._known_time = known_time
        self._left: LeftRuns = {}
        self._renewal: asyncio.Task[None] | None = None
        self._has_lost = False
        self._is_ending = False

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None
    ) -> list[ClaimedRun]:
        """Take due runs that nobody owns, and parked ones that `code` has not tried; none while a loss is untold."""
        await self._demand_renewed()
        claiming = partial(claim, session=self._session, now=now, workflows=workflows, code=code)
        claimed: list[ClaimedRun] = []
        reach = limit
        while not self._has_lost:
            stale: set[RunKey] = set()
            try:
                more = await self._claim(partial(claiming, limit=limit - len(claimed), reach=reach, stale=stale))
            except Exception as error:
                if not claimed:
                    raise
                _LOGGER.warning("claiming more than %d runs failed: %s", len(claimed), error)
                break
            claimed += more
            if not self._unreadable.leave(stale, Stale.DUE) or len(claimed) >= limit:
                break
            reach *= 2  # where one is stale many may be
        await self._renewed()  # one that has begun meanwhile may have given back what was claimed
        return [] if self._has_lost else claimed

    async def _claim(self, claiming: Callable[..., list[ClaimedRun]]) -> list[ClaimedRun]:
        def ask() -> Awaitable[list[ClaimedRun]]:
            passing = self._unreadable.unclaimable | self._unreadable.undue
            return self._writer.call(partial(claiming, passing=passing, most=self._unreadable.most_written))

        claimed = await self._past_damage(ask)
        self._unreadable.widen()
        if self._left:
            own = {run.summary.run_key for run in claimed}
            self._left = {key: token for key, token in self._left.items() if key not in own}
        return claimed

    async def claim_tasks(
        self, *, now: Timestamp, limit: int, served: ServedTasks, costs: Sequence[TaskCost]
    ) -> list[ClaimedTask]:
        """Take tasks that nobody has; none while a loss is untold."""
        await self._demand_renewed()
        found = ClaimedTasks()
        if not self._has_lost:
            claiming = partial(claim_tasks, session=self._session, now=now, served=served)
            told = [*costs]

            async def claim(*, limit: int, passed: Collection[int], is_fair: bool) -> ClaimedTasks:
                asked = partial(claiming, limit=limit, costs=tuple(told), passed=tuple(passed), is_fair=is_fair)
                found = await self._writer.call(asked)
                told.clear()
                return found

            found = await self._passed_tasks.past_damage(claim, limit=limit)
            if found.told:
                self._on_changes(Changes(run_keys=found.told, ready=True))
            await self._renewed()  # as for runs
        return self._kept(found.claimed)

    def _kept(self, claimed: Sequence[ClaimedTask]) -> list[ClaimedTask]:
        """Return what was claimed, but nothing if the lease was lost meanwhile."""
        return [] if self._has_lost else [*claimed]

    async def renew_lease(self, *, now: Timestamp) -> bool:
        """Extend the lease. If it had passed, what the session still owned is given back and a new lease begins."""
        known_time = self._known_time  # before it waits: what others note meanwhile was not known when `now` was read
        await self._demand_renewed()
        renewal = asyncio.create_task(self._renew_lease(now=now, known_time=known_time), name="perdure-renewal")
        self._renewal = renewal
        try:
            await asyncio.wait([renewal])
        except asyncio.CancelledError:
            renewal.add_done_callback(_log_failure)
            raise
        renewal.result()
        has_lost, self._has_lost = self._has_lost, False
        return not has_lost

    async def _renewed(self) -> None:
        """Wait for the renewal that is under way."""
        while self._renewal is not None and not self._renewal.done():
            await asyncio.wait([self._renewal])

    async def _demand_renewed(self) -> None:
        """Wait for the renewal that is under way. Raises StoreError if the session has ended meanwhile."""
        await self._renewed()
        if self._is_ending:
            raise StoreError("the store was closed meanwhile")

    async def _renew_lease(self, *, now: Timestamp, known_time: Timestamp) -> None:
        renewing = partial(renew, session=self._session, now=now, known_time=known_time, is_lost=self._has_lost)
        while (renewal := await self._give_back(renewing)).is_kept is None:
            self._has_lost = True
        self._known_time = renewal.known_time
        if not renewal.is_kept:
            self._has_lost = True
            self._left = dict.fromkeys(renewal.left)
        else:
            with suppress(StoreError):  # the lease is kept, and the next renewal tries again
                await self._free_left(now=now)

    async def _free_left(self, *, now: Timestamp) -> None:
        """Give back what an earlier lease has left, as far as that can be done now."""
        before: LeftRuns = {}
        while self._left != before:
            before = self._left
            left = await self._give_back(partial(free_left, session=self._session, now=now, left=before))
            self._left = {key: left[key] for key in self._left if key in left}  # without what was claimed meanwhile

    async def free_expired(self, *, now: Timestamp) -> int:
        """Give back the runs of sessions whose process has ended (known at once) or whose lease has passed."""
        freeing = partial(free_expired, session=self._session, now=now, is_dead=self._presence.is_dead)
        freed, may_be_more = 0, True
        while may_be_more:
            count, dead, may_be_more = await self._give_back(freeing)
            freed += count
            for worker_id in dead:
                self._presence.forget_session(worker_id)
        return freed

    async def end(self, *, is_unused: bool) -> None:
        """Give back every run of the session, and end it, as the last that the writer does; `is_unused`: it has given
        out no keys."""
        self._is_ending = True
        self._writer.hurry()
        await self._renewed()
        while not await self._give_back(partial(end_session, session=self._session, is_unused=is_unused), is_last=True):
            pass

    async def _give_back(self, giving_back: Callable[..., Result], *, is_last: bool = False) -> Result:
        """Have the writer give something back, past damage, and pass over what an index alone says to be a session's.

        Raises StoreCorruptError where too much is.
        """
        stale: set[RunKey] = set()

        def ask() -> Awaitable[Result]:
            passing = self._unreadable.unclaimable | self._unreadable.unowned
            giving = partial(giving_back, stale=stale, passing=passing, most=self._unreadable.most_written)
            return self._writer.call_last(giving) if is_last else self._writer.call(giving)

        answer = await self._past_damage(ask)
        self._unreadable.widen()
        if stale and not self._unreadable.leave(stale, Stale.OWNED):
            raise StoreCorruptError(_TOO_MANY_STALE)
        return answer

    async def _past_damage(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        return await self._unreadable.past_damage(ask, self._browse, self._can_write)


def _log_failure(renewal: "asyncio.Task[None]") -> None:
    """Tell what nobody waits for any more."""
    error = None if renewal.cancelled() else renewal.exception()
    if error is not None:
        _LOGGER.warning("renewing the lease failed after its caller had given up: %s", error)


_TOO_MANY_STALE: Final = (
    "an index says of too many runs that they are a session's, and their rows do not; `perdure verify --repair` builds "
    "it anew"
)
