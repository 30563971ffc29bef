"""The named statements of the PostgreSQL store.

Each text is constant, so that a connection prepares it once; many rows come as arrays, one for each column. They are no
dialect of the embedded store's: what costs time there are statements, here the ways to the server and back.
"""

from typing import Final

from perdure.stores.postgres.rows import LABELLED, LOCK_COLUMNS, RUN_COLUMNS, TASK_COLUMNS

__all__ = [
    "DELETE_LABELS",
    "DELETE_LOCKS",
    "DELETE_MESSAGES",
    "DELETE_TASKS",
    "DIGESTS_OF_EVENTS",
    "GENERATIONS_OF_ID",
    "GRANT_LOCKS",
    "IDS_OF_MESSAGES",
    "INBOXES",
    "INSERT_EVENTS",
    "INSERT_LABELS",
    "INSERT_LOCKS",
    "INSERT_MESSAGES",
    "INSERT_RUNS",
    "INSERT_TASKS",
    "LATEST_OF_IDS",
    "LINES_OF_LOCKS",
    "LOCK_RUNS",
    "LOCK_TASKS",
    "MOVE_MESSAGES",
    "NAMESPACES_OF_RUNS",
    "NEXT_LOCK_POSITIONS",
    "NUMBER_COMMIT",
    "POSITIONS_OF_MESSAGES",
    "PUT_REQUESTS",
    "RUNS_OF_REQUESTS",
    "SUPERSEDE_RUNS",
    "TAKERS_OF_REQUESTS",
    "TAKE_TURN_OF_LOCKS",
    "UPDATE_RUNS",
]

# --- what is locked and read before a decision -----------------------------------------------------------------------

# namespaces, ids
LATEST_OF_IDS: Final = """
SELECT runs.namespace, runs.id, runs.generation, runs.run_key
FROM unnest($1::varchar[], $2::varchar[]) AS wanted (namespace, id) JOIN runs USING (namespace, id) WHERE latest
"""

# namespace, id
GENERATIONS_OF_ID: Final = "SELECT generation, run_key FROM runs WHERE namespace = $1::varchar AND id = $2::varchar"

# run keys
LOCK_RUNS: Final = f"""
SELECT runs.latest, {RUN_COLUMNS} FROM runs WHERE run_key = ANY ($1::bigint[]) ORDER BY run_key FOR NO KEY UPDATE
"""  # noqa: S608 - texts of ours

# namespaces, request ids
RUNS_OF_REQUESTS: Final = """
SELECT runs.namespace, runs.request_id, runs.run_key
FROM unnest($1::varchar[], $2::varchar[]) AS wanted (namespace, request_id) JOIN runs USING (namespace, request_id)
WHERE runs.request_id <> ''
"""

# namespaces, ids, request ids
TAKERS_OF_REQUESTS: Final = """
SELECT message_requests.namespace, message_requests.id, message_requests.request_id, message_requests.run_key
FROM unnest($1::varchar[], $2::varchar[], $3::varchar[]) AS wanted (namespace, id, request_id)
JOIN message_requests USING (namespace, id, request_id)
"""

# run keys, message ids
POSITIONS_OF_MESSAGES: Final = """
SELECT inbox.run_key, inbox.message_id, inbox.position
FROM unnest($1::bigint[], $2::varchar[]) AS wanted (run_key, message_id) JOIN inbox USING (run_key, message_id)
WHERE inbox.message_id <> ''
"""

# run keys
INBOXES: Final = "SELECT run_key, position, message_id, data, at FROM inbox WHERE run_key = ANY ($1::bigint[])"

# positions
IDS_OF_MESSAGES: Final = "SELECT position, run_key, message_id FROM inbox WHERE position = ANY ($1::bigint[])"

# run keys, sequences
DIGESTS_OF_EVENTS: Final = """
SELECT history.run_key, history.sequence, history.digest
FROM unnest($1::bigint[], $2::integer[]) AS wanted (run_key, sequence) JOIN history USING (run_key, sequence)
"""

# run keys
NAMESPACES_OF_RUNS: Final = "SELECT run_key, namespace FROM runs WHERE run_key = ANY ($1::bigint[])"

# namespace
TAKE_TURN_OF_LOCKS: Final = "SELECT pg_advisory_xact_lock(hashtextextended('perdure locks ' || $1::varchar, 0))"

