-- Where tasks may be made: `labels` are demanded of who claims one (perdure.kernel.tasks.label_text); until `sticky_until`
-- it is kept for the session `sticky_to`. The digest is of `labels`, too, where there are any.
ALTER TABLE tasks ADD COLUMN labels TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN sticky_to INTEGER;
ALTER TABLE tasks ADD COLUMN sticky_until INTEGER;

-- Claims read one class of one queue and one set of labels in its order; what else they ask lets them pass over rows.
DROP INDEX tasks_to_claim;
CREATE INDEX tasks_to_claim ON tasks (
    queue, labels, priority, queued_at, run_key, operation, activity, sticky_to, sticky_until
) WHERE owner IS NULL;

CREATE INDEX tasks_kept_for ON tasks (sticky_to) WHERE sticky_to IS NOT NULL;
CREATE INDEX tasks_kept ON tasks (queue, sticky_until) WHERE sticky_to IS NOT NULL;

-- What a session serves, as JSON: its queues, and its labels.
ALTER TABLE sessions ADD COLUMN serves TEXT NOT NULL DEFAULT '';
