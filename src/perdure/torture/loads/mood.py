"""The machine's mood: how fast it syncs, and how much of a core it gives; it stands beside every time."""

import os
import time
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

__all__ = ["Mood", "feel"]


class Mood(msgspec.Struct, frozen=True, kw_only=True):
    """`sync_milliseconds`: what a small write and its sync take. `core_share`: of a core that one thread asked for."""

    sync_milliseconds: float
    core_share: float

    @property
    def is_busy(self) -> bool:
        """Whether other work has so much of the machine that a time by the clock says little."""
        return self.core_share < _QUIET_SHARE

    def __str__(self) -> str:
        """Render in words."""
        return f"a sync takes {self.sync_milliseconds:.2f} ms, a busy thread gets {self.core_share:.0%} of a core"


def feel(folder: Path) -> Mood:
    """Try the disk under `folder`, and a core."""
    return Mood(sync_milliseconds=_sync_seconds(folder) * 1e3, core_share=_core_share())


def _sync_seconds(folder: Path) -> float:
    path = folder / "mood"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return median(_seconds_of_a_sync(descriptor) for _ in range(_SYNCS))
    finally:
        os.close(descriptor)
        path.unlink()


def _seconds_of_a_sync(descriptor: int) -> float:
    begun = time.perf_counter()
    os.write(descriptor, bytes(4_096))
    os.fsync(descriptor)
    return time.perf_counter() - begun


def _core_share() -> float:
    begun, worked = time.perf_counter(), time.thread_time()
    while time.perf_counter() - begun < _CORE_SECONDS:
        pass
    return (time.thread_time() - worked) / (time.perf_counter() - begun)


_QUIET_SHARE: Final = 0.5
_SYNCS: Final = 21
_CORE_SECONDS: Final = 0.2
