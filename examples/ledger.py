"""The outside world of the examples, simulated: what it did stands in a small SQLite file, where it can be counted.

No other part of an example writes that file, so it tells what really happened, whatever the runs' own records say.
Like good services of the real world it takes an idempotency key: a request that comes again with the same key gets the
first answer and has no second effect.
"""

import asyncio
import os
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import msgspec

from perdure import current_attempt

__all__ = ["LEDGER_FILE", "Effect", "Ledger", "connect_to_world", "ledger_from_environment", "reference_for"]

LEDGER_FILE = "EXAMPLE_LEDGER"
"""Environment variable: the file in which the simulated world keeps what it did."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened: its `kind`, the `subject` (an application, a subscription), a `detail` in words."""

    id: str
    kind: str
    subject: str
    detail: str


def ledger_from_environment() -> "Ledger":
    """Return the ledger that this process was told to use, as a deployment would tell it."""
    return Ledger(Path(os.environ[LEDGER_FILE]))


class Ledger:
    """What happened outside, each thing once."""

    def __init__(self, path: Path) -> None:
        """Use the ledger in `path`; it is made with the first effect."""
        self._path = path

    async def record(self, kind: str, subject: str, detail: str = "") -> str:
        """Let something happen, once for all attempts of the activity that asks for it; return its id."""
        return await asyncio.to_thread(self._record, current_attempt().idempotency_key, kind, subject, detail)

    def effects(self) -> list[Effect]:
        """Return what happened so far, in its order; nothing where there is no file yet."""
        if not self._path.exists():
            return []
        with closing(self._open()) as connection:
            rows = connection.execute("SELECT id, kind, subject, detail FROM effects ORDER BY number")
            return [Effect(id=id_, kind=kind, subject=subject, detail=detail) for id_, kind, subject, detail in rows]

    def _record(self, key: str, kind: str, subject: str, detail: str) -> str:
        with closing(self._open()) as connection:
            connection.execute(
                "INSERT OR IGNORE INTO effects (key, id, kind, subject, detail) VALUES (?, ?, ?, ?, ?)",
                (key, reference_for(kind, key), kind, subject, detail),
            )
            (reference,) = connection.execute("SELECT id FROM effects WHERE key = ?", (key,)).fetchone()
        return str(reference)

    def _open(self) -> sqlite3.Connection:
        connection = connect_to_world(self._path)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS effects "
            "(number INTEGER PRIMARY KEY, key TEXT UNIQUE, id TEXT, kind TEXT, subject TEXT, detail TEXT)"
        )
        return connection


def connect_to_world(path: Path) -> sqlite3.Connection:
    """Open the file of a simulated world."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    # The real services stand on other machines: their durability is not what the examples are about.
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def reference_for(kind: str, key: str) -> str:
    """Return the id of what was done under an idempotency key, the same whenever it is asked for again."""
    return f"{kind}-{zlib.crc32(key.encode()):08x}"
