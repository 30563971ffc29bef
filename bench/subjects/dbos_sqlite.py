"""DBOS on SQLite.

Durability is the default: DBOS sets neither journal_mode nor synchronous, so SQLite's own apply (a rollback journal and
FULL; the facts under the table are read from DBOS's own connections). `max_executor_threads` is 4, a documented
setting: with the unlimited default its threads fight for SQLite's single write lock, which costs it 10 to 30 % of W1
and W2. Everything else is the default, the 1 s poll for messages included.

`dbos-sqlite-wal` is the same on a file that was put into WAL mode beforehand, which DBOS neither does nor documents.
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.footprint import bytes_of_file
from bench.measures import measure_engine
from bench.protocol import Candidate
from bench.records import Outcome, Request
from bench.subjects.dbos_engine import DbosEngine, open_dbos

_EXECUTOR_THREADS: Final = 4
_PRAGMAS: Final = ("journal_mode", "synchronous")


def measure(request: Request) -> Outcome:
    return measure_engine(candidate(request), request)


def candidate(request: Request) -> Candidate:
    file = SqliteFile(path=request.database, is_wal=request.subject.endswith("-wal"))
    return Candidate(
        open=partial(_opened, file), bytes_on_disk=partial(bytes_of_file, request.database), imported="dbos"
    )


@dataclass(frozen=True, kw_only=True)
class SqliteFile:
    path: Path
    is_wal: bool

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def settings(self) -> dict[str, object]:
        return {"max_executor_threads": _EXECUTOR_THREADS}

    def row_committer(self) -> None:
        return None  # its environment has no apsw

    def facts(self, dbos: Any) -> dict[str, str]:  # noqa: ANN401 - DBOS has no types here
        with dbos._sys_db.engine.connect() as connection:  # noqa: SLF001 - synchronous is a connection's own
            pragmas = {name: str(connection.exec_driver_sql(f"pragma {name}").scalar()) for name in _PRAGMAS}
        return {"SQLite": sqlite3.sqlite_version, **pragmas}


@asynccontextmanager
async def _opened(file: SqliteFile) -> AsyncIterator[DbosEngine]:
    if file.is_wal:
        connection = sqlite3.connect(file.path)
        connection.execute("pragma journal_mode=wal")
        connection.close()
    async with open_dbos(file) as engine:
        yield engine
