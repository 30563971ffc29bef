"""What the rows of a database say of runs, decoded."""

from collections import Counter, defaultdict
from typing import Any, Final

import msgspec

from perdure.errors import PerdureError
from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent, decode_event
from perdure.kernel.standing import standing_of
from perdure.torture.kills.rows import HistoryRow, Rows

__all__ = ["LockEvent", "StoredRun", "Tables", "key_of"]

LockEvent = e.LockRequested | e.LockAcquired | e.LockDenied | e.LockReleased


class StoredRun(msgspec.Struct, kw_only=True):
    """A row of `runs` with its history."""

    run_key: int
    id: str
    generation: int
    latest: bool
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
    """What the rows of a database say, and what is wrong with them."""

    def __init__(self, rows: Rows) -> None:
        """Decode all rows."""
        self.faults: Final = list(rows.faults)
        self.runs: Final = {row.run_key: StoredRun(**row._asdict()) for row in rows.runs}
        self.generations: Final[dict[str, list[StoredRun]]] = defaultdict(list)
        for run in self.runs.values():
            self.generations[run.id].append(run)
        # Position among the events of all runs, run key, event.
        self.lock_events: Final[list[tuple[int, int, LockEvent]]] = []
        # Run key and sequence -> when it was committed, at the earliest.
        self.noted_at: Final = {(row.run_key, row.sequence): row.noted_at for row in rows.history}
        for row in rows.history:
            self._add_event(row)
        self.lines: Final = rows.locks
        self.tasks: Final = rows.tasks
        self.inbox: Final[list[tuple[int, dict[str, Any]]]] = [
            (run_key, msgspec.json.decode(data)) for run_key, data in rows.inbox
        ]
        self.sessions: Final = rows.sessions
        self.balances: Final = dict(rows.accounts)
        self.ledger: Final = rows.ledger

    def _add_event(self, row: HistoryRow) -> None:
        if row.run_key not in self.runs:
            self.faults.append(f"history: event {row.sequence} ({row.type}) belongs to no run ({row.run_key})")
            return
        try:
            recorded = decode_event(row.sequence, row.type, row.version, row.at, row.data)
        except PerdureError as error:
            self.faults.append(f"history: {error} (run key {row.run_key})")
            return
        self.runs[row.run_key].history.append(recorded)
        if isinstance(recorded.event, LockEvent):
            self.lock_events.append((row.position, row.run_key, recorded.event))

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


def key_of(run: StoredRun, operation: int) -> str:
    """Return the idempotency key of a step."""
    standing = standing_of(recorded.event for recorded in run.history)
    return f"{'' if standing is None else standing.call_name}-{operation}"
