"""The named statements of tasks."""

from typing import Final

from perdure.kernel.priority import Priority
from perdure.ports.tasks import TaskQuery
from perdure.stores.sql.passing import PASSING
from perdure.stores.sql.statements import RowsStatement

__all__ = [
    "CLAIMABLE_TASKS",
    "DELETE_SHARE",
    "DELETE_SHARES",
    "DELETE_TASK",
    "DELETE_TASKS",
    "END_TASK",
    "FIRST_SHARE",
    "FREE_ALL_TASKS",
    "FREE_TASK",
    "FREE_TASKS",
    "HELD_TASKS",
    "INSERT_TASKS",
    "IS_CLAIMED",
    "IS_TYPED",
    "LABELS_OF_TASKS",
    "LET_ALL_TASKS_GO",
    "LET_TASKS_GO",
    "NEXT_SHARE",
    "NEXT_TASK",
    "PUT_SHARE",
    "RETURN_TASK",
    "SHARES",
    "SHARE_WAITS",
    "TAKE_TASKS",
    "TASKS_OF_ALL",
    "TASKS_OF_OWNER",
    "TASKS_TO_READ",
    "TASK_FIELDS",
    "TASK_TARGET",
    "listing_tasks",
]

TASK_FIELDS: Final = "run_key, operation, attempt, namespace, queue, activity, priority, queued_at, data, labels"
"""What never changes of a task's row, in the order in which it is hashed."""

# the columns above, then digest, sticky_to, sticky_until, share, cost
INSERT_TASKS: Final = RowsStatement(
    f"INSERT OR REPLACE INTO tasks ({TASK_FIELDS}, digest, sticky_to, sticky_until, share, cost) VALUES {{rows}}",  # noqa: S608
    width=15,
)

# run_key, operation
DELETE_TASKS: Final = RowsStatement(
    "DELETE FROM tasks INDEXED BY sqlite_autoindex_tasks_1 WHERE (run_key, operation) IN (VALUES {rows})", width=2
)

# position
DELETE_TASK: Final = "DELETE FROM tasks NOT INDEXED WHERE position = ?"

_OF_CLAIM: Final = """INDEXED BY sqlite_autoindex_tasks_1
WHERE run_key = ? AND operation = ? AND attempt = ? AND claims = ? AND owner = ?"""

# run_key, operation, attempt, number of the claim, owner
IS_CLAIMED: Final = f"SELECT 1 FROM tasks {_OF_CLAIM}"  # noqa: S608
END_TASK: Final = f"DELETE FROM tasks {_OF_CLAIM}"  # noqa: S608
RETURN_TASK: Final = (
    f"UPDATE tasks {_OF_CLAIM.replace('WHERE', 'SET owner = NULL, recovering = MAX(recovering, ?) WHERE')}"
)

_PLACE: Final = """coalesce(CAST(queued_at AS INTEGER), 0), coalesce(CAST(run_key AS INTEGER), 0),
    coalesce(CAST(operation AS INTEGER), 0)"""

# queue; one step of the index for each set of labels, of which there are few. As bytes: a damaged one is dropped by who
# would claim its tasks. From the first text on: a column that may not be NULL has its least value where it is
LABELS_OF_TASKS: Final = """
WITH RECURSIVE sets (labels) AS (
    SELECT (SELECT min(labels) FROM tasks INDEXED BY tasks_to_claim WHERE owner IS NULL AND queue = ?1 AND labels >= '')
    UNION ALL
    SELECT (
        SELECT min(labels) FROM tasks INDEXED BY tasks_to_claim
        WHERE owner IS NULL AND queue = ?1 AND labels > sets.labels
    ) FROM sets WHERE sets.labels IS NOT NULL
)
SELECT CAST(labels AS BLOB) FROM sets WHERE labels IS NOT NULL
"""

