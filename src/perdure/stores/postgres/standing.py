"""How those stand in their lines who share a queue, as statements of several rooms say it: whoever queues a task of one
that has no row makes it (`perdure.stores.task_shares`), under a lock that keeps claims from removing it unseen.
"""

from typing import Final

from perdure.stores.postgres.rows import LABELLED

__all__ = ["LOCK_OF_SHARE", "SETS", "STAND", "WITH_MARKED", "standing_of"]

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

STAND: Final = """
INSERT INTO task_shares (namespace, queue, priority, share, tag, clock, since, at)
SELECT namespace, queue, priority, share, '-infinity', 0, queued_at, queued_at FROM n
ON CONFLICT (queue, priority, share) DO NOTHING
"""
"""Makes the rows that are missing of those in `n`, each of which is there once, in order."""


def standing_of(rows: str) -> str:
    """Return the part of a WITH that has those stand in their lines whose tasks these rows are."""
    return f"""
n AS (
    SELECT * FROM (
        SELECT DISTINCT ON (queue, priority, share) namespace, queue, priority, share, queued_at FROM {rows}
        ORDER BY queue, priority, share, queued_at
    ) AS n WHERE pg_advisory_xact_lock_shared({LOCK_OF_SHARE}) IS NOT NULL
), standing AS ({STAND})
"""  # noqa: S608 - texts of ours
