"""Perdure on a PostgreSQL server on this machine, at the default durability of both."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from bench import postgres
from bench.measures import measure_engine
from bench.protocol import Candidate
from bench.records import Outcome, Request
from bench.subjects.perdure_engine import open_perdure


def measure(request: Request) -> Outcome:
    return measure_engine(candidate(request), request)


def candidate(request: Request) -> Candidate:
    return Candidate(
        open=functools.partial(open_perdure, PostgresDatabase(url=request.server)),
        bytes_on_disk=functools.partial(postgres.bytes_of_tables, request.server),
        imported="perdure",
    )


@dataclass(frozen=True, kw_only=True)
class PostgresDatabase:
    url: str

    def row_committer(self) -> Callable[[int], None]:
        return postgres.row_committer(self.url)

    def facts(self) -> dict[str, str]:
        return postgres.facts(self.url)
