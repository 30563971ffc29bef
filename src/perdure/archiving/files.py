"""Files of exported runs on the disk: read line by line, written whole or not at all, appended to part by part."""

import asyncio
import errno
import gzip
import io
import os
import secrets
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, Final, TypeVar

from perdure.archiving.parts import PART_MAGIC, PartsReader
from perdure.archiving.run_lines import UNREADABLE
from perdure.archiving.unfinished import begin_file, clear_unfinished, is_in_place
from perdure.errors import HistoryError, InvalidArgumentError, StoreFullError, StoreUnavailableError
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.ports.database_files import demand_no_database

__all__ = ["Archive", "lines_of", "run_files", "written_whole"]

T = TypeVar("T")

_LONGEST_LINE_BYTES: Final = 256 * 2**20
_PRIVATE: Final = 0o600
_WITHOUT_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without hard links answer."""
_DISK_IS_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


# --- to read ---------------------------------------------------------------------------------------------------------


def run_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files that are named, and those of an archive for a folder, in the order of their names.

    Raises InvalidArgumentError for what is not there, and for a folder without any.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            within = sorted([*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")])
            if not within:
                message = f"{path}: there are no files of exported runs (*.jsonl, *.jsonl.gz) in this folder"
                raise InvalidArgumentError(message)
            found += within
        elif path.is_file():
            found.append(path)
        else:
            message = f"{path}: there is no such file or folder"
            raise InvalidArgumentError(message)
    return found


def lines_of(path: Path, *, on_bytes: Callable[[int], object] | None = None) -> Iterator[bytes]:
    """Yield the lines of a file, compressed or not; `on_bytes` is told how much of it has been read.

    Where a part of a compressed file is damaged or was cut off, `UNREADABLE` stands for what is missing, and the lines
    of the next part follow. Raises HistoryError where the file cannot be opened.
    """
    try:
        with path.open("rb") as raw:
            is_compressed = path.suffix == ".gz" or raw.peek(2)[:2] == PART_MAGIC[:2]
            text: io.BufferedIOBase = io.BufferedReader(PartsReader(raw)) if is_compressed else raw
            while line := _line(text):
                if on_bytes is not None:
                    on_bytes(raw.tell())
                yield line
    except OSError as error:
        message = f"{path}: it cannot be read: {error.strerror or error}"
        raise HistoryError(message) from error


def _line(text: io.BufferedIOBase) -> bytes:
    try:
        return text.readline(_LONGEST_LINE_BYTES)
    except zlib.error:
        return UNREADABLE


# --- to write --------------------------------------------------------------------------------------------------------


Write = Callable[[Sequence[bytes]], Awaitable[None]]
"""Writes some lines."""


@asynccontextmanager
async def written_whole(path: Path, *, replaces: bool) -> AsyncIterator[Write]:
    """Write a file, compressed if its name says so: it is there, and durable, once the block has ended well.

    A thread does it. Raises InvalidArgumentError if it exists, unless it `replaces`, UsageError if it is a database or
    would be taken for a part of one, StoreUnavailableError where it cannot be written.
    """
    file = _WholeFile(path, replaces=replaces)
    try:
        await _done_in_a_thread(file.begin)
        yield lambda lines: _done_in_a_thread(lambda: file.write(lines))
        await _done_in_a_thread(file.finish)
    finally:
        await _done_in_a_thread(file.discard)


async def _done_in_a_thread(work: Callable[[], T]) -> T:
    """Do what writes in a thread; whoever is cancelled waits for its end, since a file is closed next."""
    writing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise


class _WholeFile:
    """A file that gets its name when all is in it."""

    def __init__(self, path: Path, *, replaces: bool) -> None:
        self._path: Final = Path(os.path.realpath(path)) if path.is_symlink() else path
        self._replaces: Final = replaces
        self._raw: IO[bytes] | None = None
        self._text: IO[bytes] | None = None

    def begin(self) -> None:
        demand_no_database(self._path)
        if not self._replaces and self._path.exists():
            raise _exists(self._path)
        if self._path.exists() and not self._path.is_file():
            raise InvalidArgumentError(f"{self._path} is no file that could be replaced; choose another name")
        clear_unfinished(self._path.parent, of=self._path.name)
        with _named(self._path):
            self._raw = raw = begin_file(self._path, opener=_private)
            self._text = _compressed(raw) if self._path.suffix == ".gz" else raw

    def write(self, lines: Sequence[bytes]) -> None:
        assert self._text is not None
        with _named(self._path):
            self._text.writelines(lines)

    def finish(self) -> None:
        raw, text = self._raw, self._text
        assert raw is not None
        assert text is not None
        with _named(self._path):
            if text is not raw:
                text.close()
            _sync(raw)
            raw.close()
            _give_name(Path(raw.name), self._path, replaces=self._replaces)
            _sync_folder(self._path.parent)

    def discard(self) -> None:
        """Leave nothing but the file under its name."""
        if self._raw is not None:
            with suppress(OSError):
                self._raw.close()
            Path(self._raw.name).unlink(missing_ok=True)


def _give_name(partial: Path, path: Path, *, replaces: bool) -> None:
    if replaces:
        partial.replace(path)
        return
    try:
        path.hardlink_to(partial)  # unlike a renaming this fails if somebody was faster
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        try:
            path.open("xb").close()  # whoever comes later finds the name taken
        except FileExistsError as taken:
            raise _exists(path) from taken
        try:
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                _free(path, partial)
            raise


def _free(path: Path, partial: Path) -> None:
    """Give up a name that was taken: it would be taken for an export, and the next one find its name taken.

    Not if that was renamed all the same, as a network may answer of it, nor if another one has replaced it. Raises
    OSError.
    """
    if partial.exists() and path.stat().st_size == 0:
        path.unlink()


def _exists(path: Path) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{path} exists already; choose another name, or say that it is to be replaced (--force)"
    )


class Archive:
    """A folder with files of removed runs. Its writing is done in a thread, one part after the other.

    Each process writes files of its own, and a new one each day and above `file_bytes`: so a crash can only leave the
    last part of a file of its own without an end, and nothing is ever written behind that. Nor behind what was
    moved away or deleted: then, too, it begins a new file.
    """

    def __init__(self, folder: Path, *, file_bytes: int = 64 * 2**20) -> None:
        """Prepare; the folder is made with the first part."""
        self.folder: Final = folder
        self._file_bytes: Final = file_bytes
        self._file: IO[bytes] | None = None
        self._day = ""

    async def append(self, lines: Sequence[bytes], *, now: Timestamp) -> int:
        """Append a part; it is durable when this returns the number of its bytes.

        Raises StoreUnavailableError (StoreFullError) where it cannot be written; then nothing is written behind it.
        """
        return await _done_in_a_thread(lambda: self._append(lines, now=now))

    def _append(self, lines: Sequence[bytes], *, now: Timestamp) -> int:
        part = gzip.compress(b"".join(lines), compresslevel=6, mtime=0)
        with _named(self.folder):
            file = self._file_of(now)
            before = file.tell()
            try:
                file.write(part)
                _sync(file)
                _demand_in_place(file)
            except BaseException:
                was_in_place = is_in_place(file)
                self.close()
                if was_in_place:
                    _cut_off(Path(file.name), before)
                raise
            return len(part)

    def close(self) -> None:
        """Let go of the file. What follows goes to a new one."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _file_of(self, now: Timestamp) -> IO[bytes]:
        moment = timestamp_to_datetime(now)
        day = f"{moment:%Y-%m-%d}"
        file = self._file
        if file is not None and (day != self._day or file.tell() >= self._file_bytes or not is_in_place(file)):
            self.close()
        if self._file is None:
            _make_durably(self.folder)
            clear_unfinished(self.folder)
            path = self.folder / f"runs-{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.jsonl.gz"
            self._file, self._day = _created(path), day
        return self._file


