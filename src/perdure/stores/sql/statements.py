"""The named statements of the SQL stores.

A statement on many rows is a template for a number of rows: `of(n)` gives its text. Its parameters are the rows' values
one after the other, in the order that the template's comment names.

**Plans.** Every statement on runs names the index by which it finds them, or says `NOT INDEXED`: by their keys.
Without that SQLite chooses by statistics, which it has of any database that some tool has once analysed: those of a
quiet moment say that few runs have an owner, and each commit would look at all that have one. So the values of a
statement's parameters have no say in its plan either, and it is prepared once for all of them.
"""

from functools import cache
from typing import Final

from perdure.stores.sql.passing import PASSING

__all__ = [
    "ADVANCE_RUNS",
    "CHANGE_RUNS",
    "CLAIMED_COLUMNS",
    "DELETE_LABEL",
    "FIND_RUN",
    "FREE_RUNS",
    "FREE_RUNS_AT_ANY_TIME",
    "GIVE_BACK_RUNS",
    "INSERT_LABELS",
    "INSERT_RUNS",
    "IS_SUCCESSOR",
    "LATEST_OF_ID",
    "NEXT_END",
    "NEXT_WAKE",
    "OWNED_RUNS",
    "PARKED_TO_CLAIM",
    "PARKING",
    "PARK_RUNS",
    "PARK_UNREADABLE",
    "PUT_LABEL",
    "PUT_REQUEST",
    "RELEASE_RUNS",
    "ROW_COUNTS",
    "RUNS_BY_KEY",
    "RUNS_OF_OWNER",
    "RUNS_TO_CLAIM",
    "RUN_COLUMNS",
    "RUN_OF_MESSAGE_REQUEST",
    "RUN_OF_REQUEST",
    "SUPERSEDE_RUN",
    "TAKER_OF_REQUEST",
    "TAKE_RUNS",
    "TARGETS_BY_KEY",
    "TARGETS_BY_NAME",
    "TOKENS_OF_OWNER",
    "TRY_TO_TAKE_RUNS",
    "UNPARK_RUNS",
    "WAKE_RUNS",
    "RowsStatement",
]


ROW_COUNTS: Final = (128, 64, 32, 16, 8, 4, 3, 2, 1)
"""For how many rows statements are prepared; a batch is cut into these. Few texts, so that all stay prepared. Three are
the events with which a run that calls an activity begins."""


class RowsStatement:
    """A statement on many rows of `width` values each; `{rows}` in the text stands for the list of rows.

    Where the text joins the rows as a table (`n`), that for one row takes its values as they are: SQLite would fill a
    table for it, at three times the cost.
    """

    def __init__(self, text: str, *, width: int) -> None:
        self.width: Final = width
        row = f"({', '.join('?' * width)})"
        self._texts: Final = {count: text.replace("{rows}", ", ".join([row] * count)).strip() for count in ROW_COUNTS}
        if _JOIN in text:
            self._texts[1] = text.replace(_JOIN, "").replace("n.column", "?").strip()

    def of(self, count: int) -> str:
        """Return the text for `count` rows, one of `ROW_COUNTS`."""
        return self._texts[count]


_JOIN: Final = "FROM (VALUES {rows}) AS n\n"


# run_key, namespace, id, generation, workflow, definition_version, status, stage, progress, priority, tenant,
# parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, request_id
INSERT_RUNS: Final = RowsStatement(
    """
INSERT INTO runs (
    run_key, namespace, id, generation, workflow, definition_version, status, stage, progress, priority, tenant,
    parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, request_id
) VALUES {rows} ON CONFLICT DO NOTHING
""",
    width=21,
)

# run_key, name, value, namespace, created_at
INSERT_LABELS: Final = RowsStatement(
    "INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES {rows}", width=5
)

# run_key, fencing_token, sequence expected, sequence, status, stage, progress, priority, updated_at, started_at,
# closed_at, owner expected: for runs whose status and priority stay, so that no index is touched.
ADVANCE_RUNS: Final = RowsStatement(
    """
UPDATE runs NOT INDEXED SET sequence = n.column4, stage = n.column6, progress = n.column7, updated_at = n.column9,
    started_at = n.column10
FROM (VALUES {rows}) AS n
WHERE runs.run_key = n.column1 AND runs.fencing_token = n.column2 AND runs.sequence = n.column3
    AND runs.owner = n.column12 AND runs.status = n.column5 AND runs.priority = n.column8
    AND runs.closed_at IS NULL AND n.column11 IS NULL
""",
    width=12,
)

