"""Writes that concern nothing but one run each: all of them are one statement, and one way to the server and back.

Such are transitions that only append events, take messages from their inbox and move their row, and those that create
their run: nearly all that a step costs. Whether each applies is decided by the server, row by row: `WHERE` asks for the
fencing token, the sequence and the owner, also after it has waited for a row. What does not apply leaves nothing, and
the others apply all the same.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import structs

from perdure.errors import InternalError
from perdure.kernel.history import encode_event
from perdure.kernel.identity import RunKey, WorkerId
from perdure.kernel.transition import Transition, Write
from perdure.stores.postgres.chains import Head, Heads, beginning_of, chained
from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.lanes import FencedError, Lane

__all__ = ["PlainCommit", "are_plain"]


def are_plain(writes: Sequence[Write], heads: Heads) -> bool:
    """Whether these can be one statement."""
    keys = {write.run_key for write in writes if type(write) is Transition and _is_plain(write, heads)}
    return len(keys) == len(writes)


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

    def __init__(self, writes: Sequence[Write], heads: Heads) -> None:
        """Encode them. Raises InternalError for events that are not in their places."""
        moved: list[tuple[Any, ...]] = []  # Any: columns of all types
        created: list[tuple[Any, ...]] = []
        labels: list[tuple[Any, ...]] = []
        events: list[tuple[Any, ...]] = []
        consumed: list[tuple[Any, ...]] = []
        self.heads: Final[dict[RunKey, Head]] = {}
        for write in writes:
            assert isinstance(write, Transition)
            (moved if write.creation is None else created).append(_row(write))
            if write.creation is not None:
                labels += [(write.run_key, *label) for label in write.creation.labels.items()]
            self.heads[write.run_key] = _add_events(write, heads, events)
            if write.consumed:
                consumed += [(position, write.run_key) for position in write.consumed]
        self._statement: Final = COMMIT_CONSUMING if consumed else COMMIT_PLAIN
        self._columns: Final = [
            *_columns(moved, _MOVED_WIDTH),
            *_columns(created, _CREATED_WIDTH),
            *_columns(labels, _LABEL_WIDTH),
            *_columns(events, _EVENT_WIDTH),
            *_columns(consumed, 0),
        ]

    async def execute(self, connection: Connection, lane: Lane, worker_id: WorkerId) -> frozenset[RunKey]:
        """Commit them; return the runs to which theirs was applied. Raises FencedError, and asyncpg's errors."""
        applied = await connection.fetchval(
            self._statement, worker_id, lane.lane, lane.epoch, lane.number, *self._columns
        )
        if applied is None:
            raise FencedError
        return frozenset(map(RunKey, applied))


def _row(write: Transition) -> tuple[Any, ...]:
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


def _add_events(write: Transition, heads: Heads, rows: list[tuple[Any, ...]]) -> Head:
    """Add the rows of a transition's events; return what the next event is linked to."""
    creation = write.creation
    head = heads.at(write.run_key, write.expected_sequence) if creation is None else beginning_of(creation.ref)
    assert head is not None
    events = [encode_event(event) for event in write.events]
    if [row[0] for row in events] != list(range(write.expected_sequence + 1, write.row.sequence + 1)):
        raise InternalError(
            f"the events of a transition of run {write.run_key} must go without gaps from "
            f"{write.expected_sequence + 1} to {write.row.sequence}, and are {[row[0] for row in events]}"
        )
    return chained(write.run_key, events, head, rows)


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


_MOVED_WIDTH: Final = 11
_CREATED_WIDTH: Final = 19
_LABEL_WIDTH: Final = 3
_EVENT_WIDTH: Final = 7

_STANDING: Final = (
    "bigint bigint integer text varchar float8 smallint bigint bigint bigint",
    "run_key, fencing_token, sequence, status, stage, progress, priority, started_at, updated_at, closed_at",
)
"""Types and names of columns."""
_MOVED: Final = (f"{_STANDING[0]} integer", f"{_STANDING[1]}, expected")
_CREATED: Final = (
    f"{_STANDING[0]} bigint varchar varchar varchar varchar varchar bigint bigint varchar",
    f"{_STANDING[1]}, owner, namespace, id, workflow, definition_version, tenant, parent_key, created_at, request_id",
)
_LABELS: Final = ("bigint varchar varchar", "run_key, name, value")
_EVENTS: Final = (
    "bigint integer text smallint bigint text bytea",
    "run_key, sequence, type, version, at, data, digest",
)
_CONSUMED: Final = ("bigint bigint", "position, run_key")
_FIRST: Final = 5
"""The first parameter that is a column."""


