"""The text of a compressed file, part by part: what is damaged is told, and reading goes on with the next part."""

import io
import zlib
from typing import IO, Final

__all__ = ["PART_MAGIC", "PartsReader"]

PART_MAGIC: Final = b"\x1f\x8b\x08"
"""How each part begins: gzip (RFC 1952), deflate."""

_PIECE_BYTES: Final = 64 * 2**10
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


class PartsReader(io.RawIOBase):
    """Reads gzip members one behind the other, and looks for the next one that begins where it cannot read on.

    A member that was cut off is damaged, too; so is whatever is none. Nothing of a file is passed over in silence.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        """Read a file that can be sought in, from where it stands."""
        super().__init__()
        self._raw: Final = raw
        self._begin(raw.tell())

    def readable(self) -> bool:
        """Return True: it is for nothing else."""
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Read some of the text; 0 at its end. Raises zlib.error at a damage; the next call reads on behind that."""
        while True:
            taken = self._unread or self._raw.read(_PIECE_BYTES)
            if not taken and self._is_before:
                return 0
            try:
                text = self._decompressed(taken, len(buffer))
            except zlib.error:
                self._go_to_next()
                raise
            if text:
                buffer[: len(text)] = text
                return len(text)

    def _begin(self, position: int) -> None:
        self._raw.seek(position)
        self._begins_at = position
        self._member = zlib.decompressobj(_GZIP_WINDOW)
        self._is_before = True
        self._unread = b""

    def _decompressed(self, taken: bytes, most: int) -> bytes:
        if not taken:
            message = "it was cut off"
            raise zlib.error(message)
        self._is_before = False
        text = self._member.decompress(taken, most)
        self._unread = self._member.unconsumed_tail
        if self._member.eof:
            self._begin(self._raw.tell() - len(self._member.unused_data))
        return text

    def _go_to_next(self) -> None:
        """Stand where the next member seems to begin, or at the end of the file."""
        position = self._begins_at + 1
        self._raw.seek(position)
        kept = b""
        while piece := self._raw.read(_PIECE_BYTES):
            found = (kept + piece).find(PART_MAGIC)
            if found >= 0:
                self._begin(position - len(kept) + found)
                return
            position += len(piece)
            kept = (kept + piece)[-len(PART_MAGIC) + 1 :]
        self._begin(position)
