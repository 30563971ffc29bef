-- When a run that is open may have to be ended, though no process has its code: by a termination that waits in its
-- inbox, its deadline, the end of a cancellation's grace. Never later than that; what is too early costs a look.
ALTER TABLE runs ADD COLUMN end_at INTEGER;

CREATE INDEX runs_to_end ON runs (end_at, run_key) WHERE owner IS NULL AND end_at IS NOT NULL;

UPDATE runs SET end_at = (
    SELECT min(moment) FROM (
        SELECT data ->> 'deadline_at' AS moment FROM history
        WHERE history.run_key = runs.run_key AND sequence = 1 AND json_valid(data)
        UNION ALL
        SELECT data ->> 'grace_until' FROM history
        WHERE history.run_key = runs.run_key AND type = 'run_cancel_requested' AND json_valid(data)
        UNION ALL
        SELECT CASE WHEN data ->> 'kind' = 'terminate' OR runs.status = 'created' THEN at ELSE data ->> 'grace_until' END
        FROM inbox
        WHERE inbox.run_key = runs.run_key AND json_valid(data) AND data ->> 'kind' IN ('terminate', 'cancel')
    )
)
WHERE closed_at IS NULL;
