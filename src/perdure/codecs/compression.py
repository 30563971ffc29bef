"""Compression of payloads by deflate, which every Python can read."""

import zlib
from typing import Final

from perdure.errors import InvalidArgumentError, UnreadablePayloadError

__all__ = ["Compression"]


class Compression:
    """Compresses what has more than `above` bytes, where that makes it smaller by a fifth at least.

    `level` is zlib's, from 1 (fast) to 9 (small). Payloads that were compressed are read with or without this codec.
    """

    name: Final = "deflate"
    hides: Final = False

    def __init__(self, *, above: int = 1_024, level: int = 6) -> None:
        """Compress from now on. Raises InvalidArgumentError."""
        if above < 0 or not 1 <= level <= _HIGHEST_LEVEL:
            message = f"Compression: above={above!r}, level={level!r}; use bytes from 0 and a level from 1 to 9"
            raise InvalidArgumentError(message)
        self._above = above
        self._level = level

    def encode(self, data: bytes, *, place: str) -> bytes | None:
        """See `Codec.encode`."""
        del place
        if len(data) <= self._above:
            return None
        encoded = zlib.compress(data, self._level)
        return encoded if len(encoded) * 5 < len(data) * 4 else None

    def decode(self, data: bytes, *, place: str) -> bytes:
        """See `Codec.decode`. What would become larger than 1 GiB is refused: nothing that is recorded does."""
        reader = zlib.decompressobj()
        try:
            decoded = reader.decompress(data, _LARGEST_BYTES)
        except zlib.error as error:
            raise UnreadablePayloadError(f"{place}: the compressed data is damaged: {error}") from error
        if not reader.eof:
            raise UnreadablePayloadError(f"{place}: the compressed data is incomplete, or larger than 1 GiB")
        return decoded


_HIGHEST_LEVEL: Final = 9
_LARGEST_BYTES: Final = 2**30
