"""What happens to the files of a database, as a disk notes it."""

import msgspec

__all__ = [
    "Create",
    "Delete",
    "Grow",
    "Link",
    "LostSync",
    "MakeFolder",
    "Operation",
    "RemoveFolder",
    "Rename",
    "Sync",
    "SyncFolder",
    "Truncate",
    "Write",
]


class Operation(msgspec.Struct, frozen=True):
    """One operation on the file of this name."""

    file: str


class Create(Operation, frozen=True):
    """The file comes to be, empty."""


class Write(Operation, frozen=True):
    """Bytes are written at `offset`."""

    offset: int
    data: bytes


class Grow(Operation, frozen=True):
    """Zeros are written from the end of the file up to `size`."""

    size: int


class Truncate(Operation, frozen=True):
    """The file is cut, or filled up with zeros, to `size`."""

    size: int


class Sync(Operation, frozen=True):
    """What was written so far is durable from here on; with `enters_folder` so is that the folder has its files."""

    enters_folder: bool = False


class LostSync(Operation, frozen=True):
    """A sync failed: the kernel takes what was not written yet for clean, and never writes it."""


class SyncFolder(Operation, frozen=True):
    """It is durable which files the folder has (`file` is empty where there is one)."""


class MakeFolder(Operation, frozen=True):
    """The folder comes to be, empty."""


class RemoveFolder(Operation, frozen=True):
    """The folder, which is empty, is gone."""


class Rename(Operation, frozen=True):
    """The file takes the name `new`, and the place of the file that had it."""

    new: str


class Link(Operation, frozen=True):
    """The file has a second name, `new`."""

    new: str


class Delete(Operation, frozen=True):
    """The file is gone; `is_durable`: and its folder was synced."""

    is_durable: bool
