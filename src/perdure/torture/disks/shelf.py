"""The shelf: a platter with folders, whose files may have several names; for what is renamed, linked and removed.

The model is that of `platter`, and of its folders: which names a folder has is durable once it was synced. Of what was
done to names after that each operation may be there or not, whatever came before or after it; but each is there whole,
a renaming as well.
"""

import random
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Final

from perdure.torture.disks.operations import (
    Create,
    Delete,
    Link,
    LostSync,
    MakeFolder,
    Operation,
    RemoveFolder,
    Rename,
    Sync,
    SyncFolder,
)
from perdure.torture.disks.platter import Content

__all__ = ["Shelf", "Tree", "lay_out"]

Tree = dict[str, Content | None]
"""What a folder holds, by paths below it: the contents of files, and None for folders."""

_ROOT: Final = 0

_Entry = tuple[int, str, int | None]
"""In a folder a name stands for a file or a folder, or for nothing any more; numbers name files and folders."""


class Shelf:
    """A disk after some operations. Take them one by one, and ask in between what may be left."""

    def __init__(self, begun: Path) -> None:
        """Begin with what the folder `begun` holds, all of it durable."""
        self._numbers: Final = count(1)
        self._durable: Final[dict[int, dict[str, int]]] = {_ROOT: {}}
        self._entries: Final[dict[int, dict[str, int]]] = {_ROOT: {}}
        self._waiting: list[list[_Entry]] = []
        self._safe: Final[dict[int, Content]] = {}
        self._pending: Final[dict[int, list[Operation]]] = {}
        self._cached: Final[dict[int, Content]] = {}
        for path in sorted(begun.rglob("*")):
            if path.is_dir():
                self.take(MakeFolder(path.relative_to(begun).as_posix()))
            elif path.is_file():
                data = path.read_bytes()
                number = self._new_file(path.relative_to(begun).as_posix())
                self._safe[number] = Content(bytearray(data), len(data))
                self._cached[number] = self._safe[number].copy()
        self._enter(self._waiting)
        self._waiting = []

    def take(self, operation: Operation) -> None:
        """Let an operation happen."""
        match operation:
            case Create(file=file):
                self._new_file(file)
            case MakeFolder(file=file):
                number = next(self._numbers)
                self._durable[number], self._entries[number] = {}, {}
                self._note([self._entry(file, number)])
            case Link(file=file, new=new):
                self._note([self._entry(new, self._at(file))])
            case Rename(file=file, new=new):
                self._note([self._entry(file, None), self._entry(new, self._at(file))])
            case Delete(file=file) | RemoveFolder(file=file):
                self._note([self._entry(file, None)])
            case Sync(file=file, enters_folder=enters_folder):
                number = self._at(file)
                _take_all(self._safe[number], self._pending[number])
                self._pending[number] = []
                if enters_folder:
                    self._sync_folder(_parent(file))
            case SyncFolder(file=file):
                self._sync_folder(file)
            case LostSync(file=file):
                self._pending[self._at(file)] = []
            case _:
                number = self._at(operation.file)
                self._pending[number].append(operation)
                self._cached[number].take(operation)

    def kept_by_the_kernel(self) -> Tree:
        """Return what processes see, and what the death of a process leaves."""
        return dict(self._walk(self._entries, self._cached))

    def left_by_a_loss_of_power(self, chance: random.Random, *, draws: int) -> Iterator[tuple[str, Tree]]:
        """Yield what may be left, each with what it is: the extremes, and `draws` drawn ones."""
        yield "nothing pending is there", self._left([], self._safe)
        yield "what was written is there, and no name", self._left([], self._cached)
        yield "all names are there, and nothing written", self._left(self._waiting, self._safe)
        for number in range(len(self._waiting)):
            yield f"of the names only change {number} is there", self._left([self._waiting[number]], self._safe)
        for _ in range(draws):
            chosen = [entries for entries in self._waiting if chance.random() < _KEPT]
            yield "some is there", self._left(chosen, self._torn(chance))

    def _new_file(self, file: str) -> int:
        number = next(self._numbers)
        self._safe[number], self._cached[number], self._pending[number] = Content(), Content(), []
        self._note([self._entry(file, number)])
        return number

    def _entry(self, file: str, number: int | None) -> _Entry:
        return self._at(_parent(file)), PurePosixPath(file).name, number

    def _at(self, path: str) -> int:
        number = _ROOT
        for name in PurePosixPath(path).parts:
            number = self._entries[number][name]
        return number

    def _note(self, entries: list[_Entry]) -> None:
        self._waiting.append(entries)
        _put(self._entries, [entries])

    def _sync_folder(self, folder: str) -> None:
        number = self._at(folder)
        self._enter([entries for entries in self._waiting if any(entry[0] == number for entry in entries)])
        self._waiting = [entries for entries in self._waiting if all(entry[0] != number for entry in entries)]

    def _enter(self, changes: Iterable[list[_Entry]]) -> None:
        _put(self._durable, changes)

    def _torn(self, chance: random.Random) -> dict[int, Content]:
        contents = {number: content.copy() for number, content in self._safe.items()}
        for number, pending in self._pending.items():
            for operation in pending:
                contents[number].take_torn(operation, chance, garbage=_GARBAGE)
        return contents

    def _left(self, changes: list[list[_Entry]], contents: dict[int, Content]) -> Tree:
        folders = {number: dict(names) for number, names in self._durable.items()}
        _put(folders, changes)
        return dict(self._walk(folders, contents))

    def _walk(
        self, folders: dict[int, dict[str, int]], contents: dict[int, Content], folder: int = _ROOT, prefix: str = ""
    ) -> Iterator[tuple[str, Content | None]]:
        for name, number in folders[folder].items():
            if number in folders:
                yield f"{prefix}{name}", None
                yield from self._walk(folders, contents, number, f"{prefix}{name}/")
            else:
                yield f"{prefix}{name}", contents[number]


def lay_out(tree: Tree, folder: Path) -> None:
    """Make of a new `folder` what a tree holds."""
    folder.mkdir()
    for name, content in tree.items():
        if content is None:
            (folder / name).mkdir()
        else:
            with (folder / name).open("wb", buffering=0) as file:
                file.write(content.data)
                file.truncate(content.size)


def _put(folders: dict[int, dict[str, int]], changes: Iterable[list[_Entry]]) -> None:
    for folder, name, number in (entry for entries in changes for entry in entries):
        if number is None:
            folders[folder].pop(name, None)
        else:
            folders[folder][name] = number


def _take_all(content: Content, operations: list[Operation]) -> None:
    for operation in operations:
        content.take(operation)


def _parent(file: str) -> str:
    return PurePosixPath(file).parent.as_posix()


_KEPT: Final = 0.5
_GARBAGE: Final = 0.15
