"""Bugs of deferred activities, whose outcome comes from outside."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

PLANTED: Final = (
    Mutant(
        name="a deferred activity is run again by the run's next owner",
        breaks="P3: one outcome per step, told by whoever has the token",
        module="perdure.execution.active_run",
        old="if activity.operation in self.state.deferrals:",
        new="if activity.operation in ():",
        workloads=("deferred",),
    ),
    Mutant(
        name="nobody wakes a run when its deferred activity has run out of time",
        breaks="P4: what comes due is never lost",
        module="perdure.kernel.state",
        old="        if self.deferrals:\n            due +=",
        new="        if self.deferrals and now < 0:\n            due +=",
        workloads=("overdue",),
    ),
    Mutant(
        name="a deferred attempt that was tried again is started once more",
        breaks="P3: each attempt is made once",
        module="perdure.kernel.effects",
        old="    pending.next_attempt_at = None\n    state.retries.pop(event.operation, None)\n",
        new="",
        workloads=("deferred", "overdue"),
    ),
    Mutant(
        name="an outcome from outside leaves the inbox unread",
        breaks="P1: what was acknowledged is not lost",
        module="perdure.kernel.deferral_rules",
        old='    """Let the attempt succeed."""\n',
        new="    return\n",
        workloads=("deferred",),
    ),
)
