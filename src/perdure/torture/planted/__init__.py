"""The planted bugs: one change of a text each, which the tool that it is for must find.

A text that no longer occurs exactly once is reported as a control that did not fail, and fails a test: whoever changes
that place of the engine changes the entry here with it.
"""

from typing import Final

from perdure.torture.planted import (
    boundaries,
    checking,
    clocks,
    copies,
    corruption,
    decoders,
    disks,
    endings,
    evolving,
    execution,
    kernel,
    kills,
    lifecycles,
    loads,
    locks,
    outside,
    queues,
    replays,
    retention,
    servers,
    stores,
    timekeeping,
)
from perdure.torture.planted.mutant import Mutant, Patch

__all__ = ["PLANTED", "Mutant", "Patch"]

PLANTED: Final = (
    *kernel.PLANTED,
    *execution.PLANTED,
    *stores.PLANTED,
    *timekeeping.PLANTED,
    *evolving.PLANTED,
    *endings.PLANTED,
    *outside.PLANTED,
    *queues.PLANTED,
    *lifecycles.PLANTED,
    *locks.PLANTED,
    *retention.PLANTED,
    *disks.PLANTED,
    *decoders.PLANTED,
    *loads.PLANTED,
    *copies.PLANTED,
    *clocks.PLANTED,
    *corruption.PLANTED,
    *boundaries.PLANTED,
    *replays.PLANTED,
    *checking.PLANTED,
    *kills.PLANTED,
    *servers.PLANTED,
)
