"""Copies: a database that is used at random is copied meanwhile, and each point in time must be what it was.

**What happens.** Random programs run on the SQLite store; between their steps a replication makes its rounds. Amid a
round, where it reads the log or begins a transaction, somebody else writes, checkpoints, or begins the log anew
(`meddling`). The target fails, or whoever replicates is killed, at any of their operations; both come back. Readers are
slow; all processes leave; files of the database are replaced by older ones; increments get lost (`trial`).

**What is checked.** After each round the rows of all tables are known, and so are those that somebody wrote amid it.
At the end each point is restored: its rows must be such, one by one, and never older than the round's beginning. Then
parts are damaged: what is restored must still be as it was, or be refused, and the point that the refusal names must be
sound. Last a time in one is damaged, and whoever replicates goes on, be it with a clock that is a year ahead: no sound
point may go before its time.

**Limits.** Commits come one after the other, in one process; `kill` copies while real processes write and die.
"""
