"""A machine's clock that is wrong, for a process on a server: its time is the server's, whatever its machine shows."""

import time
from types import ModuleType
from typing import Final

from perdure.ports import clock as ports_clock
from perdure.stores import opening
from perdure.stores.postgres import clock as server_clock

__all__ = ["SKEWS_SECONDS", "set_machine_clock"]

SKEWS_SECONDS: Final = (-3_600, -60, -1, 0, 1, 60, 3_600)
"""By how much the clocks of the machines are ahead."""


def set_machine_clock(ahead_seconds: int) -> None:
    """Have all of this process that belongs to Perdure, and not to the tool, see a clock that is ahead."""
    shown = _Shown(ahead_seconds)
    for module in (ports_clock, opening, server_clock):
        setattr(module, time.__name__, shown)


class _Shown(ModuleType):
    """The module `time`, but for what the machine's clock shows."""

    def __init__(self, ahead_seconds: int) -> None:
        super().__init__(time.__name__)
        self._ahead: Final = ahead_seconds * 1_000_000_000

    def time_ns(self) -> int:
        """Return the wrong time."""
        return time.time_ns() + self._ahead

    def __getattr__(self, name: str) -> object:
        """Return what the real one has."""
        return getattr(time, name)
