"""The named statements by which a store is verified. Texts come as bytes: damaged ones must not hide others."""

from typing import Final

from perdure.stores.sql.digests import digest_or_lost
from perdure.stores.sql.tasks import IS_TYPED

__all__ = [
    "AGENDA",
    "COUNTERS",
    "HIGHEST_SESSION",
    "INBOX",
    "IS_LATEST",
    "IS_SESSION",
    "LABELS",
    "LOCKS",
    "ORPHANS",
    "RUN",
    "RUNS_AFTER",
    "RUNS_OF_ID",
    "STORE_NUMBERS",
    "STRAY_REQUESTS",
    "TASKS",
]

# run_key, limit
RUNS_AFTER: Final = "SELECT run_key FROM runs NOT INDEXED WHERE run_key > ? ORDER BY run_key LIMIT ?"

# namespace, id
RUNS_OF_ID: Final = "SELECT run_key FROM runs WHERE namespace = ? AND id = ? ORDER BY generation"

_NO_TEXTS: Final = " || ".join(
    f"iif(typeof({name}) = 'text', '', '{name} ')"
    for name in ("namespace", "id", "workflow", "definition_version", "status", "stage", "tenant")
)
"""The names of the columns that hold something else than text, each with a space after it."""

# run_key; in the order of the fields of `StoredRun`
RUN: Final = f"""
SELECT run_key, CAST(namespace AS BLOB), CAST(id AS BLOB), generation, latest, CAST(workflow AS BLOB),
    CAST(definition_version AS BLOB), CAST(status AS BLOB), CAST(stage AS BLOB), progress, priority,
    CAST(tenant AS BLOB), parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, wake_at, end_at,
    CAST(parked AS BLOB), {_NO_TEXTS}
FROM runs WHERE run_key = ?
"""  # noqa: S608 - the part is a text of ours

# namespace, id, generation
IS_LATEST: Final = "SELECT NOT EXISTS (SELECT 1 FROM runs WHERE namespace = ? AND id = ? AND generation > ?)"

# worker_id
IS_SESSION: Final = "SELECT EXISTS (SELECT 1 FROM sessions WHERE worker_id = ?)"

# run_key
LABELS: Final = """
SELECT CAST(name AS BLOB), CAST(value AS BLOB), CAST(namespace AS BLOB), created_at FROM run_labels WHERE run_key = ?
"""

# run_key
INBOX: Final = f"""
SELECT position, CAST(message_id AS BLOB), at, CAST(data AS BLOB), {digest_or_lost("inbox")} FROM inbox
WHERE run_key = ? ORDER BY position
"""  # noqa: S608 - the part is a text of ours

# run_key
LOCKS: Final = """
SELECT operation, CAST(namespace AS BLOB), CAST(key AS BLOB), most, granted_at IS NOT NULL, position,
    json_valid(CAST(holding AS BLOB)) FROM locks
WHERE run_key = ? ORDER BY operation
"""

# run_key
TASKS: Final = f"""
SELECT position, {IS_TYPED},
    EXISTS (SELECT 1 FROM sessions WHERE worker_id = tasks.owner), digest, CAST(share AS BLOB), cost,
    run_key, operation, attempt, CAST(namespace AS BLOB), CAST(queue AS BLOB), CAST(activity AS BLOB), priority,
    queued_at, CAST(data AS BLOB), CAST(labels AS BLOB)
FROM tasks WHERE run_key = ? ORDER BY operation
"""  # noqa: S608 - as above

AGENDA: Final = """
SELECT CAST(namespace AS BLOB), CAST(kind AS BLOB), CAST(id AS BLOB), version, due_at, waits, CAST(data AS BLOB),
    CAST(inputs AS BLOB), digest
FROM agenda
"""

_KEYS_WITHOUT_RUN: Final = """
WITH RECURSIVE keys(run_key) AS (
    SELECT min(run_key) FROM {table}
    UNION ALL
    SELECT (SELECT min(run_key) FROM {table} WHERE {table}.run_key > keys.run_key) FROM keys
    WHERE keys.run_key IS NOT NULL
)
SELECT run_key FROM keys WHERE run_key IS NOT NULL
    AND run_key NOT IN (SELECT run_key FROM runs) AND run_key NOT IN (SELECT run_key FROM removals)
"""

_OF_RUNS: Final = ("history", "inbox", "run_labels", "locks", "tasks")

ORPHANS: Final = {table: _KEYS_WITHOUT_RUN.format(table=table) for table in _OF_RUNS}
"""Table -> the keys of runs that do not exist, of which it has rows; but for those that are just being removed.
One step of an index for each run."""

STRAY_REQUESTS: Final = """
SELECT CAST(message_requests.namespace AS BLOB), CAST(message_requests.id AS BLOB),
    CAST(message_requests.request_id AS BLOB)
FROM message_requests LEFT JOIN runs USING (run_key)
WHERE runs.run_key IS NULL OR runs.namespace <> message_requests.namespace OR runs.id <> message_requests.id
"""

COUNTERS: Final = """
SELECT name, coalesce(seq, 0) < highest FROM (
    SELECT 'inbox' AS name, coalesce(max(position), 0) AS highest FROM inbox
    UNION ALL SELECT 'locks', coalesce(max(position), 0) FROM locks
) LEFT JOIN sqlite_sequence USING (name)
"""

# that is known of, also by the keys that it gave out
HIGHEST_SESSION: Final = """
SELECT max(coalesce((SELECT max(worker_id) FROM sessions), 0), coalesce((SELECT max(worker_id) FROM key_origins), 0))
"""

# those that are numbers as the store writes them
STORE_NUMBERS: Final = "SELECT name, value FROM store_meta WHERE typeof(value) = 'integer' AND value >= 0"
