-- Closed runs in the order of their ends, for retention: each enters once, when it ends.
CREATE INDEX runs_closed ON runs (closed_at, run_key) WHERE closed_at IS NOT NULL;

-- Where forks name the runs that they came from: while a fork is open these stay.
CREATE INDEX history_forks ON history (run_key) WHERE type = 'run_forked';

-- Runs that were removed and may have rows left in `history` and `inbox`, which go by and by.
CREATE TABLE removals (
    run_key INTEGER PRIMARY KEY
) STRICT;

-- A number that no other database has, but for copies of this one: run keys are unique within it.
INSERT INTO store_meta (name, value) VALUES ('identity', random() & 0x3fffffffffffffff);

-- A run whose first generations were removed still has its id: a new first one is refused, as if it were there.
CREATE TRIGGER runs_in_order BEFORE INSERT ON runs
WHEN NEW.latest = 1 AND EXISTS (
    SELECT 1 FROM runs WHERE namespace = NEW.namespace AND id = NEW.id AND generation > NEW.generation
)
BEGIN
    SELECT RAISE(IGNORE);
END;
