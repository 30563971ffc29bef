"""DBOS on PostgreSQL, which its documentation recommends for production: all settings are its defaults."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench import postgres
from bench.measures import measure_engine
from bench.protocol import Candidate
from bench.records import Outcome, Request
from bench.subjects.dbos_engine import open_dbos


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
    settings: dict[str, object] = field(default_factory=dict)

    def row_committer(self) -> Callable[[int], None]:
        return postgres.row_committer(self.url)

    def facts(self, dbos: Any) -> dict[str, str]:  # noqa: ANN401 - DBOS has no types here
        del dbos
        return postgres.facts(self.url)
