"""The PostgreSQL store: many sessions, on many machines, on one database.

**Promise.** That of the port (`perdure.ports.store`), for any number of sessions at once: what `commit` answers
`Applied` for is durable, and no answer is guessed. It passes the suite that all stores pass, and random programs leave
the same rows in it as in memory.

**Parts.** `urls` reads what a URL says. `connection` makes connections, and is the only one that knows the driver;
`faults` names what they raise. `opening` asks whether a server can be used; `schema` makes the tables. `home` is a
connection that shows that the session lives, and by which news come and go; by it `clock` learns the time. `lanes` are
the connections that write, and find out what became of a commit of which no answer came. `commits` are their
transactions: `plain` ones are one statement; all others are decided on rows that are locked (`loading`, `workset`), and
written back (`flushing`). `within` creates runs in transactions of callers (`callers`: whatever their drivers).
`sessions` claims runs, keeps leases and gives runs back. `reading`, `searching`, `keeping`, `agenda`, `verification`
are what else is asked or changed.

**Decided as in memory.** What becomes of a write depends on many rows: whether a token still holds, an id is free, a
message is there already, who is next in a line. Said in SQL once more, all of it would have to be kept equal to what
the other stores do. So the rows that may matter are locked and loaded, and the functions that apply writes to the
memory store are applied to them: one decision for both, and a test that compares them compares little but SQL.

**Rows of histories** hold the events of a transition each (`perdure.stores.sql.blocks`), once all sessions read that
(`sessions`); `chains` links them by their digests.

**Who waits for whom.** The isolation is read committed, which is enough, since each run's row is locked before anything
is read of it or its inbox: whoever comes later reads what the one before has left. Rows are locked in one order, so
that transactions seldom wait for each other in a circle; the server undoes one then, and it is tried again. The lines
of locks of a namespace, and an entry of the agenda, have advisory locks, for there may be no row to lock yet.

The same holds for the transactions of one session in several lanes: what the engine has under way at once are writes of
different runs, but these may send messages to one run, ask for one lock, or create runs of one id.

**Limits.** Nothing that is stored may be larger than the server takes (1 GB a row; Perdure's own limits are far below).
No session knows that it is alone. `verify` compares digests and mends nothing: a damaged server has backups.

**Time** is the server's, for leases and for all that engines record (`clock`): what the clocks of their machines show
does not matter.

**Namespaces** share all tables; for roles that are bound the server keeps them apart: `row_security`, by `securing`.

**A pooler** in transaction mode may stand before the server, if the URL says where that is itself: `pooled`. Without
that it is refused when the store is opened (`opening`).

**Not there yet**: partitions of the history (`docs/design/partitions.md`).

**Rejected.** Functions in the database: they would be a second language for the same rules, to be kept for each version
of the library that is at work. News within a commit: `NOTIFY` lets one transaction commit at a time (measured: 370
instead of 2,998 commits/s with 8 connections). SERIALIZABLE: each commit might have to be done again, however few
meet.
"""
