-- Rows of a history that hold several events (perdure.stores.sql.blocks): the events of a transition are one row.
-- They are written once all sessions say that they read them. Older libraries that are at work go on, and keep the
-- others from it until they end; none begins anew, since it could not read what is there by then.
ALTER TABLE history ADD COLUMN events smallint NOT NULL DEFAULT 1;
ALTER TABLE sessions ADD COLUMN reads_blocks boolean NOT NULL DEFAULT false;
