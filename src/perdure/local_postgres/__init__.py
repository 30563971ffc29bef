"""A real PostgreSQL server on this machine, for development, demonstrations and tests: no root, no apt, no container.

**Promise.** `LocalPostgres` starts a server of its own in well under a second, and it is gone when whoever started it
is: stopped, returned, interrupted, or killed by a signal that lets nobody clean up. A throw-away cluster leaves nothing
behind. A kept one lies in a folder of yours with all of PostgreSQL's durability, and is opened again later.

**Parts.** `binaries` finds the programs of a server. `accounts` says as whom they run: PostgreSQL refuses root.
`cluster` is what lies on disk: made by initdb, owned by one process at a time. `supervisor` is a program of its own
that stands between this process and the server, outlives this process, and stops the server then; `running` talks to
it. `server` puts them together.

**Who can connect.** The server listens on a Unix socket in a folder that only its user (and root) may enter, and trusts
whoever comes in by it. `tcp=True` adds 127.0.0.1, where a password is asked for that stands in `LocalPostgres.url`.

**Limits.** Linux and macOS. If the supervisor itself is killed, the server still ends at once (on Linux), but its
folder among the system's temporary ones stays if this process does not end by `stop`. A throw-away cluster trades
durability for speed (fsync is off): a loss of power destroys it. A process that is stopped (SIGSTOP) keeps its server.

**Rejected.** PR_SET_PDEATHSIG on the server alone: it fires when the *thread* ends that started the server. A pipe
alone: a forked child of this process holds a copy of it. Asking by connecting whether the server is ready: during
recovery each try writes to its log. Importing the package that brings the binaries: as root it makes users, and opens
folders to all.
"""

from perdure.local_postgres.server import LocalPostgres

__all__ = ["LocalPostgres"]
