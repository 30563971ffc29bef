"""How the PostgreSQL store behaves."""

import msgspec

__all__ = ["PostgresSettings"]


class PostgresSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`lanes`: so many commits may be under way at once, each on a connection of its own; `readers`: so many questions.
    `schema`: where the tables are. `application_name`: how the server's lists call its connections.

    `connect_seconds`: how long a connection may take to come about; `statement_seconds`: how long the server may work
    on a statement; `answer_seconds`: how long it may be silent, after which the connection is given up; `lock_seconds`:
    how long a transaction waits for a row; `transaction_seconds`: how long one that writes may take, whatever it does
    (from PostgreSQL 17 on). `idle_seconds`: how long one may wait for whoever has begun it, which may be
    cut off, or stand still, and would hold the rows of its runs. `settling_pause_seconds`: the longest pause between
    two tries to find out what became of a commit. `safety_check_seconds`: how often the server is asked for the time,
    and who lives. `absence_seconds`: how long a session may be without the connection that shows that it lives.
    `session_url`: where connections go that need a session at the server; if it is not empty the others go through a
    pooler in transaction mode. `searched_rows`: about so many rows are looked at for one page of a list.
    """

    lanes: int = 2
    readers: int = 2
    schema: str = "perdure"
    application_name: str = "perdure"
    connect_seconds: float = 10.0
    statement_seconds: float = 30.0
    answer_seconds: float = 40.0
    lock_seconds: float = 5.0
    transaction_seconds: float = 60.0
    idle_seconds: float = 3.0
    settling_pause_seconds: float = 5.0
    safety_check_seconds: float = 1.0
    absence_seconds: float = 1.0
    session_url: str = ""
    searched_rows: int = 20_000

    def for_lease(self, seconds: float) -> "PostgresSettings":
        """Return these for a session with leases of so many seconds: of what is in each other's way, be it two that
        stand still one after the other, all must be over when the lease of whoever has begun it has passed."""
        return msgspec.structs.replace(self, idle_seconds=min(self.idle_seconds, seconds / 2))

    @property
    def writers(self) -> int:
        """How many connections write: one more than commits may be under way, so that no lease waits for these."""
        return self.lanes + 1
