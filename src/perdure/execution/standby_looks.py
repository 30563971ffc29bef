"""Looks: when a standby looks at all runs that others own, beside what it is told of.

Soon where news may have been lost; else ever more rarely as long as looks find nothing, whether news come or not. Where
a run was left out for want of a place and there is one now, not later than usual: such a run may never move, so nobody
tells of it. What a look takes of the store's time is rested from, by looks alone: what is told is followed meanwhile.
"""

from typing import Final

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
        self._left_out = False
        self._looked_at = 0.0
        self._rests_until = float("-inf")
        self.quiet_seconds = LOOK_SECONDS

    def demand(self) -> None:
        """Have the next one come as soon as it may."""
        self._is_demanded = True

    def leave_out(self) -> None:
        """Note that there is a run, or may be, for whose copy there was no place."""
        self._left_out = True

    def begin(self) -> None:
        """Note that one begins, which finds what was left out."""
        self._is_demanded = self._left_out = False

    def end(self, began_at: float, now: float, *, has_found: bool) -> None:
        """Note that one has ended, and whether it has found what nobody has told of."""
        self.quiet_seconds = LOOK_SECONDS if has_found else min(2 * self.quiet_seconds, LONGEST_SECONDS)
        self._looked_at = now
        self._rests_until = now + min(rest_seconds(now - began_at, share=self._share), LONGEST_SECONDS)

    def seconds_left(self, now: float, *, has_place: bool) -> float:
        """Return how long it is until the next one. `has_place`: for a copy of a run that does not move."""
        pause = LOOK_SECONDS if self._left_out and has_place else self.quiet_seconds
        due_at = self._rests_until if self._is_demanded else max(self._rests_until, self._looked_at + pause)
        return max(due_at - now, 0.0)


def rest_seconds(taken: float, *, share: float) -> float:
    """Return how long to do nothing after so many seconds of work, for that share of the time at most."""
    return max(taken / share - taken, _SHORTEST_PAUSE_SECONDS)


_SHORTEST_PAUSE_SECONDS: Final = 0.02
