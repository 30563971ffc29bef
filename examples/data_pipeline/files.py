"""The files of a folder, and reading one from any place on, so that work can go on inside it."""

import csv
import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

import msgspec

from perdure import NonRetryableError

__all__ = ["BadFileError", "InputFile", "RowReader", "find_files", "write_whole"]


class BadFileError(NonRetryableError):
    """A file cannot be read as CSV, or is another one than it was. Reading it again changes nothing."""


class InputFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was listed: its `name` within the folder, and its `size` in bytes."""

    name: str
    size: int


def find_files(folder: Path) -> list[InputFile]:
    """Return all CSV files below a folder, those that are compressed, too, by name."""
    paths = sorted(path for path in folder.rglob("*.csv*") if path.name.endswith((".csv", ".csv.gz")))
    return [InputFile(name=path.relative_to(folder).as_posix(), size=path.stat().st_size) for path in paths]


class RowReader:
    """The rows of a CSV file, one after the other: ``with RowReader(path, offset=0) as rows: for row in rows: ...``.

    `offset` is the place after the last row that was read, in bytes of the text: a reader that begins there goes on.
    """

    def __init__(self, path: Path, *, offset: int) -> None:
        """Read from `offset` on; in a compressed file what is before is unpacked once more."""
        self._closing = ExitStack()
        self._raw = self._closing.enter_context(path.open("rb"))
        self._text: BinaryIO = self._raw
        if path.suffix == ".gz":
            self._text = cast("BinaryIO", self._closing.enter_context(gzip.GzipFile(fileobj=self._raw)))
        self._text.seek(offset)
        self.offset = offset

    def __enter__(self) -> Self:
        """Keep the file open."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        self._closing.close()

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the rows. Raises BadFileError for what is no CSV."""
        try:
            yield from csv.reader(self._lines(), strict=True)
        except (csv.Error, UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise BadFileError(f"no CSV after byte {self.offset}: {error}") from error

    @property
    def bytes_read(self) -> int:
        """How much of the file has been read, in bytes on the disk."""
        return self._raw.tell()

    def _lines(self) -> Iterator[str]:
        """Yield lines and keep count. A row with a line break inside takes several, and the count is right after it."""
        while line := self._text.readline():
            self.offset += len(line)
            yield line.decode()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there as a whole or not at all, also when this is done twice at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(path)
