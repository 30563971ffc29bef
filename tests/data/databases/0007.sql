PRAGMA application_id = 1346720324;
PRAGMA user_version = 7;
CREATE TABLE schema_migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL
) STRICT
;
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
    request_id TEXT NOT NULL, parked TEXT, end_at INTEGER,
    UNIQUE (namespace, id, generation)
) STRICT;
CREATE UNIQUE INDEX runs_by_request ON runs (namespace, request_id) WHERE request_id <> '';
CREATE INDEX runs_by_owner ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_by_status ON runs (namespace, status, created_at, run_key) WHERE latest = 1;
CREATE INDEX runs_by_workflow ON runs (namespace, workflow, created_at, run_key) WHERE latest = 1;
CREATE INDEX runs_by_tenant ON runs (namespace, tenant, created_at, run_key) WHERE latest = 1 AND tenant <> '';
CREATE INDEX runs_by_parent ON runs (parent_key, created_at, run_key) WHERE parent_key IS NOT NULL;
CREATE TABLE run_labels (
    run_key INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    namespace TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (run_key, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_labels_by_value ON run_labels (namespace, name, value, created_at, run_key);
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
CREATE TABLE inbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run_key INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    data TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX inbox_by_run ON inbox (run_key, position);
CREATE UNIQUE INDEX inbox_by_message ON inbox (run_key, message_id) WHERE message_id <> '';
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
CREATE TABLE agenda (
    namespace TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    due_at INTEGER,
    waits INTEGER NOT NULL,
    data TEXT NOT NULL,
    inputs TEXT NOT NULL,
    PRIMARY KEY (namespace, kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX agenda_by_time ON agenda (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX agenda_that_waits ON agenda (waits) WHERE waits = 1;
CREATE INDEX runs_to_claim ON runs (priority, wake_at, run_key, workflow, definition_version)
WHERE owner IS NULL AND wake_at IS NOT NULL;
CREATE TABLE message_requests (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    run_key INTEGER NOT NULL,
    PRIMARY KEY (namespace, id, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_parked ON runs (priority, run_key, workflow, definition_version) WHERE parked IS NOT NULL;
CREATE INDEX runs_to_end ON runs (end_at, run_key) WHERE owner IS NULL AND end_at IS NOT NULL;
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
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (1, 'runs_histories_inboxes', '8c51f0e7a7b8caf5dc449840ac251716946c14d90f50e3c85e6a9581bb579d23', 1795668028249428);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (2, 'agenda', 'ce3f48b3d130fcefa1509b9ea11cd6eb370b914111acde86c85c7c5aee22298f', 1795668028249428);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (3, 'claims_by_version', '0d7fc95043f88683251d9314ba4f040095a4311f172e2999ccffc374f0d110ce', 1795668028249428);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (4, 'message_requests', 'd18be9a03a331e59c0d6bbd622f64f4e6750aae70c173192ed24ad685b78b595', 1795668028249428);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (5, 'parked_runs', 'dc0fec0430f12964574ad210f112d61b64c154d93414bd7a77439b1e6375a9a1', 1795668028249428);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (6, 'ends_without_code', '41ae4db337cfed1fe9371292573149dcddb81320856f654d7c235f5edc17fe4c', 1795668028249428);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (7, 'locks', 'f02fdbaf0d8652cd3593269cd4e5510da413db9b1f05e9f56148d38cec828c1b', 1795668028249428);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476737, 'default', 'closed', 1, 1, 'specimen.order', '1', 'completed', '', 1.0, 2, '', NULL, 1795668028327812, 1795668028328827, 1795668028358437, 1795668028358437, 16, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476738, 'default', 'part of 1', 1, 1, 'specimen.part', '1', 'completed', '', 1.0, 2, '', 68719476737, 1795668028336509, 1795668028345958, 1795668028347809, 1795668028347809, 4, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476739, 'default', 'waiting', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, '', NULL, 1795668028359191, 1795668028359281, 1795668028360356, NULL, 10, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476740, 'default', 'told', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, 'ada', NULL, 1795668028360281, 1795668028360356, 1795668028367026, NULL, 10, NULL, 1, 1795668028421793, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476741, 'default', 'part of 2', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, '', 68719476739, 1795668028360356, 1795668028373500, 1795668028373500, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476742, 'default', 'part of 3', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, 'ada', 68719476740, 1795668028367026, 1795668028377340, 1795668028377340, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476737, 'made', 'then', 'default', 1795668028327812);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476739, 'made', 'then', 'default', 1795668028359191);
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (1, 68719476737, 1, 'run_created', 1, 1795668028327812, '{"workflow":"specimen.order","ref":{"id":"closed"},"input":[1],"seed":760774999708727627,"labels":{"made":"then"},"stages":["count","wait"]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (2, 68719476737, 2, 'run_started', 1, 1795668028328827, '{"worker":"vm-9517"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (3, 68719476737, 3, 'stage_started', 1, 1795668028328827, '{"operation":1,"name":"count"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (4, 68719476737, 4, 'activity_scheduled', 1, 1795668028328827, '{"operation":2,"activity":"specimen.double","input":[1]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (5, 68719476737, 5, 'activity_completed', 1, 1795668028336509, '{"operation":2,"result":2,"started_at":1795668028335982}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (6, 68719476737, 6, 'state_key_set', 1, 1795668028336509, '{"operation":3,"key":"doubled","value":2}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (7, 68719476737, 7, 'stage_completed', 1, 1795668028336509, '{"operation":1}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (8, 68719476737, 8, 'stage_started', 1, 1795668028336509, '{"operation":4,"name":"wait"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (9, 68719476737, 9, 'child_requested', 1, 1795668028336509, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 1"},"input":[]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (10, 68719476737, 10, 'child_started', 1, 1795668028336509, '{"operation":5,"run_key":68719476738}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (11, 68719476738, 1, 'run_created', 1, 1795668028336509, '{"workflow":"specimen.part","ref":{"id":"part of 1"},"input":[],"seed":4155324621195501550,"parent":{"run_key":68719476737,"ref":{"id":"closed"},"operation":5}}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (12, 68719476738, 2, 'run_started', 1, 1795668028345958, '{"worker":"vm-9517"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (13, 68719476738, 3, 'signal_received', 1, 1795668028347809, '{"name":"go","body":10,"message_id":"421166ebb2314d64a50ad2971681724f"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (14, 68719476738, 4, 'run_completed', 1, 1795668028347809, '{"result":10}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (15, 68719476737, 11, 'child_completed', 1, 1795668028353326, '{"operation":5,"result":10}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (16, 68719476737, 12, 'signal_received', 1, 1795668028356953, '{"name":"go","body":10,"message_id":"ef7b798ac6bc4931b4f538e79f638ed0"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (17, 68719476737, 13, 'activity_scheduled', 1, 1795668028356953, '{"operation":6,"activity":"specimen.double","input":[1]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (18, 68719476737, 14, 'activity_completed', 1, 1795668028358437, '{"operation":6,"result":2,"started_at":1795668028358260}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (19, 68719476737, 15, 'stage_completed', 1, 1795668028358437, '{"operation":4}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (20, 68719476737, 16, 'run_completed', 1, 1795668028358437, '{"result":22}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (21, 68719476739, 1, 'run_created', 1, 1795668028359191, '{"workflow":"specimen.order","ref":{"id":"waiting"},"input":[2],"seed":7823887176867851742,"labels":{"made":"then"},"stages":["count","wait"]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (22, 68719476739, 2, 'run_started', 1, 1795668028359281, '{"worker":"vm-9517"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (23, 68719476739, 3, 'stage_started', 1, 1795668028359281, '{"operation":1,"name":"count"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (24, 68719476739, 4, 'activity_scheduled', 1, 1795668028359281, '{"operation":2,"activity":"specimen.double","input":[2]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (25, 68719476740, 1, 'run_created', 1, 1795668028360281, '{"workflow":"specimen.order","ref":{"id":"told"},"input":[3],"seed":5979781567584352501,"tenant":"ada","stages":["count","wait"]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (26, 68719476740, 2, 'run_started', 1, 1795668028360356, '{"worker":"vm-9517"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (27, 68719476740, 3, 'stage_started', 1, 1795668028360356, '{"operation":1,"name":"count"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (28, 68719476740, 4, 'activity_scheduled', 1, 1795668028360356, '{"operation":2,"activity":"specimen.double","input":[3]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (29, 68719476739, 5, 'activity_completed', 1, 1795668028360356, '{"operation":2,"result":4,"started_at":1795668028360223}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (30, 68719476739, 6, 'state_key_set', 1, 1795668028360356, '{"operation":3,"key":"doubled","value":4}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (31, 68719476739, 7, 'stage_completed', 1, 1795668028360356, '{"operation":1}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (32, 68719476739, 8, 'stage_started', 1, 1795668028360356, '{"operation":4,"name":"wait"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (33, 68719476739, 9, 'child_requested', 1, 1795668028360356, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 2"},"input":[]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (34, 68719476739, 10, 'child_started', 1, 1795668028360356, '{"operation":5,"run_key":68719476741}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (35, 68719476741, 1, 'run_created', 1, 1795668028360356, '{"workflow":"specimen.part","ref":{"id":"part of 2"},"input":[],"seed":2517024620316768232,"parent":{"run_key":68719476739,"ref":{"id":"waiting"},"operation":5}}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (36, 68719476740, 5, 'activity_completed', 1, 1795668028367026, '{"operation":2,"result":6,"started_at":1795668028366802}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (37, 68719476740, 6, 'state_key_set', 1, 1795668028367026, '{"operation":3,"key":"doubled","value":6}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (38, 68719476740, 7, 'stage_completed', 1, 1795668028367026, '{"operation":1}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (39, 68719476740, 8, 'stage_started', 1, 1795668028367026, '{"operation":4,"name":"wait"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (40, 68719476740, 9, 'child_requested', 1, 1795668028367026, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 3"},"input":[]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (41, 68719476740, 10, 'child_started', 1, 1795668028367026, '{"operation":5,"run_key":68719476742}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (42, 68719476742, 1, 'run_created', 1, 1795668028367026, '{"workflow":"specimen.part","ref":{"id":"part of 3"},"input":[],"seed":8933160166213599828,"tenant":"ada","parent":{"run_key":68719476740,"ref":{"id":"told"},"operation":5}}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (43, 68719476741, 2, 'run_started', 1, 1795668028373500, '{"worker":"vm-9517"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (44, 68719476742, 2, 'run_started', 1, 1795668028377340, '{"worker":"vm-9517"}');
INSERT INTO inbox (position, run_key, message_id, data, at) VALUES (2, 68719476740, '5bc337fbbc27408eabe4e5ed3199801b', '{"kind":"signal","name":"go","body":30,"message_id":"5bc337fbbc27408eabe4e5ed3199801b"}', 1795668028421793);
INSERT INTO store_meta (name, value) VALUES ('last_worker_id', 2);
INSERT INTO sqlite_sequence (name, seq) VALUES ('inbox', 2);
