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
    at INTEGER NOT NULL,
    PRIMARY KEY (queue, priority, share)
) STRICT, WITHOUT ROWID;
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (1, 'runs_histories_inboxes', '8c51f0e7a7b8caf5dc449840ac251716946c14d90f50e3c85e6a9581bb579d23', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (2, 'agenda', 'ce3f48b3d130fcefa1509b9ea11cd6eb370b914111acde86c85c7c5aee22298f', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (3, 'claims_by_version', '0d7fc95043f88683251d9314ba4f040095a4311f172e2999ccffc374f0d110ce', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (4, 'message_requests', 'd18be9a03a331e59c0d6bbd622f64f4e6750aae70c173192ed24ad685b78b595', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (5, 'parked_runs', 'dc0fec0430f12964574ad210f112d61b64c154d93414bd7a77439b1e6375a9a1', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (6, 'ends_without_code', '41ae4db337cfed1fe9371292573149dcddb81320856f654d7c235f5edc17fe4c', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (7, 'locks', 'f02fdbaf0d8652cd3593269cd4e5510da413db9b1f05e9f56148d38cec828c1b', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (8, 'digests', 'f1ad684a6d4178ca777c58135f2e5d198522a41257c2fb41b5e8428773a295c7', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (9, 'search_by_priority', '25dabcbb33cd108e5e2121a7c5544f47c165c5894012c95e2fab73d199b1194b', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (10, 'keeping', '09a8c489f515ecfa5382521b3f1f6330393f97c9d9e7afec9015286a50306bef', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (11, 'key_origins', 'bbca877bcb50bdad832a9738d174f94aafb42acd45c2aa861b0cb850d8482b0f', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (12, 'lost_digests', '419b2d5c3af19ea31990e45f3baeb4f8e6995bf3fb1d478a742cf48d0beb7063', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (13, 'lease_lengths', '282021f5d3fda0f4ae1904f3c5b360a91badd3aaa632b504bb8a436cce26627a', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (14, 'tasks', 'e0f53ca756ebb96b3cc38c9c73aebb80a0208188dc22f88ae0cf28b53b4b2eae', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (15, 'placement', '0756f40198ff2a642808f78382a26963dbb194582bbdb3de50ff446edaac4d72', 1795807587849619);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (16, 'shares', '80989d8e927f8ef0ccc77d71608176f86aece4163fba4aaeb56e2b0787ef50d8', 1795807587849619);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476737, 'default', 'closed', 1, 1, 'specimen.order', '1', 'completed', '', 1.0, 2, '', NULL, 1795807587896679, 1795807587898300, 1795807587920169, 1795807587920169, 16, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476738, 'default', 'part of 1', 1, 1, 'specimen.part', '1', 'completed', '', 1.0, 2, '', 68719476737, 1795807587904738, 1795807587908190, 1795807587916915, 1795807587916915, 4, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476739, 'default', 'waiting', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, '', NULL, 1795807587920753, 1795807587920839, 1795807587921587, NULL, 10, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476740, 'default', 'told', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, 'ada', NULL, 1795807587921505, 1795807587921587, 1795807587922693, NULL, 10, NULL, 1, 1795807587950363, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476741, 'default', 'part of 2', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, '', 68719476739, 1795807587921587, 1795807587924234, 1795807587924234, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476742, 'default', 'part of 3', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, 'ada', 68719476740, 1795807587922693, 1795807587925713, 1795807587925713, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476737, 'made', 'then', 'default', 1795807587896679);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476739, 'made', 'then', 'default', 1795807587920753);
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (1, 68719476737, 1, 'run_created', 1, 1795807587896679, '{"workflow":"specimen.order","ref":{"id":"closed"},"input":[1],"seed":760774999708727627,"call_name":"0fad68119f2e15f02ec93fa91dacec67","labels":{"made":"then"},"stages":["count","wait"]}', X'1D04C162C0E26483E292330228EC8EEA');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (2, 68719476737, 2, 'run_started', 1, 1795807587898300, '{"worker":"vm-4249"}', X'611A763557DEBE25184B05DB54B98B62');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (3, 68719476737, 3, 'stage_started', 1, 1795807587898300, '{"operation":1,"name":"count"}', X'C1AD17BD1F59F46549E91EF11208EEE1');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (4, 68719476737, 4, 'activity_scheduled', 1, 1795807587898300, '{"operation":2,"activity":"specimen.double","input":[1]}', X'A218DC5899327A6AF758FD20BCDA70BB');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (5, 68719476737, 5, 'activity_completed', 1, 1795807587904738, '{"operation":2,"result":2,"started_at":1795807587904319}', X'646A134DCCE7D25F4783D43E781B70B2');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (6, 68719476737, 6, 'state_key_set', 1, 1795807587904738, '{"operation":3,"key":"doubled","value":2}', X'31FE1559603DB43C66CE744B42E4B49B');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (7, 68719476737, 7, 'stage_completed', 1, 1795807587904738, '{"operation":1}', X'2ED25B50D59AA4F140A8FC635D09517E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (8, 68719476737, 8, 'stage_started', 1, 1795807587904738, '{"operation":4,"name":"wait"}', X'F6051FFA29EE8C1CE944FF2D8E474D88');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (9, 68719476737, 9, 'child_requested', 1, 1795807587904738, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 1"},"input":[]}', X'773BBF175DD8C05E47CC256CCFE608AF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (10, 68719476737, 10, 'child_started', 1, 1795807587904738, '{"operation":5,"run_key":68719476738}', X'9D1F52884321A4FC9976CA1E6DBA2D2A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (11, 68719476738, 1, 'run_created', 1, 1795807587904738, '{"workflow":"specimen.part","ref":{"id":"part of 1"},"input":[],"seed":4155324621195501550,"call_name":"af56373796d02dbf6ff2850a39bbefed","parent":{"run_key":68719476737,"ref":{"id":"closed"},"operation":5}}', X'5F11F82D3BD388561739E3EF2EBFF008');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (12, 68719476738, 2, 'run_started', 1, 1795807587908190, '{"worker":"vm-4249"}', X'EFA75B1364399E48A52F68020F8E4C37');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (13, 68719476738, 3, 'signal_received', 1, 1795807587916915, '{"name":"go","body":10,"message_id":"e204c199ee00394552b9f1c3b6988c34"}', X'D5988CD8E116D10C8BF3AF10B3D44A1F');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (14, 68719476738, 4, 'run_completed', 1, 1795807587916915, '{"result":10}', X'8B0C13050BA9DA9460595DDE1B74F16A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (15, 68719476737, 11, 'child_completed', 1, 1795807587918773, '{"operation":5,"result":10}', X'3CCCAECA1AF8FCA672B0C3FBEDCE3185');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (16, 68719476737, 12, 'signal_received', 1, 1795807587919572, '{"name":"go","body":10,"message_id":"8f5ba0fb50aab20e8b69e40a515bf330"}', X'29EA090B35AA060F7464E78601188D54');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (17, 68719476737, 13, 'activity_scheduled', 1, 1795807587919572, '{"operation":6,"activity":"specimen.double","input":[1]}', X'709D615B1CE0F583B8901C2BFE1D185D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (18, 68719476737, 14, 'activity_completed', 1, 1795807587920169, '{"operation":6,"result":2,"started_at":1795807587920059}', X'026C7A0D2FF723E90E2B3749318966F4');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (19, 68719476737, 15, 'stage_completed', 1, 1795807587920169, '{"operation":4}', X'9FF4252F045ACD2339C7DB7D79B2FBD1');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (20, 68719476737, 16, 'run_completed', 1, 1795807587920169, '{"result":22}', X'1724C84F2FDC7921FA6EF70A5141E168');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (21, 68719476739, 1, 'run_created', 1, 1795807587920753, '{"workflow":"specimen.order","ref":{"id":"waiting"},"input":[2],"seed":7823887176867851742,"call_name":"792987c8373d1de311d1c29c53b076ba","labels":{"made":"then"},"stages":["count","wait"]}', X'366A496844EB2624E87D23FD94D65FF7');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (22, 68719476739, 2, 'run_started', 1, 1795807587920839, '{"worker":"vm-4249"}', X'AA31D88D5FA5D15DB77FBB50ED7DDAC9');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (23, 68719476739, 3, 'stage_started', 1, 1795807587920839, '{"operation":1,"name":"count"}', X'5D103E0C13495A2453A75A163080DB6C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (24, 68719476739, 4, 'activity_scheduled', 1, 1795807587920839, '{"operation":2,"activity":"specimen.double","input":[2]}', X'42D5315C0D63CC0393B3EE579C86CD25');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (25, 68719476740, 1, 'run_created', 1, 1795807587921505, '{"workflow":"specimen.order","ref":{"id":"told"},"input":[3],"seed":5979781567584352501,"call_name":"11d238e369a276866e5538fba08f144c","tenant":"ada","stages":["count","wait"]}', X'1CCBD8F597651BB2035B9E6761637ABD');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (26, 68719476740, 2, 'run_started', 1, 1795807587921587, '{"worker":"vm-4249"}', X'AC0AB2E6813DC26E2B23B0659C528506');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (27, 68719476740, 3, 'stage_started', 1, 1795807587921587, '{"operation":1,"name":"count"}', X'1B1C51AEAEBE6C8C3B2A7DDBEA2EBEBA');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (28, 68719476740, 4, 'activity_scheduled', 1, 1795807587921587, '{"operation":2,"activity":"specimen.double","input":[3]}', X'404172B4CB0A56662042C0BFF050FDEF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (29, 68719476739, 5, 'activity_completed', 1, 1795807587921587, '{"operation":2,"result":4,"started_at":1795807587921429}', X'FC1B23FA1A415271DBC542F35C6F8521');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (30, 68719476739, 6, 'state_key_set', 1, 1795807587921587, '{"operation":3,"key":"doubled","value":4}', X'C7B59E0455DA1919D3BFFE8144F03BB1');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (31, 68719476739, 7, 'stage_completed', 1, 1795807587921587, '{"operation":1}', X'3EE92D9A2BC6F6EDE2EE16C46A239D31');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (32, 68719476739, 8, 'stage_started', 1, 1795807587921587, '{"operation":4,"name":"wait"}', X'6FD2F12A6A66D369E86FCA0E8261574D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (33, 68719476739, 9, 'child_requested', 1, 1795807587921587, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 2"},"input":[]}', X'D6E58DB96F0350CC196118FD3B7E718D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (34, 68719476739, 10, 'child_started', 1, 1795807587921587, '{"operation":5,"run_key":68719476741}', X'81D1166CE7D1BECFBBFAC9D5C9FEFB9C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (35, 68719476741, 1, 'run_created', 1, 1795807587921587, '{"workflow":"specimen.part","ref":{"id":"part of 2"},"input":[],"seed":2517024620316768232,"call_name":"70c75543b132c0efb3746d9f00ee4d50","parent":{"run_key":68719476739,"ref":{"id":"waiting"},"operation":5}}', X'96EDB41ED005C068489216A47D619EC0');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (36, 68719476740, 5, 'activity_completed', 1, 1795807587922693, '{"operation":2,"result":6,"started_at":1795807587922416}', X'C31FB91B542590552086226D56175F1A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (37, 68719476740, 6, 'state_key_set', 1, 1795807587922693, '{"operation":3,"key":"doubled","value":6}', X'F2F1C390A84EF9F83E01FD097D4628FE');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (38, 68719476740, 7, 'stage_completed', 1, 1795807587922693, '{"operation":1}', X'886BCF82CE08E58FB5FFBD8D1AFAE058');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (39, 68719476740, 8, 'stage_started', 1, 1795807587922693, '{"operation":4,"name":"wait"}', X'C16B0D69AC5BA5EEF1D02BA0AE865BDE');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (40, 68719476740, 9, 'child_requested', 1, 1795807587922693, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 3"},"input":[]}', X'9537380E837902F152B6F16A93E1E402');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (41, 68719476740, 10, 'child_started', 1, 1795807587922693, '{"operation":5,"run_key":68719476742}', X'EBBAF3694A2FDE2821D80F949E5C921F');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (42, 68719476742, 1, 'run_created', 1, 1795807587922693, '{"workflow":"specimen.part","ref":{"id":"part of 3"},"input":[],"seed":8933160166213599828,"call_name":"e64a39c47957d410bca362cc00c06e92","tenant":"ada","parent":{"run_key":68719476740,"ref":{"id":"told"},"operation":5}}', X'48CF38FC6642CC3D320FB40A6AD4D46E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (43, 68719476741, 2, 'run_started', 1, 1795807587924234, '{"worker":"vm-4249"}', X'C49521F35B8C41C096F023A35CB543C9');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (44, 68719476742, 2, 'run_started', 1, 1795807587925713, '{"worker":"vm-4249"}', X'C058876CF4D6334921BF1B8A1377AB0D');
INSERT INTO inbox (position, run_key, message_id, data, at, digest) VALUES (2, 68719476740, '37a9e20e9f54d92843155c193258f3a3', '{"kind":"signal","name":"go","body":30,"message_id":"37a9e20e9f54d92843155c193258f3a3"}', 1795807587950363, X'77C7B58E41D6542FBE2CAFE6F5853C7A');
INSERT INTO store_meta (name, value) VALUES ('history_without_digests', 0);
INSERT INTO store_meta (name, value) VALUES ('identity', 4233118752436609621);
INSERT INTO store_meta (name, value) VALUES ('inbox_without_digests', 0);
INSERT INTO store_meta (name, value) VALUES ('last_worker_id', 2);
INSERT INTO store_meta (name, value) VALUES ('latest_time', 1795807587941606);
INSERT INTO key_origins (worker_id, origin) VALUES (1, 3443679219294879624);
INSERT INTO sqlite_sequence (name, seq) VALUES ('inbox', 2);
