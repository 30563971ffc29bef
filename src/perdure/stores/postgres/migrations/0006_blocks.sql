-- Rows of a history that hold several events (perdure.stores.sql.blocks): the events of a transition are one row.
-- They are written once all sessions say that they read them. Older libraries that are at work go on, and keep the
-- others from it until they end. None begins anew, since it could not read what is there by then: it is refused when it
-- looks at the versions; and one that has looked before, or that comes back after its lease had passed and its session
-- was forgotten, cannot insert its session, which has no default.
ALTER TABLE history ADD COLUMN events smallint NOT NULL DEFAULT 1;
ALTER TABLE sessions ADD COLUMN reads_blocks boolean NOT NULL DEFAULT false;
ALTER TABLE sessions ALTER COLUMN reads_blocks DROP DEFAULT;
