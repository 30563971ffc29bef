"""The points in time to which a copy can be restored, and the check that it can."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from perdure.errors import CopyDamagedError
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.stores.sqlite.copies.folder import CopyFolder, Generation, PartFile
from perdure.stores.sqlite.copies.parts import Part, read_header, read_part
from perdure.stores.sqlite.copies.reading import readable
from perdure.stores.sqlite.copies.whole import digest_of_file

__all__ = ["Contents", "Point", "checked_parts", "newest_sound_point", "parts_of", "read_contents", "show_time"]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A moment that can be restored: what had been committed by `taken_at`, which increment `number` of `generation`
    holds (0: its base). `size_bytes`: what the increment takes on the disk, without its base, and with those before it
    that were merged into it."""

    generation: str
    number: int
    taken_at: Timestamp
    size_bytes: int

    @property
    def time(self) -> datetime:
        """When it was taken."""
        return timestamp_to_datetime(self.taken_at)

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"{show_time(self.taken_at)} ({self.generation}, increment {self.number})"


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds: its points, oldest first, and where what came next is missing or cannot be read.

    While the base of a generation was made the one before went on: of the newer one are points that are newer than all
    of the older one's.

    `breaks`: by the number of points before it, what is wrong.
    """

    points: list[Point]
    breaks: dict[int, str]


def read_contents(folder: Path) -> Contents:
    """Return the points of a folder, as the headers of its parts name them. Raises OSError.

    A part that is missing or has no readable header ends its generation. So does one that is said to be newer than all
    of the generation after it, which cannot be, if its digest says, too, that it is damaged.
    """
    points: list[Point] = []
    breaks: dict[int, str] = {}
    for generation in CopyFolder(folder).generations():
        found, wrong = _points(generation)
        while found and points and points[-1].taken_at > found[-1].taken_at and (damage := _damage(folder, points[-1])):
            breaks.pop(len(points), None)
            points.pop()
            breaks[len(points)] = damage
        newest = points[-1].taken_at if points else -1
        points.extend(point for point in found if point.taken_at > newest)
        if wrong:
            breaks[len(points)] = wrong
    return Contents(points=points, breaks=breaks)


def parts_of(generation: Generation, *, upto: int) -> Iterator[Part]:
    """Yield the parts of a generation in order, each one checked, and that it follows the one before.

    The base's own digest is in the first part, as `previous`. Parts may be merged meanwhile: then what was merged comes
    in their place, and may hold some that have come before. Raises CopyDamagedError, OSError.
    """
    links: dict[int, str] = {}
    done, missed = -1, None
    files = _files_after(generation, done)
    while done < upto:
        file = next(files, None)
        part = None if file is None or file.first > done + 1 else _read(file)
        if file is None or part is None:
            if missed == done:
                raise CopyDamagedError(f"{generation.part(done + 1)} is missing")
            missed, files = done, _files_after(generation, done)
            continue
        is_next = file.first == 0 or links.get(file.first - 1) == part.header.previous
        if not (is_next and file.last <= upto and (part.header.first, part.header.number) == file[:2]):
            raise CopyDamagedError(f"{file.path} does not follow the part before it")
        yield part
        done = file.last
        links[done] = part.link


def checked_parts(generation: Generation, *, upto: int) -> Iterator[Part]:
    """Yield the parts of a generation as `parts_of`, and check its base, too. Raises CopyDamagedError, OSError."""
    for part in parts_of(generation, upto=upto):
        if part.header.number == 0 and _digest_of_base(generation) != part.header.previous:
            raise CopyDamagedError(f"{generation.base} is damaged: its digest does not fit what it holds")
        yield part


def newest_sound_point(folder: Path, *, before: Point) -> Point | None:
    """Return the newest point before another that passes every check. It reads all of it. Raises OSError."""
    limit = (before.generation, before.number)
    earlier = [point for point in read_contents(folder).points if (point.generation, point.number) < limit]
    for generation in reversed(CopyFolder(folder).generations()):
        of_generation = [point for point in earlier if point.generation == generation.name]
        if of_generation and (sound := _sound(generation, of_generation)) is not None:
            return sound
    return None


def show_time(moment: Timestamp) -> str:
    """Return an instant as messages name it, and as it can be asked for."""
    return timestamp_to_datetime(moment).isoformat(timespec="microseconds")


def _damage(folder: Path, point: Point) -> str:
    """Return what is wrong with the part of a point, by its digest; empty if nothing is."""
    file = Generation(folder / point.generation).file_of(point.number)
    try:
        if file is not None:
            read_part(file.path)
    except FileNotFoundError:
        return ""  # it was merged meanwhile
    except CopyDamagedError as error:
        return str(error)
    return ""


def _files_after(generation: Generation, number: int) -> Iterator[PartFile]:
    return iter([file for file in generation.files() if file.last > number])


def _read(file: PartFile) -> Part | None:
    """Return a part; None if it has been merged since its file was found, or is missing. Raises CopyDamagedError."""
    try:
        return read_part(file.path)
    except FileNotFoundError:
        return None


def _points(generation: Generation) -> tuple[list[Point], str]:
    """Return the points of a generation, and why it cannot be read on after them; empty if that is all of it.

    Parts may be merged while their names are read: what is missing is so only if it still is at another look.
    """
    known: dict[Path, Point] = {}
    before = ""
    while True:
        points, wrong = _points_found(generation, known)
        if wrong == before:
            return points, wrong
        before = wrong


def _points_found(generation: Generation, known: dict[Path, Point]) -> tuple[list[Point], str]:
    points: list[Point] = []
    for file in generation.files():
        expected = points[-1].number + 1 if points else 0
        if file.first != expected:
            return points, f"{generation.part(expected)} is missing"
        try:
            point = known[file.path] = known.get(file.path) or _point(generation, file)
        except FileNotFoundError:
            return points, f"{file.path} is missing"
        except CopyDamagedError as error:
            return points, str(error)
        if points and point.taken_at <= points[-1].taken_at:
            return points, f"{file.path} was taken before the part that it follows"
        points.append(point)
    return points, ""


def _point(generation: Generation, file: PartFile) -> Point:
    header = read_header(file.path)
    if (header.first, header.number) != (file.first, file.last):
        raise CopyDamagedError(f"{file.path} is the part of another number")
    size = file.path.stat().st_size
    return Point(generation=generation.name, number=file.last, taken_at=header.taken_at, size_bytes=size)


def _digest_of_base(generation: Generation) -> str:
    with readable(generation.base):
        return digest_of_file(generation.base)


def _sound(generation: Generation, points: list[Point]) -> Point | None:
    """Return the newest of a generation's points that passes every check."""
    found: Point | None = None
    numbered = {point.number: point for point in points}
    try:
        for part in checked_parts(generation, upto=points[-1].number):
            found = numbered.get(part.header.number)
    except (CopyDamagedError, FileNotFoundError):
        pass
    return found
