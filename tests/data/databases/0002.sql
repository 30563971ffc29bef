PRAGMA application_id = 1346720324;
PRAGMA user_version = 2;
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
    request_id TEXT NOT NULL,
    UNIQUE (namespace, id, generation)
) STRICT;
CREATE UNIQUE INDEX runs_by_request ON runs (namespace, request_id) WHERE request_id <> '';
CREATE INDEX runs_to_claim ON runs (priority, wake_at, run_key, workflow) WHERE owner IS NULL AND wake_at IS NOT NULL;
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
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (1, 'runs_histories_inboxes', '8c51f0e7a7b8caf5dc449840ac251716946c14d90f50e3c85e6a9581bb579d23', 1795653314011703);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (2, 'agenda', 'ce3f48b3d130fcefa1509b9ea11cd6eb370b914111acde86c85c7c5aee22298f', 1795653314011703);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id) VALUES (68719476737, 'default', 'closed', 1, 1, 'specimen.order', '1', 'completed', '', 1.0, 2, '', NULL, 1795653314025077, 1795653314029005, 1795653314046135, 1795653314046135, 16, NULL, 1, NULL, 0, '');
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id) VALUES (68719476738, 'default', 'part of 1', 1, 1, 'specimen.part', '1', 'completed', '', 1.0, 2, '', 68719476737, 1795653314031965, 1795653314034863, 1795653314043500, 1795653314043500, 4, NULL, 1, NULL, 0, '');
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id) VALUES (68719476739, 'default', 'waiting', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, '', NULL, 1795653314046614, 1795653314046693, 1795653314047342, NULL, 10, NULL, 1, NULL, 0, '');
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id) VALUES (68719476740, 'default', 'told', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, 'ada', NULL, 1795653314047282, 1795653314047342, 1795653314048180, NULL, 10, NULL, 1, 1795653314077847, 0, '');
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id) VALUES (68719476741, 'default', 'part of 2', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, '', 68719476739, 1795653314047342, 1795653314050078, 1795653314050078, NULL, 2, NULL, 1, NULL, 0, '');
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id) VALUES (68719476742, 'default', 'part of 3', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, 'ada', 68719476740, 1795653314048180, 1795653314051267, 1795653314051267, NULL, 2, NULL, 1, NULL, 0, '');
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476737, 'made', 'then', 'default', 1795653314025077);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476739, 'made', 'then', 'default', 1795653314046614);
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (1, 68719476737, 1, 'run_created', 1, 1795653314025077, '{"workflow":"specimen.order","ref":{"id":"closed"},"input":[1],"seed":760774999708727627,"labels":{"made":"then"},"stages":["count","wait"]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (2, 68719476737, 2, 'run_started', 1, 1795653314029005, '{"worker":"vm-16752"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (3, 68719476737, 3, 'stage_started', 1, 1795653314029005, '{"operation":1,"name":"count"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (4, 68719476737, 4, 'activity_scheduled', 1, 1795653314029005, '{"operation":2,"activity":"specimen.double","input":[1]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (5, 68719476737, 5, 'activity_completed', 1, 1795653314031965, '{"operation":2,"result":2,"started_at":1795653314031753}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (6, 68719476737, 6, 'state_key_set', 1, 1795653314031965, '{"operation":3,"key":"doubled","value":2}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (7, 68719476737, 7, 'stage_completed', 1, 1795653314031965, '{"operation":1}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (8, 68719476737, 8, 'stage_started', 1, 1795653314031965, '{"operation":4,"name":"wait"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (9, 68719476737, 9, 'child_requested', 1, 1795653314031965, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 1"},"input":[]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (10, 68719476737, 10, 'child_started', 1, 1795653314031965, '{"operation":5,"run_key":68719476738}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (11, 68719476738, 1, 'run_created', 1, 1795653314031965, '{"workflow":"specimen.part","ref":{"id":"part of 1"},"input":[],"seed":4155324621195501550,"parent":{"run_key":68719476737,"ref":{"id":"closed"},"operation":5}}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (12, 68719476738, 2, 'run_started', 1, 1795653314034863, '{"worker":"vm-16752"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (13, 68719476738, 3, 'signal_received', 1, 1795653314043500, '{"name":"go","body":10,"message_id":"9da79379e5e541c687ce706ed43087da"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (14, 68719476738, 4, 'run_completed', 1, 1795653314043500, '{"result":10}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (15, 68719476737, 11, 'child_completed', 1, 1795653314044878, '{"operation":5,"result":10}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (16, 68719476737, 12, 'signal_received', 1, 1795653314045605, '{"name":"go","body":10,"message_id":"e7cc06537c0442988ff15dd3d47b49b5"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (17, 68719476737, 13, 'activity_scheduled', 1, 1795653314045605, '{"operation":6,"activity":"specimen.double","input":[1]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (18, 68719476737, 14, 'activity_completed', 1, 1795653314046135, '{"operation":6,"result":2,"started_at":1795653314046037}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (19, 68719476737, 15, 'stage_completed', 1, 1795653314046135, '{"operation":4}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (20, 68719476737, 16, 'run_completed', 1, 1795653314046135, '{"result":22}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (21, 68719476739, 1, 'run_created', 1, 1795653314046614, '{"workflow":"specimen.order","ref":{"id":"waiting"},"input":[2],"seed":7823887176867851742,"labels":{"made":"then"},"stages":["count","wait"]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (22, 68719476739, 2, 'run_started', 1, 1795653314046693, '{"worker":"vm-16752"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (23, 68719476739, 3, 'stage_started', 1, 1795653314046693, '{"operation":1,"name":"count"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (24, 68719476739, 4, 'activity_scheduled', 1, 1795653314046693, '{"operation":2,"activity":"specimen.double","input":[2]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (25, 68719476740, 1, 'run_created', 1, 1795653314047282, '{"workflow":"specimen.order","ref":{"id":"told"},"input":[3],"seed":5979781567584352501,"tenant":"ada","stages":["count","wait"]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (26, 68719476740, 2, 'run_started', 1, 1795653314047342, '{"worker":"vm-16752"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (27, 68719476740, 3, 'stage_started', 1, 1795653314047342, '{"operation":1,"name":"count"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (28, 68719476740, 4, 'activity_scheduled', 1, 1795653314047342, '{"operation":2,"activity":"specimen.double","input":[3]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (29, 68719476739, 5, 'activity_completed', 1, 1795653314047342, '{"operation":2,"result":4,"started_at":1795653314047232}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (30, 68719476739, 6, 'state_key_set', 1, 1795653314047342, '{"operation":3,"key":"doubled","value":4}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (31, 68719476739, 7, 'stage_completed', 1, 1795653314047342, '{"operation":1}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (32, 68719476739, 8, 'stage_started', 1, 1795653314047342, '{"operation":4,"name":"wait"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (33, 68719476739, 9, 'child_requested', 1, 1795653314047342, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 2"},"input":[]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (34, 68719476739, 10, 'child_started', 1, 1795653314047342, '{"operation":5,"run_key":68719476741}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (35, 68719476741, 1, 'run_created', 1, 1795653314047342, '{"workflow":"specimen.part","ref":{"id":"part of 2"},"input":[],"seed":2517024620316768232,"parent":{"run_key":68719476739,"ref":{"id":"waiting"},"operation":5}}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (36, 68719476740, 5, 'activity_completed', 1, 1795653314048180, '{"operation":2,"result":6,"started_at":1795653314048004}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (37, 68719476740, 6, 'state_key_set', 1, 1795653314048180, '{"operation":3,"key":"doubled","value":6}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (38, 68719476740, 7, 'stage_completed', 1, 1795653314048180, '{"operation":1}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (39, 68719476740, 8, 'stage_started', 1, 1795653314048180, '{"operation":4,"name":"wait"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (40, 68719476740, 9, 'child_requested', 1, 1795653314048180, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 3"},"input":[]}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (41, 68719476740, 10, 'child_started', 1, 1795653314048180, '{"operation":5,"run_key":68719476742}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (42, 68719476742, 1, 'run_created', 1, 1795653314048180, '{"workflow":"specimen.part","ref":{"id":"part of 3"},"input":[],"seed":8933160166213599828,"tenant":"ada","parent":{"run_key":68719476740,"ref":{"id":"told"},"operation":5}}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (43, 68719476741, 2, 'run_started', 1, 1795653314050078, '{"worker":"vm-16752"}');
INSERT INTO history (position, run_key, sequence, type, version, at, data) VALUES (44, 68719476742, 2, 'run_started', 1, 1795653314051267, '{"worker":"vm-16752"}');
INSERT INTO inbox (position, run_key, message_id, data, at) VALUES (2, 68719476740, 'c3549c35f5994f5ea0e425a0167b5073', '{"kind":"signal","name":"go","body":30,"message_id":"c3549c35f5994f5ea0e425a0167b5073"}', 1795653314077847);
INSERT INTO store_meta (name, value) VALUES ('last_worker_id', 2);
INSERT INTO sqlite_sequence (name, seq) VALUES ('inbox', 2);
