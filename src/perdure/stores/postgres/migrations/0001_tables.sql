-- What each table and column means is said where the embedded store makes it (stores/sql/migrations): the names are the
-- same. Texts of users are `varchar`, which the store escapes (`perdure.stores.postgres.names`): a `text` holds no NUL.
-- They compare by their bytes, whatever the locale of the database is.
CREATE TABLE runs (
    run_key bigint PRIMARY KEY,
    namespace varchar COLLATE "C" NOT NULL,
    id varchar COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    latest boolean NOT NULL DEFAULT true,
    workflow varchar COLLATE "C" NOT NULL,
    definition_version varchar COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    stage varchar COLLATE "C" NOT NULL,
    progress double precision NOT NULL,
    priority smallint NOT NULL,
    tenant varchar COLLATE "C" NOT NULL,
    parent_key bigint,
    created_at bigint NOT NULL,
    started_at bigint,
    updated_at bigint NOT NULL,
    closed_at bigint,
    sequence integer NOT NULL,
    owner bigint,
    fencing_token bigint NOT NULL,
    wake_at bigint,
    end_at bigint,
    recovering boolean NOT NULL DEFAULT false,
    parked text,
    request_id varchar COLLATE "C" NOT NULL,
    UNIQUE (namespace, id, generation)
) WITH (fillfactor = 80); -- a step changes no column of an index: its row finds room on the same page

CREATE UNIQUE INDEX runs_by_request ON runs (namespace, request_id) WHERE request_id <> '';

CREATE INDEX runs_to_claim ON runs (priority, wake_at, run_key) INCLUDE (workflow, definition_version)
WHERE owner IS NULL AND wake_at IS NOT NULL;

CREATE INDEX runs_to_end ON runs (end_at, run_key) WHERE owner IS NULL AND end_at IS NOT NULL;

CREATE INDEX runs_parked ON runs (priority, run_key) WHERE parked IS NOT NULL;

CREATE INDEX runs_by_owner ON runs (owner) WHERE owner IS NOT NULL;

CREATE INDEX runs_by_status ON runs (namespace, status, created_at, run_key) WHERE latest;

CREATE INDEX runs_by_workflow ON runs (namespace, workflow, created_at, run_key) WHERE latest;

CREATE INDEX runs_by_tenant ON runs (namespace, tenant, created_at, run_key) WHERE latest AND tenant <> '';

CREATE INDEX runs_by_parent ON runs (parent_key, created_at, run_key) WHERE parent_key IS NOT NULL;

CREATE INDEX runs_of_unusual_priority ON runs (namespace, priority, created_at, run_key) WHERE latest AND priority <> 2;

CREATE INDEX runs_closed ON runs (closed_at, run_key) WHERE closed_at IS NOT NULL;

CREATE TABLE run_labels (
    run_key bigint NOT NULL,
    name varchar COLLATE "C" NOT NULL,
    value varchar COLLATE "C" NOT NULL,
    namespace varchar COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (run_key, name)
);

CREATE INDEX run_labels_by_value ON run_labels (namespace, name, value, created_at, run_key);

CREATE TABLE history (
    run_key bigint NOT NULL,
    sequence integer NOT NULL,
    type text COLLATE "C" NOT NULL,
    version smallint NOT NULL,
    at bigint NOT NULL,
    data text NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (run_key, sequence)
);

CREATE INDEX history_forks ON history (run_key) WHERE type = 'run_forked';

CREATE TABLE inbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_key bigint NOT NULL,
    message_id varchar COLLATE "C" NOT NULL,
    data text NOT NULL,
    at bigint NOT NULL,
    digest bytea NOT NULL
);

CREATE INDEX inbox_by_run ON inbox (run_key, position);

CREATE UNIQUE INDEX inbox_by_message ON inbox (run_key, message_id) WHERE message_id <> '';

CREATE TABLE message_requests (
    namespace varchar COLLATE "C" NOT NULL,
    id varchar COLLATE "C" NOT NULL,
    request_id varchar COLLATE "C" NOT NULL,
    run_key bigint NOT NULL,
    PRIMARY KEY (namespace, id, request_id)
);

CREATE TABLE locks (
    position bigint PRIMARY KEY,
    namespace varchar COLLATE "C" NOT NULL,
    key varchar COLLATE "C" NOT NULL,
    run_key bigint NOT NULL,
    operation integer NOT NULL,
    most integer,
    holding integer[] NOT NULL,
    requested_at bigint NOT NULL,
    granted_at bigint,
    UNIQUE (run_key, operation)
);

CREATE SEQUENCE lock_positions;

CREATE INDEX locks_by_key ON locks (namespace, key, position);

CREATE TABLE agenda (
    namespace varchar COLLATE "C" NOT NULL,
    kind varchar COLLATE "C" NOT NULL,
    id varchar COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    due_at bigint,
    waits boolean NOT NULL,
    data text NOT NULL,
    inputs text NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (namespace, kind, id)
);

CREATE INDEX agenda_by_time ON agenda (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX agenda_that_waits ON agenda (waits) WHERE waits;

CREATE SEQUENCE worker_ids;

-- `lease_until` is NULL until some call after its opening says what time it is.
CREATE TABLE sessions (
    worker_id bigint PRIMARY KEY,
    name varchar NOT NULL,
    host varchar NOT NULL,
    pid integer NOT NULL,
    started_at bigint NOT NULL,
    lease_until bigint NOT NULL,
    lease_microseconds bigint NOT NULL,
    last_notice bigint NOT NULL DEFAULT 0
);

-- One row for each connection of a session that writes: `last_commit` numbers its transactions, and `applied` are the
-- runs that the last one changed. After a commit of which no answer came `epoch` is counted up, which waits for it to
-- end, and has it fail where it has not begun; then `last_commit` tells what became of it.
CREATE TABLE lanes (
    worker_id bigint NOT NULL,
    lane smallint NOT NULL,
    epoch bigint NOT NULL,
    last_commit bigint NOT NULL,
    applied bigint[] NOT NULL,
    PRIMARY KEY (worker_id, lane)
) WITH (fillfactor = 50);

CREATE TABLE key_origins (
    worker_id bigint PRIMARY KEY,
    origin bigint NOT NULL
);

CREATE TABLE store_meta (
    name text PRIMARY KEY,
    value bigint NOT NULL
);
