"""A thread that reads, on its own read-only connection, so that questions never wait for commits."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import apsw

from perdure.errors import StoreCorruptError
from perdure.stores.sqlite.connection import open_reading
from perdure.stores.sqlite.faults import store_error
from perdure.stores.sqlite.forks import new_passage
from perdure.stores.sqlite.settings import SqliteSettings

__all__ = ["Reader"]

Result = TypeVar("Result")


class Reader:
    """Runs questions one after the other. A connection that met an error is replaced before the next question."""

    def __init__(self, path: Path, *, settings: SqliteSettings, vfs: str | None = None) -> None:
        """Prepare; the file is opened with the first question."""
        self._path: Final = path
        self._settings: Final = settings
        self._vfs: Final = vfs
        self._passage: Final = new_passage()
        self._connection: apsw.Connection | None = None
        self._is_asked = False
        self._executor: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="perdure-reader")

    async def ask(self, question: Callable[[apsw.Connection], Result]) -> Result:
        """Return the question's answer. Raises a StoreError for errors of SQLite's, else what the question raises."""
        self._is_asked = True
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._ask, question)

    async def close(self) -> None:
        """Finish the questions asked so far and close the file."""
        if self._is_asked:  # otherwise there is no thread, and may be none any more: the interpreter may be ending
            await asyncio.get_running_loop().run_in_executor(self._executor, self._drop)
        self._executor.shutdown(wait=True)

    def abandon(self) -> None:
        """As `close`, without an event loop; blocks."""
        self._executor.submit(self._drop).result()
        self._executor.shutdown(wait=True)

    def _ask(self, question: Callable[[apsw.Connection], Result]) -> Result:
        try:
            with self._passage:
                if self._connection is None:
                    self._connection = open_reading(self._path, settings=self._settings, vfs=self._vfs)
                return question(self._connection)
        except UnicodeDecodeError as error:
            message = f"{self._path} holds text that is not UTF-8: {error}. `perdure verify` says where."
            raise StoreCorruptError(message) from error
        except apsw.Error as error:
            self._drop()
            raise store_error(error, path=self._path, doing="reading") from error

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                connection.close(force=True)
