-- The last rows that may have no digest, since an older Perdure wrote them; what came later and has none has lost it.
INSERT INTO store_meta (name, value) SELECT 'history_without_digests', coalesce(max(position), 0) FROM history;

INSERT INTO store_meta (name, value) SELECT 'inbox_without_digests', coalesce(max(position), 0) FROM inbox;
