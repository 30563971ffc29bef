"""What a history in partitions would cost, and what removing rows costs without: figures for docs/design/partitions.md.

Starts a PostgreSQL server of its own (fsync off: what is compared is work). Each shape of the history has a schema of
its own; they take turns, one commit of one transition each, by the store's own statement. Prints medians. Then rows are
deleted from the plain one.

    uv run --group bench python bench/partitions.py [--partitions 0,12,52,200] [--commits 2500] [--rows 300000]
"""

import argparse
import asyncio
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

# Run as a script: its own folder is no place to import from, the repository is.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from perdure.kernel.time import Timestamp  # noqa: E402 - needs the path above
from perdure.local_postgres import LocalPostgres  # noqa: E402
from perdure.stores.postgres.connection import Connection, connect  # noqa: E402
from perdure.stores.postgres.plain import COMMIT_PLAIN  # noqa: E402
from perdure.stores.postgres.schema import prepare_schema  # noqa: E402
from perdure.stores.postgres.settings import PostgresSettings  # noqa: E402

EVENTS = 3
"""Of a step: it is scheduled, completed, and the run goes on."""
DATA = '{"a":1}' * 40

PARTITIONED = """
DROP TABLE history;
CREATE TABLE history (
    run_key bigint NOT NULL, sequence integer NOT NULL, type text COLLATE "C" NOT NULL, version smallint NOT NULL,
    at bigint NOT NULL, data text NOT NULL, digest bytea NOT NULL, PRIMARY KEY (run_key, sequence)
) PARTITION BY RANGE (run_key);
CREATE INDEX history_forks ON history (run_key) WHERE type = 'run_forked'
"""
FILL = """
INSERT INTO runs (
    run_key, namespace, id, generation, workflow, definition_version, status, stage, progress, priority, tenant,
    created_at, updated_at, sequence, fencing_token, owner, request_id
)
SELECT n, 'a', 'run ' || n, 1, 'w', '1', 'running', '', 0, 2, '', 0, 0, 0, 1, 1, '' FROM generate_series(1, 100) AS n;
INSERT INTO lanes VALUES (1, 0, 0, 0, '{}');
INSERT INTO history
SELECT run, event, 'activity_completed', 1, 1, repeat('x', 300), ''
FROM generate_series(20000, 25000) AS run, generate_series(1, 20) AS event;
ANALYZE
"""
ADD = """
INSERT INTO history
SELECT 1000 + n / 30, n % 30, 'activity_completed', 1, 1, repeat('x', 300), '' FROM generate_series(1, $1::integer) AS n
"""
DELETE = "DELETE FROM history WHERE run_key BETWEEN 1000 AND 19999"
LOG = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"


@dataclass
class Shape:
    """A history of so many partitions, 0 for a plain table, and what commits to it have taken."""

    partitions: int
    connection: Connection
    seconds: list[float] = field(default_factory=list)


async def measure(url: str, partitions: list[int], *, commits: int, rows: int) -> None:
    """Measure and print."""
    shapes = [await made(url, number) for number in partitions]
    for number in range(commits):
        for shape in shapes:
            parameters = of_commit(number)
            began = time.perf_counter()
            assert await shape.connection.fetchval(COMMIT_PLAIN, *parameters) == [7]
            shape.seconds.append(time.perf_counter() - began)
    base = statistics.median(shapes[0].seconds)
    print(f"{'partitions':>12}{'us/commit':>12}{'x':>7}")
    for shape in shapes:
        taken = statistics.median(shape.seconds)
        print(f"{shape.partitions or 'none':>12}{taken * 1e6:>12.0f}{taken / base:>7.2f}")
    await print_removal(shapes[0].connection, rows=rows)


async def made(url: str, partitions: int) -> Shape:
    """Make tables in a schema of their own."""
    settings = PostgresSettings(schema=f"of_{partitions}", statement_seconds=600.0, answer_seconds=600.0)
    connection = await connect(url, settings)
    await prepare_schema(connection, schema=settings.schema, location=url, now=Timestamp(1))
    if partitions:
        await connection.execute(PARTITIONED)
        for number in range(partitions):
            span = f"FROM ({number << 36}) TO ({(number + 1) << 36})"
            await connection.execute(f"CREATE TABLE history_{number} PARTITION OF history FOR VALUES {span}")
    await connection.execute(FILL)
    return Shape(partitions, connection)


def of_commit(number: int) -> list[object]:
    """Return the parameters of a commit of one transition, the next one of run 7."""
    before = number * EVENTS
    sequence = before + EVENTS
    moved = [[7], [1], [sequence], ["running"], ["x"], [0.0], [2], [1], [1], [None], [before]]
    new_runs_and_labels: list[list[object]] = [[] for _ in range(22)]
    same = (["activity_completed"], [1], [1], [DATA], [b"x" * 32])
    events = [[7] * EVENTS, [*range(before + 1, sequence + 1)], *(one * EVENTS for one in same)]
    return [1, 0, 0, number + 1, *moved, *new_runs_and_labels, *events]


async def print_removal(connection: Connection, *, rows: int) -> None:
    """Delete rows of the plain table, and vacuum it."""
    written = await connection.fetchval(LOG)
    await connection.execute(ADD, rows)
    written = await connection.fetchval(LOG) - written
    before, began = await connection.fetchval(LOG), time.perf_counter()
    await connection.execute(DELETE)
    deleted = time.perf_counter()
    await connection.execute("VACUUM history")
    vacuumed = time.perf_counter()
    log = await connection.fetchval(LOG) - before
    print(f"{rows} events: deleted in {deleted - began:.2f} s, vacuumed in {vacuumed - deleted:.2f} s; ", end="")
    print(f"{log / rows:.0f} bytes of log each; written in {written / rows:.0f} bytes")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = [0, 12, 52, 200]
    parser.add_argument("--partitions", type=lambda text: [int(one) for one in text.split(",")], default=numbers)
    parser.add_argument("--commits", type=int, default=2_500)
    parser.add_argument("--rows", type=int, default=300_000)
    given = parser.parse_args()
    with LocalPostgres() as server:
        asyncio.run(measure(server.url(), given.partitions, commits=given.commits, rows=given.rows))


if __name__ == "__main__":
    main()
