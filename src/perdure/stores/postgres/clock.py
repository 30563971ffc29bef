"""The server's time, known without asking for it each time: the time of all sessions, whatever their machines show.

**Promise.** `now` is never later than what the server's clock shows, so that nothing is early by it; and earlier by no
more than the quickest of the last questions took, and by a thousandth of the time since the last one.

**Limit.** A server's clock that is set back by less than the width of what is known is not seen to be, and `now` is
later by as much, until what drift adds to that width has made up for it: a second of it takes a quarter of an hour.
Whoever asks over a quick link knows to a millisecond, and sees it at the next question.

**How.** The server has looked at its clock after it was asked, and before its answer came. So each question bounds how
far its clock is ahead of this machine's counter, which does not jump (Cristian, Probabilistic clock synchronization,
1989). What all bounds have in common is nearer than any of them (Marzullo and Owicki, Maintaining the time in a
distributed system, 1983); of that the lower end is taken. Where they have nothing in common the server's clock was set,
or another server answers: the last one counts.
"""

import time
from collections.abc import Callable
from typing import Final

from perdure.kernel.time import Timestamp
from perdure.stores.postgres.connection import Connection

__all__ = ["ServerClock"]


def _counted() -> int:
    """Return the nanoseconds of a counter that goes on while the machine sleeps, where there is such a one."""
    return time.clock_gettime_ns(_COUNTER) if _COUNTER is not None else time.monotonic_ns()


class ServerClock:
    """Tells the server's time; this machine's until the server was asked once."""

    def __init__(self, counted: Callable[[], int] = _counted) -> None:
        """Count on by `counted`, in nanoseconds."""
        self._counted: Final = counted
        self._learned_at = counted()
        self._ahead = time.time_ns() - self._learned_at
        self._bounds: tuple[int, int] | None = None

    def now(self) -> Timestamp:
        """Return the current instant."""
        counted = self._counted()
        return Timestamp((counted + self._ahead - (counted - self._learned_at) // _DRIFT) // 1_000)

    async def ask(self, connection: Connection) -> None:
        """Ask the server. Raises what asking raises."""
        asked_at = self._counted()
        shown = await connection.fetchval(_SHOWN)
        self.learn(shown, asked_at=asked_at, answered_at=self._counted())

    def learn(self, shown: int, *, asked_at: int, answered_at: int) -> None:
        """Take what the server's clock has shown, in microseconds, between two moments by the counter."""
        bounds = shown * 1_000 - answered_at, (shown + 1) * 1_000 - asked_at
        if self._bounds is not None:
            drift = (answered_at - self._learned_at) // _DRIFT
            common = max(bounds[0], self._bounds[0] - drift), min(bounds[1], self._bounds[1] + drift)
            if common[0] <= common[1]:
                bounds = common
        self._learned_at, self._bounds = answered_at, bounds
        self._ahead = bounds[0]


_COUNTER: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
_DRIFT: Final = 1_000
"""Two clocks are apart by no more than one of so many nanoseconds more, for each that passes: each adjusts its pace by
at most half of it (adjtimex: 500 ppm)."""

# in microseconds; rounded down
_SHOWN: Final = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
