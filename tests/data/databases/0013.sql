PRAGMA application_id = 1346720324;
PRAGMA user_version = 13;
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
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (1, 'runs_histories_inboxes', '8c51f0e7a7b8caf5dc449840ac251716946c14d90f50e3c85e6a9581bb579d23', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (2, 'agenda', 'ce3f48b3d130fcefa1509b9ea11cd6eb370b914111acde86c85c7c5aee22298f', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (3, 'claims_by_version', '0d7fc95043f88683251d9314ba4f040095a4311f172e2999ccffc374f0d110ce', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (4, 'message_requests', 'd18be9a03a331e59c0d6bbd622f64f4e6750aae70c173192ed24ad685b78b595', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (5, 'parked_runs', 'dc0fec0430f12964574ad210f112d61b64c154d93414bd7a77439b1e6375a9a1', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (6, 'ends_without_code', '41ae4db337cfed1fe9371292573149dcddb81320856f654d7c235f5edc17fe4c', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (7, 'locks', 'f02fdbaf0d8652cd3593269cd4e5510da413db9b1f05e9f56148d38cec828c1b', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (8, 'digests', 'f1ad684a6d4178ca777c58135f2e5d198522a41257c2fb41b5e8428773a295c7', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (9, 'search_by_priority', '25dabcbb33cd108e5e2121a7c5544f47c165c5894012c95e2fab73d199b1194b', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (10, 'keeping', '09a8c489f515ecfa5382521b3f1f6330393f97c9d9e7afec9015286a50306bef', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (11, 'key_origins', 'bbca877bcb50bdad832a9738d174f94aafb42acd45c2aa861b0cb850d8482b0f', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (12, 'lost_digests', '419b2d5c3af19ea31990e45f3baeb4f8e6995bf3fb1d478a742cf48d0beb7063', 1795702370732908);
INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (13, 'lease_lengths', '282021f5d3fda0f4ae1904f3c5b360a91badd3aaa632b504bb8a436cce26627a', 1795702370732908);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476737, 'default', 'closed', 1, 1, 'specimen.order', '1', 'completed', '', 1.0, 2, '', NULL, 1795702370914963, 1795702370915588, 1795702370949068, 1795702370949068, 16, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476738, 'default', 'part of 1', 1, 1, 'specimen.part', '1', 'completed', '', 1.0, 2, '', 68719476737, 1795702370919584, 1795702370923822, 1795702370933752, 1795702370933752, 4, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476739, 'default', 'waiting', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, '', NULL, 1795702370952981, 1795702370953084, 1795702370957059, NULL, 10, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476740, 'default', 'told', 1, 1, 'specimen.order', '1', 'running', 'wait', 0.33333333333333332, 2, 'ada', NULL, 1795702370956971, 1795702370957059, 1795702370961387, NULL, 10, NULL, 1, 1795702371007064, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476741, 'default', 'part of 2', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, '', 68719476739, 1795702370957059, 1795702370963475, 1795702370963475, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO runs (run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, priority, tenant, parent_key, created_at, started_at, updated_at, closed_at, sequence, owner, fencing_token, wake_at, recovering, request_id, parked, end_at) VALUES (68719476742, 'default', 'part of 3', 1, 1, 'specimen.part', '1', 'running', '', 0.0, 2, 'ada', 68719476740, 1795702370961387, 1795702370965051, 1795702370965051, NULL, 2, NULL, 1, NULL, 0, '', NULL, NULL);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476737, 'made', 'then', 'default', 1795702370914963);
INSERT INTO run_labels (run_key, name, value, namespace, created_at) VALUES (68719476739, 'made', 'then', 'default', 1795702370952981);
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (1, 68719476737, 1, 'run_created', 1, 1795702370914963, '{"workflow":"specimen.order","ref":{"id":"closed"},"input":[1],"seed":760774999708727627,"labels":{"made":"then"},"stages":["count","wait"]}', X'86338F67CD618861F53CDA2112809F3C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (2, 68719476737, 2, 'run_started', 1, 1795702370915588, '{"worker":"vm-20982"}', X'5EBB6C3FED2C499DDB1333FE21E8364E');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (3, 68719476737, 3, 'stage_started', 1, 1795702370915588, '{"operation":1,"name":"count"}', X'BA32AAFF859DDA7B4845F64CBE122448');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (4, 68719476737, 4, 'activity_scheduled', 1, 1795702370915588, '{"operation":2,"activity":"specimen.double","input":[1]}', X'DE6395FF4252E3489C8FA3C6B90A6599');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (5, 68719476737, 5, 'activity_completed', 1, 1795702370919584, '{"operation":2,"result":2,"started_at":1795702370919419}', X'7A898466AF00C74CE0F069152A56F212');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (6, 68719476737, 6, 'state_key_set', 1, 1795702370919584, '{"operation":3,"key":"doubled","value":2}', X'954472DDF58649A897B76BF8714E3A6D');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (7, 68719476737, 7, 'stage_completed', 1, 1795702370919584, '{"operation":1}', X'38DEB07D96E3B722D44EAE1E477584F5');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (8, 68719476737, 8, 'stage_started', 1, 1795702370919584, '{"operation":4,"name":"wait"}', X'5E8CEE3998FE585B5266748628154DF5');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (9, 68719476737, 9, 'child_requested', 1, 1795702370919584, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 1"},"input":[]}', X'6716D6D7A9190B86EA1044B842F50BAF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (10, 68719476737, 10, 'child_started', 1, 1795702370919584, '{"operation":5,"run_key":68719476738}', X'D2F3A4797212AB296AE6317EDA3E8440');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (11, 68719476738, 1, 'run_created', 1, 1795702370919584, '{"workflow":"specimen.part","ref":{"id":"part of 1"},"input":[],"seed":4155324621195501550,"parent":{"run_key":68719476737,"ref":{"id":"closed"},"operation":5}}', X'AC8ABE890DA03347289C8E32289DC0F8');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (12, 68719476738, 2, 'run_started', 1, 1795702370923822, '{"worker":"vm-20982"}', X'6FE1ED44ADD9FCD740B9A9693C8D3D9B');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (13, 68719476738, 3, 'signal_received', 1, 1795702370933752, '{"name":"go","body":10,"message_id":"8ca0d88a1da5458d92964b440bc73313"}', X'FA10EF31A1C77734D82F0E8205327444');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (14, 68719476738, 4, 'run_completed', 1, 1795702370933752, '{"result":10}', X'2E67258FBD555FAB653DD96254917F41');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (15, 68719476737, 11, 'child_completed', 1, 1795702370937421, '{"operation":5,"result":10}', X'1336CDDD56560831450D0458E407278A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (16, 68719476737, 12, 'signal_received', 1, 1795702370944916, '{"name":"go","body":10,"message_id":"cb15c5f1505f430eb1367b3f0c6b6d01"}', X'8CE608F3CBAEA2EDAF759F49327CDC6C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (17, 68719476737, 13, 'activity_scheduled', 1, 1795702370944916, '{"operation":6,"activity":"specimen.double","input":[1]}', X'A7A78B8C210AC777CF930C03E16B13B2');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (18, 68719476737, 14, 'activity_completed', 1, 1795702370949068, '{"operation":6,"result":2,"started_at":1795702370948911}', X'A055089D8CC10803DDC88E9EBD930169');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (19, 68719476737, 15, 'stage_completed', 1, 1795702370949068, '{"operation":4}', X'82DD8AF8E54908A583F585A7C4198D00');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (20, 68719476737, 16, 'run_completed', 1, 1795702370949068, '{"result":22}', X'D3F6AA398115D3D174993D59A33875B0');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (21, 68719476739, 1, 'run_created', 1, 1795702370952981, '{"workflow":"specimen.order","ref":{"id":"waiting"},"input":[2],"seed":7823887176867851742,"labels":{"made":"then"},"stages":["count","wait"]}', X'E99796AE05E5C3189349B17FEA727A66');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (22, 68719476739, 2, 'run_started', 1, 1795702370953084, '{"worker":"vm-20982"}', X'0C43F99D09A08780CC824F48B069A5D8');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (23, 68719476739, 3, 'stage_started', 1, 1795702370953084, '{"operation":1,"name":"count"}', X'33186193589FFE4B6342A1407AB59F82');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (24, 68719476739, 4, 'activity_scheduled', 1, 1795702370953084, '{"operation":2,"activity":"specimen.double","input":[2]}', X'39849B3924D71E2ACA5852774EB561FE');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (25, 68719476740, 1, 'run_created', 1, 1795702370956971, '{"workflow":"specimen.order","ref":{"id":"told"},"input":[3],"seed":5979781567584352501,"tenant":"ada","stages":["count","wait"]}', X'141838B0BF15A8526BCE8539512DD5CE');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (26, 68719476740, 2, 'run_started', 1, 1795702370957059, '{"worker":"vm-20982"}', X'5DA0EEF318C3309B970771A4FFFF683A');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (27, 68719476740, 3, 'stage_started', 1, 1795702370957059, '{"operation":1,"name":"count"}', X'83445139A597104A775EFBDA16C734DB');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (28, 68719476740, 4, 'activity_scheduled', 1, 1795702370957059, '{"operation":2,"activity":"specimen.double","input":[3]}', X'4B5950F2D198B07416F801ECCA8A127F');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (29, 68719476739, 5, 'activity_completed', 1, 1795702370957059, '{"operation":2,"result":4,"started_at":1795702370956889}', X'5266894D6C65FB7C41854A9EFCCC4BB1');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (30, 68719476739, 6, 'state_key_set', 1, 1795702370957059, '{"operation":3,"key":"doubled","value":4}', X'EFE6EE37C479B1382583A34DBEA8569B');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (31, 68719476739, 7, 'stage_completed', 1, 1795702370957059, '{"operation":1}', X'1AFE21975CFD6F499C211055AC1C065C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (32, 68719476739, 8, 'stage_started', 1, 1795702370957059, '{"operation":4,"name":"wait"}', X'08DAD52CB9009166712A85A27528B92C');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (33, 68719476739, 9, 'child_requested', 1, 1795702370957059, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 2"},"input":[]}', X'131E21D566B6E6702933539BA3850A4F');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (34, 68719476739, 10, 'child_started', 1, 1795702370957059, '{"operation":5,"run_key":68719476741}', X'372750BEE7AA7C8E0C553629C1005D5F');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (35, 68719476741, 1, 'run_created', 1, 1795702370957059, '{"workflow":"specimen.part","ref":{"id":"part of 2"},"input":[],"seed":2517024620316768232,"parent":{"run_key":68719476739,"ref":{"id":"waiting"},"operation":5}}', X'492AAE028931F246BBA017FE221D4DDE');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (36, 68719476740, 5, 'activity_completed', 1, 1795702370961387, '{"operation":2,"result":6,"started_at":1795702370960887}', X'DE299CB6083D2DEB7C7BB77DDD73C693');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (37, 68719476740, 6, 'state_key_set', 1, 1795702370961387, '{"operation":3,"key":"doubled","value":6}', X'5DC30473AC12483AE34A8BF1CA888901');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (38, 68719476740, 7, 'stage_completed', 1, 1795702370961387, '{"operation":1}', X'DB45DFCF101FF9BC4C17386D099D8991');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (39, 68719476740, 8, 'stage_started', 1, 1795702370961387, '{"operation":4,"name":"wait"}', X'737CF53A799C45E8B1039C88992F76EC');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (40, 68719476740, 9, 'child_requested', 1, 1795702370961387, '{"operation":5,"workflow":"specimen.part","child":{"id":"part of 3"},"input":[]}', X'08B8132E12E4DD1A9D0227DBFADA49F4');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (41, 68719476740, 10, 'child_started', 1, 1795702370961387, '{"operation":5,"run_key":68719476742}', X'92028811AA50ABC0EF4591A7142E4DAD');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (42, 68719476742, 1, 'run_created', 1, 1795702370961387, '{"workflow":"specimen.part","ref":{"id":"part of 3"},"input":[],"seed":8933160166213599828,"tenant":"ada","parent":{"run_key":68719476740,"ref":{"id":"told"},"operation":5}}', X'82AE098722D0097718E468CCAEDDDACF');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (43, 68719476741, 2, 'run_started', 1, 1795702370963475, '{"worker":"vm-20982"}', X'CC86A9EDEB9544CD3759EC1B95964D81');
INSERT INTO history (position, run_key, sequence, type, version, at, data, digest) VALUES (44, 68719476742, 2, 'run_started', 1, 1795702370965051, '{"worker":"vm-20982"}', X'6CDFA486CDBAA162759EEFE7E508179C');
INSERT INTO inbox (position, run_key, message_id, data, at, digest) VALUES (2, 68719476740, '95306f3d3e0947eb8787e89f6d86d3c8', '{"kind":"signal","name":"go","body":30,"message_id":"95306f3d3e0947eb8787e89f6d86d3c8"}', 1795702371007064, X'8101F8B661DCDA1AB085CCDC39F6AECD');
INSERT INTO store_meta (name, value) VALUES ('history_without_digests', 0);
INSERT INTO store_meta (name, value) VALUES ('identity', 1005648721769163261);
INSERT INTO store_meta (name, value) VALUES ('inbox_without_digests', 0);
INSERT INTO store_meta (name, value) VALUES ('last_worker_id', 2);
INSERT INTO store_meta (name, value) VALUES ('latest_time', 1795702371001714);
INSERT INTO key_origins (worker_id, origin) VALUES (1, 3774972170865620052);
INSERT INTO sqlite_sequence (name, seq) VALUES ('inbox', 2);
