"""Merging: of the older points in time of a copy some go, so that its folder does not fill up with files.

**What stays.** All points of the last hour; of the day before that the last one of each minute; of the time before that
the last one of each ten minutes. With a point each second, and seven days, these are some 5,900 files, where there
would be 604,800.

**How.** The parts between two points that stay are merged into one, which has the last version of each page that any of
them changed (`parts` says how it stands in their chain). A minute is merged when all of it is an hour old: so each page
is written twice more, not again with each part. They are read and checked one by one, and no more is merged at once
than fits into some memory: a database that changes much has more files, each of them large.

**Clocks.** How old a part is, steady time says, which goes on with the clock and not by its being set (`steady`). Which
minute it is of, its own time says, for as long as the two go alike: between parts of one minute they have not come
apart by a minute. So a clock that is ahead makes nothing old; and one that was set back, while whose points follow each
other by microseconds until it has caught up, makes no single minute of hours.

**Order.** What was merged is written under a name of its own, synced, and so is its name. Only then go the parts that
it holds. Whoever dies in between leaves some of them, which are no parts any more (`folder`); the next pass makes sure
of what holds them and of its name, and removes them.

**Cost.** One piece of work in a round, after its increment, from the files of the copy alone: neither the database nor
its log is touched, no lock of theirs is held, and nobody who commits waits for it. What fails is tried again with the
next pass, and is told with the standing of the copy; the increments go on.

**Rejected.** To merge on and on what is an hour old: each part would be written sixty times. To leave points out and
merge nothing: an increment has only what has changed since the one before.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from perdure.errors import CopyDamagedError
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.logs import logger_named
from perdure.stores.sqlite.copies.durable import write_durably
from perdure.stores.sqlite.copies.folder import CopyFolder, Generation, PartFile
from perdure.stores.sqlite.copies.parts import PartHeader, encode_part, read_header, read_part
from perdure.stores.sqlite.disk import Disk

__all__ = ["MOST_MERGED_PAGES", "SPACINGS", "Candidate", "Merged", "Merging", "Spacing", "due_groups"]

_MINUTE: Final = 60 * MICROSECONDS_PER_SECOND


class Spacing(NamedTuple):
    """Of points that are older than `after` microseconds, the last one of each `width` microseconds stays."""

    after: int
    width: int


SPACINGS: Final = (Spacing(60 * _MINUTE, _MINUTE), Spacing(24 * 60 * _MINUTE, 10 * _MINUTE))
MOST_MERGED_PAGES: Final = 8_192
"""A part that others are merged into holds no more pages than these (32 MB)."""


class Candidate(NamedTuple):
    """A part that may be merged with its neighbours: when it was taken, also by steady time, and how many pages it
    has."""

    file: PartFile
    taken_at: Timestamp
    steady_at: Timestamp
    pages: int


class Merged(NamedTuple):
    """What a piece of work has done: by how many bytes a generation has become smaller."""

    generation: str
    freed_bytes: int


def due_groups(
    candidates: Iterable[Candidate], *, now: Timestamp, spacings: Sequence[Spacing], most_pages: int
) -> Iterator[list[Candidate]]:
    """Yield the neighbours, of candidates in order, that are to be merged `now`, by steady time: each time two or more.

    `spacings` are by age, the youngest first, and each width is a multiple of the one before. A group has no more
    than `most_pages` pages.
    """
    group: list[Candidate] = []
    slot: _Slot | None = None
    pages = 0
    for candidate in candidates:
        own = _slot(candidate, now=now, spacings=spacings)
        follows = bool(group) and group[-1].file.last + 1 == candidate.file.first
        if not (follows and own is not None and own == slot and pages + candidate.pages <= most_pages):
            if len(group) > 1:
                yield group
            group, slot, pages = [], own, 0
        group.append(candidate)
        pages += candidate.pages
    if len(group) > 1:
        yield group


class _Slot(NamedTuple):
    """A time of which one point stays: its width, its number, and how far the clock was ahead of steady time then."""

    width: int
    number: int
    ahead: int


def _slot(candidate: Candidate, *, now: Timestamp, spacings: Sequence[Spacing]) -> _Slot | None:
    """Return of which time one point stays that a candidate is of, if all of that time is old enough."""
    ahead = candidate.taken_at - candidate.steady_at
    for after, width in reversed(spacings):
        number = candidate.taken_at // width
        if (number + 1) * width - ahead <= now - after:
            # From amid a width, where clocks begin that go alike: a moment more or less is no other slot.
            return _Slot(width, number, (ahead + spacings[0].width // 2) // width)
    return None


class Merging:
    """Merges parts of the generations in a folder, piece by piece. Blocks; not safe for use by several threads."""

    def __init__(
        self, folder: CopyFolder, disk: Disk, *, spacings: Sequence[Spacing], most_pages: int = MOST_MERGED_PAGES
    ) -> None:
        """Prepare. See `due_groups`."""
        self._folder: Final = folder
        self._disk: Final = disk
        self._spacings: Final = spacings
        self._most_pages: Final = most_pages
        self._known: dict[Path, Candidate] = {}
        self._pieces: Iterator[Merged] = iter(())
        self._looked_at: Timestamp | None = None
        self._found = ""
        self.trouble = ""

    def begin_anew(self) -> None:
        """Forget what was found: the folder may be another one."""
        self._known, self._pieces, self._looked_at = {}, iter(()), None

    def step(self, now: Timestamp) -> Merged | None:
        """Do the next piece of work, if there is one; return what it has done. `now` is by steady time.

        `trouble` says what could not be done.
        """
        try:
            merged = next(self._pieces, None)
            if merged is None and self._is_due(now):
                self._looked_at, self._pieces = now, self._pass(now)
                merged = next(self._pieces, None)
        except OSError as error:
            self._note(str(error))
            return None
        return merged

    def _is_due(self, now: Timestamp) -> bool:
        return self._looked_at is None or not 0 <= now - self._looked_at < self._spacings[0].width

    def _pass(self, now: Timestamp) -> Iterator[Merged]:
        """Yield what was merged, piece by piece, of all that is to be merged `now`. Raises OSError."""
        known, self._known = self._known, {}
        self._found = ""
        for generation in self._folder.generations():
            candidates: list[Candidate] = []
            with self._damage_noted(generation):
                self._remove_leftovers(generation)
                candidates = self._candidates(generation, known)
            for group in due_groups(candidates, now=now, spacings=self._spacings, most_pages=self._most_pages):
                with self._damage_noted(generation):
                    yield self._merge(generation, [candidate.file for candidate in group])
        self._note(self._found)

    @contextmanager
    def _damage_noted(self, generation: Generation) -> Iterator[None]:
        """Pass over what is damaged or missing, and note it, unless the generation was removed meanwhile."""
        try:
            yield
        except (CopyDamagedError, FileNotFoundError) as error:
            if generation.is_whole:
                self._found = (
                    f"{error}. Later points of {generation.name} cannot be restored; if it is the newest, start what "
                    f"replicates again: it begins a new base"
                )

    def _remove_leftovers(self, generation: Generation) -> None:
        """Remove what is left by whoever died while he merged. Raises CopyDamagedError, OSError."""
        leftovers = generation.leftovers()
        if not leftovers:
            return
        for file in generation.files():
            if any(file.first <= leftover.first <= file.last for leftover in leftovers):
                read_part(file.path)
        self._disk.sync_folder(generation.path)
        for leftover in leftovers:
            self._disk.remove(leftover.path)

    def _candidates(self, generation: Generation, known: dict[Path, Candidate]) -> list[Candidate]:
        """Return the parts of a generation that can be merged: all but that of its base, and what is damaged."""
        candidates = []
        for file in generation.files():
            if file.first > 0:
                with self._damage_noted(generation):
                    candidate = known.get(file.path) or _candidate(file)
                    self._known[file.path] = candidate
                    candidates.append(candidate)
        return candidates

    def _merge(self, generation: Generation, files: list[PartFile]) -> Merged:
        """Merge parts into one. Raises CopyDamagedError, OSError."""
        size_bytes = sum(file.path.stat().st_size for file in files)
        header, pages = _joined(files)
        data, _ = encode_part(header, pages)
        write_durably(self._disk, generation.part(header.number, merged_from=header.first), data)
        for file in files:
            self._disk.remove(file.path)
        return Merged(generation=generation.name, freed_bytes=size_bytes - len(data))

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            _LOGGER.warning("parts of the copy in %s are not merged: %s", self._folder.path, trouble)
        self.trouble = trouble


def _candidate(file: PartFile) -> Candidate:
    header = read_header(file.path)
    return Candidate(file=file, taken_at=header.taken_at, steady_at=header.steady, pages=header.pages)


def _joined(files: list[PartFile]) -> tuple[PartHeader, dict[int, bytes]]:
    """Return the header and the pages of what parts are merged into. Raises CopyDamagedError, OSError."""
    first, *others = files
    part = read_part(first.path)
    previous, pages = part.header.previous, part.pages
    for file in others:
        before, part = part, read_part(file.path)
        if part.header.previous != before.link:
            raise CopyDamagedError(f"{file.path} does not follow the part before it")
        if part.header.page_count < before.header.page_count:
            pages = {page: data for page, data in pages.items() if page <= part.header.page_count}
        pages.update(part.pages)
    header = msgspec.structs.replace(
        part.header, previous=previous, pages=len(pages), merged_from=first.first, stands_for=part.link
    )
    return header, pages


_LOGGER: Final = logger_named("perdure.copies")
