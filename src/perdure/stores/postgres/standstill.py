"""Transactions that stand still amid a message, which the server's own time-outs do not see.

A client that is cut off, or stopped, after it has sent a part of a batch (some statements of the extended protocol, and
not yet the Sync after them) leaves a connection that the server takes for busy: it waits for the rest, counts none of
`idle_in_transaction_session_timeout` and `statement_timeout`, and lets go of no row until the network tells it that the
client is gone. So whoever is in the way of others in this way for as long is ended by those, if it is of the same user:
the server lets nobody else. `transaction_timeout` (from PostgreSQL 17 on) ends it in any case, but not before a lane's
transaction may have taken as long (`PostgresSettings.transaction_seconds`): it counts the time of work, too.
"""

import time
from datetime import datetime
from typing import Final

from perdure.stores.postgres.connection import Connection

__all__ = ["Standing", "end_standing", "ripens_in"]

Standing = dict[tuple[int, datetime, datetime], float]
"""Since when, by `time.monotonic`, a process of the server was found standing at each look: its number, when it began,
and when its client's last message came."""


async def end_standing(connection: Connection, *, schema: str, idle_seconds: float, seen: Standing) -> list[int]:
    """End connections of the same user that hold rows of the schema for which others wait, and were found waiting for
    their clients amid one message at each look for `idle_seconds`, in the way of others or not yet; return the numbers
    of their processes. `seen` is what the looks before have found."""
    now = time.monotonic()
    found = {(row["pid"], row["began"], row["asked"]) for row in await connection.fetch(_STANDING, schema)}
    for gone in seen.keys() - found:
        del seen[gone]
    ripe = sorted(one for one in found if now - seen.setdefault(one, now) >= idle_seconds)
    if not ripe:
        return []
    return [row["pid"] for row in await connection.fetch(_END, *map(list, zip(*ripe, strict=True)))]


def ripens_in(seen: Standing, *, idle_seconds: float) -> float | None:
    """Return in how many seconds the next of those seen has stood still for `idle_seconds`; None: all have, or none."""
    now = time.monotonic()
    left = (since + idle_seconds - now for since in seen.values())
    return min((seconds for seconds in left if seconds > 0), default=None)


# schema; a COPY waits for its client as long as it takes, and is no standstill
_STANDING: Final = """
SELECT pid, backend_start AS began, query_start AS asked FROM pg_stat_activity AS activity
WHERE datname = current_database() AND usename = current_user AND state = 'active' AND wait_event = 'ClientRead'
    AND NOT EXISTS (SELECT FROM pg_stat_progress_copy AS copied WHERE copied.pid = activity.pid)
    AND EXISTS (
        SELECT FROM pg_locks JOIN pg_class ON pg_class.oid = pg_locks.relation
        WHERE pg_locks.pid = activity.pid AND relnamespace = to_regnamespace(quote_ident($1))
    )
"""

# processes, when they began, when their clients' last messages came. Who waits is read from the locks, which all may
# see, and only where somebody has stood for long, since to ask who is in whose way is a look at all locks. Whoever is
# to be ended is chosen before anybody is: in one query the server may end all that are named before it looks at the
# conditions.
_END: Final = """
WITH still AS MATERIALIZED (
    SELECT pid FROM unnest($1::integer[], $2::timestamptz[], $3::timestamptz[]) AS n (pid, began, asked)
    JOIN pg_stat_activity AS activity USING (pid)
    WHERE backend_start = began AND query_start = asked AND state = 'active' AND wait_event = 'ClientRead'
),
waiters AS MATERIALIZED (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted AND EXISTS (SELECT FROM still)),
standing AS MATERIALIZED (
    SELECT DISTINCT still.pid FROM waiters CROSS JOIN LATERAL unnest(pg_blocking_pids(waiters.pid)) AS blocking (pid)
    JOIN still ON still.pid = blocking.pid
)
SELECT pid FROM standing WHERE pg_terminate_backend(pid)
"""
