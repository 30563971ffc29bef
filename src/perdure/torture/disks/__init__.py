"""Disks that fail, and what a crash leaves on them.

A `recording.RecordingDisk` lies beneath a store that carries out a random program (`perdure.torture.programs`), and
notes each write, sync, truncation, creation and deletion of its files, and where the store had answered (`life`). From
these notes a `platter.Platter` builds what a loss of power may leave at any moment: of what was not synced each write,
and of each write each sector, may be there or not, or be garbage; a file whose folder was not synced may be gone again.

`judgement` opens what is left, and demands that it holds, table by table and row by row, what the files held at some
moment since the last answer: so nothing answered is lost, nothing is there that never was, and no transaction in part.
"""
