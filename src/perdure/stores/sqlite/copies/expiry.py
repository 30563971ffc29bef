"""Expiry: generations go when no point that is to be kept needs them, whatever is damaged, whichever clock is wrong.

All before a generation go once it is old: begun the time ago for which points are kept, by steady time (`steady`) and
by the clock. Neither alone lets anything go: not a clock that is ahead, nor steady time, should it ever be wrong. And a
generation is old only if a part says so whose digest fits: one that is damaged, or cannot be read just now, says
nothing. So what goes needs two witnesses, and what cannot be told stays.

A base with lost pages (never used, and more than repairs have left) may lack rows, and nothing else says so. So it lets
only such bases before it go, never the last one without, until one without is old again: one generation stays longer
than it would, with the points that it has.

**Rejected.** To let go by the clock what nobody has followed for long: it has expired, or the clock is wrong, and there
is nothing to tell by.
"""

from contextlib import suppress
from typing import Final

from perdure.errors import CopyDamagedError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.copies.folder import CopyFolder, Generation
from perdure.stores.sqlite.copies.parts import PartHeader
from perdure.stores.sqlite.copies.steady import SteadyClock
from perdure.stores.sqlite.disk import Disk

__all__ = ["BASES_KEPT", "Expiry"]

BASES_KEPT: Final = 4
"""So many bases are made in the time for which points are kept."""


class Expiry:
    """Removes generations of a folder. Blocks; not safe for use by several threads at once."""

    def __init__(self, folder: CopyFolder, disk: Disk, clock: SteadyClock, *, keep_microseconds: int) -> None:
        """Keep the points of so long a time."""
        self._folder: Final = folder
        self._disk: Final = disk
        self._clock: Final = clock
        self._keep: Final = keep_microseconds

    @property
    def pause(self) -> int:
        """How long to wait, in microseconds, before another base is tried."""
        return self._keep // BASES_KEPT // _TRIES_PER_BASE

    def make_room(self) -> None:
        """Let what has expired make room for a base, be it that none comes. Raises OSError."""
        now = self._clock.now()
        generations = self._folder.generations()
        old = [number for number, generation in enumerate(generations) if self._is_old(generation, now)]
        lacking = [number for number, generation in enumerate(generations) if _has_lost_pages(generation)]
        sound = max(set(old).difference(lacking), default=0)
        for number, generation in enumerate(generations[: max(old, default=0)]):
            if number < sound or number in lacking:
                generation.remove(self._disk)

    def _is_old(self, generation: Generation, now: Timestamp) -> bool:
        """Whether all points that are to be kept are of this generation and later ones, for certain."""
        try:
            header = generation.begun()
        except CopyDamagedError:
            return False
        return min(self._clock.time - header.steady, now - _by_the_clock(header, now)) >= self._keep


def _has_lost_pages(generation: Generation) -> bool:
    """Whether its base has some, for certain."""
    with suppress(CopyDamagedError):
        return generation.begun().lost_pages > 0
    return False


def _by_the_clock(header: PartHeader, now: Timestamp) -> Timestamp:
    """Return when a base was begun, `now` being what the clock says.

    Times of points only grow, also when the clock is set back: where they are ahead of it, what it said then counts.
    """
    return header.taken_at if header.taken_at <= now else header.begun_at


_TRIES_PER_BASE: Final = 16
"""A base that could not be made is tried again so many times in the time for which one is kept."""