def _unnested(name: str, first: int, given: tuple[str, str]) -> str:
    types, names = given
    arrays = ", ".join(f"${first + place}::{kind}[]" for place, kind in enumerate(types.split()))
    return f"unnest({arrays}) AS {name} ({names})"


# worker_id, lane, epoch, number, then the columns of runs that move, of new runs, of their labels, and of all events
_COMMIT: Final = f"""
WITH lane AS MATERIALIZED (
    SELECT 1 FROM lanes WHERE worker_id = $1 AND lane = $2 AND epoch = $3 FOR NO KEY UPDATE
),
standing AS MATERIALIZED (
    SELECT runs.run_key FROM runs JOIN {_unnested("given", _FIRST, _MOVED)} USING (run_key)
    WHERE EXISTS (SELECT FROM lane) AND runs.fencing_token = given.fencing_token AND runs.sequence = given.expected
        AND runs.owner = $1
    ORDER BY runs.run_key FOR NO KEY UPDATE OF runs
),
moved AS (
    UPDATE runs SET sequence = given.sequence, status = given.status, stage = given.stage, progress = given.progress,
        priority = given.priority, started_at = given.started_at, updated_at = given.updated_at,
        closed_at = given.closed_at,
        owner = CASE WHEN given.closed_at IS NULL THEN runs.owner END,
        end_at = CASE WHEN given.closed_at IS NULL THEN runs.end_at END
    FROM {_unnested("given", _FIRST, _MOVED)}
    WHERE runs.run_key = given.run_key AND runs.run_key IN (SELECT run_key FROM standing)
        AND runs.fencing_token = given.fencing_token AND runs.sequence = given.expected AND runs.owner = $1
    RETURNING runs.run_key
),
created AS (
    INSERT INTO runs (
        run_key, fencing_token, sequence, status, stage, progress, priority, started_at, updated_at, closed_at, owner,
        namespace, id, generation, workflow, definition_version, tenant, parent_key, created_at, request_id
    )
    SELECT run_key, fencing_token, sequence, status, stage, progress, priority, started_at, updated_at, closed_at,
        owner, namespace, id, 1, workflow, definition_version, tenant, parent_key, created_at, request_id
    FROM {_unnested("given", _FIRST + _MOVED_WIDTH, _CREATED)}
    WHERE EXISTS (SELECT FROM lane)
        AND NOT EXISTS (SELECT FROM runs AS other WHERE other.namespace = given.namespace AND other.id = given.id)
    ON CONFLICT DO NOTHING
    RETURNING run_key, namespace, created_at
),
labelled AS (
    INSERT INTO run_labels (run_key, name, value, namespace, created_at)
    SELECT given.run_key, given.name, given.value, created.namespace, created.created_at
    FROM {_unnested("given", _FIRST + _MOVED_WIDTH + _CREATED_WIDTH, _LABELS)} JOIN created USING (run_key)
),
applied AS (SELECT run_key FROM moved UNION ALL SELECT run_key FROM created),
recorded AS (
    INSERT INTO history (run_key, sequence, type, version, at, data, digest)
    SELECT given.* FROM {_unnested("given", _FIRST + _MOVED_WIDTH + _CREATED_WIDTH + _LABEL_WIDTH, _EVENTS)}
    JOIN applied USING (run_key)
){{more}}
UPDATE lanes SET last_commit = $4, applied = coalesce((SELECT array_agg(run_key) FROM applied), '{{}}')
WHERE worker_id = $1 AND lane = $2 AND epoch = $3 AND EXISTS (SELECT FROM lane)
RETURNING applied
"""  # noqa: S608 - texts of ours
COMMIT_PLAIN: Final = _COMMIT.replace("{more}", "")

# the same, then the columns of messages that are taken from their inboxes
COMMIT_CONSUMING: Final = _COMMIT.replace(
    "{more}",
    f""",
consumed AS (
    DELETE FROM inbox
    USING {_unnested("given", _FIRST + _MOVED_WIDTH + _CREATED_WIDTH + _LABEL_WIDTH + _EVENT_WIDTH, _CONSUMED)}
    JOIN applied USING (run_key)
    WHERE inbox.position = given.position AND inbox.run_key = given.run_key
)""",  # noqa: S608 - texts of ours
)
