"""Stores that answer questions at once, where they are asked.

A program asks hundreds of questions, one after the other, and waits for each answer: to hand each over to a thread, or
to give way to others of which there are none, takes longer than to answer. The questions are the same, and so is what
reads for them. Writes go through the writer's thread, as they do everywhere.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import apsw

from perdure.errors import StoreError
from perdure.stores.memory import MemoryStore
from perdure.stores.memory.tables import Session
from perdure.stores.sqlite.disk import LocalDisk
from perdure.stores.sqlite.opened import OpenedDatabase, open_alone
from perdure.stores.sqlite.reader import Reader
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance.harness import START
from perdure.torture.disks.folders import fast_folder
from perdure.torture.programs.harnesses import MemoryHarness, SessionClock, SqliteHarness

__all__ = ["PromptMemoryHarness", "PromptMemoryStore", "PromptSqliteHarness", "PromptSqliteStore", "put_empty_database"]

Result = TypeVar("Result")


class PromptMemoryStore(MemoryStore):
    """A store in memory that does not give way before it answers a question."""

    async def _turn(self) -> Session:
        return self._alive()


class PromptMemoryHarness(MemoryHarness):
    """A database in memory."""

    def new_store(self) -> MemoryStore:
        """See `StoreHarness`."""
        return PromptMemoryStore(self.database)


class PromptSqliteStore(SqliteStore):
    """A store on a file whose questions are answered in the event loop's thread."""

    def _new_reader(self, opened: OpenedDatabase) -> Reader:
        return _PromptReader(opened.database.path, settings=self._settings, vfs=self._disk.vfs)


class _PromptReader(Reader):
    _is_closed = False

    async def ask(self, question: Callable[[apsw.Connection], Result]) -> Result:
        if self._is_closed:
            raise StoreError("whoever asks is dead")  # the look for missed notices, say, which goes on after a kill
        return self._ask(question)

    async def close(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        self._is_closed = True
        self._drop()


class PromptSqliteHarness(SqliteHarness):
    """A database file whose tables are there already: they are made once for all."""

    def __init__(self, path: Path) -> None:
        """Put an empty database at `path`."""
        super().__init__(path)
        put_empty_database(path)

    def new_store(self) -> SqliteStore:
        """See `StoreHarness`."""
        return PromptSqliteStore(self.path, clock=SessionClock())


def put_empty_database(path: Path) -> None:
    """Put a database at `path` as the first opening leaves it."""
    path.write_bytes(_empty_database())


@lru_cache(maxsize=1)
def _empty_database() -> bytes:
    with TemporaryDirectory(dir=fast_folder()) as folder:
        path = Path(folder) / "empty.db"
        with open_alone(path, settings=SqliteSettings(), disk=LocalDisk(), now=START):
            pass
        return path.read_bytes()
