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
    Mutant(
        name="a cancellation cuts shielded work off",
        breaks="P10: clean-up and compensations are shielded",
        module="perdure.authoring.shielding",
        old="await asyncio.shield(task)",
        new="await task",
        workloads=("shielding",),
    ),
    Mutant(
        name="the next generation does not hear of the children of the one before",
        breaks="P12: what a child reports reaches its parent",
        module="perdure.kernel.message_rules",
        old="return next((child.operation for child in children.values() if _is_asked_by(child, message)), None)",
        new="return None",
        workloads=("handing_over",),
    ),
    Mutant(
        name="children disobey a later generation of their parent",
        breaks="P12: the end of a parent reaches its children",
        module="perdure.kernel.consequences",
        old="run_key if child.origin is None else child.origin.run_key",
        new="run_key",
        workloads=("handing_over",),
    ),
    Mutant(
        name="a run that continues gives its children up",
        breaks="P12: continue-as-new is no end",
        module="perdure.kernel.expansion",
        old="kept=[child.operation for child in following]",
        new="kept=[]",
        workloads=("handing_over",),
    ),
    Mutant(
        name="a step that is done again by a fork has a key of its own",
        breaks="P3: an attempt that is made again has the key of its call",
        module="perdure.kernel.fork_effects",
        old="activity.called_by = activity.called_by or called_by",
        new="activity.called_by = ''",
        workloads=("retried",),
    ),
    Mutant(
        name="a reset forgets the signals that came later",
        breaks="P9: signals are consumed once, in their order",
        module="perdure.kernel.forking",
        old="yield e.CarriedSignal(name=event.name, body=event.body)",
        new="continue",
        workloads=("resets",),
    ),
    Mutant(
        name="a reset does not fence the owner",
        breaks="P5: a worker that lost a run cannot write for it",
        module="perdure.stores.memory.ownership",
        old="run.owner, run.fencing_token, run.wake_at = session.worker, FencingToken(write.fencing_token + 1), None",
        new="run.wake_at = None",
        workloads=("resets",),
    ),
)
