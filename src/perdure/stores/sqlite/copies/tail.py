"""What has changed since a place in the log: the last version of each page, up to the last commit that is durable."""

from collections.abc import Collection
from contextlib import closing
from typing import Final

import apsw
import msgspec

from perdure.errors import StoreUnavailableError
from perdure.stores.sqlite.database import Database
from perdure.stores.sqlite.disk import RawFile
from perdure.stores.sqlite.log import (
    FRAME_BYTES,
    FRAME_HEADER_BYTES,
    LOG_HEADER_BYTES,
    PAGE_BYTES,
    log_of,
)

__all__ = ["MOST_PAGES", "Change", "LogPlace", "LogTail", "LostTrackError"]


MOST_PAGES: Final = 65_536
"""An increment holds no more pages than these (256 MB); a target that fails for longer gets a new base."""


class LostTrackError(Exception):
    """What came after a place in the log cannot be told any more; only a new base helps."""


class LogPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a log: behind its first `frames` frames.

    `salts` tell this log from earlier ones in the same file. `seal` is the header of the last frame, whose checksum
    covers all frames up to it. Both are hexadecimal.
    """

    salts: str
    frames: int
    seal: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Pages that changed up to the place `end`, where the database had `page_count` pages."""

    end: LogPlace
    page_count: int
    pages: dict[int, bytes]


class LogTail:
    """Reads the log of a database that is open. The caller holds a read transaction for as long as it counts on that
    nothing gets lost between two questions (see `hold`)."""

    def __init__(self, database: Database) -> None:
        """Read the log of `database`, whose connection asks SQLite for the log's end."""
        self._database: Final = database

    def end(self) -> LogPlace:
        """Return the place behind the last commit that readers see, and that is durable therefore.

        Raises apsw's errors, OSError, and StoreUnavailableError if the log is begun anew again and again meanwhile.
        """
        log_path = log_of(self._database.path)
        if not log_path.exists():
            return LogPlace(salts="", frames=0)
        with closing(self._database.disk.open(log_path)) as log:
            for _ in range(_ATTEMPTS):
                salts = _salts(log)
                frames, _ = self._database.connection().wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_NOOP)
                seal = _header(log, frames).hex() if frames else ""
                if _salts(log) == salts:
                    return LogPlace(salts=salts, frames=frames, seal=seal)
        raise StoreUnavailableError(f"the log of {self._database.path} is begun anew faster than it can be read.")

    def frames_after(self, place: LogPlace, end: LogPlace, *, is_held: bool) -> range:
        """Return the numbers of the frames that came after `place`, up to `end`.

        `is_held`: a read transaction has been held since `place` was the end. Raises LostTrackError, OSError.
        """
        if end.frames and end == place:
            return range(0)  # also if the log has begun anew since that was its end
        if end.frames and end.salts == place.salts and place.frames and self._has(place, end):
            return range(place.frames + 1, end.frames + 1)
        if is_held and not end.frames:
            return range(0)
        if is_held and (not place.frames or _is_next(place.salts, end.salts)):
            return range(1, end.frames + 1)
        raise LostTrackError(f"the log holds no longer what came after {place}; it ends at {end}")

    def read(self, frames: range, end: LogPlace, *, known: Change | None = None) -> Change:
        """Return what the frames changed, over what is `known` to have changed before: all, or as many transactions as
        there is room for in memory; `end` of what is returned says which. Raises LostTrackError, OSError.
        """
        with closing(self._database.disk.open(log_of(self._database.path))) as log:
            headers = {number: _header(log, number) for number in frames}
            if any(header[_SALTS].hex() != end.salts for header in headers.values()):
                raise LostTrackError(f"a frame before {end} is of another log")
            if not _number(headers[frames[-1]][_SIZE]):
                raise LostTrackError(f"the frame at {end} ends no transaction")
            stop = _last_with_room(headers, {} if known is None else known.pages)
            last = {_number(header[_PAGE]): number for number, header in headers.items() if number <= stop}
            read = {page: log.read(PAGE_BYTES, offset=_start(at) + FRAME_HEADER_BYTES) for page, at in last.items()}
        pages = {**({} if known is None else known.pages), **read}
        page_count = _number(headers[stop][_SIZE])
        end = LogPlace(salts=end.salts, frames=stop, seal=headers[stop].hex())
        kept = {page: data for page, data in pages.items() if page <= page_count}
        return Change(end=end, page_count=page_count, pages=kept)

    def _has(self, place: LogPlace, end: LogPlace) -> bool:
        if place.frames > end.frames:
            return False
        with closing(self._database.disk.open(log_of(self._database.path))) as log:
            return _header(log, place.frames).hex() == place.seal


_ATTEMPTS: Final = 100
_PAGE: Final = slice(0, 4)
_SIZE: Final = slice(4, 8)
_SALTS: Final = slice(8, 16)
"""Within the header of a frame: the number of its page; the database's size, 0 amid a transaction; the log's salts."""
_SALTS_OF_LOG: Final = 16
_SALTS_BYTES: Final = 8
_SALT_DIGITS: Final = 8


def _last_with_room(headers: dict[int, bytes], known: Collection[int]) -> int:
    """Return the last frame that ends a transaction, and up to which no more than MOST_PAGES pages have changed.

    Raises LostTrackError if there is none.
    """
    pages, stop = set(known), 0
    for number, header in headers.items():
        pages.add(_number(header[_PAGE]))
        if len(pages) > MOST_PAGES:
            break
        if _number(header[_SIZE]):
            stop = number
    if not stop:
        raise LostTrackError(f"more than {MOST_PAGES} pages have changed")
    return stop


def _salts(log: RawFile) -> str:
    return log.read(_SALTS_BYTES, offset=_SALTS_OF_LOG).hex()


def _is_next(salts: str, found: str) -> bool:
    """Whether a log was begun anew once: the first salt counts, the second is random. An empty log has none."""
    counts = [text[:_SALT_DIGITS] for text in (salts, found)]
    return all(counts) and int(counts[1], 16) == (int(counts[0], 16) + 1) % 2**32


def _start(number: int) -> int:
    return LOG_HEADER_BYTES + (number - 1) * FRAME_BYTES


def _header(log: RawFile, number: int) -> bytes:
    return log.read(FRAME_HEADER_BYTES, offset=_start(number))


def _number(four_bytes: bytes) -> int:
    return int.from_bytes(four_bytes)
