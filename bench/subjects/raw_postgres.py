"""What PostgreSQL itself does on this machine: rows a second by rows per transaction.

The same driver and durability as Perdure's store (asyncpg, one statement with UNNEST, one connection) and nothing else:
no workflow, no encoding. A row has the shape of a history row and the 295 bytes of an ordinary event.
"""

import time
from typing import TYPE_CHECKING, Final

import asyncpg

from bench import postgres
from bench.loops import run_on_loop
from bench.metering import Meter
from bench.recording import RECORDING
from bench.records import Figure, Outcome, Request
from bench.subjects.raw_sqlite import ROWS_PER_TRANSACTION

if TYPE_CHECKING:
    from asyncpg.connection import Connection as _Connection
    from asyncpg.protocol import Record

    Connection = _Connection[Record]

_SECONDS: Final = 1.0  # for each size of transaction
_INSERT: Final = """
INSERT INTO raw_history
SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::smallint[], $5::bigint[], $6::text[])
"""


def measure(request: Request) -> Outcome:
    RECORDING.server_process = request.server_process
    figures = run_on_loop(_rates(request.server), loop=request.loop)
    return Outcome(figures=figures, facts=postgres.facts(request.server))


async def _rates(url: str) -> list[Figure]:
    connection = await asyncpg.connect(url)
    await connection.execute(postgres.CREATE_ROWS)
    figures = [await _rate(connection, rows, run_key) for run_key, rows in enumerate(ROWS_PER_TRANSACTION, start=1)]
    await connection.close()
    return figures


async def _rate(connection: "Connection", rows: int, run_key: int) -> Figure:
    insert = await connection.prepare(_INSERT)
    written = 0
    meter = Meter()
    begun = time.perf_counter()
    while (seconds := time.perf_counter() - begun) < _SECONDS:
        sequences = range(written, written + rows)
        many = [[value] * rows for value in ("activity_completed", 1, 0, postgres.EVENT)]
        await insert.fetch([run_key] * rows, sequences, *many)
        written += rows
    return meter.read().figure(f"rows, {rows} per transaction", written / seconds, "rows/s", units=written)
