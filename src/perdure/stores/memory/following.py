"""Following: what is asked of the tables in memory by who keeps up with runs of others."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from perdure.errors import HistoryError
from perdure.kernel.history import EventRow, decode_event
from perdure.kernel.identity import RunKey, WorkerId, WorkflowVersion
from perdure.ports.following import HistoryPart, HistoryPlace, Standing
from perdure.stores.memory.tables import MemoryDatabase, Run

__all__ = ["list_standings", "read_on"]


def list_standings(
    database: MemoryDatabase,
    worker: WorkerId,
    *,
    workflows: frozenset[WorkflowVersion],
    limit: int,
    among: Collection[RunKey] | None,
) -> list[Standing]:
    """Return where runs of others stand. Complexity: linear in all runs, or in those among which to look."""
    runs = database.runs
    looked_at = runs.values() if among is None else [runs[key] for key in among if key in runs]
    found = [
        run
        for run in looked_at
        if _is_anothers(run, worker, or_orphaned=among is not None) and _version(run) in workflows
    ]
    found.sort(key=lambda run: (-run.updated_at, run.run_key))
    return [
        Standing(run_key=run.run_key, workflow=_version(run), sequence=run.sequence) for run in found[: max(limit, 0)]
    ]


def _version(run: Run) -> WorkflowVersion:
    return WorkflowVersion(run.workflow, run.definition_version)


def _is_anothers(run: Run, worker: WorkerId, *, or_orphaned: bool) -> bool:
    if run.owner is None:
        return or_orphaned and run.is_recovered and not run.status.is_closed
    return run.owner != worker


def read_on(
    database: MemoryDatabase, places: Mapping[RunKey, HistoryPlace], *, limit: int, most_bytes: int
) -> list[HistoryPart]:
    """Return what comes next in histories, up to `limit` events, and about `most_bytes`."""
    parts: list[HistoryPart] = []
    for run_key, place in places.items():
        rows = database.events.get(run_key)
        last_message = max(database.inboxes.get(run_key, ()), default=0)
        new = [] if rows is None else list(_within(rows, place, limit=limit, most_bytes=most_bytes))
        part = None if rows is None else _part(run_key, rows, place, new, inbox_position=last_message)
        if part is not None:
            limit -= len(part.events)
            most_bytes -= part.size_bytes
            parts.append(part)
    return parts


def _within(rows: list[EventRow], place: HistoryPlace, *, limit: int, most_bytes: int) -> Iterator[EventRow]:
    """Yield the next rows behind a place, up to that with which there are so many, or so many bytes."""
    for row in rows[place.sequence : place.sequence + max(limit, 0)]:
        if most_bytes <= 0:
            return
        most_bytes -= len(row[_DATA])
        yield row


def _part(
    run_key: RunKey, rows: list[EventRow], place: HistoryPlace, new: list[EventRow], *, inbox_position: int
) -> HistoryPart | None:
    known = place.sequence
    if known > len(rows) or (known and place != _place_of(rows[known - 1])):
        return None
    if any(row[0] != number for number, row in enumerate(new, start=known + 1)):
        return None
    try:
        events = [decode_event(*row) for row in new]
    except HistoryError:
        return None
    return HistoryPart(
        run_key=run_key,
        events=events,
        place=_place_of(new[-1]) if new else place,
        size_bytes=sum(len(row[_DATA]) for row in new),
        is_last=known + len(new) == len(rows),
        inbox_position=inbox_position,
    )


def _place_of(row: EventRow) -> HistoryPlace:
    return HistoryPlace(row[0], hashlib.blake2b(repr(row).encode(), digest_size=16).digest())


_DATA: Final = 4
