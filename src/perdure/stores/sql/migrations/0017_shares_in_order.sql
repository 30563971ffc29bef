-- Who shares a class of a queue stands in it from when a task is queued, then without a tag. `since`: when the task was
-- queued with which it came, or its last. Turns begin anew.
DROP TABLE task_shares;
CREATE TABLE task_shares (
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    share TEXT NOT NULL,
    tag REAL,
    clock REAL NOT NULL,
    since INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (queue, priority, share)
) STRICT, WITHOUT ROWID;

-- Claims read the first rows of a class, and its latest clock.
CREATE INDEX task_shares_in_order ON task_shares (queue, priority, tag, since, share);
CREATE INDEX task_shares_by_clock ON task_shares (queue, priority, clock);
