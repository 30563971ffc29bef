PRAGMA application_id = 1346720324;
PRAGMA user_version = 11;
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
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (1, 'runs_histories_inboxes', '8c51f0e7a7b8caf5dc449840ac251716946c14d90f50e3c85e6a9581bb579d23', 1795699848098610);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (2, 'agenda', 'ce3f48b3d130fcefa1509b9ea11cd6eb370b914111acde86c85c7c5aee22298f', 1795699848098610);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (3, 'claims_by_version', '0d7fc95043f88683251d9314ba4f040095a4311f172e2999ccffc374f0d110ce', 1795699848098610);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (4, 'message_requests', 'd18be9a03a331e59c0d6bbd622f64f4e6750aae70c173192ed24ad685b78b595', 1795699848098610);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (5, 'parked_runs', 'dc0fec0430f12964574ad210f112d61b64c154d93414bd7a77439b1e6375a9a1', 1795699848098610);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (6, 'ends_without_code', '41ae4db337cfed1fe9371292573149dcddb81320856f654d7c235f5edc17fe4c', 1795699848098610);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (7, 'locks', 'f02fdbaf0d8652cd3593269cd4e5510da413db9b1f05e9f56148d38cec828c1b', 1795699848098610);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (8, 'digests', 'f1ad684a6d4178ca777c58135f2e5d198522a41257c2fb41b5e8428773a295c7', 1795699848098610);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (9, 'search_by_priority', '25dabcbb33cd108e5e2121a7c5544f47c165c5894012c95e2fab73d199b1194b', 1795699848098610);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (10, 'keeping', '09a8c489f515ecfa5382521b3f1f6330393f97c9d9e7afec9015286a50306bef', 1795699848098610);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (11, 'key_origins', 'bbca877bcb50bdad832a9738d174f94aafb42acd45c2aa861b0cb850d8482b0f', 1795699848098610);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476737, 'default', 'closed', 1, 1, 'specimen.order', '1', 'completed', '', 1.0, 2, '', NULL, 1795699848261273, 1795699848264881, 1795699848317133, 1795699848317133, 16, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476738, 'default', 'part of 1', 1, 1, 'specimen.part', '1', 'completed', '', 1.0, 2, '', 68719476737, 1795699848273386, 1795699848290334, 1795699848297275, 1795699848297275, 4, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476739, 'default', 'waiting', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, '', NULL, 1795699848325206, 1795699848325345, 1795699848329155, NULL, 10, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476740, 'default', 'told', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, 'ada', NULL, 1795699848329046, 1795699848329155, 1795699848335813, NULL, 10, NULL, 1, 1795699848420170, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476741, 'default', 'part of 2', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, '', 68719476739, 1795699848329155, 1795699848349990, 1795699848349990, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476742, 'default', 'part of 3', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, 'ada', 68719476740, 1795699848335813, 1795699848354272, 1795699848354272, NULL, 2, NULL, 1, 1795699848098610, 0, '', NULL, NULL);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476737, 'made', 'then', 'default', 1795699848261273);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476739, 'made', 'then', 'default', 1795699848325206);
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (1, 68719476737, 1, 'run_created', 1, 1795699848261273, '{"workflow":"specimen.order","ref":{"id":"closed"},"input":[1],"seed":760774999708727627,"labels":{"made":"then"},"stages":["count","wait"]}', X'508C78DFD55F3517BA35DBB321D7C866');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (2, 68719476737, 2, 'run_started', 1, 1795699848264881, '{"worker":"vm-28103"}', X'6CBD5734D2725DF23F98DA925A66DB74');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (3, 68719476737, 3, 'stage_started', 1, 1795699848264881, '{"operation":1,"name":"count"}', X'180FF1C1D78D640456B202FBBEC38C92');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (4, 68719476737, 4, 'activity_scheduled', 1, 1795699848264881, '{"operation":2,"activity":"specimen.double","input":[1]}', X'63D67CEEABBFC32ECAA37C9E07704D3F');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (5, 68719476737, 5, 'activity_completed', 1, 1795699848273386, '{"operation":2,"result":2,"started_at":1795699848273170}', X'E8555F648CA4D4D7D2E19F98233FAB3E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (6, 68719476737, 6, 'state_key_set', 1, 1795699848273386, '{"operation":3,"key":"doubled","value":2}', X'0C2C93E0B950470000D85255284425F3');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (7, 68719476737, 7, 'stage_completed', 1, 1795699848273386, '{"operation":1}', X'5E46F34E2063B8416DC858B992B75E21');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (8, 68719476737, 8, 'stage_started', 1, 1795699848273386, '{"operation":4,"name":"wait"}', X'50E6EC0117EACAB0F2BD3064C6381D1E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (9, 68719476737, 9, 'child_requested', 1, 1795699848273386, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 1"},"input":[]}', X'7073C19F278FCAAD9918E3366DAA82D2');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (10, 68719476737, 10, 'child_started', 1, 1795699848273386, '{"operation":5,"run_key":68719476738}', X'8986D941ECB4378CE958916CFC6D32A5');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (11, 68719476738, 1, 'run_created', 1, 1795699848273386, '{"workflow":"specimen.part","ref":{"id":"part of 1"},"input":[],"seed":4155324621195501550,"parent":{"run_key":68719476737,"ref":{"id":"closed"},"operation":5}}', X'9D186AC259DCE38EBDCB2470C388F315');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (12, 68719476738, 2, 'run_started', 1, 1795699848290334, '{"worker":"vm-28103"}', X'71118CC33DFD6C56AD9AB78E860C9104');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (13, 68719476737, 11, 'signal_received', 1, 1795699848291585, '{"name":"go","body":10,"message_id":"07b799b4a4874ae1818bd67e9c235811"}', X'B454325F236C9E6F518325242AAD2C1D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (14, 68719476738, 3, 'signal_received', 1, 1795699848297275, '{"name":"go","body":10,"message_id":"f41607ea7bd64b9b9a041a6a9806dfd9"}', X'FDDFBD9DDA9209E7F3EE957AC0D5DC8E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (15, 68719476738, 4, 'run_completed', 1, 1795699848297275, '{"result":10}', X'7BF18813377D68523B7086A8CD195F41');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (16, 68719476737, 12, 'child_completed', 1, 1795699848309401, '{"operation":5,"result":10}', X'E08BCCE4881056A8409922C14D436BD0');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (17, 68719476737, 13, 'activity_scheduled', 1, 1795699848309401, '{"operation":6,"activity":"specimen.double","input":[1]}', X'7F71341CE43B5BCA7B6A175F950BCB00');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (18, 68719476737, 14, 'activity_completed', 1, 1795699848317133, '{"operation":6,"result":2,"started_at":1795699848316998}', X'D4FE7FA0E29C5840A6743B8529B6B861');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (19, 68719476737, 15, 'stage_completed', 1, 1795699848317133, '{"operation":4}', X'A4D60866DC2870F111EF88D71A90B919');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (20, 68719476737, 16, 'run_completed', 1, 1795699848317133, '{"result":22}', X'1663C23C13B4AFB3538405F01B780723');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (21, 68719476739, 1, 'run_created', 1, 1795699848325206, '{"workflow":"specimen.order","ref":{"id":"waiting"},"input":[2],"seed":7823887176867851742,"labels":{"made":"then"},"stages":["count","wait"]}', X'2E01F595ACEE539B196E821500DE58EA');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (22, 68719476739, 2, 'run_started', 1, 1795699848325345, '{"worker":"vm-28103"}', X'914A14BCFEB0DD3AF2C6A52E3CFBA402');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (23, 68719476739, 3, 'stage_started', 1, 1795699848325345, '{"operation":1,"name":"count"}', X'1BF9D3F21A489B8631173B9B01643259');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (24, 68719476739, 4, 'activity_scheduled', 1, 1795699848325345, '{"operation":2,"activity":"specimen.double","input":[2]}', X'83BD9E9257175D1432B6E7973E754C97');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (25, 68719476740, 1, 'run_created', 1, 1795699848329046, '{"workflow":"specimen.order","ref":{"id":"told"},"input":[3],"seed":5979781567584352501,"tenant":"ada","stages":["count","wait"]}', X'1175EB317F0F0039F50150B87E64B0E8');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (26, 68719476740, 2, 'run_started', 1, 1795699848329155, '{"worker":"vm-28103"}', X'7A414D29CE4281E7ADBC06BE8FC2D4DB');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (27, 68719476740, 3, 'stage_started', 1, 1795699848329155, '{"operation":1,"name":"count"}', X'A7F473811E7A1558BA27A39793B071F2');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (28, 68719476740, 4, 'activity_scheduled', 1, 1795699848329155, '{"operation":2,"activity":"specimen.double","input":[3]}', X'6BACCC42AC9FA4302D25C7EADC712DC9');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (29, 68719476739, 5, 'activity_completed', 1, 1795699848329155, '{"operation":2,"result":4,"started_at":1795699848328933}', X'56F0C60DD4A7B95BEE2B8850EECF402F');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (30, 68719476739, 6, 'state_key_set', 1, 1795699848329155, '{"operation":3,"key":"doubled","value":4}', X'05DBFDEB0927F42012447A23466E720C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (31, 68719476739, 7, 'stage_completed', 1, 1795699848329155, '{"operation":1}', X'5C0BBF165963ED0FD8C0CDA61A695AB8');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (32, 68719476739, 8, 'stage_started', 1, 1795699848329155, '{"operation":4,"name":"wait"}', X'92CFA77920EED7E7A7A4342F84BD011F');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (33, 68719476739, 9, 'child_requested', 1, 1795699848329155, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 2"},"input":[]}', X'9680FA560B0BA9C36456DD74A0034FDF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (34, 68719476739, 10, 'child_started', 1, 1795699848329155, '{"operation":5,"run_key":68719476741}', X'8DD2C5217313C6DDF14526281B1FB01D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (35, 68719476741, 1, 'run_created', 1, 1795699848329155, '{"workflow":"specimen.part","ref":{"id":"part of 2"},"input":[],"seed":2517024620316768232,"parent":{"run_key":68719476739,"ref":{"id":"waiting"},"operation":5}}', X'B5EF43FC9E45C1C04374DF2FB9DCA3B4');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (36, 68719476740, 5, 'activity_completed', 1, 1795699848335813, '{"operation":2,"result":6,"started_at":1795699848335186}', X'4C07BFF61B6248C1269D6A83891FF171');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (37, 68719476740, 6, 'state_key_set', 1, 1795699848335813, '{"operation":3,"key":"doubled","value":6}', X'2DDA1EE219C27EDC782DDE1D107AA34F');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (38, 68719476740, 7, 'stage_completed', 1, 1795699848335813, '{"operation":1}', X'17EF587B7F6C3D82ABE81BF7CDE3872C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (39, 68719476740, 8, 'stage_started', 1, 1795699848335813, '{"operation":4,"name":"wait"}', X'7AEA7626E566191DA42877A1525D0C0A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (40, 68719476740, 9, 'child_requested', 1, 1795699848335813, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 3"},"input":[]}', X'FB0FEDEEDBF4055B1AF1AECB50280498');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (41, 68719476740, 10, 'child_started', 1, 1795699848335813, '{"operation":5,"run_key":68719476742}', X'587D72851D885721847809523EBA9799');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (42, 68719476742, 1, 'run_created', 1, 1795699848335813, '{"workflow":"specimen.part","ref":{"id":"part of 3"},"input":[],"seed":8933160166213599828,"tenant":"ada","parent":{"run_key":68719476740,"ref":{"id":"told"},"operation":5}}', X'A8B30CB520AB01FCF4100E770D88AF6C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (43, 68719476741, 2, 'run_started', 1, 1795699848349990, '{"worker":"vm-28103"}', X'1580BC04997B7DE590F254A485F27058');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (44, 68719476742, 2, 'run_started', 1, 1795699848354272, '{"worker":"vm-28103"}', X'DB4D41D3E3329E6DB4CF51FCDAFBAB5B');
INSERT INTO inbox (position, run_key, message_id, data, at, digest) VALUES (3, 68719476740, '7454530abd8c4e3285cd1f84e354740d', '{"kind":"signal","name":"go","body":30,"message_id":"7454530abd8c4e3285cd1f84e354740d"}', 1795699848420170, X'09F142AEC46F48CD9E3ECB6608D84ED6');
INSERT INTO store_meta (name, value) VALUES ('identity', 2163015860148405620);
INSERT INTO store_meta (name, value) VALUES ('last_worker_id', 2);
INSERT INTO store_meta (name, value) VALUES ('latest_time', 1795699848397794);
INSERT INTO key_origins (worker_id, origin) VALUES (1, 3928669536921666435);
INSERT INTO sqlite_sequence (name, seq) VALUES ('inbox', 3);
