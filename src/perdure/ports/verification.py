"""What a verification of a store finds: which runs are damaged and how, and what of them can still be read."""

from collections.abc import Callable

import msgspec

from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.time import Timestamp

__all__ = ["DamagedRun", "Defect", "Verification", "VerificationWish"]


class VerificationWish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be verified, and what is to be done about what is found.

    `run`: only the generations of this id. `repairs`: repair what is certain; `accepts_older_tables`: also indexes, by
    tables that contradict them and that may be the older ones. `quarantines`: park damaged runs that nobody has loaded.
    `now`: since when a run that is parked is. `on_progress` is told how many of how many steps are
    done, on the event loop's thread: each run is one, and so is each check of a table, or of what belongs to no run.
    """

    now: Timestamp
    run: RunRef | None = None
    repairs: bool = False
    accepts_older_tables: bool = False
    quarantines: bool = False
    on_progress: Callable[[int, int], object] | None = None


class Defect(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it was written.

    `place`: ``file``, ``history``, ``row``, ``labels``, ``inbox``, ``locks``, ``tasks``, ``requests``, ``agenda`` or
    ``counters``.
    `repair` says what a repair does about it, where the answer is certain; empty: none is, and nothing is changed.
    `is_repaired`: it has been done.
    """

    place: str
    what: str
    repair: str = ""
    is_repaired: bool = False


class DamagedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its defects. Of its events those from 1 to `readable` are known to be sound; `counted` is how many its
    row says that there are. `is_open`: it has not ended. `is_parked`: nobody goes on with it. `ref` is None where the
    pages are damaged that say who it is."""

    run_key: RunKey
    ref: RunRef | None
    counted: int
    readable: int
    is_open: bool
    is_parked: bool
    defects: tuple[Defect, ...]

    @property
    def is_repaired(self) -> bool:
        """Whether nothing is left of its defects."""
        return all(defect.is_repaired for defect in self.defects)


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and what was found: `damaged` runs, and `defects` that belong to none.

    `without_digest` counts events that an older Perdure wrote, of which it is only known that none is missing.
    """

    location: str
    runs: int
    events: int
    messages: int
    without_digest: int = 0
    damaged: tuple[DamagedRun, ...] = ()
    defects: tuple[Defect, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged, or nothing any more."""
        return all(run.is_repaired for run in self.damaged) and all(defect.is_repaired for defect in self.defects)
