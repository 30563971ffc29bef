"""Bugs of the locks that runs share."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

PLANTED: Final = (
    Mutant(
        name="a run that ends keeps the locks that it has not given back itself",
        breaks="P17: a lock is given back in the transition that ends its run",
        module="perdure.kernel.expansion",
        old="    if state.locks:\n",
        new="    if state.locks and state.sequence < 0:\n",
        workloads=("locks",),
    ),
    Mutant(
        name="a lock has one holder too many",
        breaks="P17: nobody holds a key beyond the limit of anybody",
        module="perdure.kernel.locking",
        old="(least is None or holders < least)",
        new="(least is None or holders <= least)",
        workloads=("turns",),
    ),
    Mutant(
        name="a shared lock overtakes one that waits to be alone",
        breaks="P17: locks are given in the order in which they were asked for",
        module="perdure.stores.memory.locks",
        old="        return next((entry for entry in self._line(line) if not entry.is_held), None)",
        new="        waiting = [entry for entry in self._line(line) if not entry.is_held]\n"
        "        return next((entry for entry in waiting if entry.limit is None), next(iter(waiting), None))",
        workloads=("turns",),
    ),
    Mutant(
        name="a circle of waits is not looked for",
        breaks="P17: a deadlock is refused",
        module="perdure.kernel.deadlocks",
        old="if waits.has(asked) else ()",
        new="if not waits.has(asked) else ()",
        workloads=("locks",),
    ),
)
