-- A run goes on with the version of its workflow that it began with: claims pass over the versions of others, too.
DROP INDEX runs_to_claim;

CREATE INDEX runs_to_claim ON runs (priority, wake_at, run_key, workflow, definition_version)
WHERE owner IS NULL AND wake_at IS NOT NULL;
