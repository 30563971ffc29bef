"""Whether a session has the database to itself, known from what a newcomer cannot avoid.

A session makes its lock file before it can commit anything (`presence`), and that gives the folder a new time. So who
believes to be alone first gives the folder a time of his own, then looks whether others' locks lie in it: from then on
nobody has come for as long as the folder has this time. That costs one `stat`, and needs no message of the newcomer's.

The time is long past and another one for each session: no making of a file gives it, however coarse the clock of the
file system. Where it cannot be given, as to another user's folder, nobody is taken to be alone: that costs a look into
the inbox for each local signal. So does a lock that its session, killed before its row was committed, has left; the
next opening of a database that nobody has open removes it.
"""

import os
from pathlib import Path
from typing import Final

from perdure.kernel.identity import WorkerId

__all__ = ["Solitude"]

_SECONDS_APART: Final = 2
"""The coarsest clock of a file system on which SQLite's locks work."""


class Solitude:
    """One session's knowledge of whether another one has come. `own` is the name of its lock file in `folder`."""

    def __init__(self, folder: Path, worker_id: WorkerId, *, own: str) -> None:
        """Know nothing yet: see `begin`."""
        self._folder: Final = folder
        self._own: Final = own
        self._mark: Final = worker_id * _SECONDS_APART * 1_000_000_000
        self._is_known = False

    def begin(self) -> bool:
        """Return whether no other session is here now. Whether that lasts is known from `confirm` on."""
        self._is_known = False
        try:
            os.utime(self._folder, ns=(self._mark, self._mark))
            return all(lock.name == self._own for lock in self._folder.glob("session-*.lock"))
        except OSError:
            return False

    def confirm(self) -> None:
        """Take it that all that sessions have done which were here before `begin` is known."""
        self._is_known = True

    def holds(self) -> bool:
        """Return whether no session can have come since the last `begin`, if that was confirmed."""
        try:
            return self._is_known and self._folder.stat().st_mtime_ns == self._mark
        except OSError:
            return False
