"""Blobs as files of a folder, each under the SHA-256 of its content."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final

from perdure.codecs.blob_names import name_of, require_content, require_name
from perdure.errors import StoreUnavailableError, UnreadablePayloadError

__all__ = ["FileBlobs"]


class FileBlobs:
    """Keeps blobs in a folder, which all processes that share the database must reach.

    A blob is written whole, synced and then named, so a name never stands for half of it; the same content is kept
    once. Files are named by their content and spread over 256 folders.
    """

    def __init__(self, folder: str | Path) -> None:
        """Use a folder; it is made when the first blob comes."""
        self._folder: Final = Path(folder).absolute()

    async def put(self, data: bytes) -> str:
        """See `BlobStore.put`."""
        name = name_of(data)
        try:
            await asyncio.to_thread(_write, self._path(name), data)
        except OSError as error:
            raise StoreUnavailableError(
                f"a blob of {len(data):,} bytes could not be written to {self._folder}: {error}. Nothing was saved; "
                f"calls succeed again when the cause is gone."
            ) from error
        return name

    async def get(self, name: str) -> bytes:
        """See `BlobStore.get`. What a file holds is compared with its name."""
        require_name(name, where=self._folder)
        path = self._path(name)
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError as error:
            raise UnreadablePayloadError(
                f"the blob {path} is not there; restore the folder, or give the engine the folder that holds it"
            ) from error
        except OSError as error:
            raise StoreUnavailableError(f"the blob {path} could not be read: {error}") from error
        require_content(data, name=name, where=self._folder)
        return data

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write_new(path, data)
    # Also where it was there: whoever named it may have died before it was durable that it is.
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        _sync_folder(folder)


def _write_new(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".new-{os.urandom(8).hex()}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
