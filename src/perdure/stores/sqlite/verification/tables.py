"""What of a store belongs to no run that could be named: the file's pages, rows of runs that are gone, the agenda."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

import apsw

from perdure.ports.verification import Defect
from perdure.stores.sql import verification as statements
from perdure.stores.sql.chain import Field, digest_of_entry

__all__ = ["CHECKS", "is_of_index"]

_MOST: Final = 100
"""So many findings of a kind are told."""


def _pages(connection: apsw.Connection) -> Iterator[Defect]:
    """Have SQLite check the trees of its tables and indexes, table by table: each is one reading of that table."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
    for table in tables:
        for (found,) in connection.execute(f'PRAGMA integrity_check("{table}")'):
            if found != "ok":
                repair = "the indexes of the table are built anew" if is_of_index(found) else ""
                yield Defect(place="file", what=f"{table}: {found}", repair=repair)


def is_of_index(found: str) -> bool:
    """Whether a finding of SQLite's says that an index is wrong, and no table."""
    return "from index" in found or "in index" in found


def _orphans(connection: apsw.Connection) -> Iterator[Defect]:
    for table, statement in statements.ORPHANS.items():
        for (run_key,) in islice(connection.execute(statement), _MOST):
            yield Defect(place="row", what=f"{table} has rows of the run key {run_key}, and there is no such run")


def _requests(connection: apsw.Connection) -> Iterator[Defect]:
    for row in islice(connection.execute(statements.STRAY_REQUESTS), _MOST):
        namespace, run_id, request_id = (text.decode(errors="backslashreplace") for text in row)
        what = f"the request {request_id!r} to {namespace}/{run_id} names a run that is none of that id"
        yield Defect(place="requests", what=what)


def _agenda(connection: apsw.Connection) -> Iterator[Defect]:
    for *columns, digest in connection.execute(statements.AGENDA):
        texts = [_decoded(value) for value in columns]
        if digest is not None and digest != digest_of_entry(texts):
            namespace, kind, name = texts[:3]
            what = f"the {kind!s} {name!s} of {namespace!s} is not what was written: its digest differs"
            yield Defect(place="agenda", what=what)


def _counters(connection: apsw.Connection) -> Iterator[Defect]:
    for name, is_behind in connection.execute(statements.COUNTERS):
        if is_behind:
            what = f"the counter of {name} is behind its rows: positions would be given twice"
            yield Defect(place="counters", what=what, repair="it is set to the last position")


def _decoded(value: Field) -> Field:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _listed(check: Callable[[apsw.Connection], Iterator[Defect]]) -> Callable[[apsw.Connection], list[Defect]]:
    return lambda connection: list(check(connection))


CHECKS: Final = tuple(map(_listed, (_pages, _orphans, _requests, _agenda, _counters)))
"""Functions of a connection that return what they found."""
