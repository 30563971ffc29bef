"""The named statements of sessions."""

from typing import Final

__all__ = [
    "ANNOUNCE",
    "END_ALL_SESSIONS",
    "END_SESSION",
    "EXTEND_LEASE",
    "FORGET_ORIGIN",
    "HAS_OTHER_SESSIONS",
    "LAST_COMMIT",
    "LAST_NOTICES",
    "LAST_WORKER_ID",
    "NEXT_WORKER_ID",
    "NOTE_ORIGIN",
    "NUMBER_COMMIT",
    "PUT_SESSION",
    "SERVERS",
    "SESSIONS",
    "SESSION_IDS",
]

# One that owns something still, which could not be given back, stays, so that somebody tries again.
END_ALL_SESSIONS: Final = """
DELETE FROM sessions
WHERE NOT EXISTS (SELECT 1 FROM runs INDEXED BY runs_by_owner WHERE runs.owner = sessions.worker_id)
"""

SESSIONS: Final = "SELECT worker_id, lease_until FROM sessions ORDER BY worker_id"

SESSION_IDS: Final = "SELECT worker_id FROM sessions"

# worker_id; as above
END_SESSION: Final = """
DELETE FROM sessions
WHERE worker_id = ?1 AND NOT EXISTS (SELECT 1 FROM runs INDEXED BY runs_by_owner WHERE runs.owner = ?1)
"""

# worker_id
NOTE_ORIGIN: Final = "INSERT INTO key_origins (worker_id, origin) VALUES (?, random() & 0x3fffffffffffffff)"

# worker_id; of a session that has given out no keys
FORGET_ORIGIN: Final = "DELETE FROM key_origins WHERE worker_id = ?"

# new lease_until, worker_id, now
EXTEND_LEASE: Final = "UPDATE sessions SET lease_until = ? WHERE worker_id = ? AND lease_until > ?"

# worker_id, name, pid, started_at, lease_until, lease_microseconds
PUT_SESSION: Final = """
INSERT INTO sessions (worker_id, name, pid, started_at, lease_until, lease_microseconds, last_commit, last_notice)
VALUES (?, ?, ?, ?, ?, ?, 0, 0)
ON CONFLICT (worker_id) DO UPDATE SET
    lease_until = excluded.lease_until, lease_microseconds = excluded.lease_microseconds
"""

# worker_id, name, pid, started_at, last_commit, last_notice; the lease of a session that exists stays, a session that
# others ended comes back without one
NUMBER_COMMIT: Final = """
INSERT INTO sessions (worker_id, name, pid, started_at, lease_until, last_commit, last_notice)
VALUES (?, ?, ?, ?, 0, ?, ?)
ON CONFLICT (worker_id) DO UPDATE SET last_commit = excluded.last_commit, last_notice = excluded.last_notice
"""

# what it serves, worker_id
ANNOUNCE: Final = "UPDATE sessions SET serves = ? WHERE worker_id = ?"

SERVERS: Final = """
SELECT worker_id, name, CAST(serves AS BLOB), lease_until FROM sessions WHERE serves <> '' ORDER BY worker_id
"""

# worker_id
HAS_OTHER_SESSIONS: Final = "SELECT EXISTS (SELECT 1 FROM sessions WHERE worker_id <> ?)"

# worker_id
LAST_COMMIT: Final = "SELECT last_commit FROM sessions WHERE worker_id = ?"

NEXT_WORKER_ID: Final = "UPDATE store_meta SET value = value + 1 WHERE name = 'last_worker_id' RETURNING value"

# cast: a damaged count is for the next opening to refuse
LAST_WORKER_ID: Final = "SELECT cast(value AS INTEGER) FROM store_meta WHERE name = 'last_worker_id'"

LAST_NOTICES: Final = "SELECT worker_id, last_notice FROM sessions"
