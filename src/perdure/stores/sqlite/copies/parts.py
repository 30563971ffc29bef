"""The form of an increment: a file that says what it is, the pages compressed, and a digest of all before it.

    PERDCPY1 | length of the header, 4 bytes | header, JSON | pages, deflated | BLAKE2b of all before it, 32 bytes

The pages are, one behind the other, the number of a page in four bytes and its content. Numbers are big-endian.

Several parts that follow each other may be merged into one, which has the same form, and what all of them changed. It
stands in the chain where they stood: it follows what the first of them followed, and keeps the digest of the last of
them, which the part after it names.
"""

import hashlib
import zlib
from pathlib import Path
from typing import Annotated, Final

import msgspec

from perdure.errors import CopyDamagedError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.copies.reading import readable
from perdure.stores.sqlite.copies.tail import MOST_PAGES, LogPlace
from perdure.stores.sqlite.log import PAGE_BYTES

__all__ = ["Part", "PartHeader", "decode_part", "encode_part", "read_header", "read_part", "seal"]


_LAST_TIME: Final = 253_402_300_799_999_999
"""The last one that has a date: the end of the year 9999."""


class PartHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a part is: number `number` of a generation; 0 stands for the base, and has no pages of its own.

    `store` tells whose database it is (the time at which its first tables were made). `previous` is the digest of the
    part before, for the first one that of the base's file, in hexadecimal. `taken_at`: nothing that was committed
    later is in it. `place` is where the log ended then, `page_count` the size of the database. `pages`: how many
    pages the part holds.

    `steady_at`: when it was taken by steady time (`steady`); None: by a Perdure that did not know that.
    `clock_at`: what the clock said when a base was begun; `taken_at` is later where the clock was set back before.
    `lost_pages`: how many pages of a base were never used, if more than repairs had left.
    `merged_from`: the number of the first of the parts that were merged into this one, of which `number` is the last;
    None: it is an increment as it was taken. `stands_for`: the digest of the last of them; empty where none were.
    """

    store: int
    number: Annotated[int, msgspec.Meta(ge=0)]
    previous: str
    taken_at: Annotated[Timestamp, msgspec.Meta(ge=0, le=_LAST_TIME)]
    place: LogPlace
    page_count: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    pages: Annotated[int, msgspec.Meta(ge=0, le=MOST_PAGES)] = 0
    page_bytes: int = PAGE_BYTES
    steady_at: Annotated[Timestamp, msgspec.Meta(ge=0, le=_LAST_TIME)] | None = None
    clock_at: Annotated[Timestamp, msgspec.Meta(ge=0, le=_LAST_TIME)] | None = None
    merged_from: Annotated[int, msgspec.Meta(ge=0)] | None = None
    stands_for: str = ""
    lost_pages: Annotated[int, msgspec.Meta(ge=0)] = 0

    @property
    def begun_at(self) -> Timestamp:
        """When a base was begun, by the clock of then."""
        return self.taken_at if self.clock_at is None else self.clock_at

    @property
    def steady(self) -> Timestamp:
        """When it was taken by steady time, as far as that is known."""
        return self.taken_at if self.steady_at is None else self.steady_at

    @property
    def first(self) -> int:
        """The number of the first increment that is in it."""
        return self.number if self.merged_from is None else self.merged_from


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part as it was read: whole, and with its digest in hexadecimal."""

    header: PartHeader
    digest: str
    pages: dict[int, bytes]

    @property
    def link(self) -> str:
        """The digest that the part after it names."""
        return self.header.stands_for or self.digest


def encode_part(header: PartHeader, pages: dict[int, bytes]) -> tuple[bytes, str]:
    """Return the bytes of a part, and its digest in hexadecimal."""
    described = msgspec.json.encode(header)
    body = zlib.compress(b"".join(number.to_bytes(4) + data for number, data in sorted(pages.items())), _LEVEL)
    sealed = seal(b"".join((_MAGIC, len(described).to_bytes(4), described, body)))
    return sealed, sealed[-_DIGEST_BYTES:].hex()


def seal(content: bytes) -> bytes:
    """Return content with its digest behind it."""
    return content + _digest(content)


def read_part(path: Path) -> Part:
    """Return a part. Raises CopyDamagedError if it is not as it was written, or cannot be read, and OSError."""
    with readable(path):
        data = path.read_bytes()
    return decode_part(data, path)


def decode_part(data: bytes, path: Path) -> Part:
    """Return the part that a file holds. Raises CopyDamagedError if it is not as it was written."""
    content, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if _digest(content) != digest:
        raise CopyDamagedError(f"{path} is damaged: its digest does not fit what it holds")
    header, start = _decode_header(content, path)
    size = header.pages * _RECORD_BYTES
    body = _inflate(content[start:], path, size=size)
    records = [body[offset : offset + _RECORD_BYTES] for offset in range(0, size, _RECORD_BYTES)]
    pages = {int.from_bytes(record[:4]): record[4:] for record in records}
    if len(pages) != header.pages or any(not 0 < page <= header.page_count for page in pages):
        raise CopyDamagedError(f"{path} holds pages that its database cannot have")
    return Part(header=header, digest=digest.hex(), pages=pages)


def read_header(path: Path) -> PartHeader:
    """Return what a part says it is, without a look at the rest. Raises CopyDamagedError, OSError."""
    with readable(path), path.open("rb") as file:
        data = file.read(_LONGEST_HEADER_BYTES)
    header, _ = _decode_header(data, path)
    return header


def _decode_header(data: bytes, path: Path) -> tuple[PartHeader, int]:
    """Return the header, and where it ends."""
    start = len(_MAGIC) + 4
    end = start + int.from_bytes(data[len(_MAGIC) : start])
    if data[: len(_MAGIC)] != _MAGIC or end > min(len(data), _LONGEST_HEADER_BYTES):
        raise CopyDamagedError(f"{path} is no part of a copy that this version of Perdure can read")
    try:
        header = msgspec.json.decode(data[start:end], type=PartHeader)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CopyDamagedError(f"{path} is damaged: its header cannot be read ({error})") from error
    if header.page_bytes != PAGE_BYTES:
        raise CopyDamagedError(f"{path} holds pages of {header.page_bytes} bytes; Perdure's have {PAGE_BYTES}")
    return header, end


def _inflate(data: bytes, path: Path, *, size: int) -> bytes:
    """Return exactly `size` bytes. More are not even unpacked."""
    try:
        body = zlib.decompressobj().decompress(data, size + 1) if size else b""
    except zlib.error as error:
        raise CopyDamagedError(f"{path} is damaged: its pages cannot be unpacked ({error})") from error
    if len(body) != size:
        raise CopyDamagedError(f"{path} is damaged: it does not hold the pages that its header names")
    return body


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


_MAGIC: Final = b"PERDCPY1"
_LEVEL: Final = 1
_DIGEST_BYTES: Final = 32
_LONGEST_HEADER_BYTES: Final = 4_096
_RECORD_BYTES: Final = 4 + PAGE_BYTES
