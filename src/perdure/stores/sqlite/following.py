"""Following: questions of who keeps up with runs of others. Functions of a connection, run on a reader's thread."""

from collections.abc import Collection, Mapping

import apsw

from perdure.kernel.identity import RunKey, WorkerId, WorkflowVersion
from perdure.ports.following import BYTES_AT_ONCE, HistoryPart, HistoryPlace, Standing
from perdure.stores.sql.checking import StoredEvent
from perdure.stores.sql.following import LAST_MESSAGE, READ_ON, STANDINGS, STANDINGS_AMONG, part_of, size_of
from perdure.stores.sql.histories import HISTORY_OF_RUN
from perdure.stores.sql.passing import NONE_PASSED, Passing, passing_over
from perdure.stores.sqlite.clock import as_json
from perdure.stores.sqlite.rows import ref_of, versions_as_json

__all__ = ["list_standings", "read_on"]


def list_standings(
    connection: apsw.Connection,
    worker: WorkerId,
    *,
    workflows: frozenset[WorkflowVersion],
    limit: int,
    among: Collection[RunKey] | None,
    passing: Passing = NONE_PASSED,
) -> list[Standing]:
    """Return where runs of others stand. Complexity: linear in the runs that have an owner, or in those `among` which
    to look."""
    asked = (worker, versions_as_json(workflows), max(limit, 0))
    if among is None:
        rows = connection.execute(passing_over(STANDINGS, passing), asked)
    else:
        rows = connection.execute(passing_over(STANDINGS_AMONG, passing), (*asked, as_json(sorted(among))))
    return [
        Standing(run_key=RunKey(run_key), workflow=WorkflowVersion(workflow, version), sequence=sequence)
        for run_key, workflow, version, sequence in rows
    ]


def read_on(
    connection: apsw.Connection,
    places: Mapping[RunKey, HistoryPlace],
    *,
    limit: int,
    most_bytes: int = BYTES_AT_ONCE,
) -> list[HistoryPart]:
    """Return what comes next in histories, up to `limit` events, and about `most_bytes`, at one moment."""
    parts: list[HistoryPart] = []
    with connection:
        for run_key, place in places.items():
            part = _part(connection, run_key, place, limit=limit if most_bytes > 0 else 0, most_bytes=most_bytes)
            if part is not None:
                limit -= len(part.events)
                most_bytes -= part.size_bytes
                parts.append(part)
    return parts


def _part(
    connection: apsw.Connection, run_key: RunKey, place: HistoryPlace, *, limit: int, most_bytes: int
) -> HistoryPart | None:
    known = place.sequence
    asked = max(limit, 0) + min(known, 1)  # the known event, too: whether it is still the one that is known
    try:
        run = connection.execute(HISTORY_OF_RUN, (run_key,)).get
        rows, size = _rows(connection, run_key, known, asked, most_bytes=most_bytes)
    except UnicodeDecodeError:
        return None
    if run is None:
        return None
    *name, counted = run
    inbox_position: int = connection.execute(LAST_MESSAGE, (run_key,)).get
    return part_of(
        run_key,
        ref_of(*name),
        counted=counted,
        place=place,
        rows=rows,
        is_cut=len(rows) >= asked or size >= most_bytes,
        inbox_position=inbox_position,
    )


def _rows(
    connection: apsw.Connection, run_key: RunKey, known: int, asked: int, *, most_bytes: int
) -> tuple[list[StoredEvent], int]:
    """Return events from a known one on, up to that with which they are so many bytes; how many these are."""
    rows: list[StoredEvent] = []
    size = 0
    for row in connection.execute(READ_ON, (run_key, known, asked)):
        rows.append(row)
        size += size_of(row)
        if size >= most_bytes:
            break
    return rows, size
