"""A database made of a copy: base and increments up to a point, every digest checked, and checked as a whole."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import CopyDamagedError, StateError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.connection import pragma
from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.parts import Part, read_part
from perdure.stores.sqlite.copies.points import Contents, Point, newest_sound_point, parts_of, read_contents, show_time
from perdure.stores.sqlite.copies.reading import readable
from perdure.stores.sqlite.copies.whole import digest_of_file
from perdure.stores.sqlite.disk import Disk, LocalDisk, RawFile
from perdure.stores.sqlite.log import PAGE_BYTES, log_of

__all__ = ["become_another", "choose_point", "copy_file", "rebuild"]


def choose_point(folder: Path, *, at: Timestamp | None) -> Point:
    """Return the newest point, or the newest that was taken at or before `at`.

    Raises StateError if there is none, CopyDamagedError if a later one may be missing, OSError.
    """
    contents = read_contents(folder)
    points = contents.points
    chosen = [*takewhile(lambda point: at is None or point.taken_at <= at, points)]
    if not (chosen and chosen[-1].taken_at == at) and (what := _what_follows(folder, contents, len(chosen))):
        raise CopyDamagedError(f"{what}. Nothing was restored. {_advice(chosen[-1] if chosen else None)}")
    if not points:
        raise StateError(f"there is no copy in {folder}; `perdure replicate --to {folder}` makes one.")
    if not chosen:
        raise StateError(f"the oldest point in {folder} is {points[0].name}; there is none at or before that time.")
    return chosen[-1]


def rebuild(
    folder: Path,
    point: Point,
    target: Path,
    *,
    on_progress: Callable[[int, int], None],
    disk: Disk | None = None,
) -> None:
    """Make the file `target` what the database was at a point. `on_progress` is told how many parts are done.

    Raises CopyDamagedError, which names the newest point before it that is not damaged, and OSError.
    """
    try:
        _rebuild(folder, point, target, disk or LocalDisk(), on_progress=on_progress)
    except (CopyDamagedError, FileNotFoundError) as error:
        if _has_gone(folder, point):
            raise StateError(
                f"{point.name} has gone from {folder} while it was restored: its time was over. Nothing was "
                f"restored; `perdure restore --from {folder} --list` shows what is there now."
            ) from error
        advice = _advice(newest_sound_point(folder, before=point))
        raise CopyDamagedError(
            f"the copy of {point.name} in {folder} cannot be restored: {error}. Nothing was restored. {advice}"
        ) from error


def become_another(database: Path, disk: Disk, *, now: Timestamp) -> None:
    """Let a restored database be another than the one that was copied, and than any other that was made of the copy.

    The keys of runs come from the numbers of sessions: none must be taken for another's, which was there in the time
    that is lost, or since an earlier restoring, by whoever has kept it (another database, a token). So sessions count
    on from the time of day (in tens of seconds since 2025), which others have not reached, and from somewhere
    behind that, which the moment scatters over a million: two that were made of one copy within minutes, with a hundred
    sessions each, meet with a chance of one to some thousands. That it was restored tells it from the original, whose
    followed copies it must not go on with.

    It has a log then, as stores have it, also if another tool has given the copy another mode. Nobody else has the file
    open. Raises apsw's errors.
    """
    with closing(apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE, vfs=disk.vfs)) as connection:
        pragma(connection, "locking_mode = EXCLUSIVE")  # no memory that others would share: there are no others
        pragma(connection, "journal_mode = WAL")
        time_of_day = (now - _BEGIN_OF_2025) // _MICROSECONDS_PER_NUMBER
        connection.execute(_SKIP_NUMBERS, (SKIPPED_NUMBERS, time_of_day, _scattered(now)))
        connection.execute(_NOTE_RESTORING, (now,))
        connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
    disk.remove(log_of(database))


def copy_file(source: Path, target: RawFile, *, on_progress: Callable[[int, int], None]) -> None:
    """Copy a copy's bytes into an empty file. Raises CopyDamagedError if they cannot be read, and OSError."""
    size, done = source.stat().st_size, 0
    for block in _blocks_of(source):
        target.write(block, offset=done)
        done += len(block)
        on_progress(done, size)


def _blocks_of(path: Path) -> Iterator[bytes]:
    with readable(path), path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def _scattered(now: Timestamp) -> int:
    return int.from_bytes(hashlib.blake2b(now.to_bytes(8), digest_size=8).digest()) % _SCATTERED_OVER


def _what_follows(folder: Path, contents: Contents, number: int) -> str:
    """Return what is wrong with the part after the first `number` points, which may be the one that was asked for."""
    if number in contents.breaks or number == len(contents.points):
        return contents.breaks.get(number, "")
    chosen, following = contents.points[number - 1] if number else None, contents.points[number]
    try:
        part = _part_of(folder, following)
        before = _part_of(folder, chosen) if chosen and chosen.generation == following.generation else None
    except CopyDamagedError as error:
        return str(error)
    except FileNotFoundError:
        return ""  # it was merged meanwhile, and so was whole
    if part and before and part.header.first == before.header.number + 1 and part.header.previous != before.link:
        return f"{following.generation}/{following.number} does not follow the part before it"
    return ""


def _part_of(folder: Path, point: Point) -> Part | None:
    file = CopyFolder(folder).generation(point.generation).file_of(point.number)
    return None if file is None else read_part(file.path)


def _has_gone(folder: Path, point: Point) -> bool:
    """Whether the generation of a point has been removed, or the point was merged into a later one."""
    generation = CopyFolder(folder).generation(point.generation)
    try:
        file = generation.file_of(point.number)
    except FileNotFoundError:
        return True
    return file is not None and file.last != point.number


def _rebuild(folder: Path, point: Point, target: Path, disk: Disk, *, on_progress: Callable[[int, int], None]) -> None:
    generation = CopyFolder(folder).generation(point.generation)
    with closing(disk.create(target)) as file:
        copy_file(generation.base, file, on_progress=lambda _done, _total: None)
        for part in parts_of(generation, upto=point.number):
            if part.header.number == 0 and digest_of_file(target) != part.header.previous:
                raise CopyDamagedError(f"{generation.base} is damaged: its digest does not fit what it holds")
            _apply(part, file)
            on_progress(part.header.number + 1, point.number + 1)


def _advice(sound: Point | None) -> str:
    if sound is None:
        return "None before it is whole."
    return f"The newest point before it is {sound.name}: restore it with --at {show_time(sound.taken_at)}"


def _apply(part: Part, file: RawFile) -> None:
    for page, data in part.pages.items():
        file.write(data, offset=(page - 1) * PAGE_BYTES)
    file.truncate(part.header.page_count * PAGE_BYTES)


SKIPPED_NUMBERS: Final = 1 << 18
"""At least so many numbers are left out: more sessions than come in a week, one every three seconds."""
_SCATTERED_OVER: Final = 1 << 20

_BLOCK_BYTES: Final = 1 << 20
_BEGIN_OF_2025: Final = 1_735_689_600_000_000
_MICROSECONDS_PER_NUMBER: Final = 10_000_000
_SKIP_NUMBERS: Final = "UPDATE store_meta SET value = max(value + ?, ?) + ? WHERE name = 'last_worker_id'"
_NOTE_RESTORING: Final = "INSERT OR REPLACE INTO store_meta (name, value) VALUES ('restored_at', ?)"
