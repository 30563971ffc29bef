"""A database that is only looked at: no session, and nothing of it written. For tools that check histories."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import apsw

from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey
from perdure.ports.store import InboxEntry, Page, RunQuery
from perdure.ports.verification import Verification, VerificationWish
from perdure.stores.sqlite import reads, searching
from perdure.stores.sqlite.histories import read_history
from perdure.stores.sqlite.reader import Reader
from perdure.stores.sqlite.schema import demand_current_schema
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.verification import Verifier

__all__ = ["SqliteLook"]


class SqliteLook:
    """Reads runs and histories of a database file: ``async with SqliteLook(path) as look:``.

    Others may write to the file meanwhile. Methods are those of `RunStore` that read, and raise what these raise.
    """

    def __init__(self, path: Path) -> None:
        """Prepare; the file is opened with the first question."""
        self._path: Final = path
        self._settings: Final = SqliteSettings()
        self._reader: Final = Reader(path, settings=self._settings)

    async def __aenter__(self) -> Self:
        """Open the file. Raises SchemaTooOldError, SchemaTooNewError, and StoreErrors for one that cannot be read."""
        try:
            await self._reader.ask(lambda connection: demand_current_schema(connection, path=self._path))
        except BaseException:
            await self._reader.close()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close the file."""
        await self._reader.close()

    async def list_runs(self, query: RunQuery) -> Page:
        """See `RunStore.list_runs`."""
        most = self._settings.searched_rows
        return await self._reader.ask(lambda connection: searching.list_runs(connection, query, most_rows=most))

    async def count_runs(self, query: RunQuery, *, most: int | None = None) -> int:
        """See `RunStore.count_runs`."""
        return await self._reader.ask(lambda connection: searching.count_runs(connection, query, most=most))

    async def read_history(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[RecordedEvent]:
        """See `RunStore.read_history`."""

        def question(connection: apsw.Connection) -> list[RecordedEvent]:
            return read_history(connection, run_key, after=after, limit=limit)

        return await self._reader.ask(question)

    async def verify(self, wish: VerificationWish) -> Verification:
        """See `RunStore.verify`; nothing is mended."""
        return await Verifier(self._reader.ask, wish).verify(str(self._path))

    async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> Sequence[InboxEntry]:
        """See `RunStore.read_inbox`."""
        return await self._reader.ask(
            lambda connection: reads.read_inbox(connection, run_key, after=after, limit=limit)
        )
