"""The named statements by which runs are read, brought in and removed as wholes."""

from typing import Final

from perdure.ports.keeping import ClosedQuery
from perdure.stores.sql.passing import NONE_PASSED, Passing, passing_condition
from perdure.stores.sql.statements import RUN_COLUMNS

__all__ = [
    "ADOPT_REQUESTS",
    "BRING_IN_REQUEST",
    "BRING_IN_RUN",
    "DELETE_LABELS",
    "DELETE_LEFT_EVENTS",
    "DELETE_LEFT_MESSAGES",
    "DELETE_REQUESTS",
    "DELETE_TASKS",
    "FORGET_REMOVAL",
    "HAS_RUN",
    "KEEP_REQUEST",
    "LATER_GENERATION",
    "LEFT_EVENTS",
    "LEFT_MESSAGES",
    "NEXT_OF_ID",
    "NOTE_REMOVAL",
    "ORIGINS",
    "PREVIOUS_OF_ID",
    "QUEUES_OF_RUN",
    "REMOVALS",
    "REQUESTS_OF_RUN",
    "RUN_OF_GENERATION",
    "SUPERSEDE_BEFORE",
    "WHOLE_RUN",
    "deleting_run",
    "listing_closed",
    "naming_by_forks",
]


# the numbers of sessions, as JSON; those that this database has not begun are left out
ORIGINS: Final = """
SELECT session.value, coalesce(origin, (SELECT value FROM store_meta WHERE name = 'identity'))
FROM json_each(?) AS session LEFT JOIN key_origins ON worker_id = session.value
WHERE session.value <= (SELECT value FROM store_meta WHERE name = 'last_worker_id')
"""

# --- to read ---------------------------------------------------------------------------------------------------------

# run_key
WHOLE_RUN: Final = f"SELECT request_id, end_at, {RUN_COLUMNS} FROM runs WHERE run_key = ?"  # noqa: S608

# namespace, id, run_key
REQUESTS_OF_RUN: Final = """
SELECT request_id FROM message_requests WHERE namespace = ? AND id = ? AND run_key = ? ORDER BY request_id
"""

# run_key
QUEUES_OF_RUN: Final = """
SELECT DISTINCT queue FROM tasks INDEXED BY sqlite_autoindex_tasks_1 WHERE run_key = ? ORDER BY queue
"""

# --- to bring in -----------------------------------------------------------------------------------------------------

# run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant,
# parent_key, created_at, started_at, updated_at, closed_at, sequence, fencing_token, wake_at, recovering, request_id,
# parked, end_at
BRING_IN_RUN: Final = """
INSERT INTO runs (
    run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant,
    parent_key, created_at, started_at, updated_at, closed_at, sequence, fencing_token, wake_at, recovering, request_id,
    parked, end_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

# namespace, id, generation
RUN_OF_GENERATION: Final = "SELECT run_key FROM runs WHERE namespace = ? AND id = ? AND generation = ?"

# run_key
HAS_RUN: Final = "SELECT run_key FROM runs WHERE run_key = ?"

# namespace, id, generation; what comes before it must have ended before it began
PREVIOUS_OF_ID: Final = """
SELECT run_key, closed_at FROM runs WHERE namespace = ? AND id = ? AND generation < ? ORDER BY generation DESC LIMIT 1
"""

# namespace, id, generation; what comes after it must have begun after it ended
NEXT_OF_ID: Final = """
SELECT run_key, created_at FROM runs WHERE namespace = ? AND id = ? AND generation > ? ORDER BY generation LIMIT 1
"""

# namespace, id, generation
SUPERSEDE_BEFORE: Final = "UPDATE runs SET latest = 0 WHERE namespace = ? AND id = ? AND generation < ? AND latest = 1"

# namespace, id, request_id, run_key; the oldest generation has it: later ones have it from those that were removed
BRING_IN_REQUEST: Final = """
INSERT INTO message_requests (namespace, id, request_id, run_key) VALUES (?, ?, ?, ?)
ON CONFLICT (namespace, id, request_id) DO UPDATE SET run_key = excluded.run_key
WHERE (SELECT generation FROM runs WHERE run_key = excluded.run_key)
    < (SELECT generation FROM runs WHERE run_key = message_requests.run_key)
"""

# --- to remove -------------------------------------------------------------------------------------------------------


def deleting_run(unread: Passing = NONE_PASSED) -> str:
    """Return the statement, of a run key, that deletes a closed run that nothing open needs and whose earlier
    generations are gone. Open forks are asked before. Children that are `unread` pass for open."""
    return f"""
