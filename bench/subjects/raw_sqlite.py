"""What SQLite itself does on this machine: rows a second by rows per transaction; W4 times single commits.

The same driver and durability as Perdure's store (apsw, WAL, synchronous=FULL) and nothing else: no workflow, no
encoding, no thread. A row has the shape of a history row and the 295 bytes of an ordinary event.
"""

import time
from pathlib import Path
from typing import Final

import apsw

from bench.conditions import cpu_seconds
from bench.records import Figure, Outcome, Request

_EVENT: Final = b'{"activity":"' + b"x" * 280 + b'"}'
_SECONDS: Final = 1.0  # for each size of transaction
_INSERT: Final = "insert into history values (?, ?, ?, ?, ?, ?)"
ROWS_PER_TRANSACTION: Final = (1, 10, 100, 1000)


def measure(request: Request) -> Outcome:
    connection = opened(request.database)
    figures = [_rate(connection, rows, run_key) for run_key, rows in enumerate(ROWS_PER_TRANSACTION, start=1)]
    facts = {
        "SQLite": apsw.sqlite_lib_version(),
        "journal_mode": str(connection.pragma("journal_mode")),
        "synchronous": str(connection.pragma("synchronous")),
    }
    connection.close()
    return Outcome(figures=figures, facts=facts)


def _rate(connection: apsw.Connection, rows: int, run_key: int) -> Figure:
    written = 0
    cpu = cpu_seconds()
    begun = time.perf_counter()
    while (seconds := time.perf_counter() - begun) < _SECONDS:
        commit_rows(connection, written, run_key=run_key, rows=rows)
        written += rows
    per_row = (cpu_seconds() - cpu) / written * 1e6
    metric = f"rows, {rows} per transaction"
    return Figure(metric=metric, value=written / seconds, unit="rows/s", cpu_microseconds_per_unit=per_row)


def commit_rows(connection: apsw.Connection, first: int, *, run_key: int, rows: int) -> None:
    """Commit rows with sequence numbers from `first` on in one transaction."""
    connection.execute("begin immediate")
    connection.executemany(
        _INSERT, [(run_key, sequence, "activity_completed", 1, 0, _EVENT) for sequence in range(first, first + rows)]
    )
    connection.execute("commit")


def opened(database: Path) -> apsw.Connection:
    """Open a database as durable as Perdure's store, with a table of rows of a history's size."""
    connection = apsw.Connection(str(database))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute(
        "create table history (run_key integer, sequence integer, type text, version integer, at integer, data blob,"
        " primary key (run_key, sequence)) without rowid"
    )
    return connection