# queue, labels as bytes, priority, the share before as bytes; the next share, with the place of its first task: one
# step of the index, up to what is no text. By number also where the place is none
NEXT_SHARE: Final = f"""
SELECT CAST(share AS BLOB), {_PLACE} FROM tasks INDEXED BY tasks_to_claim
WHERE owner IS NULL AND queue = ? AND labels = CAST(? AS TEXT) AND priority = ?
    AND share > CAST(? AS TEXT) AND share < x''
ORDER BY share, queued_at, run_key, operation LIMIT 1
"""  # noqa: S608 - a text above
FIRST_SHARE: Final = NEXT_SHARE.replace("share > CAST", "share >= CAST")

# queue, labels as bytes, priority, share as bytes
SHARE_WAITS: Final = """
SELECT 1 FROM tasks INDEXED BY tasks_to_claim
WHERE owner IS NULL AND queue = ? AND labels = CAST(? AS TEXT) AND priority = ? AND share = CAST(? AS TEXT) LIMIT 1
"""

# queue, labels as bytes, priority, share as bytes, a JSON list of activities, the session, now, the latest time of
# queueing, limit; the index has all of that: a row on a damaged page is never come to
CLAIMABLE_TASKS: Final = f"""
SELECT position, cost, {_PLACE} FROM tasks INDEXED BY tasks_to_claim
WHERE owner IS NULL AND queue = ? AND labels = CAST(? AS TEXT) AND priority = ? AND share = CAST(? AS TEXT){PASSING}
    AND activity IN (SELECT value FROM json_each(?))
    AND (sticky_to IS NULL OR sticky_to = ? OR coalesce(sticky_until, 0) <= ? OR queued_at > ?
        OR NOT EXISTS (SELECT 1 FROM sessions WHERE worker_id = sticky_to))
ORDER BY queued_at, run_key, operation LIMIT ?
"""  # noqa: S608 - texts above

# queue, priority
SHARES: Final = "SELECT CAST(share AS BLOB), tag, clock, at FROM task_shares WHERE queue = ? AND priority = ?"
DELETE_SHARES: Final = "DELETE FROM task_shares WHERE queue = ? AND priority = ?"

# queue, priority, share as bytes, tag, clock, at
PUT_SHARE: Final = """
INSERT INTO task_shares (queue, priority, share, tag, clock, at) VALUES (?, ?, CAST(? AS TEXT), ?, ?, ?)
ON CONFLICT (queue, priority, share) DO UPDATE SET tag = excluded.tag, clock = excluded.clock, at = excluded.at
"""

# queue, priority, share as bytes
DELETE_SHARE: Final = "DELETE FROM task_shares WHERE queue = ? AND priority = ? AND share = CAST(? AS TEXT)"

# queue, now, the session, the latest time of queueing
NEXT_TASK: Final = """
SELECT sticky_until FROM tasks INDEXED BY tasks_kept
WHERE sticky_to IS NOT NULL AND queue = ? AND sticky_until > ? AND sticky_to <> ? AND owner IS NULL AND queued_at <= ?
ORDER BY sticky_until LIMIT 1
"""

_KINDS: Final = {
    "integer": ("run_key", "operation", "attempt", "priority", "queued_at", "claims", "recovering"),
    "text": ("namespace", "queue", "activity", "data", "labels", "share"),
    "real": ("cost",),
}
_MAY_LACK: Final = ("sticky_to", "sticky_until", "owner")
IS_TYPED: Final = " AND ".join(
    [f"typeof({name}) = '{kind}'" for kind, names in _KINDS.items() for name in names]
    + [f"typeof({name}) IN ('integer', 'null')" for name in _MAY_LACK]
)
"""Whether a row is as its table demands where it is changed; flipped bits do not keep to that."""

# a JSON list of positions; texts as bytes: a damaged one must not hide the others
TASKS_TO_READ: Final = f"""
SELECT position, {IS_TYPED},
    claims, recovering, digest, CAST(share AS BLOB), cost, run_key, operation, attempt, CAST(namespace AS BLOB),
    CAST(queue AS BLOB), CAST(activity AS BLOB), priority, queued_at, CAST(data AS BLOB), CAST(labels AS BLOB)
FROM tasks NOT INDEXED WHERE position IN (SELECT value FROM json_each(?)) AND owner IS NULL
"""  # noqa: S608 - texts above

