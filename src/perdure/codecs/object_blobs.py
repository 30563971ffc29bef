"""Blobs as objects of an object store: Amazon S3 and what speaks its protocol, Google's and Azure's, by `obstore`."""

from typing import TYPE_CHECKING, Final

from perdure.codecs.blob_names import name_of, require_content, require_name
from perdure.errors import StoreUnavailableError, UnreadablePayloadError, UsageError
from perdure.redaction import redacted

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["ObjectBlobs"]


class ObjectBlobs:
    """Keeps blobs in a bucket, each under the SHA-256 of its content. Needs the extra ``perdure[objects]``.

    `store` is one of `obstore`: ``S3Store("bucket", region=..., endpoint=...)``, ``from_url("gs://bucket/prefix")``.
    Retries, time-outs and credentials are the store's.
    """

    def __init__(self, store: "ObjectStore", *, prefix: str = "perdure-blobs") -> None:
        """Use a bucket; objects are named ``prefix/ab/ab12...``. Raises UsageError where `obstore` is missing."""
        try:
            import obstore  # noqa: PLC0415 - an optional package
        except ImportError as error:
            message = "ObjectBlobs needs the package obstore: pip install 'perdure[objects]'"
            raise UsageError(message) from error
        self._objects: Final = obstore
        self._store: Final = store
        self._prefix: Final = prefix.strip("/")

    async def put(self, data: bytes) -> str:
        """See `BlobStore.put`."""
        name = name_of(data)
        try:
            await self._objects.put_async(self._store, self._path(name), data)
        except Exception as error:
            raise StoreUnavailableError(
                f"a blob of {len(data):,} bytes could not be put into {self._store}: {_first_line(error)}. Nothing was "
                f"saved; calls succeed again when the cause is gone."
            ) from error
        return name

    async def get(self, name: str) -> bytes:
        """See `BlobStore.get`. What an object holds is compared with its name."""
        require_name(name, where=self._store)
        path = self._path(name)
        try:
            found = await self._objects.get_async(self._store, path)
            data = bytes(await found.bytes_async())
        except FileNotFoundError as error:
            raise UnreadablePayloadError(f"the blob {path} is not in {self._store}") from error
        except Exception as error:
            raise StoreUnavailableError(
                f"the blob {path} could not be read from {self._store}: {_first_line(error)}"
            ) from error
        require_content(data, name=name, where=self._store)
        return data

    def _path(self, name: str) -> str:
        return f"{self._prefix}/{name[:2]}/{name}"


def _first_line(error: Exception) -> str:
    return redacted(str(error).partition("\n")[0])  # a signed URL, say
