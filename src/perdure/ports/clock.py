"""Time from outside."""

import time
from typing import Protocol

from perdure.kernel.time import Timestamp

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Says what time it is. Waiting is the event loop's business: under a simulated clock both are simulated."""

    def now(self) -> Timestamp:
        """Return the current instant."""
        ...


class SystemClock:
    """Tells the machine's time. It may jump; a run's own time never runs backwards (the kernel sees to that)."""

    def now(self) -> Timestamp:
        """Return the current instant."""
        return Timestamp(time.time_ns() // 1_000)
