-- JSON of a `Parking`, while a run is parked: its code cannot go on with it, and none that has tried could.
ALTER TABLE runs ADD COLUMN parked TEXT;

CREATE INDEX runs_parked ON runs (priority, run_key, workflow, definition_version) WHERE parked IS NOT NULL;