# The same columns, for any change. A closed run has no owner, is not woken, and is not to be ended.
CHANGE_RUNS: Final = RowsStatement(
    """
UPDATE runs NOT INDEXED SET sequence = n.column4, status = n.column5, stage = n.column6, progress = n.column7,
    priority = n.column8, updated_at = n.column9, started_at = n.column10, closed_at = n.column11,
    owner = CASE WHEN n.column11 IS NULL THEN runs.owner END,
    wake_at = CASE WHEN n.column11 IS NULL THEN runs.wake_at END,
    end_at = CASE WHEN n.column11 IS NULL THEN runs.end_at END
FROM (VALUES {rows}) AS n
WHERE runs.run_key = n.column1 AND runs.fencing_token = n.column2 AND runs.sequence = n.column3
    AND runs.owner = n.column12
""",
    width=12,
)


def _give_back(change: str, waking: str) -> str:
    """Return a statement that gives runs back, with a change of their rows; `waking` messages make them due at once."""
    return f"""
UPDATE runs NOT INDEXED SET owner = NULL, recovering = n.column9, {change}
    wake_at = CASE
        WHEN EXISTS (SELECT 1 FROM inbox INDEXED BY inbox_by_run WHERE inbox.run_key = n.column1{waking})
        THEN min(coalesce(n.column5, n.column6), n.column6)
        ELSE n.column5
    END,
    end_at = CASE
        WHEN n.column8 IS NULL
        THEN max(runs.end_at, coalesce(n.column7, runs.end_at))
        WHEN EXISTS (
            SELECT 1 FROM inbox INDEXED BY inbox_by_run
            WHERE inbox.run_key = n.column1 AND inbox.position > n.column8
        )
        THEN min(coalesce(runs.end_at, n.column7), coalesce(n.column7, runs.end_at))
        ELSE n.column7
    END
FROM (VALUES {{rows}}) AS n
WHERE runs.run_key = n.column1 AND runs.fencing_token = n.column2 AND runs.sequence = n.column3
    AND runs.owner = n.column4
"""  # noqa: S608 - the parts are below


# run_key, fencing_token, sequence expected, owner expected, wake_at, now, end_at, position in the inbox, recovered
RELEASE_RUNS: Final = RowsStatement(_give_back("", ""), width=9)

# the same, then parking, position of the last message before the last try
PARK_RUNS: Final = RowsStatement(
    _give_back(
        "parked = n.column10,",
        """ AND inbox.position > n.column11
            AND CASE WHEN json_valid(data) THEN data ->> 'kind' IN ('terminate', 'resume') END""",
    ),
    width=11,
)

# run_key, at; each run once
WAKE_RUNS: Final = RowsStatement(
    """
UPDATE runs NOT INDEXED SET wake_at = min(coalesce(runs.wake_at, n.column2), n.column2)
FROM (VALUES {rows}) AS n
WHERE runs.run_key = n.column1 AND runs.owner IS NULL AND runs.closed_at IS NULL
""",
    width=2,
)

# name, value, run_key
PUT_LABEL: Final = """
INSERT INTO run_labels (run_key, name, value, namespace, created_at)
SELECT run_key, ?, ?, namespace, created_at FROM runs NOT INDEXED WHERE run_key = ?
ON CONFLICT (run_key, name) DO UPDATE SET value = excluded.value
"""

# run_key, name
DELETE_LABEL: Final = "DELETE FROM run_labels WHERE run_key = ? AND name = ?"

# namespace, id, generation of the predecessor
SUPERSEDE_RUN: Final = """
UPDATE runs INDEXED BY sqlite_autoindex_runs_1 SET latest = 0
WHERE namespace = ? AND id = ? AND generation = ? AND closed_at IS NOT NULL
"""

# run_key of a generation, and of the one that follows it
IS_SUCCESSOR: Final = """
SELECT 1 FROM runs AS one NOT INDEXED CROSS JOIN runs AS next NOT INDEXED
WHERE one.run_key = ? AND next.run_key = ?
    AND (next.namespace, next.id, next.generation) = (one.namespace, one.id, one.generation + 1)
"""

RUN_COLUMNS: Final = """
    run_key, namespace, id, generation, workflow, definition_version, status, stage, progress, priority, tenant,
    parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at,
    CAST(
        (
            SELECT json_group_array(json_array(
                iif(typeof(name) = 'blob', name || '', name), iif(typeof(value) = 'blob', value || '', value)
            )) FROM run_labels WHERE run_labels.run_key = runs.run_key
        )
        AS BLOB
    ),
    CAST(parked AS BLOB), recovering
"""
"""The columns of `RunSummary`, in the order in which `rows.summary_of` takes them, from a table named `runs`. JSON
comes as bytes: text that is damaged would break the statement, and hide the rows after it; so would bytes in JSON."""


