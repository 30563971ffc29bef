"""The PostgreSQL store as the conformance suite and the differential test handle it."""

from typing import Final

from perdure.kernel.identity import RunKey
from perdure.ports.store import RunStore
from perdure.stores.postgres.connection import Connection, connect
from perdure.stores.postgres.home import lock_of
from perdure.stores.postgres.keeping import KEYS_PER_SESSION_BITS
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.store import PostgresStore
from perdure.testing.store_conformance import StoreHarness
from perdure.torture.programs.harnesses import SessionClock

__all__ = ["PATIENT", "PostgresHarness"]

PATIENT: Final = PostgresSettings(absence_seconds=0.0, safety_check_seconds=3_600.0)
"""Who has died is found by the next call that looks, and by nobody without being asked."""


class PostgresHarness(StoreHarness):
    """An empty database of a server."""

    def __init__(self, url: str, settings: PostgresSettings | None = None) -> None:
        """Begin with what is in the database."""
        super().__init__()
        self.url: Final = url
        self.settings: Final = settings or PATIENT

    def new_store(self) -> PostgresStore:
        """See `StoreHarness`."""
        return PostgresStore(self.url, settings=self.settings, clock=SessionClock())

    async def crash(self, store: RunStore) -> None:
        """See `StoreHarness`; the server has seen that the connections are gone when this returns."""
        assert isinstance(store, PostgresStore)
        worker_id = store.new_run_key() >> KEYS_PER_SESSION_BITS
        store.abandon()
        await self.has_gone(worker_id)

    async def has_gone(self, worker_id: int) -> None:
        """Wait until the server has seen that the home connection of a session has ended."""
        lock = lock_of(worker_id, schema=self.settings.schema)
        await self.execute("SELECT pg_advisory_lock($1), pg_advisory_unlock($1)", lock)

    async def damage_event(self, run_key: RunKey, sequence: int, *, data: bytes) -> None:
        """See `StoreHarness`; what no text of a server can hold is written as other text."""
        text = data.decode(errors="replace").replace("\0", "?")
        await self.execute(f"UPDATE history SET data = $3 WHERE {_OF_EVENT}", run_key, sequence, text)  # noqa: S608

    async def remove_event(self, run_key: RunKey, sequence: int) -> None:
        """See `StoreHarness`."""
        await self.execute(f"DELETE FROM history WHERE {_OF_EVENT}", run_key, sequence)  # noqa: S608 - texts of ours

    async def execute(self, statement: str, *parameters: object) -> None:
        """Run a statement behind the store's back."""
        connection = await self.connection()
        try:
            await connection.execute(statement, *parameters)
        finally:
            await connection.close()

    async def fetchval(self, statement: str, *parameters: object) -> object:
        """Return the value that a statement has behind the store's back."""
        connection = await self.connection()
        try:
            return await connection.fetchval(statement, *parameters)
        finally:
            await connection.close()

    async def connection(self) -> Connection:
        """Return a connection of one's own, which is to be closed."""
        return await connect(self.url, self.settings)


_OF_EVENT: Final = """
run_key = $1 AND sequence = (SELECT min(sequence) FROM history WHERE run_key = $1 AND sequence >= $2)
"""
"""The row that holds an event, with others perhaps (`perdure.stores.sql.blocks`)."""
