-- Attempts of activities that wait in a task queue, or are claimed by a worker that serves it. `claims` counts how often
-- each was claimed: whoever claimed it before is fenced. `recovering` is 1 between the loss of an owner and the next
-- claim. `digest` is of what never changes: all but `owner`, `claims` and `recovering`.
CREATE TABLE tasks (
    position INTEGER PRIMARY KEY,
    run_key INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    queue TEXT NOT NULL,
    activity TEXT NOT NULL,
    priority INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    owner INTEGER,
    claims INTEGER NOT NULL DEFAULT 0,
    recovering INTEGER NOT NULL DEFAULT 0,
    data TEXT NOT NULL,
    digest BLOB NOT NULL,
    UNIQUE (run_key, operation)
) STRICT;

-- Claims read one class of one queue in its order; the activity's name lets them pass over what has no code here.
CREATE INDEX tasks_to_claim ON tasks (queue, priority, queued_at, run_key, operation, activity) WHERE owner IS NULL;

CREATE INDEX tasks_by_owner ON tasks (owner) WHERE owner IS NOT NULL;

CREATE INDEX tasks_in_order ON tasks (namespace, priority, queued_at, run_key, operation);
