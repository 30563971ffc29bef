-- Which process a session is of (perdure.stores.postgres.processes): who runs on its machine knows at once that it has
-- ended. Sessions of older libraries do not say it.
--
-- Libraries go on that know version 3.
ALTER TABLE sessions ADD COLUMN process text NOT NULL DEFAULT '';
