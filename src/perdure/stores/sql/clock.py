"""The statements for a clock that was set back."""

from typing import Final

from perdure.stores.sql.passing import PASSING

__all__ = [
    "FORGET_SETTING_BACK",
    "HASTEN_ENDS",
    "HASTEN_RUNS",
    "NOTED_TIMES",
    "NOTE_SETTING_BACK",
    "NOTE_TIME",
    "RUNS_TO_END_LATER",
    "SET_TIME_BACK",
    "SHORTEN_LEASES",
    "SLEEPING_RUNS",
]

NOTED_TIMES: Final = """
SELECT value, (SELECT value FROM store_meta WHERE name = 'set_back_at') FROM store_meta WHERE name = 'latest_time'
"""

# now
NOTE_TIME: Final = """
INSERT INTO store_meta (name, value) VALUES ('latest_time', ?)
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value) RETURNING value
"""

# now
NOTE_SETTING_BACK: Final = """
INSERT INTO store_meta (name, value) VALUES ('set_back_at', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""

# now
SET_TIME_BACK: Final = "UPDATE store_meta SET value = ? WHERE name = 'latest_time'"

FORGET_SETTING_BACK: Final = "DELETE FROM store_meta WHERE name = 'set_back_at'"

# now, the latest moment at which a run can have been made due; read from the index alone, as the next
SLEEPING_RUNS: Final = f"""
SELECT run_key FROM runs INDEXED BY runs_to_claim
WHERE owner IS NULL AND priority IN (0, 1, 2, 3, 4) AND wake_at > ?1 AND wake_at <= ?2{PASSING}
"""  # noqa: S608 - a comment

# now, the latest moment at which a message can have said that a run is to end
RUNS_TO_END_LATER: Final = f"""
SELECT run_key FROM runs INDEXED BY runs_to_end
WHERE owner IS NULL AND end_at IS NOT NULL AND end_at > ?1 AND end_at <= ?2{PASSING}
"""  # noqa: S608 - a comment

# a JSON list of run keys, now
HASTEN_RUNS: Final = """
UPDATE runs NOT INDEXED SET wake_at = ?2
WHERE run_key IN (SELECT value FROM json_each(?1)) AND owner IS NULL AND wake_at > ?2 AND (
    wake_at <= updated_at OR recovering
    OR EXISTS (SELECT 1 FROM inbox INDEXED BY inbox_by_run WHERE inbox.run_key = runs.run_key)
)
"""

# a JSON list of run keys, now; looked at too early, a run goes on
HASTEN_ENDS: Final = """
UPDATE runs NOT INDEXED SET end_at = ?2
WHERE run_key IN (SELECT value FROM json_each(?1)) AND owner IS NULL AND end_at > ?2
    AND EXISTS (SELECT 1 FROM inbox INDEXED BY inbox_by_run WHERE inbox.run_key = runs.run_key)
"""

# now, the length of a lease whose own is not known
SHORTEN_LEASES: Final = """
UPDATE sessions SET lease_until = ?1 + coalesce(lease_microseconds, ?2)
WHERE lease_until > ?1 + coalesce(lease_microseconds, ?2)
"""
