CREATE TABLE tasks (
    run_key bigint NOT NULL,
    operation integer NOT NULL,
    attempt integer NOT NULL,
    namespace varchar COLLATE "C" NOT NULL,
    queue varchar COLLATE "C" NOT NULL,
    activity varchar COLLATE "C" NOT NULL,
    priority smallint NOT NULL,
    queued_at bigint NOT NULL,
    owner bigint,
    claims integer NOT NULL DEFAULT 0,
    recovering boolean NOT NULL DEFAULT false,
    data text NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (run_key, operation)
);

CREATE INDEX tasks_to_claim ON tasks (queue, priority, queued_at, run_key, operation) INCLUDE (activity)
WHERE owner IS NULL;

CREATE INDEX tasks_by_owner ON tasks (owner) WHERE owner IS NOT NULL;

CREATE INDEX tasks_in_order ON tasks (namespace, priority, queued_at, run_key, operation);
