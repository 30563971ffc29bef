"""Expiry: generations go when no point that is to be kept needs them, though clocks may be wrong.

What has expired by steady time (`steady`) goes at once: however often bases were made, those that were too many go in
their time. What has by the clock alone, since nobody followed the copy for long say, goes one by one, so that not many
go while the clock is wrong.
"""

from collections.abc import Callable
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
        self._made_room_at: Timestamp | None = None

    @property
    def pause(self) -> int:
        """How long to wait, in microseconds, before another base is tried, or another generation goes by the clock."""
        return self._keep // BASES_KEPT // _TRIES_PER_BASE

    def make_room(self) -> None:
        """Let what has expired make room for a base, be it that none comes. Raises OSError."""
        now = self._clock.now()
        while self._remove_first(before=self._clock.time - self._keep, begun_at=lambda header: header.steady):
            pass
        is_due = self._made_room_at is None or self._clock.time - self._made_room_at >= self.pause
        if is_due and self._remove_first(before=now - self._keep, begun_at=lambda header: _by_the_clock(header, now)):
            self._made_room_at = self._clock.time

    def _remove_first(self, *, before: int, begun_at: Callable[[PartHeader], Timestamp]) -> bool:
        """Remove the first generation that no point from `before` on needs; return whether there was one.

        One is needed as long as the next one is too young, or does not say how old it is.
        """
        generations = self._folder.generations()
        begun = [_asked(generation, begun_at) for generation in generations]
        for number, generation in enumerate(generations[:-1], start=1):
            known = [moment for moment in begun[number:] if moment is not None]
            if begun[number] is not None and min(known) <= before:
                generation.remove(self._disk)
                return True
        return False


def _asked(generation: Generation, begun_at: Callable[[PartHeader], Timestamp]) -> Timestamp | None:
    """Return when a generation was begun; None if it does not say so."""
    try:
        return begun_at(generation.begun())
    except CopyDamagedError:
        return None


def _by_the_clock(header: PartHeader, now: Timestamp) -> Timestamp:
    """Return when a base was begun, `now` being what the clock says.

    Times of points only grow, also when the clock is set back: where they are ahead of it, what it said then counts.
    """
    return header.taken_at if header.taken_at <= now else header.begun_at


_TRIES_PER_BASE: Final = 16
"""A base that could not be made is tried again so many times in the time for which one is kept."""
