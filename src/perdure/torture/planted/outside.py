"""Bugs of what comes from outside, outcomes and answers to signals, and of the streams that go out."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

PLANTED: Final = (
    Mutant(
        name="a deferred activity is run again by the run's next owner",
        breaks="P3: one outcome per step, told by whoever has the token",
        module="perdure.execution.active_run",
        old="if activity.operation in self.state.deferrals or",
        new="if",
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
    Mutant(
        name="a reset drops the outcomes that the run has not read",
        breaks="P1: what was acknowledged is not lost",
        module="perdure.kernel.deferral_rules",
        old="return message.generation < own or",
        new="return",
        workloads=("told",),
    ),
    Mutant(
        name="a run that awaits the delivery of its signal is not told of it",
        breaks="P9: a run that awaits the signal it sends learns what became of it",
        module="perdure.kernel.consequences",
        old="delivered=delivered if event.expects_answer else None",
        new="delivered=None",
        workloads=("telling",),
    ),
    Mutant(
        name="a run that has ended counts as reached by a signal",
        breaks="P9: a signal to a closed run is an error",
        module="perdure.kernel.consequences",
        old="missing=missing, closed=closed",
        new="missing=missing, closed=delivered",
        workloads=("telling",),
    ),
    Mutant(
        name="what an attempt publishes is not recorded",
        breaks="P1: what was published before an outcome is durable with it",
        module="perdure.kernel.input_rules",
        old="    i.ValueGiven: _value_given,\n",
        new="    i.ValueGiven: lambda _step, _given: None,\n",
        workloads=("speaking",),
    ),
    Mutant(
        name="a reader that goes on begins again",
        breaks="P9: each value of a stream is read once",
        module="perdure.client.streaming",
        old="            return found, sequence\n",
        new="            return found, 0\n",
        workloads=("publishing",),
    ),
    Mutant(
        name="a reader does not follow a run into its next generation",
        breaks="P9: each value of a stream is read once",
        module="perdure.client.following",
        old="                    summary, after = following, await _copied(gateway.store, following)\n",
        new="                    return\n",
        workloads=("publishing",),
    ),
)
