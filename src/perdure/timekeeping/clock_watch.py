"""Whether the machine's clock was set."""

import asyncio
from typing import Final

from perdure.kernel.time import MICROSECONDS_PER_SECOND
from perdure.ports.clock import Clock

__all__ = ["ClockWatch"]


class ClockWatch:
    """Compares the clock with the event loop's time, which does not jump."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to compare."""
        self._clock: Final = clock
        self._loop: Final = loop
        self._ahead = self._ahead_seconds()

    def was_set(self) -> bool:
        """Whether the clock was set, forward or back, since this was asked last."""
        before, self._ahead = self._ahead, self._ahead_seconds()
        return abs(self._ahead - before) > _DRIFT_SECONDS

    def _ahead_seconds(self) -> float:
        return self._clock.now() / MICROSECONDS_PER_SECOND - self._loop.time()


_DRIFT_SECONDS: Final = 0.5
"""By so much a clock that is only adjusted may differ between two looks."""
