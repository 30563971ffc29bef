"""Steady time: how long a copy has been followed, whatever the clock was set to meanwhile.

It tells how old points are, so that none goes before its time. It goes on with the clock, from one look at it to the
next, and from the last sound part of a copy to whoever comes back; but never back, and at one look by no more than
twice the interval in which looks are due. So a clock that is set is a moment like any other, and while nobody follows
the copy nothing gets older: points may stay longer than they had to, and as many as are taken in the time that is asked
for.
"""

from typing import Final

from perdure.kernel.time import Timestamp
from perdure.ports.clock import Clock
from perdure.stores.sqlite.copies.points import show_time

__all__ = ["SteadyClock", "clock_trouble"]


class SteadyClock:
    """A clock that says steady time, too."""

    def __init__(self, clock: Clock, *, every_microseconds: int) -> None:
        """Go on with `clock`, at which somebody looks every so often. It begins with what that says first."""
        self._clock: Final = clock
        self._most: Final = _INTERVALS * every_microseconds
        self._seen_at: Timestamp | None = None
        self.time = Timestamp(0)
        """Steady time as of the last look."""

    def now(self) -> Timestamp:
        """Return what the clock says."""
        now = self._clock.now()
        if self._seen_at is None:
            self.time = now
        else:
            self.time = Timestamp(self.time + min(max(now - self._seen_at, 0), self._most))
        self._seen_at = now
        return now

    def go_on_from(self, time: Timestamp, *, seen_at: Timestamp) -> None:
        """Go on from the steady `time` of another look, which another process may have had."""
        self.time, self._seen_at = time, seen_at


def clock_trouble(taken_at: Timestamp, *, now: Timestamp) -> str:
    """Return what to say of a newest point that is ahead of the clock, which was wrong then, or is now; or nothing."""
    if taken_at <= now + _MOST_AHEAD_MICROSECONDS:
        return ""
    return (
        f"the newest point bears a time that has not come yet, {show_time(taken_at)}: the clock was ahead then, or is "
        f"behind now. Points follow each other all the same, a microsecond apart"
    )


_INTERVALS: Final = 2
_MOST_AHEAD_MICROSECONDS: Final = 60_000_000
