"""Bugs that show when the clock is set, which `skew` must find."""

from typing import Final

from perdure.torture.planted.mutant import Mutant, Patch

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
        name="nothing is done when the clock was set back",
        breaks="P13: progress resumes",
        module="perdure.stores.clock",
        old="    if latest_time <= now + apart_microseconds:\n",
        new="    if True:\n",
        workloads=("hasty_generations", "versions", "rolling", "handing_over"),
        tool="skew",
    ),
    Mutant(
        name="what is ready when the clock was set back waits until it has caught up",
        breaks="P13: progress resumes",
        module="perdure.stores.memory.sessions",
        old="            wake(database, run, now, news)\n        if run.end_at",
        new="            pass\n        if run.end_at",
        workloads=("hasty_generations", "versions", "rolling"),
        tool="skew",
        also=(
            Patch(
                module="perdure.stores.sqlite.clock",
                old="    for sleeping, hasten in _HASTENING:\n",
                new="    for sleeping, hasten in _HASTENING[1:]:\n",
            ),
        ),
    ),
    Mutant(
        name="a lease from before the clock was set back lasts until it has caught up",
        breaks="P13: progress resumes",
        module="perdure.stores.clock",
        old="    steps = [Step.HASTEN, Step.CUT_LEASES] if is_certain else [Step.HASTEN]\n",
        new="    steps = [Step.HASTEN]\n",
        workloads=("hasty_generations", "handing_over", "versions"),
        tool="skew",
    ),
)