def _created(path: Path) -> IO[bytes]:
    """Return a new file whose name is durable. Raises OSError; then it is not there."""
    file = open(path, "xb", opener=_private)  # noqa: SIM115 - stays open
    try:
        _sync_folder(path.parent)
    except BaseException:
        file.close()
        _cut_off(path, 0)
        raise
    return file


def _demand_in_place(file: IO[bytes]) -> None:
    if not is_in_place(file):
        raise OSError(errno.ESTALE, f"{file.name} was moved or deleted meanwhile")


def _make_durably(folder: Path) -> None:
    """Make a folder, and those that it is in, unless they are there."""
    if folder.is_dir():
        return
    _make_durably(folder.parent)
    folder.mkdir(exist_ok=True)
    try:
        _sync_folder(folder.parent)
    except BaseException:
        with suppress(OSError):
            folder.rmdir()  # or the next who finds it would take it for durable
        raise


def _cut_off(path: Path, size: int) -> None:
    """Leave nothing of a part that could not be written, so that trying again and again fills no disk."""
    with suppress(OSError):
        if size:
            os.truncate(path, size)
        else:
            path.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, _PRIVATE)


def _compressed(raw: IO[bytes]) -> IO[bytes]:
    # Without the time, the same runs give the same bytes.
    return io.BufferedWriter(gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0))


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what the file system raises into an error that says what could not be written."""
    try:
        yield
    except OSError as error:
        kind = StoreFullError if error.errno in _DISK_IS_FULL else StoreUnavailableError
        message = f"{path} could not be written: {error.strerror or error}"
        raise kind(message) from error
