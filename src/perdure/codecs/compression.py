"""Compression of payloads by deflate, which every Python can read."""

import copy
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
        self._longest_bytes = _LONGEST_BYTES

    def reading_up_to(self, maximum_bytes: int) -> "Compression":
        """Return the same for an engine that records values of up to `maximum_bytes` bytes."""
        found = copy.copy(self)
        found._longest_bytes = max(_LONGEST_BYTES, 2 * maximum_bytes)  # noqa: SLF001 - its own twin
        return found

    def encode(self, data: bytes, *, place: str) -> bytes | None:
        """See `Codec.encode`."""
        del place
        if len(data) <= self._above:
            return None
        encoded = zlib.compress(data, self._level)
        return encoded if len(encoded) * 5 < len(data) * 4 else None

    def decode(self, data: bytes, *, place: str) -> bytes:
        """See `Codec.decode`. What would become larger than 64 MiB, or twice what the engine records, is refused."""
        reader = zlib.decompressobj()
        try:
            decoded = reader.decompress(data, self._longest_bytes)
        except zlib.error as error:
            raise UnreadablePayloadError(f"{place}: the compressed data is damaged: {error}") from error
        if not reader.eof:
            raise UnreadablePayloadError(
                f"{place}: the compressed data is incomplete, or becomes larger than {self._longest_bytes:,} bytes; "
                f"give the engine the limit that it was recorded by, Payloads(maximum_bytes=...)"
            )
        return decoded


_HIGHEST_LEVEL: Final = 9
_LONGEST_BYTES: Final = 2**26
