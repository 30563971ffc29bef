"""Lease keeping: the worker's session stays alive, and runs of dead sessions are freed.

The time of a renewal is taken before the call, and trust ends before the lease does: a worker whose renewals fail for
longer than its lease, or do not come back, drops its runs by itself, whatever the store thinks (river, leadership).
From then on it claims none until a renewal has succeeded: others would take them from it at their next look.
"""

import asyncio
from typing import TYPE_CHECKING

from perdure.errors import StoreError
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.logs import logger_named
from perdure.timekeeping.clock_watch import ClockWatch

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["LeaseKeeper"]

_logger = logger_named("perdure.worker")


class LeaseKeeper:
    """Renews one worker's lease and looks for the expired ones of others, and at the clock."""

    def __init__(self, worker: "Worker", *, lease_seconds: float, renewals: int) -> None:
        """Renew `renewals` times per lease."""
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._pause_seconds = lease_seconds / renewals
        self._renewed(worker.loop.time(), worker.clock.now())

    @property
    def is_held(self) -> bool:
        """Whether the lease has not passed yet, as far as this process can tell: also not for others, by the store's
        clock, which may have been set forward."""
        worker = self._worker
        return worker.loop.time() < self._renewed_at + self._lease_seconds and worker.clock.now() < self._lasts_until

    def _renewed(self, at: float, now: Timestamp) -> None:
        """Note that the lease was renewed at a moment of the loop's, which the store's clock called `now`."""
        self._renewed_at = at
        self._lasts_until = now + round(self._lease_seconds * MICROSECONDS_PER_SECOND)

    async def work(self) -> None:
        """Keep the lease for ever."""
        worker = self._worker
        watch = ClockWatch(worker.clock, worker.loop)
        self._renewed(worker.loop.time(), worker.clock.now())
        hastened_until = self._hastened_until()  # it may have been set just before
        while True:
            await asyncio.sleep(self._pause_seconds if self.is_held else min(self._pause_seconds, _PAUSE_ONCE_PASSED))
            if watch.was_set():
                self._wait_anew()
                hastened_until = self._hastened_until()
            asked_at, now = worker.loop.time(), worker.clock.now()
            trusted_until = self._renewed_at + self._lease_seconds - self._pause_seconds
            try:
                async with asyncio.timeout_at(max(trusted_until, asked_at + self._pause_seconds)):
                    if await worker.store.renew_lease(now=now):
                        had_passed = not self.is_held
                    else:
                        # The store has given the runs back and begun a new lease; who is due is claimed anew.
                        worker.drop_all("the lease had passed before it was renewed")
                        had_passed = True
                    self._renewed(asked_at, now)
                    await self._free_expired()
                    worker.queues.lease_renewed()
                    worker.sharing.look_soon()
                    if had_passed or asked_at < hastened_until:  # by the renewal, if the clock was set back
                        worker.claims.wake()
            except Exception as error:  # noqa: BLE001 - a service loop: nothing may end it but the closing of the engine
                is_expected = isinstance(error, _EXPECTED)
                text = "renewing the lease failed: %r"
                worker.recurring.warning(text, error, cause=error, with_lines=not is_expected)
                if worker.loop.time() - self._renewed_at + self._pause_seconds >= self._lease_seconds:
                    worker.drop_all("the lease could not be renewed in time")

    def _hastened_until(self) -> float:
        """Return until when renewals may have hastened what a clock that is set back would hold up."""
        return self._worker.loop.time() + self._lease_seconds + self._pause_seconds

    async def _free_expired(self) -> None:
        """Have given back what dead sessions owned; be it only a part of it before an error, that is due."""
        has_freed = True
        try:
            has_freed = await self._worker.store.free_expired(now=self._worker.clock.now()) > 0
        finally:
            if has_freed:
                self._worker.claims.wake()

    def _wait_anew(self) -> None:
        """Wait anew for all that is due at a time: the event loop's timers were set by what the clock showed before."""
        worker = self._worker
        _logger.warning("the clock was set: what is due at a time is waited for anew")
        worker.dispatcher.clock_was_set()
        for run in worker.active.values():
            run.schedule()
        if worker.is_claiming:
            worker.claims.wake()
            worker.keeper.wake()


_EXPECTED = (StoreError, TimeoutError)
_PAUSE_ONCE_PASSED = 1.0
"""Seconds between renewals, at most, of a lease that has passed: until one succeeds no run is claimed."""