DELETE FROM runs WHERE run_key = ? AND closed_at IS NOT NULL AND {_is_not_needed(unread)} AND NOT EXISTS (
    SELECT 1 FROM runs AS earlier WHERE earlier.namespace = runs.namespace AND earlier.id = runs.id
    AND earlier.generation = runs.generation - 1
)
RETURNING namespace, id, request_id
"""  # noqa: S608 - the part is below


def naming_by_forks(unread: Passing = NONE_PASSED) -> str:
    """Return the question which runs open forks, and those that are `unread`, name: those that they were copied from,
    and those that first made their calls. The events of closed ones are not read."""
    is_open = "(SELECT closed_at IS NULL FROM runs WHERE runs.run_key = history.run_key)"
    return f"""
SELECT iif(json_valid(data), data ->> 'origin_key', NULL), iif(json_valid(data), data ->> 'caller_key', NULL)
FROM history INDEXED BY history_forks WHERE type = 'run_forked' AND {_may_be_open("history", is_open, unread)}
"""  # noqa: S608 - the part is below


def _is_not_needed(unread: Passing) -> str:
    return f"""
    NOT EXISTS (
        SELECT 1 FROM runs AS child WHERE child.parent_key = runs.run_key
        AND {_may_be_open("child", "child.closed_at IS NULL", unread)}
    )
    AND NOT EXISTS (SELECT 1 FROM locks WHERE locks.run_key = runs.run_key)
"""  # noqa: S608 - the part is below


def _may_be_open(table: str, is_open: str, unread: Passing) -> str:
    """Return the condition that a run, whose key a table has, is open, as those may be that cannot be read."""
    return f"({table}.run_key IN ({', '.join(map(str, sorted(unread)))}) OR {is_open})" if unread else is_open


# namespace, id
LATER_GENERATION: Final = "SELECT run_key FROM runs WHERE namespace = ? AND id = ? ORDER BY generation LIMIT 1"

# new run_key, namespace, id, run_key
ADOPT_REQUESTS: Final = "UPDATE message_requests SET run_key = ? WHERE namespace = ? AND id = ? AND run_key = ?"

# namespace, id, request_id, run_key
KEEP_REQUEST: Final = """
INSERT INTO message_requests (namespace, id, request_id, run_key) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING
"""

# namespace, id
DELETE_REQUESTS: Final = "DELETE FROM message_requests WHERE namespace = ? AND id = ?"

# run_key
DELETE_LABELS: Final = "DELETE FROM run_labels WHERE run_key = ?"

# run_key
DELETE_TASKS: Final = "DELETE FROM tasks INDEXED BY sqlite_autoindex_tasks_1 WHERE run_key = ?"

# run_key
NOTE_REMOVAL: Final = "INSERT INTO removals (run_key) VALUES (?)"

# run_key
FORGET_REMOVAL: Final = "DELETE FROM removals WHERE run_key = ?"

REMOVALS: Final = "SELECT run_key FROM removals ORDER BY run_key"

# run_key, limit; and how many bytes each holds, which SQLite knows without reading them
LEFT_EVENTS: Final = "SELECT position, octet_length(data) FROM history WHERE run_key = ? ORDER BY sequence LIMIT ?"

# run_key, limit
LEFT_MESSAGES: Final = "SELECT position, octet_length(data) FROM inbox WHERE run_key = ? ORDER BY position LIMIT ?"

# positions, as JSON
DELETE_LEFT_EVENTS: Final = "DELETE FROM history WHERE position IN (SELECT value FROM json_each(?))"

# positions, as JSON
DELETE_LEFT_MESSAGES: Final = "DELETE FROM inbox WHERE position IN (SELECT value FROM json_each(?))"


def listing_closed(
    query: ClosedQuery, passing: Passing = NONE_PASSED, unread: Passing = NONE_PASSED
) -> tuple[str, list[int | str]]:
    """Return the statement for one page of closed runs that nothing open needs, but perhaps an open fork: of those that
    are not `passing`. Children that are `unread` pass for open."""
    conditions = ["runs.closed_at IS NOT NULL", "runs.closed_at <= ?", _is_not_needed(unread)]
    parameters: list[int | str] = [query.closed_until]
    if query.after is not None:
        conditions.append("(runs.closed_at, runs.run_key) > (?, ?)")
        parameters += query.after
    if query.namespace is not None:
        conditions.append("runs.namespace = ?")
        parameters.append(query.namespace)
    for column, values in (("status", query.statuses), ("workflow", query.workflows)):
        if values:
            conditions.append(f"runs.{column} IN ({', '.join('?' * len(values))})")
            parameters += sorted(values)
    text = f"""
SELECT {RUN_COLUMNS} FROM runs INDEXED BY runs_closed WHERE {" AND ".join(conditions)}{passing_condition(passing)}
ORDER BY runs.closed_at, runs.run_key LIMIT ?
"""  # noqa: S608 - texts above
    return text, [*parameters, max(query.limit, 0)]
