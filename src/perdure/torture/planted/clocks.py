"""Bugs that show when the clock is set, which `skew` must find."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

PLANTED: Final = (
    Mutant(
        name="the time of a run goes back with the clock",
        breaks="P6: histories are append-only",
        module="perdure.kernel.advance",
        old="self.at = now if now > state.updated_at else state.updated_at",
        new="self.at = now",
        tool="skew",
    ),
    Mutant(
        name="a timer is fired by the time of its run's last event and a little more",
        breaks="P4: timers are never early",
        module="perdure.kernel.advance",
        old="self.at = now if now > state.updated_at else state.updated_at",
        new="self.at = max(now, state.updated_at) + (1_000_000 if now < state.updated_at else 0)",
        tool="skew",
    ),
    Mutant(
        name="a next generation is due when the clock has caught up with the run before",
        breaks="P13: progress resumes",
        module="perdure.kernel.consequences",
        old="wake_at = event.next_at if event.next_at > step.at else step.now",
        new="wake_at = event.next_at",
        workloads=("generations", "hasty_generations", "versions"),
        tool="skew",
    ),
    Mutant(
        name="in memory nothing is done when the clock was set back",
        breaks="P13: progress resumes",
        module="perdure.stores.memory.sessions",
        old="    if database.latest_time <= now:\n",
        new="    if True:\n",
        tool="skew",
    ),
    Mutant(
        name="SQLite: nothing is done when the clock was set back",
        breaks="P13: progress resumes",
        module="perdure.stores.sqlite.sessions",
        old="    if latest_time <= now:\n",
        new="    if True:\n",
        tool="skew",
    ),
    Mutant(
        name="a lease from before the clock was set back lasts until it has caught up",
        breaks="P13: progress resumes",
        module="perdure.stores.memory.sessions",
        old="other.lease_until = min(other.lease_until, Timestamp(now + other.lease_microseconds))",
        new="pass",
        tool="skew",
    ),
)
