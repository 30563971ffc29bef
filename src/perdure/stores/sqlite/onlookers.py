"""Onlookers: which processes read the database now, by the locks that the kernel keeps for SQLite.

Whoever reads holds a lock on one byte of the file `<database>-shm`, from the beginning of a transaction to its end; as
long as it is there the log cannot begin anew. Linux tells who holds which lock (`/proc/locks`), also to who is not
root; of a process in another container it tells no number that means anything here.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["onlookers"]


def onlookers(database: Path) -> list[str]:
    """Return who reads the database now, this process aside; empty if nobody does or it cannot be known."""
    shared = database.with_name(f"{database.name}-shm")
    try:
        locks = _LOCKS.read_text(encoding="utf-8")
        status = shared.stat()
    except OSError:
        return []
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    return [_named(process) for process in sorted(set(_readers(locks, device)) - {os.getpid()})]


def _readers(locks: str, file: str) -> Iterator[int]:
    """Yield the processes that hold a reader's lock: ``1: POSIX  ADVISORY  READ 4711 fd:00:12345 124 124``."""
    for line in locks.splitlines():
        words = line.split()
        if len(words) == _WORDS and words[3] == "READ" and words[5] == file and words[6].isdigit():
            first, last = int(words[6]), int(words[7]) if words[7].isdigit() else _LAST_READER_BYTE
            if first <= _LAST_READER_BYTE and last >= _FIRST_READER_BYTE:
                yield int(words[4])


def _named(process: int) -> str:
    try:
        name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"process {process}, which cannot be seen from here"
    return f"process {process} ({name})"


_LOCKS: Final = Path("/proc/locks")
_WORDS: Final = 8
_FIRST_READER_BYTE: Final = 123
"""Of SQLite's wal-index (walformat.html, "Locks"): bytes 123 to 127 are WAL_READ_LOCK(0) to (4)."""
_LAST_READER_BYTE: Final = 127
