"""The named statements of histories."""

from typing import Final

from perdure.stores.sql.digests import SOME_DIGEST, digest_or_lost
from perdure.stores.sql.statements import RowsStatement

__all__ = ["DIGEST_BEFORE", "HAS_EVENT", "HISTORY_OF_RUN", "INSERT_HISTORY", "NO_DIGEST_BEFORE", "READ_HISTORY"]

# run_key, sequence, type, version, at, data, digest
INSERT_HISTORY: Final = RowsStatement(
    "INSERT INTO history (run_key, sequence, type, version, at, data, digest) VALUES {rows}", width=7
)

# run_key, sequence of the event
DIGEST_BEFORE: Final = f"""
SELECT runs.namespace, runs.id, runs.generation, {SOME_DIGEST}
FROM history INDEXED BY sqlite_autoindex_history_1 CROSS JOIN runs NOT INDEXED USING (run_key)
WHERE run_key = ? AND history.sequence = ?
"""  # noqa: S608 - as below

# the same, of an event that cannot be read
NO_DIGEST_BEFORE: Final = """
SELECT namespace, id, generation, NULL FROM runs NOT INDEXED WHERE run_key = ?1 AND ?2 IS NOT NULL
"""

# run_key
HISTORY_OF_RUN: Final = "SELECT namespace, id, generation, sequence FROM runs WHERE run_key = ?"

# run_key, first, limit
READ_HISTORY: Final = f"""
SELECT sequence, type, version, at, data, {digest_or_lost("history")} FROM history
WHERE run_key = ? AND sequence >= ? ORDER BY sequence LIMIT ?
"""  # noqa: S608 - the part is a text of ours

# run_key, sequence
HAS_EVENT: Final = "SELECT EXISTS (SELECT 1 FROM history WHERE run_key = ? AND sequence = ?)"
