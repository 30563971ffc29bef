"""Following: questions of who keeps up with runs of others. Functions of a connection."""

from collections.abc import Collection, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Final

from perdure.kernel.identity import RunKey, RunRef, WorkerId, WorkflowVersion
from perdure.ports.following import HistoryPart, HistoryPlace, Standing
from perdure.stores.postgres.chains import Head, head_of
from perdure.stores.postgres.connection import Connection
from perdure.stores.sql.following import part_of

__all__ = ["list_standings", "read_on_and_heads"]


async def list_standings(
    connection: Connection,
    worker: WorkerId,
    *,
    workflows: frozenset[WorkflowVersion],
    limit: int,
    among: Collection[RunKey] | None,
) -> list[Standing]:
    """Return where runs of others stand."""
    names = sorted(workflows)
    asked = (worker, [name.name for name in names], [name.version for name in names], min(max(limit, 0), _MOST))
    if among is None:
        rows = await connection.fetch(_STANDINGS, *asked)
    else:
        rows = await connection.fetch(_STANDINGS_AMONG, *asked, sorted(among))
    return [
        Standing(
            run_key=RunKey(row["run_key"]),
            workflow=WorkflowVersion(row["workflow"], row["definition_version"]),
            sequence=row["sequence"],
        )
        for row in rows
    ]


async def read_on_and_heads(
    connection: Connection, places: Mapping[RunKey, HistoryPlace], *, limit: int, most_bytes: int
) -> tuple[list[HistoryPart], dict[RunKey, Head]]:
    """Return what comes next in histories, and of those that were read to the end what their next event is linked to.

    Of each history the digest of the known event is read, too: whether it is still that one.
    """
    if not places or limit <= 0:
        return [], {}
    keys, known = list(places), [place.sequence for place in places.values()]
    asked = min(limit, _MOST)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        runs = {RunKey(run["run_key"]): run for run in await connection.fetch(_RUNS, keys)}
        found = await connection.fetch(_EVENTS, keys, known, asked, most_bytes)
    is_cut = len(found) >= asked or (bool(found) and found[-1]["bytes_so_far"] >= most_bytes)
    events = {RunKey(run_key): [tuple(row)[1:-1] for row in rows] for run_key, rows in groupby(found, itemgetter(0))}
    parts: list[HistoryPart] = []
    heads: dict[RunKey, Head] = {}
    for run_key in keys:
        run = runs.get(run_key)
        if run is None:
            continue
        ref = RunRef(namespace=run["namespace"], id=run["id"], generation=run["generation"])
        part = part_of(
            run_key,
            ref,
            counted=run["sequence"],
            place=places[run_key],
            rows=events.get(run_key, []),
            is_cut=is_cut,
            inbox_position=run["inbox_position"],
        )
        if part is not None:
            parts.append(part)
            if part.is_last and part.place.digest is not None:
                heads[run_key] = head_of(ref, part.place.sequence, part.place.digest)
    return parts, heads


_MOST: Final = 2**31 - 1

# who asks, names and versions of workflows, limit
_NAMED: Final = """
WITH named (workflow, version) AS (SELECT * FROM unnest($2::varchar[], $3::varchar[]))
SELECT run_key, workflow, definition_version, sequence FROM runs
"""
_LAST_MOVED: Final = """
AND (workflow, definition_version) IN (SELECT * FROM named) ORDER BY updated_at DESC, run_key LIMIT $4
"""
_STANDINGS: Final = f"{_NAMED} WHERE owner IS NOT NULL AND owner <> $1 {_LAST_MOVED}"

# the same, run keys
_STANDINGS_AMONG: Final = f"""
{_NAMED} WHERE run_key = ANY ($5::bigint[]) AND (owner <> $1 OR (owner IS NULL AND recovering AND closed_at IS NULL))
{_LAST_MOVED}
"""

# run keys
_RUNS: Final = """
SELECT run_key, namespace, id, generation, sequence,
    (SELECT coalesce(max(position), 0) FROM inbox WHERE inbox.run_key = runs.run_key) AS inbox_position
FROM runs WHERE run_key = ANY ($1::bigint[])
"""

# run keys, sequences of the first (which is known, but for 0), limit, bytes. Of each run, and each event, by the index,
# whatever the statistics say.
_EVENTS: Final = """
WITH sized AS (
    SELECT place, wanted.run_key, first, event.sequence, event.size,
        sum(event.size) OVER (ORDER BY place, event.sequence) AS bytes_so_far
    FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS wanted (run_key, first, place)
    CROSS JOIN LATERAL (
        SELECT sequence, CASE WHEN sequence > first THEN octet_length(data) ELSE 0 END AS size FROM history
        WHERE history.run_key = wanted.run_key AND history.sequence >= wanted.first ORDER BY sequence LIMIT $3
    ) AS event
    ORDER BY place, event.sequence LIMIT $3
)
SELECT sized.run_key, event.*, bytes_so_far FROM sized
CROSS JOIN LATERAL (
    SELECT sequence, type, version, at, CASE WHEN sequence > first THEN data END AS data, digest, events FROM history
    WHERE history.run_key = sized.run_key AND history.sequence = sized.sequence LIMIT 1
) AS event
WHERE bytes_so_far - size < $4
ORDER BY place, event.sequence
"""
