PRAGMA application_id = 1346720324;
PRAGMA user_version = 16;
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
, lease_microseconds INTEGER, serves TEXT NOT NULL DEFAULT '') STRICT;
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
    digest BLOB NOT NULL, labels TEXT NOT NULL DEFAULT '', sticky_to INTEGER, sticky_until INTEGER, share TEXT NOT NULL DEFAULT '', cost REAL NOT NULL DEFAULT 1.0,
    UNIQUE (run_key, operation)
) STRICT;
CREATE INDEX tasks_by_owner ON tasks (owner) WHERE owner IS NOT NULL;
CREATE INDEX tasks_in_order ON tasks (namespace, priority, queued_at, run_key, operation);
CREATE INDEX tasks_kept_for ON tasks (sticky_to) WHERE sticky_to IS NOT NULL;
CREATE INDEX tasks_kept ON tasks (queue, sticky_until) WHERE sticky_to IS NOT NULL;
CREATE INDEX tasks_to_claim ON tasks (
    queue, labels, priority, share, queued_at, run_key, operation, activity, sticky_to, sticky_until, cost
) WHERE owner IS NULL;
CREATE TABLE task_shares (
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    share TEXT NOT NULL,
    tag REAL NOT NULL,
    clock REAL NOT NULL,
    PRIMARY KEY (queue, priority, share)
) STRICT, WITHOUT ROWID;
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (1, 'runs_histories_inboxes', '8c51f0e7a7b8caf5dc449840ac251716946c14d90f50e3c85e6a9581bb579d23', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (2, 'agenda', 'ce3f48b3d130fcefa1509b9ea11cd6eb370b914111acde86c85c7c5aee22298f', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (3, 'claims_by_version', '0d7fc95043f88683251d9314ba4f040095a4311f172e2999ccffc374f0d110ce', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (4, 'message_requests', 'd18be9a03a331e59c0d6bbd622f64f4e6750aae70c173192ed24ad685b78b595', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (5, 'parked_runs', 'dc0fec0430f12964574ad210f112d61b64c154d93414bd7a77439b1e6375a9a1', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (6, 'ends_without_code', '41ae4db337cfed1fe9371292573149dcddb81320856f654d7c235f5edc17fe4c', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (7, 'locks', 'f02fdbaf0d8652cd3593269cd4e5510da413db9b1f05e9f56148d38cec828c1b', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (8, 'digests', 'f1ad684a6d4178ca777c58135f2e5d198522a41257c2fb41b5e8428773a295c7', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (9, 'search_by_priority', '25dabcbb33cd108e5e2121a7c5544f47c165c5894012c95e2fab73d199b1194b', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (10, 'keeping', '09a8c489f515ecfa5382521b3f1f6330393f97c9d9e7afec9015286a50306bef', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (11, 'key_origins', 'bbca877bcb50bdad832a9738d174f94aafb42acd45c2aa861b0cb850d8482b0f', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (12, 'lost_digests', '419b2d5c3af19ea31990e45f3baeb4f8e6995bf3fb1d478a742cf48d0beb7063', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (13, 'lease_lengths', '282021f5d3fda0f4ae1904f3c5b360a91badd3aaa632b504bb8a436cce26627a', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (14, 'tasks', 'e0f53ca756ebb96b3cc38c9c73aebb80a0208188dc22f88ae0cf28b53b4b2eae', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (15, 'placement', '0756f40198ff2a642808f78382a26963dbb194582bbdb3de50ff446edaac4d72', 1795805973037734);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (16, 'shares', '784d26c0ed49f0af66fb56b0a681caf30c87b81cd2d8f533c5a5a5976a65731b', 1795805973037734);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476737, 'default', 'closed', 1, 1, 'specimen.order', '1', 'completed', '', 1.0, 2, '', NULL, 1795805973054602, 1795805973055222, 1795805973071415, 1795805973071415, 16, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476738, 'default', 'part of 1', 1, 1, 'specimen.part', '1', 'completed', '', 1.0, 2, '', 68719476737, 1795805973058288, 1795805973060761, 1795805973069785, 1795805973069785, 4, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476739, 'default', 'waiting', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, '', NULL, 1795805973071844, 1795805973071906, 1795805973072475, NULL, 10, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476740, 'default', 'told', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, 'ada', NULL, 1795805973072419, 1795805973072475, 1795805973073546, NULL, 10, NULL, 1, 1795805973096137, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476741, 'default', 'part of 2', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, '', 68719476739, 1795805973072475, 1795805973074951, 1795805973074951, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476742, 'default', 'part of 3', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, 'ada', 68719476740, 1795805973073546, 1795805973076231, 1795805973076231, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476737, 'made', 'then', 'default', 1795805973054602);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476739, 'made', 'then', 'default', 1795805973071844);
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (1, 68719476737, 1, 'run_created', 1, 1795805973054602, '{"workflow":"specimen.order","ref":{"id":"closed"},"input":[1],"seed":760774999708727627,"call_name":"111b4935cb983c95473e20317d9af7e0","labels":{"made":"then"},"stages":["count","wait"]}', X'9B8B9AFD3E735912A51ECAFF50CAC8FD');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (2, 68719476737, 2, 'run_started', 1, 1795805973055222, '{"worker":"vm-12740"}', X'14E29E3BE5CCA825A2B9B1A39B94B0ED');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (3, 68719476737, 3, 'stage_started', 1, 1795805973055222, '{"operation":1,"name":"count"}', X'8F1DE04DEC465D64E44671CA3DA7558D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (4, 68719476737, 4, 'activity_scheduled', 1, 1795805973055222, '{"operation":2,"activity":"specimen.double","input":[1]}', X'3F4E6A2CB967D48E8F994CE0AADABF96');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (5, 68719476737, 5, 'activity_completed', 1, 1795805973058288, '{"operation":2,"result":2,"started_at":1795805973058145}', X'FDF6C8C1307915857341E18E6A2DF507');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (6, 68719476737, 6, 'state_key_set', 1, 1795805973058288, '{"operation":3,"key":"doubled","value":2}', X'3637129F2FEED2F588C12A0112FEAA2C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (7, 68719476737, 7, 'stage_completed', 1, 1795805973058288, '{"operation":1}', X'6F3CFA01F95F486324A799BA88C1E30A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (8, 68719476737, 8, 'stage_started', 1, 1795805973058288, '{"operation":4,"name":"wait"}', X'B357DD340CC4B10300F3812C00DDC0E1');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (9, 68719476737, 9, 'child_requested', 1, 1795805973058288, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 1"},"input":[]}', X'B7EC732D114FDF7A96C391A041F98881');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (10, 68719476737, 10, 'child_started', 1, 1795805973058288, '{"operation":5,"run_key":68719476738}', X'19062081174F6239F501D79506C021F2');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (11, 68719476738, 1, 'run_created', 1, 1795805973058288, '{"workflow":"specimen.part","ref":{"id":"part of 1"},"input":[],"seed":4155324621195501550,"call_name":"bf436157c90f6b82a00eaacc27d2fa32","parent":{"run_key":68719476737,"ref":{"id":"closed"},"operation":5}}', X'F79F48B4EA84FD398CD2B2B5E69FA0D8');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (12, 68719476738, 2, 'run_started', 1, 1795805973060761, '{"worker":"vm-12740"}', X'2F9E4E7CFD966C6D90D5A965949573EA');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (13, 68719476738, 3, 'signal_received', 1, 1795805973069785, '{"name":"go","body":10,"message_id":"54def6680b5cb95fccf5b8e5026de07b"}', X'BDB58D96458387176F30B263010C4596');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (14, 68719476738, 4, 'run_completed', 1, 1795805973069785, '{"result":10}', X'724098873E73922923D98DE24FD1B3D7');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (15, 68719476737, 11, 'child_completed', 1, 1795805973070782, '{"operation":5,"result":10}', X'DA26A57910DDD05C6EF95D4B85DAD10E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (16, 68719476737, 12, 'signal_received', 1, 1795805973070782, '{"name":"go","body":10,"message_id":"02c14f9ab1fdb8efe3d7ef6036897a5c"}', X'BDFD60F32F558A6248181CC4724EF13E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (17, 68719476737, 13, 'activity_scheduled', 1, 1795805973070782, '{"operation":6,"activity":"specimen.double","input":[1]}', X'CBD57B3889E13EC6431C55BD8292ED00');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (18, 68719476737, 14, 'activity_completed', 1, 1795805973071415, '{"operation":6,"result":2,"started_at":1795805973071335}', X'549ACA112B02AB7E336B19634DD1EDCF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (19, 68719476737, 15, 'stage_completed', 1, 1795805973071415, '{"operation":4}', X'861633B923AD4EA72DE10166FE83C732');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (20, 68719476737, 16, 'run_completed', 1, 1795805973071415, '{"result":22}', X'FF78D92DCDF978F4B6EC58FC315E0655');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (21, 68719476739, 1, 'run_created', 1, 1795805973071844, '{"workflow":"specimen.order","ref":{"id":"waiting"},"input":[2],"seed":7823887176867851742,"call_name":"ba7db3d22d2542d5708d612c038e5681","labels":{"made":"then"},"stages":["count","wait"]}', X'880DF5256CB5362B9877A19BFCD8C8C1');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (22, 68719476739, 2, 'run_started', 1, 1795805973071906, '{"worker":"vm-12740"}', X'5A37205131CEA593C857B0F976CEFAA5');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (23, 68719476739, 3, 'stage_started', 1, 1795805973071906, '{"operation":1,"name":"count"}', X'4968421A412F0B3786BE7376944482B9');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (24, 68719476739, 4, 'activity_scheduled', 1, 1795805973071906, '{"operation":2,"activity":"specimen.double","input":[2]}', X'21CD3FA45A4B140EDF425AFFB1FD8592');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (25, 68719476740, 1, 'run_created', 1, 1795805973072419, '{"workflow":"specimen.order","ref":{"id":"told"},"input":[3],"seed":5979781567584352501,"call_name":"1a7f0eed09e2e2fc8bc3f41774e3a51a","tenant":"ada","stages":["count","wait"]}', X'B595A6315709ED04653BF557BA9BADFE');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (26, 68719476740, 2, 'run_started', 1, 1795805973072475, '{"worker":"vm-12740"}', X'045BAEBB193003CDAE9D46448B0A1DAA');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (27, 68719476740, 3, 'stage_started', 1, 1795805973072475, '{"operation":1,"name":"count"}', X'A5698D3D3248C06782BD7290A3669789');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (28, 68719476740, 4, 'activity_scheduled', 1, 1795805973072475, '{"operation":2,"activity":"specimen.double","input":[3]}', X'934AD98544F3140A27FC46C60D8CC999');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (29, 68719476739, 5, 'activity_completed', 1, 1795805973072475, '{"operation":2,"result":4,"started_at":1795805973072371}', X'8C86C8CF45839769BE6EDE2574CA19BF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (30, 68719476739, 6, 'state_key_set', 1, 1795805973072475, '{"operation":3,"key":"doubled","value":4}', X'8B2D34C484A8769E1CBB2511143D23BD');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (31, 68719476739, 7, 'stage_completed', 1, 1795805973072475, '{"operation":1}', X'7BBE3EA0E601FBFC562A2389EF0D670E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (32, 68719476739, 8, 'stage_started', 1, 1795805973072475, '{"operation":4,"name":"wait"}', X'C5B0625A179A9F19FDBA8A2786DB3CAE');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (33, 68719476739, 9, 'child_requested', 1, 1795805973072475, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 2"},"input":[]}', X'BA6800DE26BA33F5EFF479A1A4F12A7E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (34, 68719476739, 10, 'child_started', 1, 1795805973072475, '{"operation":5,"run_key":68719476741}', X'20276598FB5ED217E583CD7762B02312');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (35, 68719476741, 1, 'run_created', 1, 1795805973072475, '{"workflow":"specimen.part","ref":{"id":"part of 2"},"input":[],"seed":2517024620316768232,"call_name":"867677ba2ae13143dc58882f73a29910","parent":{"run_key":68719476739,"ref":{"id":"waiting"},"operation":5}}', X'F5F685678A72F6BCEC33941B5F8D2BEF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (36, 68719476740, 5, 'activity_completed', 1, 1795805973073546, '{"operation":2,"result":6,"started_at":1795805973073315}', X'B50DB5440DF77CCDCC97B4B2EB572C87');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (37, 68719476740, 6, 'state_key_set', 1, 1795805973073546, '{"operation":3,"key":"doubled","value":6}', X'3377048229F7BF857C6F9738E7969C4E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (38, 68719476740, 7, 'stage_completed', 1, 1795805973073546, '{"operation":1}', X'AC8447176FFFF9E875F4F799F77C426B');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (39, 68719476740, 8, 'stage_started', 1, 1795805973073546, '{"operation":4,"name":"wait"}', X'9204F0FA16E166827AB00E5414F52D37');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (40, 68719476740, 9, 'child_requested', 1, 1795805973073546, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 3"},"input":[]}', X'3C5A61E9409937B31CE420457AA7A26F');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (41, 68719476740, 10, 'child_started', 1, 1795805973073546, '{"operation":5,"run_key":68719476742}', X'DB3EF8C0AC1E2CFA52117F5F60871B60');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (42, 68719476742, 1, 'run_created', 1, 1795805973073546, '{"workflow":"specimen.part","ref":{"id":"part of 3"},"input":[],"seed":8933160166213599828,"call_name":"9c165e3728783a1cfba519fadd5451dd","tenant":"ada","parent":{"run_key":68719476740,"ref":{"id":"told"},"operation":5}}', X'8DC1E866AD3CB9D2E964085F9377966D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (43, 68719476741, 2, 'run_started', 1, 1795805973074951, '{"worker":"vm-12740"}', X'5302E8495E65AB806C8F89A2ED7A01AD');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (44, 68719476742, 2, 'run_started', 1, 1795805973076231, '{"worker":"vm-12740"}', X'D64641DFC089CB1E63BFEA694497C597');
INSERT INTO inbox (position, run_key, message_id, data, at, digest) VALUES (2, 68719476740, 'c5d34265432810935b3ac5e4458b1ccc', '{"kind":"signal","name":"go","body":30,"message_id":"c5d34265432810935b3ac5e4458b1ccc"}', 1795805973096137, X'EBBD2F8F7CAFBF35FB00D2DA0B072820');
INSERT INTO store_meta (name, value) VALUES ('history_without_digests', 0);
INSERT INTO store_meta (name, value) VALUES ('identity', 4390786146937603372);
INSERT INTO store_meta (name, value) VALUES ('inbox_without_digests', 0);
INSERT INTO store_meta (name, value) VALUES ('last_worker_id', 2);
INSERT INTO store_meta (name, value) VALUES ('latest_time', 1795805973089190);
INSERT INTO key_origins (worker_id, origin) VALUES (1, 3491502813944655361);
INSERT INTO sqlite_sequence (name, seq) VALUES ('inbox', 2);
