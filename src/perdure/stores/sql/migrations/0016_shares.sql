-- Who share a queue (perdure.kernel.tasks.Task.share), and how many seconds a task is expected to take.
ALTER TABLE tasks ADD COLUMN share TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN cost REAL NOT NULL DEFAULT 1.0;
UPDATE tasks SET
    share = namespace || char(31) || coalesce(data ->> '$.origin.tenant', ''),
    cost = coalesce((data ->> '$.options.expected_duration_microseconds') / 1000000.0, 1.0)
WHERE json_valid(data);

-- Claims step from share to share of one class, and read the tasks of each in their order.
DROP INDEX tasks_to_claim;
CREATE INDEX tasks_to_claim ON tasks (
    queue, labels, priority, share, queued_at, run_key, operation, activity, sticky_to, sticky_until, cost
) WHERE owner IS NULL;

-- By class of a queue that is shared: the tag of each share, and the clock as it was when that was written, which was
-- `at` that time; the latest clock is the line's (perdure.stores.task_shares).
CREATE TABLE task_shares (
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    share TEXT NOT NULL,
    tag REAL NOT NULL,
    clock REAL NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (queue, priority, share)
) STRICT, WITHOUT ROWID;
