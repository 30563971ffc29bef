"""Run claims: finding due runs that nobody owns, taking them, and loading them into memory by replay.

Runs that are parked (`perdure.execution.parking`) are looked for at first, whenever this process has new code, and when
another process has parked one. Runs that are due to be ended are claimed whatever code they need
(`perdure.execution.codeless`).

There is no polling: the next due time is asked from the store once after each claim and a timer is set for it; new
runs and messages, of this process or others, wake the claims by `wake`.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from perdure.authoring.registry import Registry
from perdure.errors import InternalError, PerdureError, StoreError, UnknownActivityError, UsageError
from perdure.execution.active_run import ActiveRun
from perdure.execution.clock import not_ahead
from perdure.execution.codeless import giving_back, look_for_end
from perdure.execution.loading import demand_open, load_run
from perdure.execution.mail import inbox_to_begin_with
from perdure.execution.parking import Hindrance, park, tell_if_stranded
from perdure.execution.refusals import DAMAGE
from perdure.execution.setbacks import Setbacks, doubled, pause_after
from perdure.kernel import inputs as i
from perdure.kernel.identity import RunKey
from perdure.kernel.program import Feed
from perdure.kernel.state import RunState
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Outcome, Park, Release, RunStatus
from perdure.logs import logger_named
from perdure.ports.store import ClaimedRun, InboxEntry

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["RunClaims"]

_logger = logger_named("perdure.worker")


class RunClaims:
    """Claims due runs while there is room."""

    def __init__(self, worker: "Worker", *, loads_at_once: int) -> None:
        """Claim for `worker`, loading at most `loads_at_once` runs concurrently."""
        self._worker = worker
        self._loads = asyncio.Semaphore(loads_at_once)
        self._claim_limit = loads_at_once * 4
        self._wake = asyncio.Event()
        self._losses = 0
        self._failures = 0
        self._failed_loads = Setbacks()
        self.is_starved = False
        self._rests_until = 0.0
        self._tries_parked = True
        self._timer: asyncio.TimerHandle | None = None
        self._timer_rings_at = 0.0

    def wake(self) -> None:
        """Look for due runs soon."""
        self._wake.set()

    def try_parked(self) -> None:
        """Look soon also for parked runs that this process' code has not tried."""
        self._tries_parked = True
        self._wake.set()

    def rest(self, seconds: float) -> None:
        """Claim nothing for so long: others are to have what was just given back."""
        self._rests_until = self._worker.loop.time() + seconds
        self._worker.loop.call_later(seconds + _CLOCK_TICK_SECONDS, self.wake)  # loops may ring a tick too early

    @property
    def _is_resting(self) -> bool:
        return self._worker.loop.time() < self._rests_until

    def lose(self) -> None:
        """Note that this worker may own none of the runs any more that it has claimed, be they loaded or not yet."""
        self._losses += 1
        self._worker.sharing.forget()

    def room_can_be_made(self) -> None:
        """Look for due runs soon if some were left waiting because memory was full."""
        if self.is_starved or self._tries_parked:
            self._wake.set()

    async def work(self) -> None:
        """Claim for ever. A failing store is tried again after a pause."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._claim_all()
                await self._set_timer()
            except Exception as error:  # noqa: BLE001 - a service loop: nothing may end it but the closing of the engine
                self._worker.recurring.warning(
                    "claiming runs failed and will be tried again: %s",
                    error,
                    cause=error,
                    with_lines=not isinstance(error, StoreError),
                )
                self._failures += 1
                self._wake_after(self._pause_after(self._failures))
            else:
                self._failures = 0

    async def _claim_all(self) -> None:
        worker = self._worker
        # Once the lease is held again these are woken, and by a timer once they have rested.
        while worker.is_claiming and worker.lease.is_held and not self._is_resting:
            if worker.room <= 0:
                self.is_starved = await self._is_due()
                if worker.room > 0:  # it was made while we asked
                    continue
                if self.is_starved:
                    worker.idle.release_oldest(self._claim_limit)
                return
            self.is_starved = False
            losses, limit = self._losses, min(worker.room, self._claim_limit)
            claimed = await self._claim(limit)
            if claimed:
                await asyncio.gather(*(self._take(run, losses) for run in claimed))
            # What is left, or came due since, is told by the next due time, which is asked for now.
            if not claimed or (len(claimed) < limit and not self._tries_parked):
                return

    async def _claim(self, limit: int) -> list[ClaimedRun]:
        worker = self._worker
        tries_parked, self._tries_parked = self._tries_parked, False
        claimed: list[ClaimedRun] | None = None
        try:
            claimed = await worker.store.claim(
                now=worker.clock.now(),
                limit=limit,
                workflows=worker.registry.workflow_versions,
                code=worker.code if tries_parked else None,
            )
        finally:
            self._tries_parked |= tries_parked and claimed != []  # there may be more
        return claimed

    async def _is_due(self) -> bool:
        worker = self._worker
        wake_at = await worker.store.next_wake_at(workflows=worker.registry.workflow_versions)
        return wake_at is not None and wake_at <= worker.clock.now()

    async def _take(self, claimed: ClaimedRun, losses: int) -> None:
        """Begin with a run that was claimed after so many losses."""
        worker, summary = self._worker, claimed.summary
        if worker.standby and await self._take_warm(claimed, losses):
            self._failed_loads.forget(summary.run_key)
            return
        async with self._loads:
            code = worker.code
            try:
                if worker.registry.find(summary.workflow, summary.definition_version) is None:
                    await look_for_end(worker, claimed, code=code)
                    return
                with worker.mail.while_loading(summary.run_key):
                    await self._load(claimed, losses, code=code)
            except (UsageError, *DAMAGE) as error:  # the code does not fit, is missing, or never waits
                _logger.error("run %s is parked: %s", summary.ref, error)  # noqa: TRY400 - no traceback needed
                await park(worker, Hindrance.of_claimed(claimed, error, code=code))
            except StoreError as error:
                text = "loading run %s failed, it is given back: %s"
                worker.recurring.warning(text, summary.ref, error, cause=error)
                pause = self._pause_after(self._failed_loads.count(summary.run_key, summary.sequence))
                worker.loop.call_later(pause, self._give_back_kept, claimed)
            except Exception as error:  # noqa: BLE001 - one broken run must not keep the others from being loaded
                await self._broken(claimed, error, code=code)
            else:
                self._failed_loads.forget(summary.run_key)

    async def _take_warm(self, claimed: ClaimedRun, losses: int) -> bool:
        """Go on with a warm copy of a run, if there is one that is of use; what goes wrong leaves it to be loaded."""
        worker, summary = self._worker, claimed.summary
        try:
            with worker.mail.while_loading(summary.run_key):
                warm = await worker.standby.take(summary)
                if warm is None:
                    return False
                await self._begin(claimed, losses, warm.state, warm.feed, code=warm.code, has_inbox=warm.has_inbox)
        except Exception as error:  # noqa: BLE001 - what is wrong with the run is told of where it is loaded
            _logger.debug("run %s is loaded, since its warm copy could not go on: %r", summary.ref, error)
            return False
        return True

    def _pause_after(self, failures: int) -> float:
        """Return after how many seconds to read again what could not be read so often in a row."""
        return doubled(_PAUSE_AFTER_FAILURE_SECONDS, failures, most=self._worker.settings.lease_seconds)

    async def _broken(self, claimed: ClaimedRun, error: Exception, *, code: str) -> None:
        """Keep a run out of the way that could not be loaded, for a reason that is Perdure's fault."""
        summary = claimed.summary
        _logger.critical("run %s could not be loaded", summary.ref, exc_info=error)
        run = self._worker.active.get(summary.run_key)
        if run is not None and run.fencing_token == summary.fencing_token:
            run.drop()
        broken = InternalError(f"run {summary.ref} could not be loaded: {error!r}")
        await park(self._worker, Hindrance.of_claimed(claimed, broken, code=code))

    def _give_back_kept(self, claimed: ClaimedRun) -> None:
        """Give a run back that was kept for a pause: one in its row would end when the clock shows it, which is set."""
        if self._worker.is_claiming:
            self._give_back(claimed)

    def _give_back(self, claimed: ClaimedRun) -> None:
        """Make a claimed run that was not adopted due again, at once."""
        clock = self._worker.clock
        wake_at = not_ahead(claimed.summary.updated_at, clock)
        self.give_back(giving_back(claimed, now=clock.now(), wake_at=wake_at, end_at=None))

    def give_back(self, write: Release | Park, released: Callable[[], None] = lambda: None, *, failed: int = 0) -> None:
        """Give a run back that is nobody's in this process, and call `released` when that is answered.

        A store that fails for good (it has `failed` so often) is asked again after a pause: until it takes the run
        back, nobody can have it.
        """

        def answered(outcome: Outcome | PerdureError) -> None:
            released()
            if isinstance(outcome, PerdureError):
                tell_if_stranded(self._worker, write, outcome)
                pause = pause_after(failed + 1, self._worker.settings)
                self._worker.loop.call_later(pause, self._give_back_again, write, failed + 1)
            else:
                if failed:
                    self._worker.endings.unpark(write.run_key)
                self.wake()  # plans the next timer; a message that came meanwhile makes the run due at once

        self._worker.committer.submit(write, answered, keep=True)

    def _give_back_again(self, write: Release | Park, failed: int) -> None:
        if self._worker.is_claiming:
            self.give_back(write, failed=failed)

    async def _load(self, claimed: ClaimedRun, losses: int, *, code: str) -> None:
        state, feed = await load_run(self._worker, claimed.summary)
        await self._begin(claimed, losses, state, feed, code=code)

    async def _begin(
        self, claimed: ClaimedRun, losses: int, state: RunState, feed: Feed, *, code: str, has_inbox: bool = True
    ) -> None:
        """Go on where a history ends; without `has_inbox` no message waits but those of which news come now."""
        worker, summary = self._worker, claimed.summary
        try:
            demand_open(state, summary)
            inbox = await self._first_messages(summary.run_key, state) if has_inbox else []
        except BaseException:
            feed.program.close()
            raise
        if losses != self._losses or not worker.lease.is_held:
            # It may be another's by now, who has written what was read; if it is not, it is due again, for anybody.
            feed.program.close()
            self._give_back(claimed)
            return
        run = ActiveRun(
            worker,
            run_key=summary.run_key,
            ref=summary.ref,
            fencing_token=summary.fencing_token,
            state=state,
            feed=feed,
            claimed=claimed,
            code=code,  # not the worker's by now: other code may have come while this was loaded
        )
        worker.adopt(run)
        recovered = i.Recovered(worker=worker.name)
        if state.fresh_fork is not None:
            run.receive(i.GoOn(worker=worker.name))
            if claimed.recovered:
                run.receive(recovered)  # no note, which would be taken first: then the fork were not fresh any more
        elif claimed.recovered:
            run.note(recovered)
        if state.status is RunStatus.CREATED and state.fresh_fork is None:
            run.receive(i.Begin(worker=worker.name))
        worker.mail.take(run, inbox)
        run.resume()
        if run.is_idle:
            worker.rest(run)

    async def _first_messages(self, run_key: RunKey, state: RunState) -> list[InboxEntry]:
        worker = self._worker
        may_hold_outcomes = _has_transactions(state, worker.registry)
        return await inbox_to_begin_with(worker.store, run_key, state, may_hold_outcomes=may_hold_outcomes)

    async def _set_timer(self) -> None:
        worker = self._worker
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.is_starved or self._is_resting or not worker.is_claiming or not worker.lease.is_held:
            return
        wake_at = await worker.store.next_wake_at(workflows=worker.registry.workflow_versions)
        if wake_at is not None:
            self.wake_at(wake_at)

    def wake_at(self, moment: Timestamp) -> None:
        """Look for due runs at `moment`, unless an earlier look is planned."""
        delay = max(moment - self._worker.clock.now(), 0) / MICROSECONDS_PER_SECOND
        self._wake_after(min(delay, _LONGEST_PAUSE_SECONDS))

    def _wake_after(self, seconds: float) -> None:
        loop = self._worker.loop
        rings_at = loop.time() + seconds
        if self._timer is not None:
            if not self._timer.cancelled() and self._timer_rings_at <= rings_at:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._timer_due)
        self._timer_rings_at = rings_at

    def _timer_due(self) -> None:
        self._timer = None
        self._wake.set()

    def stop(self) -> None:
        """Set no more timers."""
        if self._timer is not None:
            self._timer.cancel()


def _has_transactions(state: RunState, registry: Registry) -> bool:
    """Whether an activity that is pending is made in a transaction, by the code of this process."""
    for activity in state.activities.values():
        with suppress(UnknownActivityError):
            if registry.activity(activity.activity).transaction is not None:
                return True
    return False


_PAUSE_AFTER_FAILURE_SECONDS = 1.0
_CLOCK_TICK_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 24 * 3600.0
