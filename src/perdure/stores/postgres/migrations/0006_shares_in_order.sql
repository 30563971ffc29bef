-- Who shares a class of a queue stands in it from when a task is queued, without a tag: '-infinity'. `since`: when the
-- task was queued with which it came, or its last. Older libraries pass over such rows; what they queue is found by
-- looks at all that waits (perdure.stores.task_shares).
--
-- Libraries go on that know version 3.
ALTER TABLE task_shares ADD COLUMN since bigint NOT NULL DEFAULT 0;

-- Claims read the first rows of a class, and its latest clock.
CREATE INDEX task_shares_in_order ON task_shares (queue, priority, tag, since, share);
CREATE INDEX task_shares_by_clock ON task_shares (queue, priority, clock);
