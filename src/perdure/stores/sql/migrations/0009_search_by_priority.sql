-- Runs of the usual priority stand in no index: who asks for them finds them everywhere.
CREATE INDEX runs_of_unusual_priority ON runs (namespace, priority, created_at, run_key)
WHERE latest = 1 AND priority <> 2;
