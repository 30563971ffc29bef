"""The timer of a run in memory: one call of the event loop's, for the next thing that comes due."""

import asyncio
from collections.abc import Callable

from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp

__all__ = ["RunTimer"]

_LONGEST_SECONDS = 24 * 3600.0
"""Event loops refuse timers that are too far away; the run arms the next one when this one fires."""

_DRIFT_SECONDS = 0.5
"""By so much the clock may differ from the loop's time without having been set."""


class RunTimer:
    """Calls back when a moment of the store's clock has come."""

    __slots__ = ("_at", "_handle", "_loop", "_rings_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Arm nothing yet."""
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._at: Timestamp | None = None
        self._rings_at = 0.0

    def arm(self, wake_at: Timestamp | None, now: Timestamp, ring: Callable[[], None]) -> None:
        """Call `ring` at `wake_at` instead of what was asked for before; None: never.

        What has come already is called at once, before this returns: whoever is due is not idle in between. A timer
        that is armed for that moment already stays, unless the clock was set since.
        """
        if wake_at is None or wake_at <= now:
            self.cancel()
            if wake_at is not None:
                ring()
            return
        delay = min((wake_at - now) / MICROSECONDS_PER_SECOND, _LONGEST_SECONDS)
        rings_at = self._loop.time() + delay
        if self._handle is not None:
            if wake_at == self._at and abs(rings_at - self._rings_at) < _DRIFT_SECONDS:
                return
            self.cancel()
        self._at, self._rings_at = wake_at, rings_at
        self._handle = self._loop.call_later(delay, self._rung, ring)

    def cancel(self) -> None:
        """Call back no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _rung(self, ring: Callable[[], None]) -> None:
        # Not to be asked of the handle: uvloop's handles of short delays know no time, and its clock stands meanwhile.
        self._handle = None
        ring()
