"""The named statements of runs that are to be ended though nobody may have their code, or another owns them."""

from typing import Final

from perdure.stores.sql.passing import PASSING
from perdure.stores.sql.statements import RowsStatement

__all__ = ["END_AFTER_MOVE", "END_RUNS", "RUNS_TO_END", "SEIZE_RUN"]

# run_key, moment; each run once
END_RUNS: Final = RowsStatement(
    """
UPDATE runs NOT INDEXED SET end_at = min(coalesce(runs.end_at, n.column2), n.column2)
FROM (VALUES {rows}) AS n
WHERE runs.run_key = n.column1 AND runs.closed_at IS NULL
""",
    width=2,
)

# run_key, now: it has got the inbox of another, perhaps with a message that ends it
END_AFTER_MOVE: Final = """
UPDATE runs NOT INDEXED SET end_at = min(coalesce(end_at, ?2), ?2)
WHERE run_key = ?1 AND EXISTS (
    SELECT 1 FROM inbox INDEXED BY inbox_by_run
    WHERE inbox.run_key = ?1 AND CASE WHEN json_valid(data) THEN data ->> 'kind' IN ('terminate', 'cancel') END
)
"""

# now, limit
RUNS_TO_END: Final = f"""
SELECT run_key FROM runs INDEXED BY runs_to_end
WHERE owner IS NULL AND end_at IS NOT NULL AND end_at <= ?1{PASSING}
ORDER BY end_at, run_key LIMIT ?2
"""  # noqa: S608 - a comment

# new owner, run_key, fencing_token expected
SEIZE_RUN: Final = """
UPDATE runs NOT INDEXED SET owner = ?, fencing_token = fencing_token + 1, wake_at = NULL, parked = NULL, recovering = 0
WHERE run_key = ? AND fencing_token = ? AND closed_at IS NULL
"""
