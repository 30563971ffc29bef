"""The folder of a copy that follows: generations, each a base with its increments.

    TARGET/replicating.lock                       held by whoever replicates into the folder
    TARGET/generation-000001/base.db              a whole copy
    TARGET/generation-000001/00000000.part        what the base is
    TARGET/generation-000001/00000001.part ...    increments
    TARGET/generation-000001/00000060-00000119.part    what was merged of several increments
    TARGET/unfinished-000002                      a generation whose base is in the making

A file has its name once it is whole and synced, and is never changed then. So has a generation: it begins with its
base, and with what came while that was made. Files of other names are others' (a snapshot's, a network's): they stay,
and the folder of a generation that is removed stays with them.

What was merged is there, for certain, before the first of the files that it was merged from goes. Should whoever merges
die in between, some of these are left: they are no parts any more.
"""

import re
from itertools import dropwhile
from pathlib import Path
from typing import Final, NamedTuple

from perdure.errors import CopyDamagedError, StoreLockedError, StoreUnavailableError
from perdure.stores.sqlite.copies.durable import UNFINISHED
from perdure.stores.sqlite.copies.parts import PartHeader, read_part
from perdure.stores.sqlite.copies.reading import UnreadableError
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.locks import FileLock

__all__ = ["CopyFolder", "Generation", "PartFile"]

_LOCK: Final = "replicating.lock"
_GENERATION: Final = "generation-"
_UNFINISHED: Final = "unfinished-"
_PART: Final = re.compile(r"(?:(\d{8})-)?(\d{8})\.part")
_OWN: Final = re.compile(rf"{_PART.pattern}|base\.db|\..*{re.escape(UNFINISHED)}")


class PartFile(NamedTuple):
    """The file of a part: it holds the increments from `first` to `last`."""

    first: int
    last: int
    path: Path


class Generation:
    """A base and its increments."""

    def __init__(self, path: Path) -> None:
        """Name the generation in the folder `path`."""
        self.path: Final = path
        self.name: Final = path.name
        self.base: Final = path / "base.db"

    def part(self, number: int, *, merged_from: int | None = None) -> Path:
        """Return where a part is, or will be: an increment, or what was merged of those up to it."""
        begin = "" if merged_from is None else f"{merged_from:08d}-"
        return self.path / f"{begin}{number:08d}.part"

    @property
    def is_whole(self) -> bool:
        """Whether its base was finished. Raises OSError: what a disk does not tell just now is not missing."""
        try:
            self.part(0).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    @property
    def has_parts(self) -> bool:
        """Whether parts of it are there, be it without the first."""
        try:
            return self.is_whole or bool(self.numbers())
        except FileNotFoundError:
            return False  # it was removed meanwhile

    def files(self) -> list[PartFile]:
        """Return the files of the parts that are there, in order. Raises OSError."""
        return self._files()[0]

    def file_of(self, number: int) -> PartFile | None:
        """Return the file that holds an increment; None if it is missing. Raises OSError."""
        return next((file for file in self.files() if file.first <= number <= file.last), None)

    def leftovers(self) -> list[PartFile]:
        """Return what is left of parts that were merged into others. Raises OSError."""
        return self._files()[1]

    def _files(self) -> tuple[list[PartFile], list[PartFile]]:
        """Return the files of parts, and those of parts that others hold."""
        matches = (_PART.fullmatch(entry.name) for entry in self.path.iterdir())
        found = [PartFile(int(match[1] or match[2]), int(match[2]), self.path / match[0]) for match in matches if match]
        files: list[PartFile] = []
        leftovers: list[PartFile] = []
        for file in sorted(found, key=lambda file: (file.first, -file.last)):
            (leftovers if files and file.last <= files[-1].last else files).append(file)
        return files, leftovers

    def numbers(self) -> list[int]:
        """Return the numbers of the parts that are there, in order: of each, that of its last increment."""
        return [file.last for file in self.files()]

    def begun(self) -> PartHeader:
        """Return what its base is, by a part that is as it was written. Raises CopyDamagedError, OSError."""
        try:
            return read_part(self.part(0)).header
        except FileNotFoundError as error:
            raise CopyDamagedError(f"{self.part(0)} is missing") from error

    def clear_away(self, disk: Disk) -> None:
        """Remove what whoever died has left under a hidden name. Raises OSError."""
        for left in self.path.glob(f".*{UNFINISHED}"):
            disk.remove(left)

    def size_bytes(self) -> int:
        """Return how much room it takes. Others may add parts and merge them meanwhile. Raises OSError."""
        return sum(map(_size, self.path.iterdir()))

    def remove(self, disk: Disk) -> None:
        """Remove it, first what makes it one, for certain. Raises OSError."""
        if self.is_whole:
            disk.remove(self.part(0))
            disk.sync_folder(self.path)
        entries = sorted(self.path.iterdir())
        own = [entry for entry in entries if _OWN.fullmatch(entry.name)]
        for entry in own:
            disk.remove(entry)
        if own == entries:
            disk.remove_folder(self.path)


