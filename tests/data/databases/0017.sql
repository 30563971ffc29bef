PRAGMA application_id = 1346720324;
PRAGMA user_version = 17;
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
    tag REAL,
    clock REAL NOT NULL,
    since INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (queue, priority, share)
) STRICT, WITHOUT ROWID;
CREATE INDEX task_shares_in_order ON task_shares (queue, priority, tag, since, share);
CREATE INDEX task_shares_by_clock ON task_shares (queue, priority, clock);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (1, 'runs_histories_inboxes', '8c51f0e7a7b8caf5dc449840ac251716946c14d90f50e3c85e6a9581bb579d23', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (2, 'agenda', 'ce3f48b3d130fcefa1509b9ea11cd6eb370b914111acde86c85c7c5aee22298f', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (3, 'claims_by_version', '0d7fc95043f88683251d9314ba4f040095a4311f172e2999ccffc374f0d110ce', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (4, 'message_requests', 'd18be9a03a331e59c0d6bbd622f64f4e6750aae70c173192ed24ad685b78b595', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (5, 'parked_runs', 'dc0fec0430f12964574ad210f112d61b64c154d93414bd7a77439b1e6375a9a1', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (6, 'ends_without_code', '41ae4db337cfed1fe9371292573149dcddb81320856f654d7c235f5edc17fe4c', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (7, 'locks', 'f02fdbaf0d8652cd3593269cd4e5510da413db9b1f05e9f56148d38cec828c1b', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (8, 'digests', 'f1ad684a6d4178ca777c58135f2e5d198522a41257c2fb41b5e8428773a295c7', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (9, 'search_by_priority', '25dabcbb33cd108e5e2121a7c5544f47c165c5894012c95e2fab73d199b1194b', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (10, 'keeping', '09a8c489f515ecfa5382521b3f1f6330393f97c9d9e7afec9015286a50306bef', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (11, 'key_origins', 'bbca877bcb50bdad832a9738d174f94aafb42acd45c2aa861b0cb850d8482b0f', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (12, 'lost_digests', '419b2d5c3af19ea31990e45f3baeb4f8e6995bf3fb1d478a742cf48d0beb7063', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (13, 'lease_lengths', '282021f5d3fda0f4ae1904f3c5b360a91badd3aaa632b504bb8a436cce26627a', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (14, 'tasks', 'e0f53ca756ebb96b3cc38c9c73aebb80a0208188dc22f88ae0cf28b53b4b2eae', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (15, 'placement', '0756f40198ff2a642808f78382a26963dbb194582bbdb3de50ff446edaac4d72', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (16, 'shares', '80989d8e927f8ef0ccc77d71608176f86aece4163fba4aaeb56e2b0787ef50d8', 1795814225062470);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (17, 'shares_in_order', 'da2f9a0a324b0f7ab8d6db2ecfa4dc497509cb0be83bb0802f146c07147718c4', 1795814225062470);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476737, 'default', 'closed', 1, 1, 'specimen.order', '1', 'completed', '', 1.0, 2, '', NULL, 1795814225097289, 1795814225098447, 1795814225116207, 1795814225116207, 16, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476738, 'default', 'part of 1', 1, 1, 'specimen.part', '1', 'completed', '', 1.0, 2, '', 68719476737, 1795814225101984, 1795814225104794, 1795814225113961, 1795814225113961, 4, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476739, 'default', 'waiting', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, '', NULL, 1795814225116721, 1795814225116794, 1795814225117883, NULL, 10, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476740, 'default', 'told', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, 'ada', NULL, 1795814225117812, 1795814225117883, 1795814225119564, NULL, 10, NULL, 1, 1795814225154159, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476741, 'default', 'part of 2', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, '', 68719476739, 1795814225117883, 1795814225121492, 1795814225121492, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476742, 'default', 'part of 3', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, 'ada', 68719476740, 1795814225119564, 1795814225122842, 1795814225122842, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476737, 'made', 'then', 'default', 1795814225097289);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476739, 'made', 'then', 'default', 1795814225116721);
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (1, 68719476737, 1, 'run_created', 1, 1795814225097289, '{"workflow":"specimen.order","ref":{"id":"closed"},"input":[1],"seed":760774999708727627,"call_name":"5e4943171c48d0525ea438a5a21d2390","labels":{"made":"then"},"stages":["count","wait"]}', X'04C0E9770D209B1A85888C7F545251E6');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (2, 68719476737, 2, 'run_started', 1, 1795814225098447, '{"worker":"vm-13542"}', X'F0EE8D26B13CCF205FCE857481C209FF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (3, 68719476737, 3, 'stage_started', 1, 1795814225098447, '{"operation":1,"name":"count"}', X'3B2E937CBDC7BAF0E9BA0A30937CBD1E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (4, 68719476737, 4, 'activity_scheduled', 1, 1795814225098447, '{"operation":2,"activity":"specimen.double","input":[1]}', X'BE3B0F057E2D52E6E29073567AD11CEB');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (5, 68719476737, 5, 'activity_completed', 1, 1795814225101984, '{"operation":2,"result":2,"started_at":1795814225101668}', X'38173C833ED620AC11ACD5F424361557');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (6, 68719476737, 6, 'state_key_set', 1, 1795814225101984, '{"operation":3,"key":"doubled","value":2}', X'7992DC65A1E5C7C90AED1A9D0D96A62B');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (7, 68719476737, 7, 'stage_completed', 1, 1795814225101984, '{"operation":1}', X'83E25E75BFF5BCEBDB7EB584A3958091');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (8, 68719476737, 8, 'stage_started', 1, 1795814225101984, '{"operation":4,"name":"wait"}', X'F04D6CE64807DDCE55E334606F1945B6');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (9, 68719476737, 9, 'child_requested', 1, 1795814225101984, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 1"},"input":[]}', X'F1DBAD2C016A8C058185F1542F162094');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (10, 68719476737, 10, 'child_started', 1, 1795814225101984, '{"operation":5,"run_key":68719476738}', X'5897570628B4EC19675634BE564C757A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (11, 68719476738, 1, 'run_created', 1, 1795814225101984, '{"workflow":"specimen.part","ref":{"id":"part of 1"},"input":[],"seed":4155324621195501550,"call_name":"cfdebacd5bb98540424fc3a9241c7b3e","parent":{"run_key":68719476737,"ref":{"id":"closed"},"operation":5}}', X'D3006F11EB98EFACBF29A1B964F246C1');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (12, 68719476738, 2, 'run_started', 1, 1795814225104794, '{"worker":"vm-13542"}', X'739011879C8E7D5EF8F18FA2B6F917AD');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (13, 68719476738, 3, 'signal_received', 1, 1795814225113961, '{"name":"go","body":10,"message_id":"ba9a4af149a10e69a0165fa4563b6cad"}', X'11A833D7BC9ED9831F307BB7DBD37AAF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (14, 68719476738, 4, 'run_completed', 1, 1795814225113961, '{"result":10}', X'38850F12F39A7BA18BECAF787454572C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (15, 68719476737, 11, 'child_completed', 1, 1795814225115057, '{"operation":5,"result":10}', X'C38CD05F38BDDA7C496EE38C77DF8438');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (16, 68719476737, 12, 'signal_received', 1, 1795814225115675, '{"name":"go","body":10,"message_id":"5c59657de2a388ff4e7b3b8f3db86b93"}', X'6619D8A2BCF71CD92CC65CD3A556822C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (17, 68719476737, 13, 'activity_scheduled', 1, 1795814225115675, '{"operation":6,"activity":"specimen.double","input":[1]}', X'4DDEC766E8951F95493262703459640C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (18, 68719476737, 14, 'activity_completed', 1, 1795814225116207, '{"operation":6,"result":2,"started_at":1795814225116110}', X'8B8B70A6302CED447858E890BA6ED266');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (19, 68719476737, 15, 'stage_completed', 1, 1795814225116207, '{"operation":4}', X'08E9A3A5C12BEA1E83A1AE4CF4C0FF13');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (20, 68719476737, 16, 'run_completed', 1, 1795814225116207, '{"result":22}', X'0DCCDB369F823DFB70B7A5B1F348E133');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (21, 68719476739, 1, 'run_created', 1, 1795814225116721, '{"workflow":"specimen.order","ref":{"id":"waiting"},"input":[2],"seed":7823887176867851742,"call_name":"a81b3b20142ce55acc31ecd4fdebebc3","labels":{"made":"then"},"stages":["count","wait"]}', X'519DB11A89281B4909A606714F72C9AC');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (22, 68719476739, 2, 'run_started', 1, 1795814225116794, '{"worker":"vm-13542"}', X'3CDA4BDA94F02921C42A673E2DBF32E2');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (23, 68719476739, 3, 'stage_started', 1, 1795814225116794, '{"operation":1,"name":"count"}', X'5CAC8D4DCC3AA27D01C06BB2119DE36C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (24, 68719476739, 4, 'activity_scheduled', 1, 1795814225116794, '{"operation":2,"activity":"specimen.double","input":[2]}', X'7BE20DDC863D272AF88D5226B15A436E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (25, 68719476740, 1, 'run_created', 1, 1795814225117812, '{"workflow":"specimen.order","ref":{"id":"told"},"input":[3],"seed":5979781567584352501,"call_name":"91a3003742872bbebb7e24e9c6f50493","tenant":"ada","stages":["count","wait"]}', X'9388825F0D41667A298007EBBC3155C5');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (26, 68719476740, 2, 'run_started', 1, 1795814225117883, '{"worker":"vm-13542"}', X'0A4A3BEED3354CA5C1314DCD52367888');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (27, 68719476740, 3, 'stage_started', 1, 1795814225117883, '{"operation":1,"name":"count"}', X'B3D74800DC30BFCEFD233D170AE7FE4E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (28, 68719476740, 4, 'activity_scheduled', 1, 1795814225117883, '{"operation":2,"activity":"specimen.double","input":[3]}', X'C756A5FF3AC2D6FDCC779DF5D24CAB84');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (29, 68719476739, 5, 'activity_completed', 1, 1795814225117883, '{"operation":2,"result":4,"started_at":1795814225117744}', X'443BE323CAA43A8018C483644BAA33BF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (30, 68719476739, 6, 'state_key_set', 1, 1795814225117883, '{"operation":3,"key":"doubled","value":4}', X'5F37CFAEA8E6CC8801D4990FB19CBC7B');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (31, 68719476739, 7, 'stage_completed', 1, 1795814225117883, '{"operation":1}', X'6542A8631283A5A304DD53A3474A8233');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (32, 68719476739, 8, 'stage_started', 1, 1795814225117883, '{"operation":4,"name":"wait"}', X'66C42B87B7C12B886816AE188E98B107');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (33, 68719476739, 9, 'child_requested', 1, 1795814225117883, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 2"},"input":[]}', X'4884D69F3F34DCAE1C330A340ACAC14C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (34, 68719476739, 10, 'child_started', 1, 1795814225117883, '{"operation":5,"run_key":68719476741}', X'41D985A61CE61D6940794EA4EC732860');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (35, 68719476741, 1, 'run_created', 1, 1795814225117883, '{"workflow":"specimen.part","ref":{"id":"part of 2"},"input":[],"seed":2517024620316768232,"call_name":"c09b2a943ac7dff3e82ebe682723b58d","parent":{"run_key":68719476739,"ref":{"id":"waiting"},"operation":5}}', X'062573FBB7D272437F94C896CA678B88');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (36, 68719476740, 5, 'activity_completed', 1, 1795814225119564, '{"operation":2,"result":6,"started_at":1795814225119301}', X'D69F4BBBCDF7C5F5ED4A25C7C9A3A642');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (37, 68719476740, 6, 'state_key_set', 1, 1795814225119564, '{"operation":3,"key":"doubled","value":6}', X'724CEBA19BD9BE54B3CD60098AFD821A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (38, 68719476740, 7, 'stage_completed', 1, 1795814225119564, '{"operation":1}', X'72A39FB93993A632CE857FE06356FFC5');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (39, 68719476740, 8, 'stage_started', 1, 1795814225119564, '{"operation":4,"name":"wait"}', X'195D7B63E5D8CC8FABCC9E67B9D17D87');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (40, 68719476740, 9, 'child_requested', 1, 1795814225119564, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 3"},"input":[]}', X'CFF719253B2FF9D34737FDDBA646045C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (41, 68719476740, 10, 'child_started', 1, 1795814225119564, '{"operation":5,"run_key":68719476742}', X'CE273C1DDE7CC1A661967A180DC85ED9');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (42, 68719476742, 1, 'run_created', 1, 1795814225119564, '{"workflow":"specimen.part","ref":{"id":"part of 3"},"input":[],"seed":8933160166213599828,"call_name":"3dce84b383d913ad4c2ef6647d482884","tenant":"ada","parent":{"run_key":68719476740,"ref":{"id":"told"},"operation":5}}', X'5E197C05EF06F70DB5E8F3704B8B5EAD');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (43, 68719476741, 2, 'run_started', 1, 1795814225121492, '{"worker":"vm-13542"}', X'08A147A32AD5196385F90777D339D034');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (44, 68719476742, 2, 'run_started', 1, 1795814225122842, '{"worker":"vm-13542"}', X'F224F745F0C70B655D6B4B5D135BC4A3');
INSERT INTO inbox (position, run_key, message_id, data, at, digest) VALUES (2, 68719476740, '7884432d1f2db001078703becc5bc8a0', '{"kind":"signal","name":"go","body":30,"message_id":"7884432d1f2db001078703becc5bc8a0"}', 1795814225154159, X'A7060CD777D45DD48A590D73B9B8A52E');
INSERT INTO store_meta (name, value) VALUES ('history_without_digests', 0);
INSERT INTO store_meta (name, value) VALUES ('identity', 3522210309689809199);
INSERT INTO store_meta (name, value) VALUES ('inbox_without_digests', 0);
INSERT INTO store_meta (name, value) VALUES ('last_worker_id', 2);
INSERT INTO store_meta (name, value) VALUES ('latest_time', 1795814225138281);
INSERT INTO key_origins (worker_id, origin) VALUES (1, 2704770841276992223);
INSERT INTO sqlite_sequence (name, seq) VALUES ('inbox', 2);
