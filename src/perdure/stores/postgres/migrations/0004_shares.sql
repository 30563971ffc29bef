-- Who share a queue (perdure.kernel.tasks.Task.share), and how many seconds a task is expected to take. What comes from an
-- older library belongs to one share, without a name.
--
-- Libraries go on that know version 3.
ALTER TABLE tasks ADD COLUMN share varchar COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN cost double precision NOT NULL DEFAULT 1;
UPDATE tasks SET share = tasks.namespace || chr(31) || runs.tenant FROM runs WHERE runs.run_key = tasks.run_key;

-- Claims step from share to share of one class, and read the tasks of each in their order. Those of older libraries use
-- the index that was there.
CREATE INDEX tasks_by_share ON tasks (queue, labels, priority, share, queued_at, run_key, operation)
INCLUDE (activity, sticky_to, sticky_until, cost) WHERE owner IS NULL;

-- By class of a queue that is shared: the tag of each share, and the clock as it was when that was written, which was
-- `at` that time; the latest clock is the line's (perdure.stores.task_shares).
CREATE TABLE task_shares (
    namespace varchar COLLATE "C" NOT NULL,
    queue varchar COLLATE "C" NOT NULL,
    priority smallint NOT NULL,
    share varchar COLLATE "C" NOT NULL,
    tag double precision NOT NULL,
    clock double precision NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (queue, priority, share)
);
