"""What an operator may want to know of a database, and of its server."""

from collections.abc import Iterable
from typing import Final

from perdure.kernel.identity import WorkerId
from perdure.ports.store import StoreStatus
from perdure.stores.postgres.connection import Connection, Record
from perdure.stores.postgres.home import absent_sessions

__all__ = ["read_status"]


async def read_status(connection: Connection, *, own: WorkerId, schema: str, location: str) -> StoreStatus:
    """Return sizes, versions, settings that decide what is durable, and who has the database open.

    `absent` are those sessions of which no process shows that it lives; `present` the others, without this one.
    """
    async with connection.transaction(isolation="repeatable_read"):
        row = await connection.fetchrow(_FACTS, schema)
        sessions = await connection.fetch(_SESSIONS)
        absent = await absent_sessions(connection, own, schema=schema)
    assert row is not None
    others = [session for session in sessions if session["worker_id"] != own]
    facts = {name: str(value) for name, value in row.items() if name not in {"size_bytes", "schema_version"}}
    return StoreStatus(
        location=location,
        schema_version=row["schema_version"],
        size_bytes=row["size_bytes"],
        facts={
            **facts,
            "sessions": ", ".join(str(session["worker_id"]) for session in sessions),
            "present": _names(session for session in others if session["worker_id"] not in absent),
            "absent": _names(session for session in others if session["worker_id"] in absent),
        },
    )


def _names(sessions: Iterable[Record]) -> str:
    return ", ".join(f"{session['name']} (process {session['pid']} on {session['host']})" for session in sessions)


_SESSIONS: Final = "SELECT worker_id, name, host, pid FROM sessions ORDER BY worker_id"

# schema
_FACTS: Final = """
SELECT
    (SELECT max(number) FROM schema_migrations) AS schema_version,
    (
        SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
        WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND relkind IN ('r', 'p')
    ) AS size_bytes,
    current_setting('server_version') AS server,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('data_checksums') AS data_checksums,
    coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()), '') AS encryption,
    coalesce(host(inet_server_addr()), '') AS address,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    current_setting('max_connections') AS max_connections,
    (
        SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::bigint
        FROM pg_stat_activity WHERE backend_type = 'client backend'
    ) AS oldest_transaction_seconds
"""
