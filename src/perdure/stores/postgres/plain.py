"""Writes that concern nothing but one run each: all of them are one statement, and one way to the server and back.

Such are transitions that only append events, take messages from their inbox and move their row, and those that create
their run: nearly all that a step costs. Whether each applies is decided by the server, row by row: `WHERE` asks for the
fencing token, the sequence and the owner, also after it has waited for a row. What does not apply leaves nothing, and
the others apply all the same.

**By which way the server finds rows** is not left to its guesses (`connection.BY_INDEX`), which are of ten
rows for whatever an array holds: a run by its key, not by its owner, who may have any number of runs, and what was
applied by a hash of it. A condition that `IS TRUE` is neither that of an index nor turned into a join.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count
from operator import itemgetter
from typing import Any, Final

from msgspec import structs

from perdure.errors import InternalError
from perdure.kernel.identity import RunKey, WorkerId
from perdure.kernel.transition import Creation, Transition, Write
from perdure.stores.postgres.chains import Head, Heads, beginning_of, chained
from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.lanes import FencedError, Lane
from perdure.stores.sql.blocks import parts_of_events, rows_of

__all__ = ["PlainCommit", "are_plain", "commit_of"]

_Row = tuple[Any, ...]  # Any: columns of all types


def are_plain(writes: Sequence[Write], heads: Heads) -> bool:
    """Whether these can be one statement."""
    keys = {write.run_key for write in writes if type(write) is Transition and _is_plain(write, heads)}
    return 0 < len(keys) == len(writes)


def _is_plain(write: Transition, heads: Heads) -> bool:
    creation = write.creation
    if creation is None:
        begins_plainly = heads.at(write.run_key, write.expected_sequence) is not None
    else:
        begins_plainly = creation.ref.generation == 1 and not creation.update_request and creation.end_at is None
    return begins_plainly and (write.is_plain or _is_plain_but_for_messages(write))


def _is_plain_but_for_messages(write: Transition) -> bool:
    return bool(write.consumed) and structs.replace(write, consumed=()).is_plain


class PlainCommit:
    """The rows of plain writes, as columns, and what follows from them."""

    def __init__(self, writes: Sequence[Write], heads: Heads, *, in_blocks: bool) -> None:
        """Encode them. Raises InternalError for events that are not in their places."""
        rows: dict[str, list[_Row]] = {step: [] for step in _GIVEN}
        self.heads: Final[dict[RunKey, Head]] = {}
        for write in writes:
            assert isinstance(write, Transition)
            rows["moved" if write.creation is None else "created"].append(_row(write))
            if write.creation is not None:
                rows["labelled"] += _labels(write.run_key, write.creation)
            self.heads[write.run_key] = _add_events(write, heads, rows["recorded"], in_blocks=in_blocks)
            rows["consumed"] += [(position, write.run_key) for position in write.consumed]
        rows["moved"].sort(key=_KEY_OF_RUN)  # all lock runs in one order
        given = {step: of_step for step, of_step in rows.items() if of_step}
        is_single = all(len(of_step) == 1 for of_step in given.values())
        self._statement: Final = commit_of(*given, is_single=is_single)
        columns = (column for of_step in given.values() for column in zip(*of_step, strict=True))
        self._given: Final = [column[0] for column in columns] if is_single else [list(column) for column in columns]

    async def execute(self, connection: Connection, lane: Lane, worker_id: WorkerId) -> frozenset[RunKey]:
        """Commit them; return the runs to which theirs was applied. Raises FencedError, and asyncpg's errors."""
        applied = await connection.fetchval(
            self._statement, worker_id, lane.lane, lane.epoch, lane.number, *self._given
        )
        if applied is None:
            raise FencedError
        return frozenset(map(RunKey, applied))


def _row(write: Transition) -> _Row:
    row, creation = write.row, write.creation
    standing = (
        write.run_key,
        write.fencing_token,
        row.sequence,
        row.status,
        row.stage,
        row.progress,
        row.priority,
        row.started_at,
        row.updated_at,
        row.closed_at,
    )
    if creation is None:
        return (*standing, write.expected_sequence)
    ref = creation.ref
    return (
        *standing,
        None if row.status.is_closed else write.owner,
        ref.namespace,
        ref.id,
        creation.workflow,
        creation.definition_version,
        creation.tenant,
        creation.parent_key,
        creation.begun_at,
        creation.request_id,
    )


def _labels(run_key: RunKey, creation: Creation) -> Iterator[_Row]:
    for name, value in creation.labels.items():
        yield (run_key, name, value, creation.ref.namespace, creation.begun_at)


def _add_events(write: Transition, heads: Heads, rows: list[_Row], *, in_blocks: bool) -> Head:
    """Add the rows of a transition's events; return what the next event is linked to."""
    creation = write.creation
    head = heads.at(write.run_key, write.expected_sequence) if creation is None else beginning_of(creation.ref)
    assert head is not None
    places = [event.sequence for event in write.events]
    if places != list(range(write.expected_sequence + 1, write.row.sequence + 1)):
        raise InternalError(
            f"the events of a transition of run {write.run_key} must go without gaps from "
            f"{write.expected_sequence + 1} to {write.row.sequence}, and are {places}"
        )
    return chained(write.run_key, rows_of(parts_of_events(write.events), in_blocks=in_blocks), head, rows)


