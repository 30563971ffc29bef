"""How those stand in their lines who share a queue, as statements of several rooms say it: whoever queues a task of one
that has no row makes it (`perdure.stores.task_shares`), under a lock that keeps claims from removing it unseen.
"""

from typing import Final

from perdure.kernel.time import MICROSECONDS_PER_SECOND
from perdure.stores.postgres.rows import LABELLED

__all__ = [
    "DELETE_UNSOUND", "FORGIVEN", "IDLE", "LOCK_OF_SHARE", "LOCK_SHARES", "MISSING", "SETS", "STAND_MISSING",
    "WITH_MARKED", "standing_of",
]  # fmt: skip

WITH_MARKED: Final = f"""
SELECT queue, queue || mark AS kept_under
FROM unnest($1::varchar[]) AS queue CROSS JOIN (VALUES (''), ({LABELLED})) AS marks (mark)
"""  # noqa: S608 - texts of ours
"""The queues of the first parameter, each with what its tasks are kept under: another text for those that demand
labels. That is a text as the server has it, which nobody unescapes."""

SETS: Final = f"""
all_sets (queue, kept_under, labels) AS (
    SELECT queue, kept_under, ''::varchar COLLATE "C" FROM ({WITH_MARKED}) AS queues
    UNION ALL
    SELECT all_sets.queue, all_sets.kept_under, found.labels FROM all_sets CROSS JOIN LATERAL (
        SELECT labels FROM tasks
        WHERE tasks.queue = all_sets.kept_under AND tasks.labels > all_sets.labels AND owner IS NULL
        ORDER BY labels LIMIT 1
    ) AS found
), sets AS (SELECT DISTINCT * FROM all_sets WHERE labels <> '' OR kept_under = queue)
"""  # noqa: S608 - texts above
"""The labels that tasks of these queues demand, each with where those are kept; none of them, in any case."""

LOCK_OF_SHARE: Final = "hashtextextended('perdure share ' || n.queue, hashtext(n.share) & 63)"
"""What a share of a queue is locked by, with some others: a transaction has few locks, however many it queues of."""

_STAND: Final = """
INSERT INTO task_shares (namespace, queue, priority, share, tag, clock, since, at)
SELECT namespace, queue, priority, share, '-infinity', 0, queued_at, queued_at FROM n
ON CONFLICT (queue, priority, share) DO NOTHING
"""
"""Makes the rows that are missing of those in `n`, each of which is there once, in order."""

# queues, classes, shares; those that nobody else has locked, who queues a task
LOCK_SHARES: Final = f"""
SELECT queue, priority, share FROM unnest($1::varchar[], $2::smallint[], $3::varchar[]) AS n (queue, priority, share)
WHERE pg_try_advisory_xact_lock({LOCK_OF_SHARE})
"""  # noqa: S608 - texts of ours

_WAITS: Final = """
SELECT FROM sets JOIN tasks ON tasks.queue = sets.kept_under AND tasks.labels = sets.labels
    AND tasks.priority = n.priority AND tasks.share = n.share AND tasks.owner IS NULL
WHERE sets.queue = n.queue
"""

# queues, classes, shares
IDLE: Final = f"""
WITH RECURSIVE {SETS}
SELECT queue, priority, share FROM unnest($1::varchar[], $2::smallint[], $3::varchar[]) AS n (queue, priority, share)
WHERE NOT EXISTS ({_WAITS})
"""  # noqa: S608 - texts above

# queues, now
FORGIVEN: Final = f"""
WITH RECURSIVE {SETS}
SELECT n.queue, n.priority, n.share, tag, n.clock, since, at, namespace, latest.clock AS latest
FROM task_shares AS n CROSS JOIN LATERAL (
    SELECT max(clock) AS clock FROM task_shares
    WHERE task_shares.queue = n.queue AND task_shares.priority = n.priority
) AS latest
WHERE n.queue = ANY ($1) AND tag > '-infinity' AND tag <> 0
    AND (tag - latest.clock) * {MICROSECONDS_PER_SECOND} <= greatest($2::bigint - at, 0) AND NOT EXISTS ({_WAITS})
ORDER BY n.queue, n.priority, n.share
"""  # noqa: S608 - texts above

# queues
DELETE_UNSOUND: Final = """
DELETE FROM task_shares WHERE queue = ANY ($1::varchar[])
    AND (tag NOT BETWEEN -1e15 AND 1e15 AND tag <> '-infinity' OR clock NOT BETWEEN -1e15 AND 1e15)
"""

# queues, the least texts of shares that are looked for, and what is after the greatest; by one step of the index for
# each share of a class
MISSING: Final = f"""
WITH RECURSIVE {SETS}, steps AS (
    SELECT sets.*, ranges.*, priorities.*, found.*
    FROM sets CROSS JOIN unnest($2::varchar[], $3::varchar[]) AS ranges (first, after_last)
    CROSS JOIN generate_series(0, 4) AS priorities (priority) CROSS JOIN LATERAL (
        SELECT share, queued_at, namespace FROM tasks
        WHERE tasks.queue = sets.kept_under AND tasks.labels = sets.labels AND owner IS NULL
            AND tasks.priority = priorities.priority
            AND tasks.share >= ranges.first AND tasks.share < ranges.after_last
        ORDER BY share, queued_at, run_key, operation LIMIT 1
    ) AS found
    UNION ALL
    SELECT steps.queue, steps.kept_under, steps.labels, steps.first, steps.after_last, steps.priority, found.*
    FROM steps CROSS JOIN LATERAL (
        SELECT share, queued_at, namespace FROM tasks
        WHERE tasks.queue = steps.kept_under AND tasks.labels = steps.labels AND owner IS NULL
            AND tasks.priority = steps.priority AND tasks.share > steps.share AND tasks.share < steps.after_last
        ORDER BY share, queued_at, run_key, operation LIMIT 1
    ) AS found
)
SELECT queue, priority, share, min(queued_at) AS since, min(namespace) AS namespace FROM steps
WHERE NOT EXISTS (
    SELECT FROM task_shares
    WHERE task_shares.queue = steps.queue AND task_shares.priority = steps.priority AND task_shares.share = steps.share
)
GROUP BY queue, priority, share ORDER BY queue, priority, share
"""  # noqa: S608 - texts of ours

# namespaces, queues, classes, shares, since when; not of those that somebody who queues a task has locked, and makes
STAND_MISSING: Final = f"""
WITH n AS (
    SELECT * FROM unnest($1::varchar[], $2::varchar[], $3::smallint[], $4::varchar[], $5::bigint[])
        AS n (namespace, queue, priority, share, queued_at)
    WHERE pg_try_advisory_xact_lock({LOCK_OF_SHARE})
)
{_STAND} RETURNING true
"""  # noqa: S608 - texts of ours


def standing_of(rows: str) -> str:
    """Return the part of a WITH that has those stand in their lines whose tasks these rows are."""
    return f"""
n AS (
    SELECT * FROM (
        SELECT DISTINCT ON (queue, priority, share) namespace, queue, priority, share, queued_at FROM {rows}
        ORDER BY queue, priority, share, queued_at
    ) AS n WHERE pg_advisory_xact_lock_shared({LOCK_OF_SHARE}) IS NOT NULL
), standing AS ({_STAND})
"""  # noqa: S608 - texts of ours
