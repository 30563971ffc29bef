"""The clock of the real world."""

import time

from perdure.kernel.time import Timestamp

__all__ = ["SystemClock"]


class SystemClock:
    """Tells the system's time. It may jump; a run's own time never runs backwards (the kernel sees to that)."""

    def now(self) -> Timestamp:
        """Return the current instant."""
        return Timestamp(time.time_ns() // 1_000)