# namespaces and keys of lines that are asked for, keys of the runs that ask: these lines, those in which these runs
# are, and those in which others wait within the locks that they hold in one of these
LINES_OF_LOCKS: Final = f"""
WITH RECURSIVE lines (namespace, key) AS (
    (
        SELECT * FROM unnest($1::varchar[], $2::varchar[])
        UNION
        SELECT namespace, key FROM locks WHERE run_key = ANY ($3::bigint[])
    )
    UNION
    SELECT waits.namespace, waits.key
    FROM lines
    JOIN locks AS held ON held.namespace = lines.namespace AND held.key = lines.key AND held.granted_at IS NOT NULL
    JOIN locks AS waits ON waits.run_key = held.run_key AND waits.granted_at IS NULL
        AND held.operation = ANY (waits.holding)
)
SELECT {LOCK_COLUMNS} FROM lines JOIN locks USING (namespace, key) JOIN runs USING (run_key) ORDER BY locks.position
"""  # noqa: S608 - texts of ours

# how many
NEXT_LOCK_POSITIONS: Final = "SELECT nextval('lock_positions') AS position FROM generate_series(1, $1::integer)"

# run keys, operations
LOCK_TASKS: Final = f"""
SELECT {TASK_COLUMNS}
FROM unnest($1::bigint[], $2::integer[]) AS wanted (run_key, operation) JOIN tasks USING (run_key, operation)
ORDER BY run_key, operation FOR UPDATE OF tasks
"""  # noqa: S608 - texts of ours

# --- what is written after it ----------------------------------------------------------------------------------------

# columns of runs in the order of the text
UPDATE_RUNS: Final = """
UPDATE runs SET sequence = n.sequence, status = n.status, stage = n.stage, progress = n.progress,
    priority = n.priority, started_at = n.started_at, updated_at = n.updated_at, closed_at = n.closed_at,
    owner = n.owner, fencing_token = n.fencing_token, wake_at = n.wake_at, end_at = n.end_at,
    recovering = n.recovering, parked = n.parked
FROM unnest(
    $1::bigint[], $2::integer[], $3::text[], $4::varchar[], $5::double precision[], $6::smallint[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::boolean[], $15::text[]
) AS n (
    run_key, sequence, status, stage, progress, priority, started_at, updated_at, closed_at, owner, fencing_token,
    wake_at, end_at, recovering, parked
)
WHERE runs.run_key = n.run_key
"""

# the same, then namespace, id, generation, workflow, definition version, tenant, parent, created_at, request id
INSERT_RUNS: Final = """
INSERT INTO runs (
    run_key, sequence, status, stage, progress, priority, started_at, updated_at, closed_at, owner, fencing_token,
    wake_at, end_at, recovering, parked, namespace, id, generation, workflow, definition_version, tenant, parent_key,
    created_at, request_id
)
SELECT * FROM unnest(
    $1::bigint[], $2::integer[], $3::text[], $4::varchar[], $5::double precision[], $6::smallint[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::boolean[], $15::text[],
    $16::varchar[], $17::varchar[], $18::integer[], $19::varchar[], $20::varchar[], $21::varchar[],
    $22::bigint[], $23::bigint[], $24::varchar[]
)
ON CONFLICT DO NOTHING RETURNING run_key
"""

# namespaces, ids, generations that are the latest no more
SUPERSEDE_RUNS: Final = """
UPDATE runs SET latest = false
FROM unnest($1::varchar[], $2::varchar[], $3::integer[]) AS n (namespace, id, generation)
WHERE runs.namespace = n.namespace AND runs.id = n.id AND runs.generation = n.generation
"""

# run keys, names
DELETE_LABELS: Final = """
DELETE FROM run_labels USING unnest($1::bigint[], $2::varchar[]) AS n (run_key, name)
WHERE run_labels.run_key = n.run_key AND run_labels.name = n.name
"""

# run keys, names, values, namespaces, created_at
INSERT_LABELS: Final = """
INSERT INTO run_labels (run_key, name, value, namespace, created_at)
SELECT * FROM unnest($1::bigint[], $2::varchar[], $3::varchar[], $4::varchar[], $5::bigint[])
ON CONFLICT (run_key, name) DO UPDATE SET value = excluded.value
"""

