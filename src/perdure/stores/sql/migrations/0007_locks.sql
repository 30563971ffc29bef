-- The lines of locks: who holds a key, and who waits for it. AUTOINCREMENT: `position` is the fencing token, and names one
-- entry for ever. `most` is how many may hold the key at a time (NULL: any number), `holding` a JSON list of the
-- operations of the run's own locks within which it asks.
CREATE TABLE locks (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    run_key INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    most INTEGER,
    holding TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    granted_at INTEGER,
    UNIQUE (run_key, operation)
) STRICT;

CREATE INDEX locks_by_key ON locks (namespace, key, position);

CREATE INDEX locks_held ON locks (namespace, key, most) WHERE granted_at IS NOT NULL;

CREATE INDEX locks_waiting ON locks (namespace, key, position) WHERE granted_at IS NULL;
