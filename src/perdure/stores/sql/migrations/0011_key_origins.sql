-- Where a session's run keys were given out: a number that only this database has, and copies that were made of it since.
-- A copy counts its sessions on, under the same numbers and with origins of its own. Without a row: the store's identity.
CREATE TABLE key_origins (
    worker_id INTEGER PRIMARY KEY,
    origin INTEGER NOT NULL
) STRICT;
