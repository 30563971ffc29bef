"""The named statements of inboxes."""

from typing import Final

from perdure.stores.sql.digests import digest_or_lost
from perdure.stores.sql.statements import RowsStatement

__all__ = [
    "DELETE_MESSAGES",
    "HAS_MESSAGE",
    "INBOX_AS_BYTES",
    "INSERT_MESSAGES",
    "MESSAGES_TO_MOVE",
    "MOVE_MESSAGE",
    "READ_INBOX",
]

# run_key, message_id, data, at, digest
INSERT_MESSAGES: Final = RowsStatement(
    "INSERT INTO inbox (run_key, message_id, data, at, digest) VALUES {rows} ON CONFLICT DO NOTHING", width=5
)

# position, run_key
DELETE_MESSAGES: Final = RowsStatement(
    "DELETE FROM inbox NOT INDEXED WHERE (position, run_key) IN (VALUES {rows})", width=2
)

# run_key, message_id
HAS_MESSAGE: Final = "SELECT 1 FROM inbox INDEXED BY inbox_by_run WHERE run_key = ? AND message_id = ?"

# run_key; as bytes: a damaged text may be none, and would keep the others here
MESSAGES_TO_MOVE: Final = """
SELECT position, CAST(message_id AS BLOB), at, CAST(data AS BLOB), digest FROM inbox INDEXED BY inbox_by_run
WHERE run_key = ?
"""

# new run_key, digest, position
MOVE_MESSAGE: Final = "UPDATE inbox NOT INDEXED SET run_key = ?, digest = ? WHERE position = ?"

# run_key; texts as bytes: a damaged one must not hide others
INBOX_AS_BYTES: Final = f"""
SELECT position, CAST(data AS BLOB), CAST(message_id AS BLOB), at, {digest_or_lost("inbox")}
FROM inbox INDEXED BY inbox_by_run WHERE run_key = ? ORDER BY position
"""  # noqa: S608 - the part is a text of ours

# run_key, position, limit
READ_INBOX: Final = f"""
SELECT position, data, message_id, at, {digest_or_lost("inbox")} FROM inbox INDEXED BY inbox_by_run
WHERE run_key = ? AND position > ? ORDER BY position LIMIT ?
"""  # noqa: S608 - the part is a text of ours
