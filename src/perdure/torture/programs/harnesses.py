"""The stores as the conformance suite and the differential test handle them."""

from pathlib import Path

import apsw

from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.ports.store import RunStore
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreHarness
from perdure.testing.store_conformance.harness import START

__all__ = ["MemoryHarness", "SessionClock", "SqliteHarness"]


class MemoryHarness(StoreHarness):
    """A database in memory."""

    def __init__(self) -> None:
        """Begin with no rows."""
        super().__init__()
        self.database = MemoryDatabase()

    def new_store(self) -> MemoryStore:
        """See `StoreHarness`."""
        return MemoryStore(self.database)

    async def crash(self, store: RunStore) -> None:
        """See `StoreHarness`."""
        assert isinstance(store, MemoryStore)
        self.database.kill(store.worker)

    async def damage_event(self, run_key: RunKey, sequence: int, *, data: bytes) -> None:
        """See `StoreHarness`."""
        rows = self.database.events[run_key]
        rows[sequence - 1] = (*rows[sequence - 1][:4], data)

    async def remove_event(self, run_key: RunKey, sequence: int) -> None:
        """See `StoreHarness`."""
        del self.database.events[run_key][sequence - 1]


class SqliteHarness(StoreHarness):
    """A database file."""

    def __init__(self, path: Path) -> None:
        """Begin with the file at `path`, which may not be there yet."""
        super().__init__()
        self.path = path

    def new_store(self) -> SqliteStore:
        """See `StoreHarness`."""
        return SqliteStore(self.path, clock=SessionClock())

    async def crash(self, store: RunStore) -> None:
        """See `StoreHarness`."""
        assert isinstance(store, SqliteStore)
        store.abandon()

    async def damage_event(self, run_key: RunKey, sequence: int, *, data: bytes) -> None:
        """See `StoreHarness`."""
        self._execute(
            "UPDATE history SET data = CAST(? AS TEXT) WHERE run_key = ? AND sequence = ?", data, run_key, sequence
        )

    async def remove_event(self, run_key: RunKey, sequence: int) -> None:
        """See `StoreHarness`."""
        self._execute("DELETE FROM history WHERE run_key = ? AND sequence = ?", run_key, sequence)

    def _execute(self, statement: str, *parameters: bytes | int) -> None:
        connection = apsw.Connection(str(self.path))
        try:
            connection.execute(statement, parameters)
        finally:
            connection.close()


class SessionClock:
    """Shows when the sessions of a harness begin."""

    def now(self) -> Timestamp:
        """Return that moment."""
        return START
