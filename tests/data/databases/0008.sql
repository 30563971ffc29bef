PRAGMA application_id = 1346720324;
PRAGMA user_version = 8;
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
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (1, 'runs_histories_inboxes', '8c51f0e7a7b8caf5dc449840ac251716946c14d90f50e3c85e6a9581bb579d23', 1795688015057892);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (2, 'agenda', 'ce3f48b3d130fcefa1509b9ea11cd6eb370b914111acde86c85c7c5aee22298f', 1795688015057892);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (3, 'claims_by_version', '0d7fc95043f88683251d9314ba4f040095a4311f172e2999ccffc374f0d110ce', 1795688015057892);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (4, 'message_requests', 'd18be9a03a331e59c0d6bbd622f64f4e6750aae70c173192ed24ad685b78b595', 1795688015057892);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (5, 'parked_runs', 'dc0fec0430f12964574ad210f112d61b64c154d93414bd7a77439b1e6375a9a1', 1795688015057892);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (6, 'ends_without_code', '41ae4db337cfed1fe9371292573149dcddb81320856f654d7c235f5edc17fe4c', 1795688015057892);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (7, 'locks', 'f02fdbaf0d8652cd3593269cd4e5510da413db9b1f05e9f56148d38cec828c1b', 1795688015057892);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (8, 'digests', 'f1ad684a6d4178ca777c58135f2e5d198522a41257c2fb41b5e8428773a295c7', 1795688015057892);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476737, 'default', 'closed', 1, 1, 'specimen.order', '1', 'completed', '', 1.0, 2, '', NULL, 1795688015141072, 1795688015148939, 1795688015173064, 1795688015173064, 16, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476738, 'default', 'part of 1', 1, 1, 'specimen.part', '1', 'completed', '', 1.0, 2, '', 68719476737, 1795688015151651, 1795688015157045, 1795688015163800, 1795688015163800, 4, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476739, 'default', 'waiting', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, '', NULL, 1795688015173770, 1795688015173859, 1795688015174489, NULL, 10, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476740, 'default', 'told', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, 'ada', NULL, 1795688015174427, 1795688015174489, 1795688015175433, NULL, 10, NULL, 1, 1795688015233688, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476741, 'default', 'part of 2', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, '', 68719476739, 1795688015174489, 1795688015177606, 1795688015177606, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476742, 'default', 'part of 3', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, 'ada', 68719476740, 1795688015175433, 1795688015178790, 1795688015178790, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476737, 'made', 'then', 'default', 1795688015141072);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476739, 'made', 'then', 'default', 1795688015173770);
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (1, 68719476737, 1, 'run_created', 1, 1795688015141072, '{"workflow":"specimen.order","ref":{"id":"closed"},"input":[1],"seed":760774999708727627,"labels":{"made":"then"},"stages":["count","wait"]}', X'4465003D88F52E88D70E40DD08FE7BF5');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (2, 68719476737, 2, 'run_started', 1, 1795688015148939, '{"worker":"vm-13541"}', X'9BE01F519D13A057B41EAF7ABF4DE13D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (3, 68719476737, 3, 'stage_started', 1, 1795688015148939, '{"operation":1,"name":"count"}', X'3A94EC5915A0679C9EB218585FC73D5D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (4, 68719476737, 4, 'activity_scheduled', 1, 1795688015148939, '{"operation":2,"activity":"specimen.double","input":[1]}', X'A582E30C0CADD2430D4BE7B85745FC70');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (5, 68719476737, 5, 'activity_completed', 1, 1795688015151651, '{"operation":2,"result":2,"started_at":1795688015151445}', X'0C02AB05864C95BBBFB8D5011EC72E97');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (6, 68719476737, 6, 'state_key_set', 1, 1795688015151651, '{"operation":3,"key":"doubled","value":2}', X'FC17E0FD4E2227E805AEA3490E232083');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (7, 68719476737, 7, 'stage_completed', 1, 1795688015151651, '{"operation":1}', X'EC3AEEE9A7F55FF545B782DFB9E2A585');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (8, 68719476737, 8, 'stage_started', 1, 1795688015151651, '{"operation":4,"name":"wait"}', X'BDFFBE9D7D5594F8C6B3BF31A71C6C74');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (9, 68719476737, 9, 'child_requested', 1, 1795688015151651, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 1"},"input":[]}', X'F3C2E379095F00C6DD3A0033408036A3');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (10, 68719476737, 10, 'child_started', 1, 1795688015151651, '{"operation":5,"run_key":68719476738}', X'997947DD7E265EE5DBEE45351CC6A8BB');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (11, 68719476738, 1, 'run_created', 1, 1795688015151651, '{"workflow":"specimen.part","ref":{"id":"part of 1"},"input":[],"seed":4155324621195501550,"parent":{"run_key":68719476737,"ref":{"id":"closed"},"operation":5}}', X'878694CB5EB9DBD2ED4FDBCF10C02D84');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (12, 68719476738, 2, 'run_started', 1, 1795688015157045, '{"worker":"vm-13541"}', X'1E60E29048F0ABA045F86B87839FE509');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (13, 68719476738, 3, 'signal_received', 1, 1795688015163800, '{"name":"go","body":10,"message_id":"2a34e7a74cc44006ace446749ce2adc4"}', X'BE50F172C3B3641ECA176852A84A5E20');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (14, 68719476738, 4, 'run_completed', 1, 1795688015163800, '{"result":10}', X'683063FC3782F5318C6FF5DF265DFDBB');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (15, 68719476737, 11, 'child_completed', 1, 1795688015169065, '{"operation":5,"result":10}', X'0955AECC5CE8D66D0F43B253AA64EAD4');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (16, 68719476737, 12, 'signal_received', 1, 1795688015169065, '{"name":"go","body":10,"message_id":"36e4359aed564d90929e5ae7cfbcb366"}', X'213EAD4D5D857DA4285A72C2027F93D0');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (17, 68719476737, 13, 'activity_scheduled', 1, 1795688015169065, '{"operation":6,"activity":"specimen.double","input":[1]}', X'BCDE67E54FC6BC62F8504FC6B80761BE');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (18, 68719476737, 14, 'activity_completed', 1, 1795688015173064, '{"operation":6,"result":2,"started_at":1795688015172940}', X'57A101461A202AFBC865A7D364F4DB27');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (19, 68719476737, 15, 'stage_completed', 1, 1795688015173064, '{"operation":4}', X'EE9777FDAC3C001853E55D83D2CF541C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (20, 68719476737, 16, 'run_completed', 1, 1795688015173064, '{"result":22}', X'D4B8D3426D96D205C00A3079CD6241D8');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (21, 68719476739, 1, 'run_created', 1, 1795688015173770, '{"workflow":"specimen.order","ref":{"id":"waiting"},"input":[2],"seed":7823887176867851742,"labels":{"made":"then"},"stages":["count","wait"]}', X'B9C0CCD6052155B38AE6EED5A2A49605');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (22, 68719476739, 2, 'run_started', 1, 1795688015173859, '{"worker":"vm-13541"}', X'61F35D2A603CDE7B86A5AE0965789F5B');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (23, 68719476739, 3, 'stage_started', 1, 1795688015173859, '{"operation":1,"name":"count"}', X'82C7E72D493C609DDCEBE773E361A644');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (24, 68719476739, 4, 'activity_scheduled', 1, 1795688015173859, '{"operation":2,"activity":"specimen.double","input":[2]}', X'5B2EE055586806AFC70ED105ED6DD9BC');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (25, 68719476740, 1, 'run_created', 1, 1795688015174427, '{"workflow":"specimen.order","ref":{"id":"told"},"input":[3],"seed":5979781567584352501,"tenant":"ada","stages":["count","wait"]}', X'385CB8B8665F08A4C57D836928A4C684');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (26, 68719476740, 2, 'run_started', 1, 1795688015174489, '{"worker":"vm-13541"}', X'9866D17B49B6BC0FE5AE9D884D1E04B7');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (27, 68719476740, 3, 'stage_started', 1, 1795688015174489, '{"operation":1,"name":"count"}', X'B6C68D8EEA397FDF1EA9D400A14B044B');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (28, 68719476740, 4, 'activity_scheduled', 1, 1795688015174489, '{"operation":2,"activity":"specimen.double","input":[3]}', X'4F3F51E7D97C29D72AF759EC21DE23A5');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (29, 68719476739, 5, 'activity_completed', 1, 1795688015174489, '{"operation":2,"result":4,"started_at":1795688015174373}', X'A79FE40B8BEEAEDA22ABDBBFBBBF162C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (30, 68719476739, 6, 'state_key_set', 1, 1795688015174489, '{"operation":3,"key":"doubled","value":4}', X'B93978BA101C60AF600B4330466FA6C6');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (31, 68719476739, 7, 'stage_completed', 1, 1795688015174489, '{"operation":1}', X'8F84E915C1A5D2F1E664C26CFEA94876');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (32, 68719476739, 8, 'stage_started', 1, 1795688015174489, '{"operation":4,"name":"wait"}', X'B65DA5ACAECF3947D41907297B942DF1');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (33, 68719476739, 9, 'child_requested', 1, 1795688015174489, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 2"},"input":[]}', X'B11A133B7B535B3DAC3A4C4806DFCCBF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (34, 68719476739, 10, 'child_started', 1, 1795688015174489, '{"operation":5,"run_key":68719476741}', X'6E93F67AF9714B1CB891FC5DE8097A2A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (35, 68719476741, 1, 'run_created', 1, 1795688015174489, '{"workflow":"specimen.part","ref":{"id":"part of 2"},"input":[],"seed":2517024620316768232,"parent":{"run_key":68719476739,"ref":{"id":"waiting"},"operation":5}}', X'65847304CAA01118B84FE02429D60352');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (36, 68719476740, 5, 'activity_completed', 1, 1795688015175433, '{"operation":2,"result":6,"started_at":1795688015175245}', X'F4C9ADC28B1AFB13EB1B3AE7C346F263');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (37, 68719476740, 6, 'state_key_set', 1, 1795688015175433, '{"operation":3,"key":"doubled","value":6}', X'AC03DB333A3A615E9146891081D7F432');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (38, 68719476740, 7, 'stage_completed', 1, 1795688015175433, '{"operation":1}', X'FE71DC8A444CB5D6A7E5A0106ACE382B');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (39, 68719476740, 8, 'stage_started', 1, 1795688015175433, '{"operation":4,"name":"wait"}', X'0D7C245B336C6C585233A290769C24BB');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (40, 68719476740, 9, 'child_requested', 1, 1795688015175433, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 3"},"input":[]}', X'B9DD336D11490F86C5FCE0C726909558');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (41, 68719476740, 10, 'child_started', 1, 1795688015175433, '{"operation":5,"run_key":68719476742}', X'E94F7CB885D2CA7CB0A7649BFCEC77B1');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (42, 68719476742, 1, 'run_created', 1, 1795688015175433, '{"workflow":"specimen.part","ref":{"id":"part of 3"},"input":[],"seed":8933160166213599828,"tenant":"ada","parent":{"run_key":68719476740,"ref":{"id":"told"},"operation":5}}', X'5F9335F8354D829CFD79099F6D1C05A1');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (43, 68719476741, 2, 'run_started', 1, 1795688015177606, '{"worker":"vm-13541"}', X'0DA4C26D96D9157F5D98EE5273F29725');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (44, 68719476742, 2, 'run_started', 1, 1795688015178790, '{"worker":"vm-13541"}', X'EF406DF9C6C84F2E3499B9C37F263B16');
INSERT INTO inbox (position, run_key, message_id, data, at, digest) VALUES (2, 68719476740, '16d3d57ca8a44a66817a7561526109bc', '{"kind":"signal","name":"go","body":30,"message_id":"16d3d57ca8a44a66817a7561526109bc"}', 1795688015233688, X'91587D14E99A9F1BC93E50DECD389F48');
INSERT INTO store_meta (name, value) VALUES ('last_worker_id', 2);
INSERT INTO sqlite_sequence (name, seq) VALUES ('inbox', 2);
