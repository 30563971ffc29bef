"""The judgement of what a crash has left: SQLite's view of it, and at times the store's."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import PerdureError
from perdure.ports.store import RunQuery
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.store import SqliteStore
from perdure.torture.disks.life import DATABASE_NAME
from perdure.torture.disks.platter import Image
from perdure.torture.programs.words import NAMESPACES

__all__ = ["UnreadableError", "contents_of", "open_with_store"]


class UnreadableError(Exception):
    """What was left cannot be read, or contradicts itself."""


def contents_of(image: Image, folder: Path) -> bytes:
    """Put the files of an image into `folder`, recover the database, and return the digest of what it holds.

    Raises UnreadableError.
    """
    _lay_out(image, folder)
    try:
        with _recovered(folder / DATABASE_NAME) as connection:
            found = connection.execute("PRAGMA integrity_check").get
            if found != "ok":
                raise UnreadableError(f"the integrity check says: {found}")
            return digest_of_contents(connection)
    except apsw.Error as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def open_with_store(image: Image, folder: Path) -> None:
    """Put the files of an image into `folder`, open them with the store, and read all histories and inboxes.

    Raises UnreadableError.
    """
    _lay_out(image, folder)
    try:
        asyncio.run(_read_all(folder / DATABASE_NAME))
    except PerdureError as error:
        raise UnreadableError(f"the store says {type(error).__name__}: {error}") from error


def _lay_out(image: Image, folder: Path) -> None:
    for left in folder.glob(f"{DATABASE_NAME}*"):
        if left.is_file():
            left.unlink()
    for name, content in image.items():
        with (folder / name).open("wb", buffering=0) as file:
            file.write(content.data)
            file.truncate(content.size)


@contextlib.contextmanager
def _recovered(database: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(database), vfs="unix-none")
    try:
        connection.pragma("locking_mode", "exclusive")
        connection.pragma("synchronous", 0)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # the next image takes the place of this one
        yield connection
    finally:
        connection.close(force=True)


async def _read_all(database: Path) -> None:
    store = SqliteStore(database)
    await store.open(session_name="judge", lease_seconds=30, on_changes=lambda _changes: None)
    try:
        for namespace in NAMESPACES:
            for run in (await store.list_runs(RunQuery(namespace=namespace, limit=_ALL))).runs:
                history = await store.read_history(run.run_key, limit=_ALL)
                if len(history) != run.sequence:
                    raise UnreadableError(f"run {run.ref} has {len(history)} events, and its row says {run.sequence}")
                await store.read_inbox(run.run_key, limit=_ALL)
    finally:
        await store.close()


_ALL: Final = 10_000
