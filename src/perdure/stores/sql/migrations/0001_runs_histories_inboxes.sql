-- One row per generation of a run. `latest` is 0 once a later generation exists: listings show latest ones only.
CREATE TABLE runs (
    run_key INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    latest INTEGER NOT NULL DEFAULT 1,
    workflow TEXT NOT NULL,
    definition_version TEXT NOT NULL,
    status TEXT NOT NULL,
    stage TEXT NOT NULL,
    progress REAL NOT NULL,
    priority INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    parent_key INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    updated_at INTEGER NOT NULL,
    closed_at INTEGER,
    sequence INTEGER NOT NULL,
    owner INTEGER,
    fencing_token INTEGER NOT NULL,
    wake_at INTEGER,
    -- 1 between the death of an owner and the next claim.
    recovering INTEGER NOT NULL DEFAULT 0,
    request_id TEXT NOT NULL,
    UNIQUE (namespace, id, generation)
) STRICT;

CREATE UNIQUE INDEX runs_by_request ON runs (namespace, request_id) WHERE request_id <> '';

-- Claims read the due part of each priority class; the workflow's name lets them pass over others' runs.
CREATE INDEX runs_to_claim ON runs (priority, wake_at, run_key, workflow) WHERE owner IS NULL AND wake_at IS NOT NULL;

CREATE INDEX runs_by_owner ON runs (owner) WHERE owner IS NOT NULL;

CREATE INDEX runs_by_status ON runs (namespace, status, created_at, run_key) WHERE latest = 1;

CREATE INDEX runs_by_workflow ON runs (namespace, workflow, created_at, run_key) WHERE latest = 1;

CREATE INDEX runs_by_tenant ON runs (namespace, tenant, created_at, run_key) WHERE latest = 1 AND tenant <> '';

CREATE INDEX runs_by_parent ON runs (parent_key, created_at, run_key) WHERE parent_key IS NOT NULL;

-- `namespace` and `created_at` repeat the run's, so that a search by label reads one index in the listing's order.
CREATE TABLE run_labels (
    run_key INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    namespace TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (run_key, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX run_labels_by_value ON run_labels (namespace, name, value, created_at, run_key);

-- Append-only in the order of commits: a group commit of many runs writes few pages.
CREATE TABLE history (
    position INTEGER PRIMARY KEY,
    run_key INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    data TEXT NOT NULL,
    UNIQUE (run_key, sequence)
) STRICT;

-- AUTOINCREMENT: a position names one message for ever, also when the inbox was empty in between.
CREATE TABLE inbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run_key INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    data TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX inbox_by_run ON inbox (run_key, position);

CREATE UNIQUE INDEX inbox_by_message ON inbox (run_key, message_id) WHERE message_id <> '';

-- `last_commit` numbers a session's transactions: after a COMMIT that raised, it tells what became of it.
-- `last_notice` numbers what it told the other sessions, so that they notice what they have missed.
CREATE TABLE sessions (
    worker_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    last_commit INTEGER NOT NULL,
    last_notice INTEGER NOT NULL
) STRICT;

CREATE TABLE store_meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO store_meta (name, value) VALUES ('last_worker_id', 0);
