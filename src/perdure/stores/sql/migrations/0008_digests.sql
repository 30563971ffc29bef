-- What makes damage show: see `perdure/stores/sql/chain.py`. NULL: written by a Perdure that knew no digests.
ALTER TABLE history ADD COLUMN digest BLOB;

ALTER TABLE inbox ADD COLUMN digest BLOB;

ALTER TABLE agenda ADD COLUMN digest BLOB;
