"""Copies of a database that is in use: whole ones, ones that follow it, and what is made of them again.

**Promise.** A copy is the database as it was at one commit, and holds nothing that was not durable then. A copy that
follows holds, at most its interval late, everything that was acknowledged. What is restored has passed every check
before it gets its name, and a damaged copy is refused, never repaired by guessing. Pages that are never used are told
of a copy that follows: an index that a repair has built anew leaves such ones there also where it was damaged on the
database's own disk only, and all that was acknowledged is there beside them.

**Parts.** `visit` opens the database as every store does, without a session. `whole` copies all of it at once. `tail`
reads from the log what has changed since a place in it; `hold` keeps SQLite from beginning the log anew before that is
read. `parts` is the form of an increment; `folder` is where a base and its increments lie; `replication` makes them,
`merging` lets them become fewer when they are older, `expiry` lets them go, and `steady` says how old they are.
`points` and `rebuilding` find a point in time and make a database of it; `placing` gives a finished file the name of a
database. `standing` tells how far a copy is.

**How the log is followed.** A commit counts when SQLite shows it to readers, which it does after the sync; so what is
taken ends at the last frame that the wal-index names (a NOOP checkpoint tells), never at what the file may hold behind
it. Each increment holds, of every page that changed between two such places, its last version.

While a read transaction is held nothing is lost between two looks: if it reads from the log, SQLite does not begin the
log anew; if all was copied into the database when it began, SQLite copies nothing further, and so can begin the log
anew only where the transaction began, once. Transactions are handed over with an overlap. So that the log does not
grow for ever, now and then everything is taken and copied under the writer's lock, and the next transaction held from
there (`replication`).

**Losing track.** The place that an increment ends at is the number of a frame, the salts of the log and the header of
that frame, whose checksum covers all frames before it. Whoever goes on from it after a restart finds exactly that, or
begins with a new base: after a log that was begun anew meanwhile, another database in the same place, an increment
that is missing or damaged, a target that was full for too long.

**Rejected.** Copying the log's frames as they are (each page as often as it changed). The session extension (WITHOUT
ROWID and schema changes are not in it). Keeping transactions apart in an increment: a point in time within an interval
would cost every version of every page.

**Limits.** Pages of 4,096 bytes. POSIX locks are the process's: if another SQLite library opens and closes the
database in the process that replicates, what is held is lost; replicate in a process that does not.
"""
