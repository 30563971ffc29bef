-- Where tasks may be made: `labels` are demanded of who claims one (perdure.kernel.tasks.label_text); until `sticky_until`
-- it is kept for the session `sticky_to`. The digest is of `labels`, too, where there are any.
ALTER TABLE tasks ADD COLUMN labels varchar COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN sticky_to bigint;
ALTER TABLE tasks ADD COLUMN sticky_until bigint;

DROP INDEX tasks_to_claim;
CREATE INDEX tasks_to_claim ON tasks (queue, labels, priority, queued_at, run_key, operation)
INCLUDE (activity, sticky_to, sticky_until) WHERE owner IS NULL;

CREATE INDEX tasks_kept_for ON tasks (sticky_to) WHERE sticky_to IS NOT NULL;
CREATE INDEX tasks_kept ON tasks (queue, sticky_until) WHERE sticky_to IS NOT NULL;

ALTER TABLE sessions ADD COLUMN serves text NOT NULL DEFAULT '';
