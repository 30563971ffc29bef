"""Codecs and blob stores: what may stand between a payload and the store. The room `codecs` holds those shipped."""

from typing import Protocol

__all__ = ["BlobStore", "Codec"]


class Codec(Protocol):
    """A reversible transformation of payloads, such as compression or encryption.

    `name` is recorded with what was encoded, and finds the codec that decodes it. `hides` says that what is encoded
    must not be readable: then messages and tracebacks of failures are encoded as well.
    """

    @property
    def name(self) -> str:
        """The name for ever: letters, digits, ``-``."""
        ...

    @property
    def hides(self) -> bool:
        """Whether it is there to keep a secret."""
        ...

    def encode(self, data: bytes, *, place: str) -> bytes | None:
        """Return `data` encoded, None where it is better left as it is. `place` says where it will be recorded."""
        ...

    def decode(self, data: bytes, *, place: str) -> bytes:
        """Return what was encoded for the same place. Raises UnreadablePayloadError, whose message says why not."""
        ...


class BlobStore(Protocol):
    """Keeps large values outside the database, each under a name that it gives."""

    async def put(self, data: bytes) -> str:
        """Return the name of `data`, once it is durable. The same data may get the same name.

        Raises StoreUnavailableError: then the caller tries again.
        """
        ...

    async def get(self, name: str) -> bytes:
        """Return the data of a name. Raises UnreadablePayloadError if it is gone, StoreUnavailableError."""
        ...