class CopyFolder:
    """A folder of generations."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        """Look at the folder `path`, which is on `disk`."""
        self.path: Final = path
        self._disk: Final = disk or LocalDisk()
        self._lock: FileLock | None = None

    def take(self) -> None:
        """Make the folder, and be the one who replicates into it. Raises StoreLockedError, OSError."""
        if not self.path.is_dir():
            self._disk.make_folder(self.path)
        lock = FileLock(self.path / _LOCK)
        if not lock.try_exclusive():
            lock.close()
            raise StoreLockedError(
                f"another process replicates into {self.path} already. One is enough; choose another folder for a "
                f"second copy."
            )
        self._lock = lock

    @property
    def is_taken(self) -> bool:
        """Whether whoever took the folder still has it: not if another one is in its place, of a disk that was mounted
        meanwhile say, or none."""
        return self._lock is not None and self._lock.is_at_its_place

    def leave(self) -> None:
        """Let others replicate into the folder."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def generations(self) -> list[Generation]:
        """Return those whose base was finished, oldest first. Raises OSError.

        One with increments whose first part is missing is damaged, unless it is older than all others: then its removal
        was interrupted.
        """
        begun = [generation for generation in self._all() if generation.has_parts]
        return [*dropwhile(lambda generation: not generation.is_whole, begun)]

    def clear_away(self) -> None:
        """Remove what whoever replicated before and died has left unfinished. Raises OSError."""
        for generation in self._all():
            generation.clear_away(self._disk)
        for generation in self._all(_UNFINISHED):
            generation.remove(self._disk)

    def generation(self, name: str) -> Generation:
        """Return the generation of a name, which need not be there."""
        return Generation(self.path / name)

    def begin_generation(self) -> Generation:
        """Return a new one, which is none before `finish`; what a removal has left is removed. Raises OSError."""
        known = self._all()
        taken = [int(each.name.rpartition("-")[2]) for each in (*known, *self._all(_UNFINISHED))]
        kept = {generation.name for generation in self.generations()}
        for generation in known:
            if generation.name not in kept:
                generation.remove(self._disk)
        new = Generation(self.path / f"{_UNFINISHED}{1 + max(taken, default=0):06d}")
        self._disk.make_folder(new.path)
        return new

    def finish(self, new: Generation) -> Generation:
        """Let a new generation be one, for certain. Raises OSError; then it is none."""
        finished = Generation(self.path / new.name.replace(_UNFINISHED, _GENERATION))
        self._disk.rename(new.path, finished.path)
        try:
            for folder in (self.path, self.path.parent):
                self._disk.sync_folder(folder)
        except BaseException:
            self._disk.rename(finished.path, new.path)
            raise
        return finished

    def newest(self) -> PartHeader | None:
        """Return what the newest part is that is as it was written; None if there is none.

        Raises StoreUnavailableError where one may be there that cannot be read just now, and OSError.
        """
        unread: UnreadableError | None = None
        for generation in reversed(self._all()):
            for file in reversed(generation.files()):
                try:
                    return read_part(file.path).header
                except UnreadableError as error:
                    unread = error
                except (CopyDamagedError, FileNotFoundError):
                    pass  # nobody can go on from it
        if unread is not None:
            raise StoreUnavailableError(
                f"{self.path} holds no part of a copy that can be read now: {unread}. Nothing is added to it, nor does "
                f"anything go, until one can be; if that stays so, choose another folder."
            ) from unread
        return None

    def _all(self, kind: str = _GENERATION) -> list[Generation]:
        named = re.compile(rf"{kind}\d+")
        try:
            found = sorted(path for path in self.path.iterdir() if named.fullmatch(path.name))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [Generation(path) for path in found if path.is_dir()]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