# owner, a JSON list of positions
TAKE_TASKS: Final = """
UPDATE tasks NOT INDEXED SET owner = ?, claims = claims + 1, sticky_to = NULL, sticky_until = NULL
WHERE position IN (SELECT value FROM json_each(?))
"""

# owner
HELD_TASKS: Final = "SELECT run_key, operation, attempt, claims FROM tasks INDEXED BY tasks_by_owner WHERE owner = ?"

# owner; those that it gives may be given back one by one, where damage keeps them from being given back together
TASKS_OF_OWNER: Final = "SELECT position FROM tasks INDEXED BY tasks_by_owner WHERE owner = ?"
TASKS_OF_ALL: Final = "SELECT position FROM tasks INDEXED BY tasks_by_owner WHERE owner IS NOT NULL"

# position; gives its run
FREE_TASK: Final = "UPDATE tasks NOT INDEXED SET owner = NULL, recovering = 1 WHERE position = ? RETURNING run_key"

# owner; gives the runs whose tasks those were
FREE_TASKS: Final = """
UPDATE tasks INDEXED BY tasks_by_owner SET owner = NULL, recovering = 1 WHERE owner = ? RETURNING run_key
"""
LET_TASKS_GO: Final = """
UPDATE tasks INDEXED BY tasks_kept_for SET sticky_to = NULL, sticky_until = NULL WHERE sticky_to = ? RETURNING run_key
"""
FREE_ALL_TASKS: Final = """
UPDATE tasks INDEXED BY tasks_by_owner SET owner = NULL, recovering = 1 WHERE owner IS NOT NULL RETURNING run_key
"""
LET_ALL_TASKS_GO: Final = """
UPDATE tasks INDEXED BY tasks_kept_for SET sticky_to = NULL, sticky_until = NULL WHERE sticky_to IS NOT NULL
"""

# run_key; the generation of a run that may be told something
TASK_TARGET: Final = "SELECT generation FROM runs NOT INDEXED WHERE run_key = ? AND closed_at IS NULL"


def listing_tasks(query: TaskQuery) -> tuple[str, list[int | str]]:
    """Return the statement for one page, and its parameters. Rows that have no place in its order are damaged."""
    conditions, values = ["tasks.namespace = ?", *_HAVE_A_PLACE], list[int | str]((query.namespace,))
    for column, value in (("queue", query.queue), ("run_key", query.run_key)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    if query.after is not None:
        conditions.append("(tasks.priority, queued_at, run_key, operation) > (?, ?, ?, ?)")
        values += query.after
    found = "sqlite_autoindex_tasks_1" if query.run_key is not None else "tasks_in_order"
    text = f"""
SELECT CAST(runs.namespace AS BLOB), CAST(runs.id AS BLOB), runs.generation, run_key, operation, attempt,
    CAST(queue AS BLOB), CAST(activity AS BLOB), tasks.priority, queued_at, tasks.owner, claims,
    CAST(coalesce(sessions.name, '') AS BLOB), CAST(tasks.labels AS BLOB), sticky_to, sticky_until
FROM tasks INDEXED BY {found} CROSS JOIN runs NOT INDEXED USING (run_key)
LEFT JOIN sessions ON sessions.worker_id = tasks.owner WHERE {" AND ".join(conditions)}
ORDER BY tasks.priority, queued_at, run_key, operation LIMIT ?
"""  # noqa: S608 - texts above
    return text, [*values, max(query.limit, 0)]


_HAVE_A_PLACE: Final = (
    f"tasks.priority BETWEEN {min(Priority):d} AND {max(Priority):d}",
    "typeof(queued_at) = 'integer'",
    "typeof(operation) = 'integer'",
)
