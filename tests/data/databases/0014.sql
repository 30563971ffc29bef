PRAGMA application_id = 1346720324;
PRAGMA user_version = 14;
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
    data TEXT NOT NULL, digest BLOB,
    UNIQUE (run_key, sequence)
) STRICT;
CREATE TABLE inbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run_key INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    data TEXT NOT NULL,
    at INTEGER NOT NULL
, digest BLOB) STRICT;
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
, lease_microseconds INTEGER) STRICT;
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
    inputs TEXT NOT NULL, digest BLOB,
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
CREATE INDEX runs_of_unusual_priority ON runs (namespace, priority, created_at, run_key)
WHERE latest = 1 AND priority <> 2;
CREATE INDEX runs_closed ON runs (closed_at, run_key) WHERE closed_at IS NOT NULL;
CREATE INDEX history_forks ON history (run_key) WHERE type = 'run_forked';
CREATE TABLE removals (
    run_key INTEGER PRIMARY KEY
) STRICT;
CREATE TRIGGER runs_in_order BEFORE INSERT ON runs
WHEN NEW.latest = 1 AND EXISTS (
    SELECT 1 FROM runs WHERE namespace = NEW.namespace AND id = NEW.id AND generation > NEW.generation
)
BEGIN
    SELECT RAISE(IGNORE);
