"""Transactions that stand still amid a message, which the server's own time-outs do not see.

A client that is cut off, or stopped, after it has sent a part of a batch (some statements of the extended protocol, and
not yet the Sync after them) leaves a connection that the server takes for busy: it waits for the rest, counts none of
`idle_in_transaction_session_timeout` and `statement_timeout`, and lets go of no row until the network tells it that the
client is gone. So whoever is in the way of others in this way for as long is ended by those, if it is of the same user:
the server lets nobody else. `transaction_timeout` (from PostgreSQL 17 on) ends it in any case, but not before a lane's
transaction may have taken as long (`PostgresSettings.transaction_seconds`): it counts the time of work, too.
"""

from datetime import timedelta
from typing import Final

from perdure.stores.postgres.connection import Connection

__all__ = ["end_standing"]


async def end_standing(connection: Connection, *, schema: str, idle_seconds: float) -> list[int]:
    """End connections of the same user that hold rows of the schema for which others wait, and have waited for their
    clients amid a message for `idle_seconds`; return the numbers of their processes."""
    rows = await connection.fetch(_END, timedelta(seconds=idle_seconds), schema)
    return [row["pid"] for row in rows]


# for how long, schema; a COPY waits for its client as long as it takes, and is no standstill. Whoever is to be ended is
# chosen before anybody is: in one query the server may end all that are in the way before it looks at the conditions.
_END: Final = """
WITH in_the_way (pid) AS MATERIALIZED (
    SELECT DISTINCT unnest(pg_blocking_pids(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
),
standing AS MATERIALIZED (
    SELECT pid FROM in_the_way JOIN pg_stat_activity AS activity USING (pid)
    WHERE usename = current_user AND state = 'active' AND wait_event = 'ClientRead'
        AND query_start <= clock_timestamp() - $1::interval
        AND NOT EXISTS (SELECT FROM pg_stat_progress_copy AS copied WHERE copied.pid = activity.pid)
        AND EXISTS (
            SELECT FROM pg_locks JOIN pg_class ON pg_class.oid = pg_locks.relation
            WHERE pg_locks.pid = activity.pid AND relnamespace = to_regnamespace(quote_ident($2))
        )
)
SELECT pid FROM standing WHERE pg_terminate_backend(pid)
"""
