"""The SQLite store: one file, several processes of one machine, every acknowledgement durable.

**Promise.** What `commit` answers `Applied` for is in the file and synced (WAL, synchronous=FULL, both read back). What
it raises for is not in the file and never will be. Nothing else is ever answered: after an error whose outcome is
unknown, callers wait until `database` has found out.

**Parts.**

* `store.SqliteStore` is the port's face on the event loop. It encodes, so that a value that cannot be encoded harms its
  caller alone, and hands over to
* `writer.Writer`, the one thread that writes. It takes all that waits at the moment when it becomes free (group
  commit), applies it in one transaction (`application`, `rows`, `sessions`), and answers the loop once per transaction.
* `reader.Reader`, a thread that reads, on its own read-only connection: one for what runs need to go on, one for
  lists and counts, which may take long.
* `presence`, the folder of lock files and sockets beside the database (`<database>.perdure/`): who lives, who writes.
* `notices`, by which the processes that share a file tell each other of commits; nobody polls.
* `log`, the room ahead of the log's records, and when the log is copied into the database.
* `database`, the writer's connection, and what became of a COMMIT that raised.
* `settling` and `copying`, by which nothing counts as durable that only the kernel has after a sync that failed.
* `disk`, by which all of these reach the files; tools put disks in its place that fail.

**Several processes.** A database that is open anywhere has `presence.lock` held shared. Who gets it exclusively knows
that all sessions in the file are dead, and that nobody else has the file open. `opening.lock` makes openings queue up,
since turning a lock from exclusive to shared is not atomic. `writer.lock` is held around every write transaction,
besides SQLite's own lock: POSIX locks vanish when other code of the same process opens and closes the file with another
copy of SQLite. `session-N.lock` is held as long as session N lives: who can take it knows at once that N died.

**Rejected.** A transaction per caller (one sync each). `executemany` (it hands the interpreter lock over for each row,
and a busy loop takes milliseconds to give it back). History WITHOUT ROWID keyed by (run, sequence): each append of 50
runs touched 50 pages, 2.7 times the log traffic and twice the CPU of an append-only table with an index on 100-step
runs. JSON arrays unpacked by `json_each`: 2.3 times the CPU of multi-row VALUES. Keeping `writer.lock` between
transactions: a stopped process would stop all others.

**Limits.** Linux and macOS (flock, AF_UNIX); one machine (no network file system); one thread writes.
"""
