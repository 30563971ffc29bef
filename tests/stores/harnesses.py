"""The stores as the conformance suite and the differential test handle them."""

from pathlib import Path

import apsw

from perdure.kernel.identity import RunKey
from perdure.ports.store import RunStore
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreHarness


class MemoryHarness(StoreHarness):
    def __init__(self) -> None:
        super().__init__()
        self.database = MemoryDatabase()

    def new_store(self) -> MemoryStore:
        return MemoryStore(self.database)

    async def crash(self, store: RunStore) -> None:
        assert isinstance(store, MemoryStore)
        self.database.kill(store.worker)

    async def damage_event(self, run_key: RunKey, sequence: int, *, data: bytes) -> None:
        rows = self.database.events[run_key]
        rows[sequence - 1] = (*rows[sequence - 1][:4], data)

    async def remove_event(self, run_key: RunKey, sequence: int) -> None:
        del self.database.events[run_key][sequence - 1]


class SqliteHarness(StoreHarness):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def new_store(self) -> SqliteStore:
        return SqliteStore(self.path)

    async def crash(self, store: RunStore) -> None:
        """Let go of everything as the kernel does for a dead process: nothing is given back, nothing removed."""
        assert isinstance(store, SqliteStore)
        opened = store._opened
        assert opened is not None
        await store._let_go()
        opened.database.close()
        opened.presence.close(None)

    async def damage_event(self, run_key: RunKey, sequence: int, *, data: bytes) -> None:
        self._execute(
            "UPDATE history SET data = CAST(? AS TEXT) WHERE run_key = ? AND sequence = ?", data, run_key, sequence
        )

    async def remove_event(self, run_key: RunKey, sequence: int) -> None:
        self._execute("DELETE FROM history WHERE run_key = ? AND sequence = ?", run_key, sequence)

    def _execute(self, statement: str, *parameters: bytes | int) -> None:
        connection = apsw.Connection(str(self.path))
        try:
            connection.execute(statement, parameters)
        finally:
            connection.close()
