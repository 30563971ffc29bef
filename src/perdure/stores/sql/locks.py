"""The named statements of the lines of locks."""

from typing import Final

from perdure.ports.store import LockQuery

__all__ = [
    "ADD_LOCK",
    "EARLIER_LOCKS",
    "FIND_LOCK",
    "FIRST_WAITING_LOCK",
    "GRANT_LOCK",
    "HELD_LOCKS",
    "REMOVE_LOCK",
    "TELL_RUN",
    "WAITS_WITHIN_HELD_LOCKS",
    "WAKE_TOLD_RUN",
    "listing_locks",
]

_COLUMNS: Final = (
    "position, key, run_key, runs.namespace, id, generation, operation, most, holding, requested_at, granted_at"
)
"""The columns of `LockEntry`, from `_locks`."""


def _locks(found: str) -> str:
    """Return the entries of the lines, `found` by an index or without, each with its run."""
    return f"locks {found} CROSS JOIN runs NOT INDEXED USING (run_key)"


_OF_RUN: Final = "INDEXED BY sqlite_autoindex_locks_1"
_OF_KEY: Final = "INDEXED BY locks_by_key"
_BY_POSITION: Final = "NOT INDEXED"


# key, operation, most, holding, requested_at, run_key
ADD_LOCK: Final = """
INSERT INTO locks (namespace, key, run_key, operation, most, holding, requested_at)
SELECT namespace, ?, run_key, ?, ?, ?, ? FROM runs NOT INDEXED WHERE run_key = ?
"""

# run_key, operation
FIND_LOCK: Final = f"SELECT {_COLUMNS} FROM {_locks(_OF_RUN)} WHERE run_key = ? AND operation = ?"  # noqa: S608

# position
REMOVE_LOCK: Final = "DELETE FROM locks WHERE position = ?"

# granted_at, position
GRANT_LOCK: Final = "UPDATE locks SET granted_at = ? WHERE position = ?"

# namespace, key
FIRST_WAITING_LOCK: Final = f"""
SELECT {_COLUMNS} FROM {_locks(_BY_POSITION)} WHERE position = (
    SELECT position FROM locks INDEXED BY locks_waiting
    WHERE namespace = ? AND key = ? AND granted_at IS NULL ORDER BY position LIMIT 1
)
"""  # noqa: S608

# namespace, key
HELD_LOCKS: Final = """
SELECT count(*), min(most) FROM locks INDEXED BY locks_held
WHERE namespace = ? AND key = ? AND granted_at IS NOT NULL
"""

# namespace, key, position
EARLIER_LOCKS: Final = f"""
SELECT {_COLUMNS} FROM {_locks(_OF_KEY)}
WHERE locks.namespace = ? AND key = ? AND position < ? ORDER BY position
"""  # noqa: S608

# namespace, key; CROSS: from the few that hold it to what their runs wait for, never the other way round
WAITS_WITHIN_HELD_LOCKS: Final = f"""
SELECT {_COLUMNS} FROM {_locks(_BY_POSITION)} WHERE position IN (
    SELECT waits.position FROM locks AS held INDEXED BY locks_held
    CROSS JOIN locks AS waits INDEXED BY sqlite_autoindex_locks_1 USING (run_key)
    WHERE held.namespace = ? AND held.key = ? AND held.granted_at IS NOT NULL AND waits.granted_at IS NULL
        AND held.operation IN (SELECT value FROM json_each(waits.holding))
) ORDER BY position
"""  # noqa: S608

# message_id, data, at, digest, run_key
TELL_RUN: Final = """
INSERT INTO inbox (run_key, message_id, data, at, digest)
SELECT run_key, ?, ?, ?, ? FROM runs NOT INDEXED WHERE run_key = ? AND closed_at IS NULL
"""

# at, at, run_key
WAKE_TOLD_RUN: Final = """
UPDATE runs NOT INDEXED SET wake_at = min(coalesce(wake_at, ?), ?)
WHERE run_key = ? AND owner IS NULL AND parked IS NULL
"""


def listing_locks(query: LockQuery) -> tuple[str, list[int | str]]:
    """Return the statement for one page, and its parameters."""
    conditions = ["locks.namespace = ?", "position > ?"]
    parameters: list[int | str] = [query.namespace, query.after]
    found = _BY_POSITION  # in the order of positions: no line is read whole
    if query.run_key is not None:
        found = _OF_RUN
        conditions.append("run_key = ?")
        parameters.append(query.run_key)
    if query.key is not None:
        found = _OF_KEY
        conditions.append("key = ?")
        parameters.append(query.key)
    where = " AND ".join(conditions)
    text = f"SELECT {_COLUMNS} FROM {_locks(found)} WHERE {where} ORDER BY position LIMIT ?"  # noqa: S608
    return text, [*parameters, max(query.limit, 0)]
