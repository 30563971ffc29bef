"""Rate limits by the generic cell rate algorithm (GCRA): one number per key, exact, with the exact time to try again.

**Promise.** In any time of length t at most burst + t x count / per items start; with a burst of 1 at most `count` in
any half-open `per`. Whoever always starts at `opens_at` loses nothing of the rate but the rounding of the interval
between two starts up to a nanosecond (1 in 10,000 at 100,000 a second).

**How.** A key remembers the *theoretical arrival time*: when the next item would come if all came evenly spaced. An
item may come earlier than that by (burst - 1) intervals; each that starts moves it one interval on. A time that has
passed says nothing, so keys are forgotten.

A clock that was set back does not stop a key for that long: all times are moved back with it.

**Source.** ITU-T Recommendation I.371 (2004), annex A: virtual scheduling algorithm. **Cost.** O(1) amortised.

**Rejected.** Fixed windows (twice the rate around their edges), sliding logs (one entry per start).
"""

from collections.abc import Hashable
from typing import Final

from perdure.kernel.limits import RateLimit
from perdure.kernel.time import Timestamp, duration_microseconds
from perdure.scheduling.item import Item

__all__ = ["ArrivalTimes", "RateGate"]

_NANOSECONDS: Final = 1_000
"""In a microsecond: intervals between starts are finer than timestamps."""


class ArrivalTimes:
    """The theoretical arrival time by key, in nanoseconds since the epoch, 0 where nothing is known."""

    __slots__ = ("_latest", "_sweep_at", "_times")

    def __init__(self) -> None:
        self._times: dict[Hashable, int] = {}
        self._latest = 0  # when it was last asked or told
        self._sweep_at = _SMALL

    def __len__(self) -> int:
        """Return how many keys are remembered: at most twice as many as matter, or a few."""
        return len(self._times)

    def of(self, key: Hashable, now: int) -> int:
        """Return the time of a key."""
        if now < self._latest:
            self._times = {key: time - (self._latest - now) for key, time in self._times.items()}
        self._latest = now
        return self._times.get(key, 0)

    def set(self, key: Hashable, time: int, now: int) -> None:
        """Remember a time, as of the `now` that was asked at; forget those that have passed when there are many."""
        self._times[key] = time
        if len(self._times) >= self._sweep_at:
            self._times = {key: time for key, time in self._times.items() if time > now}
            self._sweep_at = max(_SMALL, 2 * len(self._times))


_SMALL: Final = 1_024
"""Below this many keys forgetting is not worth its pass."""


class RateGate:
    """Lets items through at the rate of `limit` under `key`; see the module and `Limit`."""

    __slots__ = ("_interval", "_limit", "_times", "key")

    def __init__(self, times: ArrivalTimes, key: Hashable, limit: RateLimit) -> None:
        self._times = times
        self.key = key
        self._limit = limit
        self._interval = -(-duration_microseconds(limit.per) * _NANOSECONDS // limit.count)

    def refuses(self, _item: Item, now: Timestamp) -> bool:
        """Whether it is too early."""
        return self.opens_at(now) > now

    def opens_at(self, now: Timestamp) -> Timestamp:
        """Return the earliest moment at which the next item may start; not in the past if it is refused now."""
        earliest = self._times.of(self.key, now * _NANOSECONDS) - (self._limit.burst - 1) * self._interval
        return Timestamp(-(-earliest // _NANOSECONDS))

    def take(self, _item: Item, now: Timestamp) -> bool:
        """Move the theoretical arrival time on."""
        moment = now * _NANOSECONDS
        self._times.set(self.key, max(self._times.of(self.key, moment), moment) + self._interval, moment)
        return False

    def give(self, _item: Item, _now: Timestamp) -> bool:
        """Nothing comes back: what has started has started."""
        return False

    def stand_aside(self) -> bool:
        """Nothing was noted."""
        return False

    def sentence(self, now: Timestamp) -> str:
        """Say the rate and the wait."""
        limit, wait = self._limit, max(self.opens_at(now) - now, 0) / 1e6
        return f"rate limit: {limit.count} per {limit.per} (burst {limit.burst}); the next may start in {wait:.6g} s"
