"""Verification of a database: what is stored is what was written, run by run and beside them.

**Promise.** Each run is read at one moment, a few in one turn of the reader: others go on writing, and the log is not
kept for long. Nothing is changed but by a repair, which is certain, and by quarantine, which parks. One damaged run, or
page, keeps nothing else from being verified.

What is compared: histories by their digests (`perdure.stores.sql.chain`), rows of runs and labels by the histories,
messages and entries of the agenda by their digests, lines of locks by the histories of those who hold them, requests
and counters by the rows that they are about, and the trees of the file by SQLite's own check. That one reads a whole
table at a time; the log grows by what is written meanwhile.
"""

from perdure.stores.sqlite.verification.verifier import Verifier

__all__ = ["Verifier"]