_BY_ID: Final = "INDEXED BY sqlite_autoindex_runs_1 WHERE namespace = ? AND id = ?"

_BY_REQUEST: Final = "INDEXED BY runs_by_request WHERE namespace = ? AND request_id = ? AND request_id <> ''"


@cache
def _find(condition: str) -> str:
    return f"SELECT {RUN_COLUMNS} FROM runs {condition}"  # noqa: S608 - the conditions are below


FIND_RUN: Final = {
    "by key": _find("NOT INDEXED WHERE run_key = ?"),
    "latest": _find(f"{_BY_ID} ORDER BY generation DESC LIMIT 1"),
    "by generation": _find(f"{_BY_ID} AND generation = ?"),
    "by request": _find(_BY_REQUEST),
}
"""The lookups of one run."""

# a JSON list of run keys
TARGETS_BY_KEY: Final = """
SELECT run_key, status, closed_at IS NULL, owner, parked IS NOT NULL FROM runs NOT INDEXED
WHERE run_key IN (SELECT value FROM json_each(?))
"""

# a JSON list of [namespace, id]; gives the place in the list, then the latest generation
TARGETS_BY_NAME: Final = """
SELECT wanted.key, runs.run_key, runs.status, runs.closed_at IS NULL, runs.owner, runs.parked IS NOT NULL
FROM json_each(?) AS wanted CROSS JOIN runs INDEXED BY sqlite_autoindex_runs_1
ON runs.namespace = wanted.value ->> 0 AND runs.id = wanted.value ->> 1 AND runs.generation = (
    SELECT max(generation) FROM runs AS newest INDEXED BY sqlite_autoindex_runs_1
    WHERE newest.namespace = wanted.value ->> 0 AND newest.id = wanted.value ->> 1
)
"""

# namespace, request_id
RUN_OF_REQUEST: Final = f"SELECT run_key, owner FROM runs {_BY_REQUEST}"  # noqa: S608

# run_key of any generation, request_id
TAKER_OF_REQUEST: Final = """
SELECT message_requests.run_key, taker.owner
FROM runs NOT INDEXED CROSS JOIN message_requests USING (namespace, id)
LEFT JOIN runs AS taker NOT INDEXED ON taker.run_key = message_requests.run_key
WHERE runs.run_key = ? AND message_requests.request_id = ?
"""

# request_id, run_key; one that was made before is this run's from now on
PUT_REQUEST: Final = """
INSERT INTO message_requests (namespace, id, request_id, run_key)
SELECT namespace, id, ?, run_key FROM runs NOT INDEXED WHERE run_key = ?
ON CONFLICT (namespace, id, request_id) DO UPDATE SET run_key = excluded.run_key
"""

# namespace, id, request_id
RUN_OF_MESSAGE_REQUEST: Final = """
SELECT run_key, owner FROM runs NOT INDEXED WHERE run_key = (
    SELECT run_key FROM message_requests WHERE namespace = ? AND id = ? AND request_id = ?
)
"""

# namespace, id
LATEST_OF_ID: Final = f"SELECT run_key, generation, closed_at FROM runs {_BY_ID} ORDER BY generation DESC LIMIT 1"  # noqa: S608

# a JSON list of [workflow, version], priority, now, limit. One class at a time: only so the index gives the order, and
# five such statements take a third of the time of one that unites them.
RUNS_TO_CLAIM: Final = f"""
SELECT run_key FROM runs INDEXED BY runs_to_claim
WHERE owner IS NULL AND wake_at IS NOT NULL AND priority = ?2 AND wake_at <= ?3{PASSING}
    AND (workflow, definition_version) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
ORDER BY wake_at, run_key LIMIT ?4
"""  # noqa: S608 - a comment

# a JSON list of [workflow, version], code, limit
PARKED_TO_CLAIM: Final = f"""
SELECT run_key FROM runs INDEXED BY runs_parked
WHERE parked IS NOT NULL AND owner IS NULL{PASSING}
    AND (workflow, definition_version) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
    AND CASE WHEN json_valid(runs.parked)
        THEN NOT EXISTS (SELECT 1 FROM json_each(runs.parked, '$.tried') AS tried WHERE tried.value = ?2)
        ELSE 1
    END
ORDER BY priority, run_key LIMIT ?3
"""  # noqa: S608 - a comment

