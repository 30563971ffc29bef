"""Losses of power in a life: at each moment, in each way, what is left must be what was there since the last answer."""

import random
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from perdure.stores.sqlite.log import FRAME_BYTES, FRAME_HEADER_BYTES, LOG_HEADER_BYTES
from perdure.torture.disks.judgement import UnreadableError, contents_of, open_with_store
from perdure.torture.disks.operations import Grow, LostSync, Operation, Sync, SyncFolder, Write
from perdure.torture.disks.platter import Image, Platter

__all__ = ["SURELY", "LossOfPower", "lose_power", "may_commit"]

SURELY: Final = 6
"""Before so many operations, the first ones, power is lost for certain."""


class LossOfPower:
    """One loss: when, how, and what is wrong with what it left; None if nothing is."""

    def __init__(self, moment: str, left: str, wrong: str | None) -> None:
        self.moment, self.left, self.wrong = moment, left, wrong

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.moment}, {self.left}: {self.wrong}"


def lose_power(
    operations: list[Operation],
    answered: list[int],
    folder: Path,
    chance: random.Random,
    *,
    share: float,
    draws: int,
    begins: int = 0,
    is_of_a_store: bool = True,
) -> Iterator[LossOfPower]:
    """Lose power before the first operations from number `begins` on, and before a `share` of the others.

    Each time in all the ways that are extremes, and in `draws` drawn ones; after a failed sync also in the way in which
    nothing is lost, as when only the process dies: an honest disk has all that then. What is left of a store is opened
    with the store, too, now and then.
    """
    platter, answers, has_lost_a_sync = Platter(), set(answered), False
    contents, first_allowed = [contents_of({}, folder)], 0
    for number, operation in enumerate(operations):
        if number in answers:
            first_allowed = len(contents) - 1
        left: list[tuple[str, bytes | UnreadableError]] = []
        if begins <= number and (number < begins + SURELY or chance.random() < share):
            ways = platter.left_by_a_loss_of_power(chance, draws=draws)
            if has_lost_a_sync:
                ways = chain(ways, [("only the process is gone", platter.kept_by_the_kernel())])
            for way, image in ways:
                opens = is_of_a_store and chance.random() < _STORE_SHARE
                left.append((way, _found(image, folder, opens=opens)))
        platter.take(operation)
        has_lost_a_sync = has_lost_a_sync or isinstance(operation, LostSync)
        found: bytes | UnreadableError = contents[-1]
        if may_commit(operation, platter.kept_by_the_kernel()):
            found = _found(platter.kept_by_the_kernel(), folder, opens=False)
        if isinstance(found, bytes) and found != contents[-1]:
            contents.append(found)
        moment = f"before operation {number} ({type(operation).__name__} {operation.file})"
        for way, held in left:
            yield LossOfPower(moment, way, _wrong(held, contents, first_allowed))
        if isinstance(found, UnreadableError):
            yield LossOfPower(f"after operation {number}", "all is there", f"unreadable: {found}")
            return


def may_commit(operation: Operation, kept: Image) -> bool:
    """Whether what the database holds may be another after `operation`: one that tells of a commit, or is rare.

    A commit is complete with the page of a record of the log whose header says so (SQLite's file format, 4.1), or with
    the end of a journal. What is written to the database in between is in the log as well, or can be taken back.
    """
    match operation:
        case Sync() | SyncFolder() | LostSync() | Grow():
            return False
        case Write(file=file, offset=offset, data=data) if file.endswith("-wal"):
            if offset < LOG_HEADER_BYTES:
                return True  # a log that begins anew
            record, within = divmod(offset + len(data) - 1 - LOG_HEADER_BYTES, FRAME_BYTES)
            begin = LOG_HEADER_BYTES + record * FRAME_BYTES
            header = kept[file].data[begin : begin + FRAME_HEADER_BYTES]
            return within >= FRAME_HEADER_BYTES and any(header[_SIZE_AFTER_COMMIT])
        case Write():
            return False
        case _:
            return True


def _found(image: Image, folder: Path, *, opens: bool) -> bytes | UnreadableError:
    try:
        found = contents_of(image, folder)
        if opens:
            open_with_store(image, folder)
    except UnreadableError as error:
        return error
    return found


def _wrong(found: bytes | UnreadableError, contents: list[bytes], first_allowed: int) -> str | None:
    """Judge what was found before an operation; the last of `contents` is what it makes.

    That may be there already: the disk may still have the very bytes that it writes, where the kernel has others since
    a sync failed.
    """
    if isinstance(found, UnreadableError):
        return f"unreadable: {found}"
    if found in contents[first_allowed:]:
        return None
    if found in contents:
        return "lost: what was answered is not there"
    return "torn: it holds what was there at no moment"


_SIZE_AFTER_COMMIT: Final = slice(4, 8)
"""Where the header of a record has how large the database is after the commit; zeros where that is not complete."""
_STORE_SHARE: Final = 0.01