END;
CREATE TABLE key_origins (
    worker_id INTEGER PRIMARY KEY,
    origin INTEGER NOT NULL
) STRICT;
CREATE TABLE tasks (
    position INTEGER PRIMARY KEY,
    run_key INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    queue TEXT NOT NULL,
    activity TEXT NOT NULL,
    priority INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    owner INTEGER,
    claims INTEGER NOT NULL DEFAULT 0,
    recovering INTEGER NOT NULL DEFAULT 0,
    data TEXT NOT NULL,
    digest BLOB NOT NULL,
    UNIQUE (run_key, operation)
) STRICT;
CREATE INDEX tasks_to_claim ON tasks (queue, priority, queued_at, run_key, operation, activity) WHERE owner IS NULL;
CREATE INDEX tasks_by_owner ON tasks (owner) WHERE owner IS NOT NULL;
CREATE INDEX tasks_in_order ON tasks (namespace, priority, queued_at, run_key, operation);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (1, 'runs_histories_inboxes', '8c51f0e7a7b8caf5dc449840ac251716946c14d90f50e3c85e6a9581bb579d23', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (2, 'agenda', 'ce3f48b3d130fcefa1509b9ea11cd6eb370b914111acde86c85c7c5aee22298f', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (3, 'claims_by_version', '0d7fc95043f88683251d9314ba4f040095a4311f172e2999ccffc374f0d110ce', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (4, 'message_requests', 'd18be9a03a331e59c0d6bbd622f64f4e6750aae70c173192ed24ad685b78b595', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (5, 'parked_runs', 'dc0fec0430f12964574ad210f112d61b64c154d93414bd7a77439b1e6375a9a1', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (6, 'ends_without_code', '41ae4db337cfed1fe9371292573149dcddb81320856f654d7c235f5edc17fe4c', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (7, 'locks', 'f02fdbaf0d8652cd3593269cd4e5510da413db9b1f05e9f56148d38cec828c1b', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (8, 'digests', 'f1ad684a6d4178ca777c58135f2e5d198522a41257c2fb41b5e8428773a295c7', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (9, 'search_by_priority', '25dabcbb33cd108e5e2121a7c5544f47c165c5894012c95e2fab73d199b1194b', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (10, 'keeping', '09a8c489f515ecfa5382521b3f1f6330393f97c9d9e7afec9015286a50306bef', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (11, 'key_origins', 'bbca877bcb50bdad832a9738d174f94aafb42acd45c2aa861b0cb850d8482b0f', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (12, 'lost_digests', '419b2d5c3af19ea31990e45f3baeb4f8e6995bf3fb1d478a742cf48d0beb7063', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (13, 'lease_lengths', '282021f5d3fda0f4ae1904f3c5b360a91badd3aaa632b504bb8a436cce26627a', 1795780891414620);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (14, 'tasks', 'e0f53ca756ebb96b3cc38c9c73aebb80a0208188dc22f88ae0cf28b53b4b2eae', 1795780891414620);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476737, 'default', 'closed', 1, 1, 'specimen.order', '1', 'completed', '', 1.0, 2, '', NULL, 1795780891662165, 1795780891663871, 1795780891864292, 1795780891864292, 16, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476738, 'default', 'part of 1', 1, 1, 'specimen.part', '1', 'completed', '', 1.0, 2, '', 68719476737, 1795780891669894, 1795780891800377, 1795780891838616, 1795780891838616, 4, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476739, 'default', 'waiting', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, '', NULL, 1795780891872283, 1795780891872403, 1795780891880419, NULL, 10, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476740, 'default', 'told', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, 'ada', NULL, 1795780891880284, 1795780891880419, 1795780891891572, NULL, 10, NULL, 1, 1795780892305404, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476741, 'default', 'part of 2', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, '', 68719476739, 1795780891880419, 1795780891951683, 1795780891951683, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476742, 'default', 'part of 3', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, 'ada', 68719476740, 1795780891891572, 1795780891954836, 1795780891954836, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476737, 'made', 'then', 'default', 1795780891662165);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476739, 'made', 'then', 'default', 1795780891872283);
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (1, 68719476737, 1, 'run_created', 1, 1795780891662165, '{"workflow":"specimen.order","ref":{"id":"closed"},"input":[1],"seed":760774999708727627,"call_name":"d2813617c056950f35b42d3c79fd4ac0","labels":{"made":"then"},"stages":["count","wait"]}', X'5FE5B4412DE48411C5052DB3A67624D6');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (2, 68719476737, 2, 'run_started', 1, 1795780891663871, '{"worker":"vm-16821"}', X'0CFBC1A2F30310F1003A08E25C9A3ED5');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (3, 68719476737, 3, 'stage_started', 1, 1795780891663871, '{"operation":1,"name":"count"}', X'44ECC18518C0E16E014E4BF907CDCD5D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (4, 68719476737, 4, 'activity_scheduled', 1, 1795780891663871, '{"operation":2,"activity":"specimen.double","input":[1]}', X'92EF14093677536C1699DD74F21DBEAA');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (5, 68719476737, 5, 'activity_completed', 1, 1795780891669894, '{"operation":2,"result":2,"started_at":1795780891669178}', X'2625859A42E964C29FA207C575E23ABE');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (6, 68719476737, 6, 'state_key_set', 1, 1795780891669894, '{"operation":3,"key":"doubled","value":2}', X'2ED62D6DC5EA7238671E10C76825E867');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (7, 68719476737, 7, 'stage_completed', 1, 1795780891669894, '{"operation":1}', X'5A1CF50FF5ED59B152CEEE6AF5031BAE');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (8, 68719476737, 8, 'stage_started', 1, 1795780891669894, '{"operation":4,"name":"wait"}', X'5A1178D1CC87DF515DFD60AB83FAC04D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (9, 68719476737, 9, 'child_requested', 1, 1795780891669894, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 1"},"input":[]}', X'5EFFE0910B800A681271001649370B01');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (10, 68719476737, 10, 'child_started', 1, 1795780891669894, '{"operation":5,"run_key":68719476738}', X'F1953A27332713063221918CEF35AD80');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (11, 68719476738, 1, 'run_created', 1, 1795780891669894, '{"workflow":"specimen.part","ref":{"id":"part of 1"},"input":[],"seed":4155324621195501550,"call_name":"20a5e62f548366cb4744b044fa2ee185","parent":{"run_key":68719476737,"ref":{"id":"closed"},"operation":5}}', X'D9F621FDA8E51E2BFEF3FD23A7DB673A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (12, 68719476738, 2, 'run_started', 1, 1795780891800377, '{"worker":"vm-16821"}', X'C10EE041B5468DCD8FA35E23166097B6');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (13, 68719476737, 11, 'signal_received', 1, 1795780891813138, '{"name":"go","body":10,"message_id":"7c4b1036de677549fac920be90838236"}', X'15495F3B78FF2C7A0E5D428369B9DA3E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (14, 68719476738, 3, 'signal_received', 1, 1795780891838616, '{"name":"go","body":10,"message_id":"f89744eceb63feb6b79e7a95c77602e7"}', X'B956BFF672300CD86E16C4027484C489');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (15, 68719476738, 4, 'run_completed', 1, 1795780891838616, '{"result":10}', X'495F7BD5C9BCA6F3918C00966D00FFD5');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (16, 68719476737, 12, 'child_completed', 1, 1795780891858318, '{"operation":5,"result":10}', X'940E5CDF7E3FB30BEDA57C4A4D1E5C19');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (17, 68719476737, 13, 'activity_scheduled', 1, 1795780891858318, '{"operation":6,"activity":"specimen.double","input":[1]}', X'5924986FF92BB89E2F34B49E905DF0F4');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (18, 68719476737, 14, 'activity_completed', 1, 1795780891864292, '{"operation":6,"result":2,"started_at":1795780891864133}', X'C0A266FAA5A805472356E33FB27F8F55');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (19, 68719476737, 15, 'stage_completed', 1, 1795780891864292, '{"operation":4}', X'EB8623C3D50DB96705F3CF7AF84F3854');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (20, 68719476737, 16, 'run_completed', 1, 1795780891864292, '{"result":22}', X'600BFE8E8FBD835CBB5E91240D9C1FFC');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (21, 68719476739, 1, 'run_created', 1, 1795780891872283, '{"workflow":"specimen.order","ref":{"id":"waiting"},"input":[2],"seed":7823887176867851742,"call_name":"f5b7a253cc419f377072bd8e8abb392e","labels":{"made":"then"},"stages":["count","wait"]}', X'5CC81603B5C177B7305EAA376CCC76A1');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (22, 68719476739, 2, 'run_started', 1, 1795780891872403, '{"worker":"vm-16821"}', X'EAFD38A29195E09D4306C6EB1919A057');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (23, 68719476739, 3, 'stage_started', 1, 1795780891872403, '{"operation":1,"name":"count"}', X'4C59E2FC46D33AF5928A0DC11DDAA3BF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (24, 68719476739, 4, 'activity_scheduled', 1, 1795780891872403, '{"operation":2,"activity":"specimen.double","input":[2]}', X'4F1666E83AA189CBB263921B05D27751');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (25, 68719476740, 1, 'run_created', 1, 1795780891880284, '{"workflow":"specimen.order","ref":{"id":"told"},"input":[3],"seed":5979781567584352501,"call_name":"c57a892561768b54932400f4e2028643","tenant":"ada","stages":["count","wait"]}', X'7EBDB78BE4B1BCFAD81C23B056778FF9');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (26, 68719476740, 2, 'run_started', 1, 1795780891880419, '{"worker":"vm-16821"}', X'68B39CD77E95FC143DAC025A2E5EBE3A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (27, 68719476740, 3, 'stage_started', 1, 1795780891880419, '{"operation":1,"name":"count"}', X'E2B047B7F8D8741EDEB2C51169900A0F');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (28, 68719476740, 4, 'activity_scheduled', 1, 1795780891880419, '{"operation":2,"activity":"specimen.double","input":[3]}', X'E2A9BAD86002A85EF7E98FBD4B5B41BB');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (29, 68719476739, 5, 'activity_completed', 1, 1795780891880419, '{"operation":2,"result":4,"started_at":1795780891880141}', X'A4AB5CB5E4B3B1FC2C188E7C199C0277');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (30, 68719476739, 6, 'state_key_set', 1, 1795780891880419, '{"operation":3,"key":"doubled","value":4}', X'F2D102C1A26A411E4E4642D602883AE6');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (31, 68719476739, 7, 'stage_completed', 1, 1795780891880419, '{"operation":1}', X'21EEEE86991F5F673D978F56904163AC');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (32, 68719476739, 8, 'stage_started', 1, 1795780891880419, '{"operation":4,"name":"wait"}', X'A5F31FB54F039E977EA316E1EED292DA');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (33, 68719476739, 9, 'child_requested', 1, 1795780891880419, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 2"},"input":[]}', X'F885018F73DF3D440D31507F71D71AAA');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (34, 68719476739, 10, 'child_started', 1, 1795780891880419, '{"operation":5,"run_key":68719476741}', X'842829AE7FC18F46E40FC4BAEEA712BA');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (35, 68719476741, 1, 'run_created', 1, 1795780891880419, '{"workflow":"specimen.part","ref":{"id":"part of 2"},"input":[],"seed":2517024620316768232,"call_name":"a72ae80ffbadf94cad28781db5f4b9e5","parent":{"run_key":68719476739,"ref":{"id":"waiting"},"operation":5}}', X'D62610B4E10900313977D7C4FD767D70');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (36, 68719476740, 5, 'activity_completed', 1, 1795780891891572, '{"operation":2,"result":6,"started_at":1795780891891085}', X'58906103ADF8BF11618D9877950C6B2D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (37, 68719476740, 6, 'state_key_set', 1, 1795780891891572, '{"operation":3,"key":"doubled","value":6}', X'1280B130C584B1100A5952D7E4B66970');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (38, 68719476740, 7, 'stage_completed', 1, 1795780891891572, '{"operation":1}', X'F4BFAFEAB59C2A4538326F6869BF2D48');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (39, 68719476740, 8, 'stage_started', 1, 1795780891891572, '{"operation":4,"name":"wait"}', X'6265D20FBE73641DB21EACA6C529B317');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (40, 68719476740, 9, 'child_requested', 1, 1795780891891572, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 3"},"input":[]}', X'6A8CC2B1944A5589D59785C6E7E77B98');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (41, 68719476740, 10, 'child_started', 1, 1795780891891572, '{"operation":5,"run_key":68719476742}', X'25CA6EE803840906197AB9708AD1DD71');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (42, 68719476742, 1, 'run_created', 1, 1795780891891572, '{"workflow":"specimen.part","ref":{"id":"part of 3"},"input":[],"seed":8933160166213599828,"call_name":"9bde75e760347b731b1894c198a90cf1","tenant":"ada","parent":{"run_key":68719476740,"ref":{"id":"told"},"operation":5}}', X'394A54A854C02F672F248C2E575A2621');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (43, 68719476741, 2, 'run_started', 1, 1795780891951683, '{"worker":"vm-16821"}', X'D044A31C69B0FF7C0D753BBCEA9F8E68');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (44, 68719476742, 2, 'run_started', 1, 1795780891954836, '{"worker":"vm-16821"}', X'341A9CCA0BE5E3D31313C60D77852594');
INSERT INTO inbox (position, run_key, message_id, data, at, digest) VALUES (3, 68719476740, '158eb86033d7e2c403a3f37a5ff1009f', '{"kind":"signal","name":"go","body":30,"message_id":"158eb86033d7e2c403a3f37a5ff1009f"}', 1795780892305404, X'D3CE6937492E10220B2ADA7EFA73F223');
INSERT INTO store_meta (name, value) VALUES ('history_without_digests', 0);
INSERT INTO store_meta (name, value) VALUES ('identity', 855872650241358484);
INSERT INTO store_meta (name, value) VALUES ('inbox_without_digests', 0);
INSERT INTO store_meta (name, value) VALUES ('last_worker_id', 2);
INSERT INTO store_meta (name, value) VALUES ('latest_time', 1795780892161112);
INSERT INTO key_origins (worker_id, origin) VALUES (1, 1039563980888931211);
INSERT INTO sqlite_sequence (name, seq) VALUES ('inbox', 3);
