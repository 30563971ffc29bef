"""What a session of an open database owns: it claims runs, keeps its lease, and gives back what it or others leave.

Each is asked past damage (`perdure.stores.sqlite.unreadable`). What a late lease could not give back stays the
session's; it is given back by a later renewal, unless another has claimed it meanwhile, or this session itself.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import apsw

from perdure.kernel.identity import WorkerId, WorkflowVersion
from perdure.kernel.time import Timestamp
from perdure.ports.store import ClaimedRun
from perdure.stores.sql.passing import NONE_PASSED
from perdure.stores.sqlite.presence import Presence
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.sessions import Session, claim, end_session, free_expired, renew
from perdure.stores.sqlite.unreadable import Browse, CanWrite, Unreadable
from perdure.stores.sqlite.writer import Writer

__all__ = ["Ownership"]

Result = TypeVar("Result")


class Ownership:
    """What one session owns. Methods are those of `RunStore`, and raise what these raise."""

    def __init__(
        self,
        session: Session,
        presence: Presence,
        writer: Writer,
        unreadable: Unreadable,
        *,
        browse: Browse,
        can_write: CanWrite,
    ) -> None:
        """Prepare; the writer need not have been started yet."""
        self._session: Final = session
        self._presence: Final = presence
        self._writer: Final = writer
        self._unreadable: Final = unreadable
        self._browse: Final = browse
        self._can_write: Final = can_write
        # Known to the writer: what it does next may concern them before anybody has its answer.
        self._left = NONE_PASSED

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None
    ) -> list[ClaimedRun]:
        """Take due runs that nobody owns, and parked ones that `code` has not tried."""

        def ask() -> Awaitable[list[ClaimedRun]]:
            claiming = partial(
                claim,
                session=self._session,
                now=now,
                limit=min(limit, self._unreadable.most_written),
                workflows=workflows,
                code=code,
                passing=self._unreadable.unclaimable | self._unreadable.undue,
            )

            def claim_and_note(connection: apsw.Connection, news: News) -> list[ClaimedRun]:
                claimed = claiming(connection, news=news)
                self._left = self._left.difference(run.summary.run_key for run in claimed)
                return claimed

            return self._writer.call(claim_and_note)

        claimed = await self._past_damage(ask)
        self._unreadable.widen()
        return claimed

    async def renew_lease(self, *, now: Timestamp) -> bool:
        """Extend the lease. If it had passed, what the session still owned is given back and a new lease begins."""

        def ask() -> Awaitable[bool | None]:
            passing, most = self._unreadable.unclaimable, self._unreadable.most_written
            renewing = partial(renew, session=self._session, now=now, passing=passing, most=most)

            def renew_and_note(connection: apsw.Connection, news: News) -> bool | None:
                is_kept, self._left = renewing(connection, news=news, left=self._left)
                return is_kept

            return self._writer.call(renew_and_note)

        while (is_kept := await self._past_damage(ask)) is None:
            self._unreadable.widen()
        return is_kept

    async def free_expired(self, *, now: Timestamp) -> int:
        """Give back the runs of sessions whose process has ended (known at once) or whose lease has passed."""

        def ask() -> Awaitable[tuple[int, list[WorkerId], bool]]:
            passing, most = self._unreadable.unclaimable, self._unreadable.most_written
            is_dead = self._presence.is_dead
            freeing = partial(free_expired, session=self._session, now=now, is_dead=is_dead, passing=passing, most=most)
            return self._writer.call(lambda connection, news: freeing(connection, news=news))

        freed, may_be_more = 0, True
        while may_be_more:
            count, dead, may_be_more = await self._past_damage(ask)
            freed += count
            self._unreadable.widen()
            for worker_id in dead:
                self._presence.forget_session(worker_id)
        return freed

    async def end(self, *, is_unused: bool) -> None:
        """Give back every run of the session, and end it, as the last that the writer does; `is_unused`: it has given
        out no keys."""

        def ask() -> Awaitable[bool]:
            passing, most = self._unreadable.unclaimable, self._unreadable.most_written
            ending = partial(end_session, session=self._session, is_unused=is_unused, passing=passing, most=most)
            return self._writer.call_last(lambda connection, news: ending(connection, news=news))

        self._writer.hurry()
        while not await self._past_damage(ask):
            self._unreadable.widen()

    async def _past_damage(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        return await self._unreadable.past_damage(ask, self._browse, self._can_write)
