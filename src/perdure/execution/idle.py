"""Idle runs: those that only wait leave memory after a while, and cost one row in the store."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perdure.execution.active_run import ActiveRun

__all__ = ["IdleRuns"]


class IdleRuns:
    """Runs that have nothing to do, in the order in which that began."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, idle_seconds: float) -> None:
        """Release a run when it has been idle for `idle_seconds`."""
        self._loop = loop
        self._idle_seconds = idle_seconds
        self._since: dict[ActiveRun, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, run: "ActiveRun") -> None:
        """Note that a run has nothing to do now."""
        self._since.pop(run, None)
        self._since[run] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._idle_seconds, self._sweep)

    def discard(self, run: "ActiveRun") -> None:
        """Forget a run that has left memory."""
        self._since.pop(run, None)

    def count(self) -> int:
        """Return how many would leave memory at once if others needed their places."""
        return sum(run.is_idle for run in self._since)

    def release_oldest(self, count: int) -> int:
        """Release up to `count` idle runs now, to make room; return how many."""
        released = 0
        for run in list(self._since):
            if released >= count:
                break
            del self._since[run]
            if run.is_idle:
                run.release()
                released += 1
        return released

    def stop(self) -> None:
        """Release no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._since.clear()

    def _sweep(self) -> None:
        self._timer = None
        limit = self._loop.time() - self._idle_seconds
        while self._since:
            run, since = next(iter(self._since.items()))
            if since > limit:
                self._timer = self._loop.call_later(max(since - limit, _SHORTEST_PAUSE_SECONDS), self._sweep)
                return
            del self._since[run]
            if run.is_idle:
                run.release()


_SHORTEST_PAUSE_SECONDS = 0.001
