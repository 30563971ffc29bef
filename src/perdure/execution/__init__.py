"""Execution: the worker, which claims runs, advances them, commits what follows, and only then lets it happen.

**Promise.** Nothing has an effect before its transition is durable. One worker owns a run at a time; if it loses the
run, its copy in memory is dropped and nothing it still tries is applied.

**The cycle of a run** (`active_run`): inputs (outcomes, due timers, messages) gather while a commit is under way;
then `kernel.advance` takes them all at once, the transition goes to the `committer`, which commits what waits of all
runs in one transaction, and after that the transition's effects are released: activities go to the `dispatcher`, which
asks the scheduling tree who is next, and `attempts` run them with their limits.

**Who does what.** `worker` owns the parts and the table of active runs; `claims` finds due runs and loads them;
`lease` keeps the worker's lease; `idle` sends runs out of memory that only wait.

**Failures.** A commit that fails because the store is unavailable is kept and tried again, while clients get an error;
a refused one (`Stale`) drops the run. Code that no longer fits its history parks the run with the difference.

**Rejected.** A task per run: the cycle is driven by callbacks, so a run that waits costs no task, and a step costs
no switch that it does not need.
"""
