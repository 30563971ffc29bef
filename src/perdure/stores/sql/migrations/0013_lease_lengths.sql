-- How long a session's lease is, so that each is cut to its own length when the clock was set back (NULL: not known).
ALTER TABLE sessions ADD COLUMN lease_microseconds INTEGER;