# run keys, sequences, types, versions, at, data, digests, numbers of events
INSERT_EVENTS: Final = """
INSERT INTO history (run_key, sequence, type, version, at, data, digest, events)
SELECT * FROM unnest(
    $1::bigint[], $2::integer[], $3::text[], $4::smallint[], $5::bigint[], $6::text[], $7::bytea[], $8::smallint[]
)
"""

# positions, run keys
DELETE_MESSAGES: Final = """
DELETE FROM inbox USING unnest($1::bigint[], $2::bigint[]) AS n (position, run_key)
WHERE inbox.position = n.position AND inbox.run_key = n.run_key
"""

# positions, new run keys, digests
MOVE_MESSAGES: Final = """
UPDATE inbox SET run_key = n.run_key, digest = n.digest
FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS n (position, run_key, digest)
WHERE inbox.position = n.position
"""

# run keys, message ids, data, at, digests, in their order
INSERT_MESSAGES: Final = """
INSERT INTO inbox (run_key, message_id, data, at, digest)
SELECT run_key, message_id, data, at, digest
FROM unnest($1::bigint[], $2::varchar[], $3::text[], $4::bigint[], $5::bytea[])
    WITH ORDINALITY AS n (run_key, message_id, data, at, digest, place)
ORDER BY place
"""

# namespaces, ids, request ids, run keys
PUT_REQUESTS: Final = """
INSERT INTO message_requests (namespace, id, request_id, run_key)
SELECT * FROM unnest($1::varchar[], $2::varchar[], $3::varchar[], $4::bigint[])
ON CONFLICT (namespace, id, request_id) DO UPDATE SET run_key = excluded.run_key
"""

# positions
DELETE_LOCKS: Final = "DELETE FROM locks WHERE position = ANY ($1::bigint[])"

# positions, granted_at
GRANT_LOCKS: Final = """
UPDATE locks SET granted_at = n.granted_at FROM unnest($1::bigint[], $2::bigint[]) AS n (position, granted_at)
WHERE locks.position = n.position
"""

# position, namespace, key, run_key, operation, most, holding, requested_at, granted_at
INSERT_LOCKS: Final = """
INSERT INTO locks (position, namespace, key, run_key, operation, most, holding, requested_at, granted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""

# worker_id, lane, epoch, number, keys of the runs that were changed
NUMBER_COMMIT: Final = """
UPDATE lanes SET last_commit = $4, applied = $5::bigint[] WHERE worker_id = $1 AND lane = $2 AND epoch = $3
"""

# run keys, operations
DELETE_TASKS: Final = """
DELETE FROM tasks USING unnest($1::bigint[], $2::integer[]) AS n (run_key, operation)
WHERE tasks.run_key = n.run_key AND tasks.operation = n.operation
"""

# run keys, operations, attempts, namespaces, queues, activities, priorities, queued_at, data, labels, digests,
# sticky_to, sticky_until, shares, costs; what older libraries must not claim is put under a marked queue
INSERT_TASKS: Final = f"""
INSERT INTO tasks (
    run_key, operation, attempt, namespace, queue, activity, priority, queued_at, data, labels, digest, sticky_to,
    sticky_until, share, cost
)
SELECT run_key, operation, attempt, namespace, queue || CASE WHEN labels = '' THEN '' ELSE {LABELLED} END, activity,
    priority, queued_at, data, labels, digest, sticky_to, sticky_until, share, cost
FROM unnest(
    $1::bigint[], $2::integer[], $3::integer[], $4::varchar[], $5::varchar[], $6::varchar[], $7::smallint[],
    $8::bigint[], $9::text[], $10::varchar[], $11::bytea[], $12::bigint[], $13::bigint[], $14::varchar[],
    $15::double precision[]
) AS n (
    run_key, operation, attempt, namespace, queue, activity, priority, queued_at, data, labels, digest, sticky_to,
    sticky_until, share, cost
)
ON CONFLICT (run_key, operation) DO UPDATE SET attempt = excluded.attempt, namespace = excluded.namespace,
    queue = excluded.queue, activity = excluded.activity, priority = excluded.priority,
    queued_at = excluded.queued_at, data = excluded.data, labels = excluded.labels, digest = excluded.digest,
    sticky_to = excluded.sticky_to, sticky_until = excluded.sticky_until, share = excluded.share,
    cost = excluded.cost, owner = NULL, claims = 0, recovering = false
"""  # noqa: S608 - texts of ours
