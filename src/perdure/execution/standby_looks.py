"""Looks: when a standby looks at all runs that others own, beside what it is told of.

Soon where news may have been lost; else ever more rarely as long as looks find nothing, whether news come or not. News
may come later than a look: what it has found is forgotten when it is told of before the next one. Where a run was left
out for want of room and there is room now, not later than usual: such a run may never move, so nobody tells of it.
What a look takes of the store's time is rested from, also of one that fails, by looks alone: what is told is followed
meanwhile.
"""

import math
from collections.abc import Collection
from typing import Final

from perdure.kernel.identity import RunKey

__all__ = ["LONGEST_SECONDS", "LOOK_SECONDS", "Looks", "rest_seconds"]

LOOK_SECONDS: Final = 10.0
LONGEST_SECONDS: Final = 600.0
"""Between two looks, at most, whatever they have found and taken."""


class Looks:
    """The looks of one standby; moments are those of its loop."""

    def __init__(self, *, share: float) -> None:
        """Begin with one that is due. Looks take no greater `share` of the time."""
        self._share: Final = share
        self._is_demanded = True
        self._found: set[RunKey] = set()
        self._bytes_left_out: float = math.inf
        self._looked_at = 0.0
        self._rests_until = float("-inf")
        self.quiet_seconds = LOOK_SECONDS

    def demand(self) -> None:
        """Have the next one come as soon as it may."""
        self._is_demanded = True

    def leave_out(self, size_bytes: int) -> None:
        """Note that there is a run, or may be, for whose copy there was no room; it takes so much at least."""
        self._bytes_left_out = min(self._bytes_left_out, size_bytes)

    def hear(self, run_keys: Collection[RunKey]) -> None:
        """Note of which runs was told."""
        if self._found:
            self._found.difference_update(run_keys)

    def begin(self) -> None:
        """Note that one begins, which finds what was left out."""
        if self._found:
            self.quiet_seconds = LOOK_SECONDS
        self._is_demanded, self._bytes_left_out = False, math.inf

    def end(self, began_at: float, now: float, *, found: Collection[RunKey]) -> None:
        """Note that one has ended, and what it has found that nobody has told of yet."""
        self._found = set(found)
        self.quiet_seconds = min(2 * self.quiet_seconds, LONGEST_SECONDS)
        self._rest(began_at, now)

    def fail(self, began_at: float, now: float) -> None:
        """Note that one has failed: the next one comes as soon as it may."""
        self.demand()
        self._rest(began_at, now, at_least=_PAUSE_AFTER_FAILURE_SECONDS)

    def _rest(self, began_at: float, now: float, *, at_least: float = 0.0) -> None:
        rest = max(rest_seconds(now - began_at, share=self._share), at_least)
        self._looked_at, self._rests_until = now, now + min(rest, LONGEST_SECONDS)

    def seconds_left(self, now: float, *, room_bytes: int) -> float:
        """Return how long it is until the next one. `room_bytes`: how long a run may be that does not move."""
        pause = LOOK_SECONDS if self._found or self._bytes_left_out <= room_bytes else self.quiet_seconds
        due_at = self._rests_until if self._is_demanded else max(self._rests_until, self._looked_at + pause)
        return max(due_at - now, 0.0)


def rest_seconds(taken: float, *, share: float) -> float:
    """Return how long to do nothing after so many seconds of work, for that share of the time at most."""
    return max(taken / share - taken, _SHORTEST_PAUSE_SECONDS)


_SHORTEST_PAUSE_SECONDS: Final = 0.02
_PAUSE_AFTER_FAILURE_SECONDS: Final = 1.0
