"""The SQLite store's tables without rows, kept from trial to trial: to make them, and to prepare all statements anew,
takes as long as a short trial."""

from typing import Final

import apsw

from perdure.stores.sql.migrations import migrations
from perdure.stores.sqlite.connection import keep_plans

__all__ = ["give_back_tables", "take_tables"]


def take_tables() -> apsw.Connection:
    """Return a connection to tables without rows."""
    return _spare.pop() if _spare else _new_tables()


def give_back_tables(connection: apsw.Connection) -> None:
    """Take the rows away and keep the tables for the next who asks, unless their schema was changed: then they go."""
    if connection.in_transaction or connection.pragma("schema_version") != connection.pragma("user_version"):
        connection.close(force=True)
        return
    with connection:
        for table in _TABLES:
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours
        connection.execute(_FORGET_FACTS)
        connection.execute(_COUNT_SESSIONS_ANEW)
    _spare.append(connection)


def _new_tables() -> apsw.Connection:
    connection = apsw.Connection(":memory:", statementcachesize=_PREPARED_STATEMENTS)
    keep_plans(connection)
    for migration in migrations():
        for _ in connection.execute(migration.text):  # exhausted, since apsw runs several statements lazily
            pass
    connection.pragma("user_version", connection.pragma("schema_version"))
    return connection


_spare: Final[list[apsw.Connection]] = []
_PREPARED_STATEMENTS: Final = 512
_TABLES: Final = (
    "runs",
    "run_labels",
    "history",
    "inbox",
    "sessions",
    "agenda",
    "message_requests",
    "locks",
    "tasks",
    "removals",
    "sqlite_sequence",
)
_FORGET_FACTS: Final = """
DELETE FROM store_meta
WHERE name NOT IN ('identity', 'last_worker_id', 'history_without_digests', 'inbox_without_digests')
"""
_COUNT_SESSIONS_ANEW: Final = "UPDATE store_meta SET value = 0 WHERE name = 'last_worker_id'"
