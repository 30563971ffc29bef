"""The tables of a database, read with SQLite alone and not through the store."""

import sqlite3
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec

from perdure.errors import PerdureError
from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent, decode_event

__all__ = ["LockEvent", "StoredRun", "Tables", "busiest_of"]

LockEvent = e.LockRequested | e.LockAcquired | e.LockDenied | e.LockReleased


class StoredRun(msgspec.Struct, kw_only=True):
    """A row of `runs` with its history."""

    run_key: int
    id: str
    generation: int
    latest: int
    workflow: str
    status: str
    sequence: int
    owner: int | None
    wake_at: int | None
    history: list[RecordedEvent] = []

    @property
    def created(self) -> e.RunCreated | None:
        """The event that a history begins with."""
        first = self.history[0].event if self.history else None
        return first if isinstance(first, e.RunCreated) else None

    @property
    def ending(self) -> e.Event | None:
        """The last event."""
        return self.history[-1].event if self.history else None


class Tables:
    """All rows, and what is wrong with the file."""

    def __init__(self, path: Path) -> None:
        """Read the file at `path`, which nobody has open."""
        self.faults: list[str] = []
        self.runs: dict[int, StoredRun] = {}
        self.generations: dict[str, list[StoredRun]] = defaultdict(list)
        self.inbox: list[tuple[int, dict[str, Any]]] = []
        self.sessions = 0
        # Position among the events of all runs, run key, event.
        self.lock_events: list[tuple[int, int, LockEvent]] = []
        self.lines: list[tuple[int, str]] = []
        connection = sqlite3.connect(path)
        try:
            self._read(connection)
        finally:
            connection.close()

    def _read(self, connection: sqlite3.Connection) -> None:
        for (answer,) in connection.execute("PRAGMA integrity_check"):
            if answer != "ok":
                self.faults.append(f"file: integrity_check says {answer}")
        for row in connection.execute(
            "SELECT run_key, id, generation, latest, workflow, status, sequence, owner, wake_at FROM runs "
            "ORDER BY id, generation"
        ):
            run = StoredRun(**dict(zip(StoredRun.__struct_fields__, row, strict=False)), history=[])
            self.runs[run.run_key] = run
            self.generations[run.id].append(run)
        for run_key, position, *row in connection.execute(
            "SELECT run_key, position, sequence, type, version, at, data FROM history ORDER BY run_key, sequence"
        ):
            self._add_event(run_key, position, row)
        self.lines = list(connection.execute("SELECT run_key, key FROM locks"))
        self.inbox = [
            (run_key, msgspec.json.decode(data))
            for run_key, data in connection.execute("SELECT run_key, data FROM inbox")
        ]
        (self.sessions,) = connection.execute("SELECT count(*) FROM sessions").fetchone()

    def _add_event(self, run_key: int, position: int, row: list[Any]) -> None:
        if run_key not in self.runs:
            self.faults.append(f"history: event {row[0]} ({row[1]}) belongs to no run ({run_key})")
            return
        try:
            recorded = decode_event(*row)
        except PerdureError as error:
            self.faults.append(f"history: {error} (run key {run_key})")
            return
        self.runs[run_key].history.append(recorded)
        if isinstance(recorded.event, LockEvent):
            self.lock_events.append((position, run_key, recorded.event))

    def signals(self, run_id: str) -> Counter[str]:
        """Count the signals of a run by message id, received or still in the inbox."""
        found: Counter[str] = Counter()
        for run in self.generations.get(run_id, []):
            found.update(r.event.message_id for r in run.history if isinstance(r.event, e.SignalReceived))
            found.update(data["message_id"] for key, data in self.inbox if key == run.run_key and "message_id" in data)
        return found

    def is_cancelled_for(self, reason: str, run: StoredRun) -> bool:
        """Whether a run was asked to cancel for a reason, or the message came when its end had been decided on."""
        return any(isinstance(r.event, e.RunCancelRequested) and r.event.reason == reason for r in run.history) or any(
            key == run.run_key and data.get("reason") == reason for key, data in self.inbox
        )


def busiest_of(path: Path) -> str:
    """Return the name of the session that has most runs, "" if none has any; the database may be in use."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        row = connection.execute(
            "SELECT sessions.name FROM runs JOIN sessions ON owner = worker_id GROUP BY owner ORDER BY count(*) DESC"
        ).fetchone()
        return "" if row is None else str(row[0])
    finally:
        connection.close()
