"""Time from outside."""

from typing import Protocol

from perdure.kernel.time import Timestamp

__all__ = ["Clock"]


class Clock(Protocol):
    """Says what time it is. Waiting is the event loop's business: under a simulated clock both are simulated."""

    def now(self) -> Timestamp:
        """Return the current instant."""
        ...