# a JSON list of [workflow, version], priority
NEXT_WAKE: Final = f"""
SELECT wake_at FROM runs INDEXED BY runs_to_claim
WHERE owner IS NULL AND wake_at IS NOT NULL AND priority = ?2{PASSING}
    AND (workflow, definition_version) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
ORDER BY wake_at, run_key LIMIT 1
"""  # noqa: S608 - a comment

NEXT_END: Final = f"""
SELECT end_at FROM runs INDEXED BY runs_to_end WHERE owner IS NULL AND end_at IS NOT NULL{PASSING}
ORDER BY end_at, run_key LIMIT 1
"""  # noqa: S608 - a comment

CLAIMED_COLUMNS: Final = f"""
    (SELECT coalesce(max(position), 0) FROM inbox INDEXED BY inbox_by_run WHERE inbox.run_key = runs.run_key),
    {RUN_COLUMNS}
"""  # noqa: S608
"""What is read of a run that is claimed: all that is listed of it, and how far its inbox goes."""

# Whose a run is, and when it is due, has the row to say: an index may be older than it, as after a write that was lost.
_IS_NOBODYS: Final = "owner IS NULL AND closed_at IS NULL"

# a JSON list of run keys, now, those of them that are parked and to be tried; of those that are to be claimed
RUNS_BY_KEY: Final = f"""
SELECT {CLAIMED_COLUMNS} FROM runs NOT INDEXED
WHERE run_key IN (SELECT value FROM json_each(?1)) AND {_IS_NOBODYS}
    AND (wake_at <= ?2 OR end_at <= ?2 OR (parked IS NOT NULL AND run_key IN (SELECT value FROM json_each(?3))))
"""  # noqa: S608

# a JSON list of run keys, owner; whoever has them
TRY_TO_TAKE_RUNS: Final = """
UPDATE runs NOT INDEXED SET owner = ?2, fencing_token = fencing_token + 1, wake_at = NULL, recovering = 0
WHERE run_key IN (SELECT value FROM json_each(?1))
"""

# a JSON list of run keys, owner
TAKE_RUNS: Final = f"{TRY_TO_TAKE_RUNS} AND {_IS_NOBODYS}"

# a JSON list of run keys
UNPARK_RUNS: Final = "UPDATE runs NOT INDEXED SET parked = NULL WHERE run_key IN (SELECT value FROM json_each(?))"

# run_key
PARKING: Final = "SELECT CAST(parked AS BLOB) FROM runs NOT INDEXED WHERE run_key = ?"

# parking, run_key; nobody can read the row, neither to go on nor to end it
PARK_UNREADABLE: Final = """
UPDATE runs NOT INDEXED SET parked = ?, wake_at = NULL, end_at = NULL WHERE run_key = ?
"""

_DUE: Final = "min(updated_at, coalesce((SELECT value FROM store_meta WHERE name = 'latest_time'), updated_at))"
"""What nobody owns is due since it was last written, or since the clock was looked at, which may have been set back."""

# limit; read from the index alone, as the next one
OWNED_RUNS: Final = f"SELECT run_key FROM runs INDEXED BY runs_by_owner WHERE owner IS NOT NULL{PASSING} LIMIT ?"  # noqa: S608

# owner, limit
RUNS_OF_OWNER: Final = f"SELECT run_key FROM runs INDEXED BY runs_by_owner WHERE owner = ?{PASSING} LIMIT ?"  # noqa: S608

# a JSON list of run keys, owner
TOKENS_OF_OWNER: Final = """
SELECT run_key, fencing_token FROM runs NOT INDEXED WHERE run_key IN (SELECT value FROM json_each(?)) AND owner = ?
"""

# a JSON list of run keys, their owner, whose session has ended in good order; gives those that were so
GIVE_BACK_RUNS: Final = f"""
UPDATE runs NOT INDEXED SET owner = NULL, wake_at = {_DUE}
WHERE run_key IN (SELECT value FROM json_each(?)) AND owner = ? RETURNING run_key
"""  # noqa: S608 - as above

# a JSON list of run keys, their owner, whose session is dead or too late, now; gives those that were so
FREE_RUNS: Final = """
UPDATE runs NOT INDEXED SET owner = NULL, wake_at = ?3, recovering = 1
WHERE run_key IN (SELECT value FROM json_each(?1)) AND owner = ?2 RETURNING run_key
"""

# a JSON list of run keys, whoever has them, whatever time it is now; gives those that somebody had
FREE_RUNS_AT_ANY_TIME: Final = f"""
UPDATE runs NOT INDEXED SET owner = NULL, wake_at = {_DUE}, recovering = 1
WHERE run_key IN (SELECT value FROM json_each(?)) AND owner IS NOT NULL RETURNING run_key
"""  # noqa: S608 - as above
