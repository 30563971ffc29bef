"""Perdure on SQLite, in a file of its own, at its default durability."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw

from bench.footprint import bytes_of_file
from bench.measures import measure_engine
from bench.protocol import Candidate
from bench.records import Outcome, Request
from bench.subjects import raw_sqlite
from bench.subjects.perdure_engine import open_perdure


def measure(request: Request) -> Outcome:
    return measure_engine(candidate(request), request)


def candidate(request: Request) -> Candidate:
    return Candidate(
        open=functools.partial(open_perdure, SqliteFile(path=request.database)),
        bytes_on_disk=functools.partial(bytes_of_file, request.database),
        imported="perdure",
    )


@dataclass(frozen=True, kw_only=True)
class SqliteFile:
    path: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def row_committer(self) -> Callable[[int], None]:
        connection = raw_sqlite.opened(self.path.with_name("raw.db"))
        return functools.partial(raw_sqlite.commit_rows, connection, run_key=0, rows=1)

    def facts(self) -> dict[str, str]:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        journal_mode = str(connection.pragma("journal_mode"))
        connection.close()
        # The store reads `synchronous` back on its own connection when it opens and refuses less than FULL.
        return {"SQLite": apsw.sqlite_lib_version(), "journal_mode": journal_mode, "synchronous": "2"}
