"""Timekeeping: what is due at a nominal time, and that it happens exactly once.

**Promise.** Each nominal time of a schedule gives one run, or one recorded reason why it gives none: also after a
crash, with several processes on one database, after a restart, after downtime, and when the clock jumps.

**How.** A schedule is one row, an *agenda entry*, with the time at which it is due next. Whoever finds it due decides
what follows, a pure function of the entry, the time and which of its runs are open (`decisions`), and commits the
changed entry together with the new runs in one transaction, on condition that the entry is still the one it read
(`perdure.ports.agenda`). So no process has to be the leader: of two that decide at once one wins, and the other's
decision is dropped whole. A run's id is the schedule's id and the nominal time, which makes even a backfill of times
that had their run harmless. A leader by lease was rejected: it adds a wait after each crash and still needs this check.

**Clock.** The cursor of an entry, the last nominal time dealt with, only moves forward. A clock that jumps back repeats
nothing; one that jumps forward is as downtime: the catch-up window says how much is made up.

**No polling.** The keeper asks once for the next due time and sets a timer; changed entries are announced like runs.

**Other kinds** of entries rest on the same check: starts by a key (`debouncing`, `deduplication`, `singletons`), which
a client changes together with the run that comes (`perdure.client.keyed_starts`), and what calls with a request id were
answered. `kinds` lists who settles each.

**Damage.** An entry that cannot be read is left aside, named in the log once and by the doctor, and looked at again
each second, since another process, or another version, may have put it right; all others go on in their time. It is not
marked in the database: what this process cannot read another one may.

Pure are `zones`, `patterns`, `cron`, `specs`, `schedules`, `decisions`; `keeper` waits and commits.
"""
