"""DBOS on PostgreSQL, which its documentation recommends for production.

`max_executor_threads` is 16, a documented setting: with the unlimited default it took half as much CPU time again in W1
and did a third less of it; 4 threads did less of both. Everything else is the default, LISTEN for messages included.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from bench import postgres
from bench.measures import measure_engine
from bench.protocol import Candidate
from bench.records import Outcome, Request
from bench.subjects.dbos_engine import open_dbos

_EXECUTOR_THREADS: Final = 16


def measure(request: Request) -> Outcome:
    return measure_engine(candidate(request), request)


def candidate(request: Request) -> Candidate:
    return Candidate(
        open=partial(open_dbos, PostgresDatabase(url=request.server)),
        bytes_on_disk=partial(postgres.bytes_of_tables, request.server),
        imported="dbos",
    )


@dataclass(frozen=True, kw_only=True)
class PostgresDatabase:
    url: str

    @property
    def settings(self) -> dict[str, object]:
        return {"max_executor_threads": _EXECUTOR_THREADS}

    def row_committer(self) -> Callable[[int], None]:
        return postgres.row_committer(self.url)

    def facts(self, dbos: Any) -> dict[str, str]:  # noqa: ANN401 - DBOS has no types here
        del dbos
        return postgres.facts(self.url)
