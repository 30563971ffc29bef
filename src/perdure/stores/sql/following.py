"""Following: the next events of a history whose place is known, checked against the chain of digests."""

from collections.abc import Sequence
from typing import Final

from perdure.errors import HistoryError
from perdure.kernel.identity import RunKey, RunRef
from perdure.ports.following import HistoryPart, HistoryPlace
from perdure.stores.sql.blocks import events_of_row
from perdure.stores.sql.checking import ChainCheck, StoredEvent
from perdure.stores.sql.digests import digest_or_lost
from perdure.stores.sql.passing import PASSING

__all__ = ["LAST_MESSAGE", "READ_ON", "STANDINGS", "STANDINGS_AMONG", "part_of", "size_of"]

# who asks, a JSON list of [workflow, version], limit
STANDINGS: Final = f"""
SELECT run_key, workflow, definition_version, sequence FROM runs INDEXED BY runs_by_owner
WHERE owner IS NOT NULL AND owner <> ?1 AND typeof(sequence) = 'integer'{PASSING}
    AND (workflow, definition_version) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?2))
ORDER BY updated_at DESC, run_key LIMIT ?3
"""  # noqa: S608 - a comment

# the same, a JSON list of run keys
STANDINGS_AMONG: Final = f"""
SELECT run_key, workflow, definition_version, sequence FROM runs NOT INDEXED
WHERE run_key IN (SELECT value FROM json_each(?4)) AND typeof(sequence) = 'integer'{PASSING}
    AND (owner <> ?1 OR (owner IS NULL AND recovering AND closed_at IS NULL))
    AND (workflow, definition_version) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?2))
ORDER BY updated_at DESC, run_key LIMIT ?3
"""  # noqa: S608 - a comment

# run_key, sequence of the known event, of which nothing but the digest is of use, limit
READ_ON: Final = f"""
SELECT sequence, type, version, at, iif(sequence > ?2, data, NULL), {digest_or_lost("history")} FROM history
WHERE run_key = ?1 AND sequence >= ?2 ORDER BY sequence LIMIT ?3
"""  # noqa: S608 - the part is a text of ours

# run_key
LAST_MESSAGE: Final = "SELECT coalesce(max(position), 0) FROM inbox INDEXED BY inbox_by_run WHERE run_key = ?"


def part_of(
    run_key: RunKey,
    ref: RunRef,
    *,
    counted: int,
    place: HistoryPlace,
    rows: Sequence[StoredEvent],
    is_cut: bool,
    inbox_position: int,
) -> HistoryPart | None:
    """Return what comes next in a history, by its rows from the known event on; None if it is not as it should be.

    Of the known event only the number and the digest are looked at.
    `counted`: how many events the run's row counts. `is_cut`: there may be more rows than were read.
    """
    known = rows[: min(place.sequence, 1)]
    new = rows[len(known) :]
    if place.sequence and not (known or is_cut):
        return None
    if any((row[0], row[_DIGEST]) != (place.sequence, place.digest) for row in known):
        return None
    check = ChainCheck(ref, after=place.sequence)
    try:
        for row in rows:
            check.take(row)
        if not is_cut:
            check.demand_end(counted)
        events = [event for row in new for event in events_of_row(row)]
    except HistoryError:
        return None
    reached = HistoryPlace(new[-1][0], new[-1][_DIGEST]) if new else place
    return HistoryPart(
        run_key=run_key,
        events=events,
        place=reached,
        size_bytes=sum(map(size_of, new)),
        is_last=bool(rows) and reached.sequence == counted,
        inbox_position=inbox_position,
    )


def size_of(row: StoredEvent) -> int:
    """Return how long the values of a row are; of a damaged one perhaps nothing."""
    data: object = row[_DATA]
    return len(data) if isinstance(data, str | bytes) else 0


_DATA: Final = 4
_DIGEST: Final = 5
