"""Bugs of task queues: tasks that are lost, left, made twice, or told of by somebody who has lost them."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

_ONE_MAKER: Final = "P22: a task has one maker at a time, and who comes later is told from who was before"

PLANTED: Final = (
    Mutant(
        name="a task stays in its queue when its run does not want it any more",
        breaks="P22: what nobody wants is in no queue",
        module="perdure.kernel.task_rules",
        old="    result.withdrawn = tuple(step.withdrawn)",
        new="    result.withdrawn = ()",
        workloads=("queued", "queued_chain"),
    ),
    Mutant(
        name="a task is queued though it was given up at the same time",
        breaks="P22: what nobody wants is in no queue",
        module="perdure.kernel.task_rules",
        old="        result.queued = tuple(task for task in result.queued if _is_wanted(state, task))",
        new="        pass",
        workloads=("queued_race",),
    ),
    Mutant(
        name="a run that ends queues what it was about to",
        breaks="P22: what nobody wants is in no queue",
        module="perdure.kernel.task_rules",
        old="        result.queued = ()",
        new="        pass",
        workloads=("queued_ended",),
    ),
    Mutant(
        name="an attempt that waits in a queue is not put there",
        breaks="P22: what is recorded as queued is in its queue",
        module="perdure.kernel.task_rules",
        old="    step.result.queued += (task,)\n",
        new="",
        workloads=("queued_chain",),
    ),
    Mutant(
        name="a worker that has lost a task tells its outcome",
        breaks="P5: whoever is cut off is fenced",
        module="perdure.stores.memory.tasks",
        old="(row.attempt, row.claims, row.owner) == (claim.attempt, claim.number, worker)",
        new="row.attempt == claim.attempt and worker is not None",
        workloads=("queued", "queued_chain"),
    ),
    Mutant(
        name="the tasks of a dead session stay its own",
        breaks="P22: a task outlives whoever has claimed it",
        module="perdure.stores.memory.sessions",
        old="    free_tasks(database, workers, news)\n",
        new="",
        workloads=("queued_chain",),
    ),
    Mutant(
        name="an at-most-once task is begun again after its worker was lost",
        breaks="P3: an at-most-once attempt has one effect at most",
        module="perdure.execution.tasks",
        old="if claimed.recovered and claimed.task.options.at_most_once:",
        new="if claimed.recovered and claimed.trouble:",
        workloads=("queued_once",),
    ),
    Mutant(
        name="an attempt goes on elsewhere though its task is lost",
        breaks="P22: whoever makes what nobody wants is told",
        module="perdure.execution.tasks",
        old="        self._forget(caller)\n        if call is not None:\n",
        new="        self._forget(caller)\n        if call is None:\n",
        workloads=("queued_patient",),
    ),
    Mutant(
        name="nobody looks whether tasks still stand",
        breaks="P22: whoever makes what nobody wants is told",
        module="perdure.execution.tasks",
        old="        for claim in known - theirs:\n",
        new="        for claim in ():\n",
        workloads=("queued_patient",),
    ),
    Mutant(
        name="a failure that a task has told of waits for itself",
        breaks="P3: one outcome per step",
        module="perdure.kernel.advance",
        old="if outcome != self.told:",
        new="if outcome:",
        workloads=("queued",),
    ),
    Mutant(
        name="the fencing token of a task counts the claims of one attempt",
        breaks=_ONE_MAKER,
        module="perdure.kernel.tasks",
        old="of_attempt = min(attempt, _ATTEMPTS - 1) if claim_number else 0",
        new="of_attempt = 0",
        workloads=("queued",),
    ),
    Mutant(
        name="the start of a task begins the attempt once more",
        breaks=_ONE_MAKER,
        module="perdure.execution.active_run",
        old="activity.attempt == recorded.event.attempt and not is_elsewhere:",
        new="activity.attempt == recorded.event.attempt:",
        workloads=("queued_shared",),
    ),
)
