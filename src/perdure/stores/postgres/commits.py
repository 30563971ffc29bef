"""Commits: writes are decided on locked rows and written back, in one transaction on a lane.

A transaction that was in another's way is tried again: the server undoes one of two that wait for each other, and an id
may be taken between the decision and the writing. What was decided before is forgotten then, and not saved.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from perdure.errors import StoreUnavailableError
from perdure.kernel.identity import RunKey, WorkerId
from perdure.kernel.transition import Applied, Outcome, Stale, Transition, Write
from perdure.ports.agenda import AgendaChange
from perdure.ports.store import Changes
from perdure.stores.memory.tables import News, Session
from perdure.stores.memory.writes import apply, prepare
from perdure.stores.postgres import statements
from perdure.stores.postgres.chains import Head, Heads
from perdure.stores.postgres.connection import Connection, driver_errors
from perdure.stores.postgres.faults import has_ended, is_contention, is_lost, store_error
from perdure.stores.postgres.flushing import CollisionError, flush
from perdure.stores.postgres.lanes import FencedError, Lane, Lanes
from perdure.stores.postgres.loading import Loaded, load, load_missing
from perdure.stores.postgres.plain import PlainCommit, are_plain
from perdure.stores.postgres.workset import NotLoadedError, Workset

__all__ = ["Commits"]

Result = TypeVar("Result")


class Commits:
    """The transactions of a session that write."""

    def __init__(self, lanes: Lanes, worker_id: WorkerId, *, location: str) -> None:
        """Prepare."""
        self._lanes: Final = lanes
        self._location: Final = location
        self._session: Final = Session(
            worker=worker_id, name="", lease_microseconds=0, on_changes=_nobody_hears
        )  # whose the writes are
        self._worker_id: Final = worker_id
        self._has_ended = False
        self.heads: Final = Heads()
        self.in_blocks = False
        """Whether events of a run that are committed together are one row: all who are at work can read it."""

    async def commit(self, writes: Sequence[Write]) -> tuple[list[Outcome], News]:
        """Apply writes; return what became of them, and what others may want to hear of. Raises StoreErrors."""
        if are_plain(writes, self.heads):
            return await self._commit_plain(writes)
        return await self._commit_decided(writes)

    async def _commit_plain(self, writes: Sequence[Write]) -> tuple[list[Outcome], News]:
        """Apply plain writes by one statement; those that would create what is there already are asked about then."""
        plain = PlainCommit(writes, self.heads, in_blocks=self.in_blocks)
        applied = await self._on_lane(lambda lane: self._execute(lane, plain))
        news = News()
        news.run_keys |= applied
        outcomes: list[Outcome] = []
        for write in writes:
            assert isinstance(write, Transition)
            if write.run_key in applied:
                outcomes.append(self._applied(write, plain.heads[write.run_key]))
            elif write.creation is None:
                outcomes.append(Stale(write.run_key))
            else:
                [refused], more = await self._commit_decided([write])
                outcomes.append(refused)
                news.run_keys |= more.run_keys
        return outcomes, news

    def _applied(self, write: Transition, head: Head) -> Applied:
        if write.row.status.is_closed:
            self.heads.forget(write.run_key)
            return Applied(write.run_key)
        self.heads.keep(write.run_key, head)
        return Applied(write.run_key, write.owner)

    async def _execute(self, lane: Lane, plain: PlainCommit) -> frozenset[RunKey]:
        connection = await self._lanes.connection_of(lane)
        lane.number += 1
        try:
            return await plain.execute(connection, lane, self._worker_id)
        except Exception as error:
            if isinstance(error, FencedError) or not is_lost(error):
                raise
            settled = await self._lanes.settle(lane)
            if not settled.is_saved:
                raise
            return settled.applied

    async def _commit_decided(self, writes: Sequence[Write]) -> tuple[list[Outcome], News]:
        """Apply any writes, decided on rows that are locked."""
        decision = await self.transact(lambda connection: self._decide_and_write(connection, writes))
        self._keep_heads(decision)
        return decision.outcomes, decision.news

    async def decide_within(self, connection: Connection, writes: Sequence[Write]) -> tuple[list[Outcome], News]:
        """Apply writes that concern no run of the session, within a transaction that the caller has begun; return what
        became of them, and what others may want to hear of once that is committed.

        Raises CollisionError, and what the connection's driver does.
        """
        decision = await self._decide_and_write(connection, writes)
        return decision.outcomes, decision.news

    async def change_agenda(
        self, put: Callable[[Connection], Awaitable[bool]], change: AgendaChange
    ) -> tuple[bool, News]:
        """Put an entry and apply what comes with it, if that may be; return whether it was, and the news."""
        writes: tuple[Write, ...] = (*change.creations, *change.deliveries)

        async def put_and_write(connection: Connection) -> _Decision | None:
            return await self._decide_and_write(connection, writes) if await put(connection) else None

        decision = await self.transact(put_and_write)
        if decision is None:
            return False, News()
        decision.news.is_agenda = True
        decision.news.run_keys.update(change.gone)
        return True, decision.news

    async def _decide_and_write(self, connection: Connection, writes: Sequence[Write]) -> "_Decision":
        loaded = await load(connection, writes)
        decision = await self._decide(connection, loaded, writes)
        decision.heads = await flush(connection, loaded, decision.rows, heads=self.heads, in_blocks=self.in_blocks)
        return decision

    def _keep_heads(self, decision: "_Decision") -> None:
        """Note what was added to the session's runs, and which are its no more."""
        for run_key, run in decision.rows.runs.items():
            if run.owner != self._worker_id:
                self.heads.forget(run_key)
            elif run_key in decision.heads:
                self.heads.keep(run_key, decision.heads[run_key])

    async def _decide(self, connection: Connection, loaded: Loaded, writes: Sequence[Write]) -> "_Decision":
        while True:
            decided, news = loaded.workset(), News()
            try:
                prepared = [prepare(decided, write) for write in writes]
                outcomes = [apply(decided, self._session, one, news) for one in prepared]
                return _Decision(rows=decided, outcomes=outcomes, news=news)
            except NotLoadedError as error:
                await load_missing(connection, loaded, error.missing)

    async def transact(self, work: Callable[[Connection], Awaitable[Result]], *, is_last: bool = False) -> Result:
        """Do work in a transaction, which is durable when this returns; it may be done again. `is_last`: it ends what
        numbers the session's transactions, and none comes after it but another such one. Raises StoreErrors."""
        self._has_ended |= is_last
        return await self._on_lane(lambda lane: self._transact(lane, work, is_last=is_last))

    async def _on_lane(self, commit: Callable[[Lane], Awaitable[Result]]) -> Result:
        """Commit on a lane, again where others were in the way, or once where its connection had ended: whatever is
        raised, nothing is saved."""
        lane = await self._lanes.take()
        may_have_ended = lane.is_connected
        try:
            for _ in range(_TRIES):
                try:
                    return await commit(lane)
                except CollisionError:
                    continue
                except FencedError as error:
                    if self._has_ended:
                        raise self._ended() from error
                    await self._lanes.settle(lane)  # which learns the epoch
                except driver_errors() as error:
                    if not (is_contention(error) or (may_have_ended and has_ended(error))):
                        raise
                    may_have_ended &= not has_ended(error)
        except driver_errors() as error:
            raise store_error(error, location=self._location, doing="committing") from error
        except asyncio.CancelledError:  # whoever is cancelled does not ask what became of it
            lane.distrust()
            raise
        finally:
            self._lanes.give_back(lane)
        raise StoreUnavailableError(
            f"committing to {self._location} failed {_TRIES} times, since others were in the way each time. Nothing of "
            f"this call was saved; calls succeed again by themselves."
        )

    def _ended(self) -> StoreUnavailableError:
        return StoreUnavailableError(f"the session on {self._location} is being closed; nothing of this call was saved")

    async def _transact(self, lane: Lane, work: Callable[[Connection], Awaitable[Result]], *, is_last: bool) -> Result:
        connection = await self._lanes.connection_of(lane)
        lane.number += 1
        try:
            await connection.execute("BEGIN")
            answer = await work(connection)
            if not is_last:
                await self._number(connection, lane)
        except BaseException as error:
            await _roll_back(lane, connection, error)
            raise
        try:
            await connection.execute("COMMIT")
        except Exception:
            if not (await self._lanes.settle(lane)).is_saved:
                raise
        return answer

    async def _number(self, connection: Connection, lane: Lane) -> None:
        numbered = await connection.execute(
            statements.NUMBER_COMMIT, self._worker_id, lane.lane, lane.epoch, lane.number, []
        )
        if numbered != _ONE_ROW:
            raise FencedError


class _Decision(msgspec.Struct, kw_only=True):
    """What becomes of writes, the rows as they are then, and what the next events of runs are linked to."""

    rows: Workset
    outcomes: list[Outcome]
    news: News
    heads: dict[RunKey, Head] = {}


async def _roll_back(lane: Lane, connection: Connection, error: BaseException) -> None:
    """Undo a transaction that was not committed: nothing of it is saved, whatever becomes of this."""
    if isinstance(error, Exception) and not is_lost(error):
        try:
            await connection.execute("ROLLBACK")
        except driver_errors():
            lane.distrust()
        return
    lane.distrust()


def _nobody_hears(_: Changes) -> None: ...


_TRIES: Final = 10
_ONE_ROW: Final = "UPDATE 1"
