"""A machine's clock that is wrong, for a process on a server: its time is the server's, whatever its machine shows."""

import time
from types import SimpleNamespace
from typing import Final

from perdure.ports import clock as ports_clock
from perdure.stores import opening
from perdure.stores.postgres import clock as server_clock

__all__ = ["SKEWS_SECONDS", "set_machine_clock"]

SKEWS_SECONDS: Final = (-3_600, -60, -1, 0, 1, 60, 3_600)
"""By how much the clocks of the machines are ahead."""


def set_machine_clock(ahead_seconds: int) -> None:
    """Have all of this process that belongs to Perdure, and not to the tool, see a clock that is ahead."""
    shown = SimpleNamespace(
        time_ns=lambda: time.time_ns() + ahead_seconds * 1_000_000_000,
        monotonic_ns=time.monotonic_ns,
        clock_gettime_ns=time.clock_gettime_ns,
    )
    for module in (ports_clock, opening, server_clock):
        setattr(module, time.__name__, shown)
