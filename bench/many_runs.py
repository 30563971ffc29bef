"""A PostgreSQL database with very many runs, for scripts that measure what these cost.

The runs are real: `perdure.torture.loads` has recorded one of each kind, and the store itself writes them, with all
their events and digests. Then the database is vacuumed, as autovacuum would have done with one that has grown.
"""

import asyncio
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

from bench.conditions import memory_file_system
from bench.measurement import default_directory
from bench.servers import Server, postgres_server
from perdure.kernel.time import Timestamp
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.store import PostgresStore
from perdure.torture.loads.filling import Contents, fill_store
from perdure.torture.report import Progress

_LEASE_SECONDS: Final = 3_600.0
# On a busy machine the preparation of a batch may take longer than a transaction's holder is usually granted.
_PATIENT: Final = PostgresSettings(idle_seconds=60.0, statement_seconds=300.0, answer_seconds=310.0)


@contextmanager
def server_below(directory: Path | None) -> Iterator[Server]:
    """Serve a new, durable cluster on a disk, by default that of `bench/run.py`; it is gone at the end."""
    directory = directory or default_directory()
    directory.mkdir(parents=True, exist_ok=True)
    if memory_file_system(directory) is not None:
        raise SystemExit(f"{directory} is in memory: a sync costs nothing there; give a --directory on a disk")
    fresh = Path(tempfile.mkdtemp(prefix="many-runs-", dir=directory))
    try:
        with postgres_server(fresh) as server:
            yield server
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def fill(url: str, *, waiting: int = 0, due: int = 0) -> None:
    """Put runs that wait, for a timer of the future or a signal, and runs that are due into a database."""
    logging.getLogger("perdure").setLevel(logging.CRITICAL)  # a run of one kind fails, as it should
    contents = Contents(waiting=waiting, closed=0, due=due, now=Timestamp(time.time_ns() // 1_000))
    asyncio.run(_fill(url, contents))
    vacuum(url)


async def _fill(url: str, contents: Contents) -> None:
    store = PostgresStore(url, settings=_PATIENT)
    owner = await store.open(session_name="filling", lease_seconds=_LEASE_SECONDS, on_changes=lambda _changes: None)
    progress = Progress("filling", contents.waiting + contents.due)
    try:
        await fill_store(store, contents, owner=owner, seed=1, on_progress=progress.show)
    finally:
        progress.end()
        await store.close()


def vacuum(url: str) -> None:
    """Leave nothing dead, and nothing for a checkpoint to write."""
    with import_module("psycopg").connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")
