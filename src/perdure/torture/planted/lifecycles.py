"""Bugs of lifecycles: deadlines, the end of parents, generations."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

PLANTED: Final = (
    Mutant(
        name="a child has a time of its own",
        breaks="P7: a deadline holds for what is within it",
        module="perdure.kernel.expansion",
        old="_deadline_of_child(state, command) if command.inherits_deadline else None",
        new="None",
        workloads=("deadlines",),
    ),
    Mutant(
        name="a retry waits for a time after the deadline of its stage",
        breaks="P7: the course is the policy's",
        module="perdure.kernel.pending",
        old="nearest(nearest(own, self.within), run)",
        new="nearest(own, run)",
        workloads=("deadlines",),
    ),
    Mutant(
        name="what waited for its owner begins after its deadline",
        breaks="P7: nothing begins after its deadline",
        module="perdure.execution.dispatcher",
        old="call.around.at <= now",
        new="call.around.at < 0",
        workloads=("deadlines",),
    ),
)
