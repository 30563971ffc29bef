"""A PostgreSQL server as the subjects on it see it, by psycopg: the project's environment has it, and DBOS' too."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

EVENT: Final = '{"activity":"' + "x" * 280 + '"}'
"""As long as an ordinary event: 295 bytes."""
CREATE_ROWS: Final = """
CREATE TABLE IF NOT EXISTS raw_history (
    run_key bigint, sequence integer, type text, version smallint, at bigint, data text, PRIMARY KEY (run_key, sequence)
)
"""
_INSERT_ROW: Final = "INSERT INTO raw_history VALUES (0, %s, 'activity_completed', 1, 0, %s)"
_SETTINGS: Final = ("fsync", "synchronous_commit", "full_page_writes")
_BYTES: Final = """
SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema')
"""


def facts(url: str) -> dict[str, str]:
    """Say the server's version, and what decides about durability on a new connection."""
    with _connected(url) as connection:
        names = ("server_version", *_SETTINGS)
        found = {name: str(connection.execute(f"SHOW {name}").fetchone()[0]) for name in names}
    return {"PostgreSQL": found.pop("server_version"), **found}


def bytes_of_tables(url: str) -> int:
    """Say how large all tables are, with their indexes and what is dead in them; the log does not count."""
    with _connected(url) as connection:
        return int(connection.execute(_BYTES).fetchone()[0])


def row_committer(url: str) -> Callable[[int], None]:
    """Give what commits one numbered row of an event's size, on a connection of its own."""
    connection = _connected(url)
    connection.execute(CREATE_ROWS)
    return partial(_commit_row, connection)


def _commit_row(connection: Any, number: int) -> None:  # noqa: ANN401 - psycopg is imported late
    connection.execute(_INSERT_ROW, (number, EVENT), prepare=True)


def new_database(url: str, name: str) -> str:
    """Make another database on the server; give its URL."""
    with _connected(url) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _connected(url: str) -> Any:  # noqa: ANN401 - as above; it weighs on an idle process
    return import_module("psycopg").connect(url, autocommit=True)
