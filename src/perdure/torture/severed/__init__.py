"""Severed: workers and a PostgreSQL server that lose each other, for a while.

**What happens.** Workers and customers of `perdure.torture.kills` work on one server, with short leases (`campaign`).
`fence` and `partition` sever some of the workers again and again (`absences`): the one stops their processes (SIGSTOP),
the other lets none of their packets through (each connects by a `proxy` of its own), whatever they are doing at that
moment. The others must take over the runs of each within its lease and two seconds. Then the severed one comes back, as
if no time had passed: it sends what it was about to commit, and is in the middle of steps that others have made
meanwhile. `pg` strikes the server (`outages`): it ends connections, is stopped in good order, or crashes, and is there
again, or crashes for ever and a synchronous standby takes its place; then commits must succeed again soon.

**What is checked.** Those times; and at the end all that `perdure.torture.kills` checks: that nothing acknowledged is
lost, that no step has two outcomes, that no effect comes again after its outcome was recorded, and that each transfer
is in the ledger once.

What an activity does that was under way when its worker was severed may come late: that nobody can help, and fencing
tokens are for. It is left out of what is said of the order of effects, until the worker has had time to learn of it.

**Controls.** Bugs planted in the store (`planted.servers`).

**Limits.** What is cut is the way between a worker and its server, in both directions, and its packets come late and
not wrong. All that is severed together sees nobody. A server that crashes keeps its disk; what a standby has, it has
been waited for (`synchronous_standby_names`): an asynchronous one loses what it had not received.
"""
