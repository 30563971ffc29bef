"""Runs that leave a database, and come back: exports, imports, retention and its archive.

**Promise.** A run that retention removes is whole in the archive, and synced to the disk, before its removal begins: a
crash between these two leaves it in both, never in none. What an open run needs is not removed
(`perdure.ports.keeping`). A file gives back what it was made of: each run carries a digest of its lines, and nothing of
a run whose lines are damaged or cut off is taken in. A run that is there already is not taken in twice.

**One format** (`run_lines`): JSON lines, those of events being the lines of saved histories (`event_lines`). Exports
and archives are the same; a file may hold several, one after the other, which is what appending to an archive makes.

**Secrets.** Values that a codec keeps secret stay as they are stored, in exports and archives, unless the caller asks
to decrypt them: an archive is as readable as the database, no more. They can be read by the same keys.

**Keys.** Histories name runs by the keys of their database, and files say where each key was given out: each opening of
a database has an origin of its own, which copies of the file made later share. Where a key means the same, a run keeps
it. Elsewhere it gets one that is computed from both (`rekeying`): so runs that were exported at different times still
name each other rightly, are known again wherever they go, and those of two copies are never taken for each other. The
names in idempotency keys are none of these: they are the same everywhere (`RunState.call_name`), unless an
older Perdure began the run.

**One at a time.** Whoever removes runs holds an entry of the agenda for a while, and prolongs it (`turns`). A process
that was held up past that is harmless: the store demands of each run anew that it may go, so the worst is that a run
stands in two archive files.

**Rejected**: to mark removed runs instead of deleting them, since the file would grow for ever; to keep ids and
requests of removed runs, for the same reason; to append to an archive file of another process, since after a crash it
may end in the middle of a run, and to cut it there could cut what was only misread.
"""
