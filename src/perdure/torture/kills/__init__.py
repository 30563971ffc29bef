"""Kills: real processes on a real database, ended by SIGKILL at random moments.

**Where.** On a file, or with ``--postgres`` on a PostgreSQL server that is the campaign's own (`databases`); there the
server also ends connections of living processes now and then, and the machines' clocks are wrong (`clocks`). A death is
noticed there after a second or two: so processes live longer, and die several at a time.

**What happens.** `nursery` is a process without threads that has imported everything and forks all others, so that a
new worker costs milliseconds. Workers run the workflows of `portfolio`; customers (`customers`), in processes of their
own or inside a worker, start runs, send signals and updates, cancel, follow streams, wait for results, and note in a
file each call before they make it and each answer after it came. One more process keeps a copy of the database
(`copies`). `campaign` kills workers and customers, one or two workers at a time, while they work and while they open
the database, and whoever copies. At the end an undisturbed worker finishes what is open.

**The calm.** Before that, customers in a process without a worker get answers from two workers whom nobody kills. All
look for notices that they have missed, or owe, so seldom that an answer that waits for that is late; and leases last
for ten minutes. Then the worker that has more runs is killed; the other must take these over, by its lock alone, and
all runs must end for whoever asks them to.

**Transfers** (`transfers`) are transactional steps that move amounts between accounts, in tables of their own in the
database of the store, and note that in a ledger, which no constraint keeps from being wrong. Some fail, run out of time
as they commit, or are cancelled.

**What is checked** (`oracle`, `answers`), on the tables as the plain driver gives them (`rows`): what was acknowledged
is there; every run has ended with the one result that its arguments mean; histories have no gaps, fold, replay, hold
one outcome per step; no effect without a recorded request, none missing, none repeated where at most one was promised
or after its outcome was recorded; nobody had a lock beside another, and its fencing tokens grew, in the order of the
commits and in that of the effects within it; a transfer has one entry in the ledger if it is recorded as completed, and
none if not, and what the accounts hold is the sum of the entries (`transfer_laws`); no answer was late in the calm, or
an error that the killing does not explain; nothing is left of the dead. Points in time of the copy are restored: their
histories have no gaps and no event that the database has not, and hold all that was acknowledged before they were the
newest; the last one is the database as it is.

**Controls.** Customers whose store acknowledges before it commits must be found out (lost operations), and workers with
such a store (effects of what was never recorded), and a store that gives locks to all who ask (two holders), and a
store that commits what a step wrote before its outcome (two entries); so must a second outcome planted into the tables,
and a copy of which too much is claimed. Bugs planted in the engine (`planted.kills`) drop cancellations, let them
overtake steps, lose rows of a copy's older points, and break notices, takeovers and claims; they are tried on files
only.

**Limits.** SIGKILL leaves the page cache: lost power is another tool's business. Pool processes are not in it. A server
is never restarted. There are copies of files only.
"""

from perdure.torture.kills.campaign import KillReport, run_kills

__all__ = ["KillReport", "run_kills"]
