"""The points in time to which a copy can be restored, and the check that it can."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from perdure.errors import CopyDamagedError
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.stores.sqlite.copies.folder import CopyFolder, Generation
from perdure.stores.sqlite.copies.parts import Part, read_header, read_part
from perdure.stores.sqlite.copies.whole import digest_of_file

__all__ = ["Contents", "Point", "checked_parts", "newest_sound_point", "parts_of", "read_contents", "show_time"]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A moment that can be restored: what had been committed by `taken_at`, which increment `number` of `generation`
    holds (0: its base). `size_bytes`: what the increment takes on the disk, without its base."""

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

    A part that is missing or has no readable header ends its generation.
    """
    points: list[Point] = []
    breaks: dict[int, str] = {}
    for generation in CopyFolder(folder).generations():
        newest = points[-1].taken_at if points else -1
        found, wrong = _points(generation)
        points.extend(point for point in found if point.taken_at > newest)
        if wrong:
            breaks[len(points)] = wrong
    return Contents(points=points, breaks=breaks)


def parts_of(generation: Generation, *, upto: int) -> Iterator[Part]:
    """Yield the parts of a generation in order, each one checked, and that it follows the one before.

    The base's own digest is in the first part, as `previous`. Raises CopyDamagedError, OSError.
    """
    previous: Part | None = None
    for number in range(upto + 1):
        path = generation.part(number)
        if not path.is_file():
            raise CopyDamagedError(f"{path} is missing")
        part = read_part(path)
        if part.header.number != number or (previous is not None and part.header.previous != previous.digest):
            raise CopyDamagedError(f"{path} does not follow the part before it")
        yield part
        previous = part


def checked_parts(generation: Generation, *, upto: int) -> Iterator[Part]:
    """Yield the parts of a generation as `parts_of`, and check its base, too. Raises CopyDamagedError, OSError."""
    for part in parts_of(generation, upto=upto):
        if part.header.number == 0 and digest_of_file(generation.base) != part.header.previous:
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


def _points(generation: Generation) -> tuple[list[Point], str]:
    """Return the points of a generation, and why it cannot be read on after them; empty if that is all of it."""
    points: list[Point] = []
    for expected, number in enumerate(generation.numbers()):
        path = generation.part(number)
        if number != expected:
            return points, f"{generation.part(expected)} is missing"
        try:
            header = read_header(path)
        except CopyDamagedError as error:
            return points, str(error)
        if header.number != number:
            return points, f"{path} is the part of another number"
        size = path.stat().st_size
        points.append(Point(generation=generation.name, number=number, taken_at=header.taken_at, size_bytes=size))
    return points, ""


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