@cache
def commit_of(*steps: str, is_single: bool) -> str:
    """Return the statement that commits rows for these steps, of which none that has nothing to do costs anything.

    Its parameters are worker_id, lane, epoch, number, then the columns that each step is given: as arrays, or, where
    each has a single row, as values, which cost the driver and the server a third less of such a commit.
    """
    places = count(_FIRST)
    texts: list[str] = []
    for step in steps:
        types, names = _GIVEN[step]
        columns = ", ".join(f"${next(places)}::{kind}{'' if is_single else '[]'}" for kind in types.split())
        rows = f"(VALUES ({columns}))" if is_single else f"unnest({columns})"
        texts.append(_STEPS[step].replace("{given}", f"{rows} AS given ({names})"))
    of_runs = [f"SELECT run_key FROM {step}" for step in steps if step in _OF_RUNS]  # noqa: S608 - texts of ours
    texts.insert(len(of_runs), f"applied AS ({' UNION ALL '.join(of_runs)})")
    return f"WITH {_LANE}, {', '.join(texts)} {_NUMBER}"


_KEY_OF_RUN: Final = itemgetter(0)
_FIRST: Final = 5
"""The first parameter that is a column."""
_OF_RUNS: Final = ("moved", "created")

_STANDING: Final = (
    "bigint bigint integer text varchar float8 smallint bigint bigint bigint",
    "run_key, fencing_token, sequence, status, stage, progress, priority, started_at, updated_at, closed_at",
)
_BEGINNING: Final = (
    "bigint varchar varchar varchar varchar varchar bigint bigint varchar",
    "owner, namespace, id, workflow, definition_version, tenant, parent_key, created_at, request_id",
)
_GIVEN: Final = {
    "moved": (f"{_STANDING[0]} integer", f"{_STANDING[1]}, expected"),
    "created": (f"{_STANDING[0]} {_BEGINNING[0]}", f"{_STANDING[1]}, {_BEGINNING[1]}"),
    "labelled": ("bigint varchar varchar varchar bigint", "run_key, name, value, namespace, created_at"),
    "recorded": (
        "bigint integer text smallint bigint text bytea smallint",
        "run_key, sequence, type, version, at, data, digest, events",
    ),
    "consumed": ("bigint bigint", "position, run_key"),
}
"""Types and names of the columns that each step is given, in the order of the steps: runs that move, new runs, their
labels, the events of all, messages that are taken from their inboxes."""

_LANE: Final = """lane AS MATERIALIZED (
    SELECT 1 FROM lanes WHERE worker_id = $1 AND lane = $2 AND epoch = $3 FOR NO KEY UPDATE
)"""
_STEPS: Final = {
    "moved": """standing AS MATERIALIZED (
    SELECT given.* FROM {given} CROSS JOIN LATERAL (
        SELECT FROM runs WHERE runs.run_key = given.run_key AND runs.fencing_token = given.fencing_token
            AND runs.sequence = given.expected AND (runs.owner = $1) IS TRUE
        FOR NO KEY UPDATE
    ) AS locked WHERE EXISTS (SELECT FROM lane)
),
moved AS (
    UPDATE runs SET sequence = given.sequence, status = given.status, stage = given.stage, progress = given.progress,
        priority = given.priority, started_at = given.started_at, updated_at = given.updated_at,
        closed_at = given.closed_at,
        owner = CASE WHEN given.closed_at IS NULL THEN runs.owner END,
        end_at = CASE WHEN given.closed_at IS NULL THEN runs.end_at END
    FROM standing AS given
    WHERE runs.run_key = given.run_key
    RETURNING runs.run_key
)""",
    "created": """created AS (
    INSERT INTO runs (
        run_key, fencing_token, sequence, status, stage, progress, priority, started_at, updated_at, closed_at, owner,
        namespace, id, generation, workflow, definition_version, tenant, parent_key, created_at, request_id
    )
    SELECT run_key, fencing_token, sequence, status, stage, progress, priority, started_at, updated_at, closed_at,
        owner, namespace, id, 1, workflow, definition_version, tenant, parent_key, created_at, request_id
    FROM {given}
    WHERE EXISTS (SELECT FROM lane)
        AND NOT EXISTS (SELECT FROM runs AS other WHERE other.namespace = given.namespace AND other.id = given.id)
    ON CONFLICT DO NOTHING
    RETURNING run_key
)""",
    "labelled": """labelled AS (
    INSERT INTO run_labels (run_key, name, value, namespace, created_at)
    SELECT * FROM {given} WHERE (run_key IN (SELECT run_key FROM created)) IS TRUE
)""",
    "recorded": """recorded AS (
    INSERT INTO history (run_key, sequence, type, version, at, data, digest, events)
    SELECT * FROM {given} WHERE (run_key IN (SELECT run_key FROM applied)) IS TRUE
)""",
    "consumed": """consumed AS (
    DELETE FROM inbox USING {given}
    WHERE inbox.position = given.position AND inbox.run_key = given.run_key
        AND (given.run_key IN (SELECT run_key FROM applied)) IS TRUE
)""",
}
_NUMBER: Final = """
UPDATE lanes SET last_commit = $4, applied = coalesce((SELECT array_agg(run_key) FROM applied), '{}')
WHERE worker_id = $1 AND lane = $2 AND epoch = $3 AND EXISTS (SELECT FROM lane)
RETURNING applied
"""
