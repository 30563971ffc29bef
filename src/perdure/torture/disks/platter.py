"""The platter: what is on a disk for certain, what is on its way, and what may be left of that when the power fails.

The model is that of an honest disk beneath an operating system that keeps no order: what a sync has answered for stays;
of what came after it each write may be there or not, whatever came before or after it, and of each write each sector of
512 bytes may be old, new or garbage. A file whose folder was not synced may be gone, a deleted one back.
"""

import random
from collections.abc import Callable, Iterator
from typing import Final, Self

from perdure.errors import InternalError
from perdure.torture.disks.operations import (
    Create,
    Delete,
    Grow,
    LostSync,
    Operation,
    Rename,
    Sync,
    SyncFolder,
    Truncate,
    Write,
)

__all__ = ["Content", "Image", "Platter"]


class Content:
    """The bytes of a file: `data`, and zeros behind it up to `size`."""

    __slots__ = ("data", "size")

    def __init__(self, data: bytearray | None = None, size: int = 0) -> None:
        self.data = bytearray() if data is None else data
        self.size = size

    def copy(self) -> Self:
        """Return another that may be changed."""
        return type(self)(self.data[:], self.size)

    def take(self, operation: Operation) -> None:
        """Let an operation on the bytes have its whole effect."""
        match operation:
            case Write(offset=offset, data=data):
                self._put(offset, data)
            case Grow(size=size):
                self.size = max(self.size, size)
            case Truncate(size=size):
                del self.data[size:]
                self.size = size
            case _:
                raise InternalError(f"{operation} does nothing to the bytes of a file")

    def take_torn(self, operation: Operation, chance: random.Random, *, garbage: float) -> None:
        """Let a part of an operation have its effect; `garbage` is the share of sectors that become it."""
        if not isinstance(operation, Write):
            if chance.random() < _KEPT:
                self.take(operation)
            return
        for begin, stop in _sectors(operation):
            drawn = chance.random()
            if drawn < _KEPT:
                self._put(begin, operation.data[begin - operation.offset : stop - operation.offset])
            elif drawn < _KEPT + garbage:
                self._put(begin, chance.randbytes(stop - begin))

    def _put(self, offset: int, data: bytes) -> None:
        if offset > len(self.data):
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset : offset + len(data)] = data
        self.size = max(self.size, offset + len(data))


Image = dict[str, Content]
"""The files of a folder."""


class Platter:
    """A disk after some operations. Take them one by one, and ask in between what a loss of power may leave."""

    def __init__(self) -> None:
        """Begin with an empty folder."""
        self._durable: Image = {}
        self._pending: dict[str, list[Operation]] = {}
        self._cached: Image = {}
        self._unentered: set[str] = set()
        self._gone: Image = {}

    def take(self, operation: Operation) -> None:
        """Let an operation happen."""
        file = operation.file
        match operation:
            case Create():
                self._durable[file], self._cached[file], self._pending[file] = Content(), Content(), []
                self._unentered.add(file)
            case Sync(enters_folder=enters_folder):
                for pending in self._pending[file]:
                    self._durable[file].take(pending)
                self._pending[file] = []
                if enters_folder:
                    self._sync_folder()
            case LostSync():
                self._pending[file] = []
            case SyncFolder():
                self._sync_folder()
            case Rename(new=new):
                self._rename(file, new)
            case Delete(is_durable=is_durable):
                self._delete(file)
                if is_durable:
                    self._sync_folder()
            case _:
                self._pending[file].append(operation)
                self._cached[file].take(operation)

    def kept_by_the_kernel(self) -> Image:
        """Return the files as processes see them, and as the death of a process leaves them."""
        return self._cached

    def left_by_a_loss_of_power(self, chance: random.Random, *, draws: int) -> Iterator[tuple[str, Image]]:
        """Yield what may be left, each with what it is: the extremes, and `draws` drawn by chance."""
        yield "nothing pending is there", self._image(lambda _file, _content: None)
        if self._gone:
            yield "what was deleted or replaced is there again", self._image(self._keep) | self._gone
        if self._unentered:
            entered = self._image(self._keep)
            yield "new files are gone", {name: entered[name] for name in entered.keys() - self._unentered}
        waiting = [file for file, pending in self._pending.items() if pending]
        if not waiting:
            return
        yield "all is there", self._image(self._keep)
        for file in waiting:
            yield from self._extremes_of(file)
            yield f"a sector of a write to {file} is garbage", self._with_one_garbled(chance, file)
        for number in range(draws):
            yield _DRAWN[number % len(_DRAWN)], self._drawn(chance, number % len(_DRAWN))

    def _extremes_of(self, only: str) -> Iterator[tuple[str, Image]]:
        pending = self._pending[only]

        def some(operations: list[Operation]) -> Image:
            return self._image(lambda file, content: _take_all(content, operations) if file == only else None)

        if sum(map(bool, self._pending.values())) > 1:
            yield f"only {only} is there", some(pending)
        if len(pending) > 1:
            yield f"only the last write to {only} is there", some(pending[-1:])
            yield f"all but the first write to {only} is there", some(pending[1:])

    def _with_one_garbled(self, chance: random.Random, only: str) -> Image:
        """Of all that is pending only one sector has been written, and badly."""
        written = [one for one in self._pending[only] if isinstance(one, Write)]

        def take(file: str, content: Content) -> None:
            if file == only and written:
                begin, stop = chance.choice(list(_sectors(chance.choice(written))))
                content.take(Write(only, begin, chance.randbytes(stop - begin)))

        return self._image(take)

    def _drawn(self, chance: random.Random, how: int) -> Image:
        def take(file: str, content: Content) -> None:
            for operation in self._pending[file]:
                if how:
                    content.take_torn(operation, chance, garbage=_GARBAGE if how > 1 else 0.0)
                elif chance.random() < _KEPT:
                    content.take(operation)

        return self._image(take)

    def _image(self, take: Callable[[str, Content], None]) -> Image:
        image = {file: content.copy() for file, content in self._durable.items()}
        for file, content in image.items():
            take(file, content)
        return image

    def _keep(self, file: str, content: Content) -> None:
        _take_all(content, self._pending[file])

    def _delete(self, file: str) -> None:
        content = self._durable.pop(file, None)
        if content is None:
            return
        _take_all(content, self._pending.pop(file))
        del self._cached[file]
        if file in self._unentered:
            self._unentered.remove(file)
        else:
            self._gone[file] = content

    def _rename(self, file: str, new: str) -> None:
        self._delete(new)
        self._durable[new] = self._durable.pop(file)
        self._cached[new] = self._cached.pop(file)
        self._pending[new] = self._pending.pop(file)
        self._unentered.discard(file)
        if new not in self._gone:
            self._unentered.add(new)

    def _sync_folder(self) -> None:
        self._unentered.clear()
        self._gone.clear()


def _sectors(write: Write) -> Iterator[tuple[int, int]]:
    """Yield where each sector of a write begins and ends; of the first and the last only what is written."""
    begin, end = write.offset, write.offset + len(write.data)
    while begin < end:
        stop = min((begin // _SECTOR_BYTES + 1) * _SECTOR_BYTES, end)
        yield begin, stop
        begin = stop


def _take_all(content: Content, operations: list[Operation]) -> None:
    for operation in operations:
        content.take(operation)


_SECTOR_BYTES: Final = 512
_KEPT: Final = 0.5
_GARBAGE: Final = 0.15
_DRAWN: Final = ("some writes are there", "some sectors are there", "some sectors are garbage")
