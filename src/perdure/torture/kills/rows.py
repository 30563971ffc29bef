"""The rows of a database, read with its plain driver and not through the store, so that a store's fault is seen too.

A file is read where it lies. A server is gone with its campaign: its rows are kept in the folder.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from perdure.stores.postgres.connection import Connection, connect_plainly
from perdure.stores.postgres.settings import PostgresSettings

__all__ = [
    "BUSIEST", "DATABASE", "OWNED", "HistoryRow", "LedgerRow", "Rows", "RunRow", "connected", "keep_rows", "kept_rows",
    "rows_of_server",
]  # fmt: skip

DATABASE: Final = "torture.db"
"""The name of a database that is a file."""


class RunRow(NamedTuple):
    """A row of `runs`, as far as it is judged."""

    run_key: int
    id: str
    generation: int
    latest: bool
    workflow: str
    status: str
    sequence: int
    owner: int | None
    wake_at: int | None


class HistoryRow(NamedTuple):
    """A row of `history`. `position`: its place among the events of all runs, in the order of the commits.

    `noted_at`: when it was committed at the earliest, by the clock of this machine: a store goes by its server's.
    """

    run_key: int
    position: int
    sequence: int
    type: str
    version: int
    at: int
    data: str
    noted_at: int


class LedgerRow(NamedTuple):
    """What a transfer has written."""

    key: str
    attempt: int
    source: int
    target: int
    amount: int


class Rows(msgspec.Struct, kw_only=True):
    """What a database holds. `faults`: what is wrong with its file. `inbox`: key of the run and message; `locks`: key
    of the run and of the lock; `tasks`: key of the run and operation; `accounts`: account and balance."""

    faults: list[str] = []
    runs: list[RunRow]
    history: list[HistoryRow]
    inbox: list[tuple[int, str]]
    locks: list[tuple[int, str]]
    sessions: int
    tasks: list[tuple[int, int]] = []
    accounts: list[tuple[int, int]] = []
    ledger: list[LedgerRow] = []


def kept_rows(folder: Path) -> Rows:
    """Return what the database of a campaign holds, or held, that nobody has open."""
    kept = folder / _ROWS
    return msgspec.json.decode(kept.read_bytes(), type=Rows) if kept.exists() else _rows_of_file(folder / DATABASE)


def keep_rows(folder: Path, rows: Rows) -> None:
    """Keep the rows of a server that will be gone."""
    (folder / _ROWS).write_bytes(msgspec.json.encode(rows))


def _rows_of_file(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as connection:
        ask = connection.execute
        answers = [answer for (answer,) in ask("PRAGMA integrity_check")]
        has_transfers = ask("SELECT count(*) FROM sqlite_schema WHERE name = 'kill_ledger'").fetchone() == (1,)
        return Rows(
            faults=[f"file: integrity_check says {answer}" for answer in answers if answer != "ok"],
            runs=[run._replace(latest=bool(run.latest)) for run in (RunRow(*row) for row in ask(_RUNS))],
            history=[HistoryRow(*row) for row in ask(_HISTORY.format(position="position", noted_at="at"))],
            inbox=list(ask(_INBOX)),
            locks=list(ask(_LOCKS)),
            sessions=ask(_SESSIONS).fetchone()[0],
            tasks=list(ask(_TASKS)),
            accounts=list(ask(_ACCOUNTS)) if has_transfers else [],
            ledger=[LedgerRow(*row) for row in ask(_LEDGER)] if has_transfers else [],
        )


async def rows_of_server(url: str) -> Rows:
    """Read the rows of a database of a server."""
    async with connected(url) as connection:
        ask = connection.fetch
        return Rows(
            runs=[RunRow(*row) for row in await ask(_RUNS)],
            history=[
                event
                for row in await ask(_HISTORY.format(position=_BY_COMMIT, noted_at=_BY_COMMIT))
                for event in _events_of(HistoryRow(*row))
            ],
            inbox=[(key, data) for key, data in await ask(_INBOX)],
            locks=[(run_key, key) for run_key, key in await ask(_LOCKS)],
            sessions=await connection.fetchval(_SESSIONS),
            tasks=[(run_key, operation) for run_key, operation in await ask(_TASKS)],
            accounts=[(account, balance) for account, balance in await ask(_ACCOUNTS)],
            ledger=[LedgerRow(*row) for row in await ask(_LEDGER)],
        )


def _events_of(row: HistoryRow) -> Iterator[HistoryRow]:
    """Yield a row for each event of one that holds several."""
    if row.type != "*":
        yield row
        return
    events: list[list[Any]] = msgspec.json.decode(row.data)
    for sequence, (name, data, *more) in enumerate(events, start=row.sequence - len(events) + 1):
        since, version = more or (0, 1)
        yield row._replace(
            sequence=sequence, type=name, version=version, at=row.at + since, data=msgspec.json.encode(data).decode()
        )


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Connect to a server, with the tables of the store and those of transfers in the path."""
    connection = await connect_plainly(url, PostgresSettings(), search_path="perdure, public")
    try:
        yield connection
    finally:
        await connection.close()


_ROWS: Final = "rows.json"

_RUNS: Final = """
SELECT run_key, id, generation, latest, workflow, status, sequence, owner, wake_at FROM runs ORDER BY id, generation
"""
_HISTORY: Final = """
SELECT run_key, {position} AS position, sequence, type, version, at, data, {noted_at} AS noted_at
FROM history ORDER BY run_key, sequence
"""
_BY_COMMIT: Final = "(extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint"
"""The server needs `track_commit_timestamp`. Transactions that wait for each other have no time in common."""
_INBOX: Final = "SELECT run_key, data FROM inbox"
_LOCKS: Final = "SELECT run_key, key FROM locks"
_SESSIONS: Final = "SELECT count(*) FROM sessions"
_TASKS: Final = "SELECT run_key, operation FROM tasks"
_ACCOUNTS: Final = "SELECT account, balance FROM kill_accounts"
_LEDGER: Final = "SELECT key, attempt, source, target, moved FROM kill_ledger"

OWNED: Final = """
SELECT run_key FROM runs JOIN sessions ON owner = worker_id WHERE name = $1 AND closed_at IS NULL
"""
"""The keys of the runs of the session of a name."""

BUSIEST: Final = """
SELECT name FROM (SELECT owner, count(*) AS runs FROM runs WHERE owner IS NOT NULL GROUP BY owner) AS owners
JOIN sessions ON owner = worker_id ORDER BY runs DESC LIMIT 1
"""
"""The name of the session that has most runs."""
