"""The named statements of tasks."""

from typing import Final

from perdure.ports.tasks import TaskQuery
from perdure.stores.sql.statements import RowsStatement

__all__ = [
    "CLAIMABLE_TASKS",
    "DELETE_TASKS",
    "END_TASK",
    "FREE_ALL_TASKS",
    "FREE_TASKS",
    "HELD_TASKS",
    "INSERT_TASKS",
    "IS_CLAIMED",
    "RETURN_TASK",
    "TAKE_TASKS",
    "TASKS_TO_READ",
    "TASK_FIELDS",
    "TASK_TARGET",
    "listing_tasks",
]

TASK_FIELDS: Final = "run_key, operation, attempt, namespace, queue, activity, priority, queued_at, data"
"""What never changes of a task's row, in the order in which it is hashed."""

# the columns above, then digest
INSERT_TASKS: Final = RowsStatement(
    f"INSERT OR REPLACE INTO tasks ({TASK_FIELDS}, digest) VALUES {{rows}}",  # noqa: S608
    width=10,
)

# run_key, operation
DELETE_TASKS: Final = RowsStatement(
    "DELETE FROM tasks INDEXED BY sqlite_autoindex_tasks_1 WHERE (run_key, operation) IN (VALUES {rows})", width=2
)

_OF_CLAIM: Final = """INDEXED BY sqlite_autoindex_tasks_1
WHERE run_key = ? AND operation = ? AND attempt = ? AND claims = ? AND owner = ?"""

# run_key, operation, attempt, number of the claim, owner
IS_CLAIMED: Final = f"SELECT 1 FROM tasks {_OF_CLAIM}"  # noqa: S608
END_TASK: Final = f"DELETE FROM tasks {_OF_CLAIM}"  # noqa: S608
RETURN_TASK: Final = (
    f"UPDATE tasks {_OF_CLAIM.replace('WHERE', 'SET owner = NULL, recovering = MAX(recovering, ?) WHERE')}"
)

# queue, priority, a JSON list of activities, limit
CLAIMABLE_TASKS: Final = """
SELECT position, queued_at, run_key, operation FROM tasks INDEXED BY tasks_to_claim
WHERE owner IS NULL AND queue = ? AND priority = ? AND activity IN (SELECT value FROM json_each(?))
ORDER BY queued_at, run_key, operation LIMIT ?
"""

# a JSON list of positions; texts as bytes: a damaged one must not hide the others
TASKS_TO_READ: Final = """
SELECT position, claims, recovering, digest, run_key, operation, attempt, CAST(namespace AS BLOB), CAST(queue AS BLOB),
    CAST(activity AS BLOB), priority, queued_at, CAST(data AS BLOB)
FROM tasks NOT INDEXED WHERE position IN (SELECT value FROM json_each(?)) AND owner IS NULL
"""

# owner, a JSON list of positions
TAKE_TASKS: Final = """
UPDATE tasks NOT INDEXED SET owner = ?, claims = claims + 1
WHERE position IN (SELECT value FROM json_each(?))
"""

# owner
HELD_TASKS: Final = "SELECT run_key, operation, attempt, claims FROM tasks INDEXED BY tasks_by_owner WHERE owner = ?"

# owner; gives the runs whose tasks those were
FREE_TASKS: Final = """
UPDATE tasks INDEXED BY tasks_by_owner SET owner = NULL, recovering = 1 WHERE owner = ? RETURNING run_key
"""
FREE_ALL_TASKS: Final = """
UPDATE tasks INDEXED BY tasks_by_owner SET owner = NULL, recovering = 1 WHERE owner IS NOT NULL
"""

# run_key; the generation of a run that may be told something
TASK_TARGET: Final = "SELECT generation FROM runs NOT INDEXED WHERE run_key = ? AND closed_at IS NULL"


def listing_tasks(query: TaskQuery) -> tuple[str, list[int | str]]:
    """Return the statement for one page, and its parameters."""
    conditions, values = ["tasks.namespace = ?"], list[int | str]((query.namespace,))
    for column, value in (("queue", query.queue), ("run_key", query.run_key)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    if query.after is not None:
        conditions.append("(tasks.priority, queued_at, run_key, operation) > (?, ?, ?, ?)")
        values += query.after
    found = "sqlite_autoindex_tasks_1" if query.run_key is not None else "tasks_in_order"
    text = f"""
SELECT run_key, operation, attempt, runs.namespace, queue, activity, tasks.priority, queued_at, tasks.owner, claims,
    runs.id, runs.generation, coalesce(sessions.name, '')
FROM tasks INDEXED BY {found} CROSS JOIN runs NOT INDEXED USING (run_key)
LEFT JOIN sessions ON sessions.worker_id = tasks.owner WHERE {" AND ".join(conditions)}
ORDER BY tasks.priority, queued_at, run_key, operation LIMIT ?
"""  # noqa: S608 - texts above
    return text, [*values, max(query.limit, 0)]
