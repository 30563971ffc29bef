-- What shall happen when: schedules and the like. `version` guards every change of an entry; `data` and `inputs` are JSON.
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
