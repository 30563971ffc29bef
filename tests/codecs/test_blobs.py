"""Places for large values: files, and a real server that speaks S3's protocol."""

import asyncio
import os
import shutil
import socket
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore, S3Store

from perdure.codecs import BlobStore, FileBlobs, ObjectBlobs
from perdure.errors import StoreUnavailableError, UnreadablePayloadError

KEY, SECRET = "perdure-access-key", "perdure-secret-key"


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture
async def bucket(tmp_path: Path) -> AsyncIterator[tuple[S3Store, Path]]:
    """Serve a folder by S3's protocol; return the bucket, and the folder that holds its objects."""
    folder = tmp_path / "served" / "bucket"
    folder.mkdir(parents=True)
    port = free_port()
    rclone = str(Path(sys.executable).with_name("rclone"))
    server = await asyncio.create_subprocess_exec(
        rclone, "serve", "s3", "--auth-key", f"{KEY},{SECRET}", "--addr", f"127.0.0.1:{port}", str(folder.parent),
        stdout=DEVNULL, stderr=DEVNULL,
    )  # fmt: skip
    store = S3Store(
        "bucket",
        endpoint=f"http://127.0.0.1:{port}",
        access_key_id=KEY,
        secret_access_key=SECRET,
        region="any",
        virtual_hosted_style_request=False,
        # rclone closes idle connections: a pooled one may be gone when it is used
        client_options={"allow_http": True, "pool_max_idle_per_host": "0"},
    )
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)  # until the server listens
                else:
                    writer.close()
                    break
        yield store, folder
    finally:
        server.terminate()
        await server.wait()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def keep(blobs: BlobStore) -> str:
    """Put data, put it again, get it back; return its name."""
    data = os.urandom(300_000)
    name = await blobs.put(data)
    assert await blobs.put(data) == name
    assert await blobs.get(name) == data
    return name


async def test_files_keep_blobs(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    name = await keep(blobs)
    [kept] = files_in(tmp_path)
    kept.write_bytes(b"something else")
    with pytest.raises(UnreadablePayloadError, match="is damaged"):
        await blobs.get(name)
    kept.unlink()
    with pytest.raises(UnreadablePayloadError, match="is not there"):
        await blobs.get(name)


async def test_a_bucket_keeps_blobs(bucket: tuple[S3Store, Path]) -> None:
    store, _ = bucket
    blobs = ObjectBlobs(store, prefix="kept/")
    name = await keep(blobs)
    await obstore.put_async(store, f"kept/{name[:2]}/{name}", b"something else")
    with pytest.raises(UnreadablePayloadError, match="is damaged"):
        await blobs.get(name)
    await obstore.delete_async(store, f"kept/{name[:2]}/{name}")
    with pytest.raises(UnreadablePayloadError, match="is not in"):
        await blobs.get(name)


async def test_a_bucket_that_cannot_be_reached_is_tried_again_by_the_caller(bucket: tuple[S3Store, Path]) -> None:
    store, folder = bucket
    blobs = ObjectBlobs(store)
    shutil.rmtree(folder)
    with pytest.raises(StoreUnavailableError, match="could not be put"):
        await blobs.put(b"data")


async def test_a_folder_that_cannot_be_written_is_tried_again_by_the_caller(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("no folder")
    blobs = FileBlobs(place)
    with pytest.raises(StoreUnavailableError, match=r"could not be written .*Nothing was saved"):
        await blobs.put(b"data")
    with pytest.raises(StoreUnavailableError, match="could not be read"):
        await blobs.get("0" * 64)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63])
async def test_a_name_from_the_database_is_never_taken_for_a_path(tmp_path: Path, name: str) -> None:
    for blobs in (FileBlobs(tmp_path), ObjectBlobs(MemoryStore())):
        with pytest.raises(UnreadablePayloadError, match="is not the name of a blob"):
            await blobs.get(name)


async def test_nothing_is_left_of_a_blob_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        message = "no space left on device"
        raise OSError(message)

    with monkeypatch.context() as patched:
        patched.setattr("perdure.codecs.file_blobs.os.fsync", fail)
        with pytest.raises(StoreUnavailableError, match="no space left"):
            await FileBlobs(tmp_path).put(b"data")
    assert not files_in(tmp_path)
