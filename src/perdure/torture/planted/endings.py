"""Bugs of ends that come early, at any point: what they mean to children, parents, updates and compensations; and
bugs of signs of life from outside."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

PLANTED: Final = (
    Mutant(
        name="children of a run that was cancelled are not told",
        breaks="P12: the end of a parent reaches its children",
        module="perdure.kernel.consequences",
        old="    if ending is not None:\n",
        new="    if ending is not None and step.state.cancel is None:\n",
        workloads=("leaving", "handing_over", "children"),
    ),
    Mutant(
        name="a parent does not hear that somebody terminated its child",
        breaks="P12: what a child reports reaches its parent",
        module="perdure.kernel.consequences",
        old="    _report_without_result(step, e.ChildOutcome.TERMINATED,",
        new="    _ = (step, e.ChildOutcome.TERMINATED,",
        workloads=("children", "handing_over"),
    ),
    Mutant(
        name="a parent does not hear that somebody cancelled its child",
        breaks="P12: what a child reports reaches its parent",
        module="perdure.kernel.consequences",
        old="    _report_without_result(step, e.ChildOutcome.CANCELLED,",
        new="    _ = (step, e.ChildOutcome.CANCELLED,",
        workloads=("children", "handing_over"),
    ),
    Mutant(
        name="a run that is ended leaves its updates without an answer",
        breaks="P3: one outcome per step",
        module="perdure.kernel.expansion",
        old="    if state.updates:\n",
        new="    if state.updates and type(closing) is e.RunCompleted:\n",
        workloads=("updated", "rolling"),
    ),
    Mutant(
        name="a cancellation cuts compensations off",
        breaks="P10: clean-up and compensations are shielded",
        module="perdure.authoring.compensations",
        old="await shield(journal, _undo_all(journal, list(reversed(steps))))",
        new="await _undo_all(journal, list(reversed(steps)))",
        workloads=("compensation", "cancelled_anywhere"),
    ),
    Mutant(
        name="a sign of life from outside does not put the time-out off",
        breaks="P4: never early",
        module="perdure.kernel.pending",
        old="Timestamp(at + self.heartbeat_microseconds)",
        new="self.limits[e.TimeoutKind.HEARTBEAT]",
        workloads=("watched",),
    ),
    Mutant(
        name="a sign of life from outside is taken and forgotten",
        breaks="P1: durable acknowledgements",
        module="perdure.kernel.deferral_rules",
        old="        step.take(i.HeartbeatSeen(",
        new="        _ = (i.HeartbeatSeen(",
        workloads=("watched",),
    ),
)
