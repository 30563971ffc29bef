"""Interruptions: whoever makes a copy, or a database of one, is killed or loses power at each of its operations.

Something is made of a random database while a disk takes notes (`makings`). What the death of the process after any
operation leaves, and what a loss of power may leave, is laid out again and judged: whatever has the name of a database
or of a point in time is the old one or the new one, whole; once the end was told it is the new one; and whoever tries
again ends it, and leaves nothing beside.
"""

import asyncio
import hashlib
import multiprocessing
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import PerdureError
from perdure.stores.sqlite.disk import LocalDisk
from perdure.torture.copies.makings import MAKINGS, Making, make_databases
from perdure.torture.copies.target import DeadlyDisk
from perdure.torture.disks.operations import Operation
from perdure.torture.disks.recording import RecordingDisk
from perdure.torture.disks.shelf import Shelf, Tree, lay_out

__all__ = ["interrupt", "making_of"]


def making_of(seed: int) -> str:
    """Return the name of what is made with a seed."""
    return MAKINGS[seed % len(MAKINGS)](Path(), random.Random(seed)).name


def interrupt(folder: Path, seed: int) -> tuple[int, list[str]]:
    """Make what the seed says, in the empty `folder`; return how many interruptions were judged, and what is wrong."""
    chance = random.Random(seed)
    asyncio.run(make_databases(folder, seed))
    making = MAKINGS[seed % len(MAKINGS)](folder, chance)
    making.prepare()
    shelf = Shelf(making.place)
    disk = RecordingDisk(root=making.place)
    try:
        told = making.make(disk)
    finally:
        disk.close()
    begun = shelf.kept_by_the_kernel()
    judge = _Judge(making, folder, shelf, disk.operations, told)
    judged = judge.run(chance)
    if seed % _KILLED_EACH == 0:
        judged += judge.kill(begun, chance)
    return judged, judge.wrong


class _Judge:
    def __init__(
        self, making: Making, folder: Path, shelf: Shelf, operations: list[Operation], told: list[int]
    ) -> None:
        self._making, self._folder, self._shelf, self._operations = making, folder, shelf, operations
        self._told: Final = told
        self._seen: Final[set[bytes]] = set()
        self.wrong: list[str] = []

    def run(self, chance: random.Random) -> int:
        """Judge; return how many different interruptions there were."""
        for number, operation in enumerate([*self._operations, None]):
            moment = f"{self._making.name}, before operation {number} ({operation})"[:_LONGEST_MOMENT]
            steps = sum(told <= number for told in self._told)
            for what, tree in self._left(chance, is_last=operation is None):
                key = _digest(tree, steps)
                if key not in self._seen:
                    self._seen.add(key)
                    self._judge(tree, f"{moment}, {what}", steps, tries_again=chance.random() < _TRIED_AGAIN)
            if operation is not None:
                self._shelf.take(operation)
        self._judge_the_notes()
        return len(self._seen)

    def kill(self, begun: Tree, chance: random.Random) -> int:
        """Let a process make it, kill it at an operation, judge, and try again; return how often that was done."""
        left, copy = self._folder / "left", self._folder / "copy-of-left"
        after = chance.randrange(len(self._operations))
        lay_out(begun, left)
        process = _SPAWN.Process(target=self._making.once, args=(left, DeadlyDisk(after)))
        process.start()
        process.join()
        moment = f"{self._making.name}, a process that ended with {process.exitcode} after {after} operations"
        try:
            shutil.copytree(left, copy)
            self.wrong += [f"{moment}: {wrong}" for wrong in self._making.judge(copy, 0)]
            self._making.again(left, LocalDisk())
            self.wrong += [f"{moment}, tried again: {wrong}" for wrong in self._making.judge_end(left)]
        except (PerdureError, apsw.Error, OSError) as error:
            self.wrong.append(f"{moment}: {type(error).__name__}: {error}")
        finally:
            shutil.rmtree(left)
            shutil.rmtree(copy)
        return 1

    def _left(self, chance: random.Random, *, is_last: bool) -> Iterator[tuple[str, Tree]]:
        share = _KILLED / len(self._operations)
        if is_last or chance.random() < share:
            yield "killed", self._shelf.kept_by_the_kernel()
        if is_last or chance.random() < share * _LOST_POWER:
            yield from self._shelf.left_by_a_loss_of_power(chance, draws=_DRAWS)

    def _judge(self, tree: Tree, moment: str, steps: int, *, tries_again: bool) -> None:
        left = self._folder / "left"
        try:
            lay_out(tree, left)
            self.wrong += [f"{moment}: {wrong}" for wrong in self._making.judge(left, steps)]
            if tries_again:
                shutil.rmtree(left)
                lay_out(tree, left)
                self._making.fail(left)
                self.wrong += [f"{moment}, failed again: {wrong}" for wrong in self._making.judge(left, steps)]
                shutil.rmtree(left)
                lay_out(tree, left)
                self._making.again(left, LocalDisk())
                self.wrong += [f"{moment}, tried again: {wrong}" for wrong in self._making.judge_end(left)]
        except (PerdureError, apsw.Error, OSError) as error:
            self.wrong.append(f"{moment}: {type(error).__name__}: {error}")
        finally:
            shutil.rmtree(left, ignore_errors=True)

    def _judge_the_notes(self) -> None:
        """Find what was done and not noted: the rest would say nothing of it."""
        kept = self._shelf.kept_by_the_kernel().items()
        noted = {name for name, content in kept if content is not None and not name.endswith(_UNNOTED)}
        for path in self._making.place.rglob("*"):
            name = path.relative_to(self._making.place).as_posix()
            if path.is_file() and not name.endswith(_UNNOTED):
                content = self._shelf.kept_by_the_kernel().get(name)
                noted.discard(name)
                if content is None or bytes(content.data).ljust(content.size, b"\0") != path.read_bytes():
                    self.wrong.append(f"{self._making.name}: {name} is not as it was noted")
        self.wrong += [f"{self._making.name}: {name} was noted, and is not there" for name in noted]


def _digest(tree: Tree, steps: int) -> bytes:
    digest = hashlib.sha256(steps.to_bytes(4))  # processors know this one
    for name, content in sorted(tree.items()):
        digest.update(name.encode())
        if content is not None:
            digest.update(content.size.to_bytes(8) + content.data)
    return digest.digest()


_SPAWN: Final = multiprocessing.get_context("spawn")
_KILLED_EACH: Final = 7
"""Every so many seeds a process is really killed; that takes longer. No kind of making comes up as often."""
_UNNOTED: Final = ("-shm", ".lock")
_LONGEST_MOMENT: Final = 160
_TRIED_AGAIN: Final = 0.3
_KILLED: Final = 60
"""How often somebody dies amid a making of many operations; amid others before each of them."""
_LOST_POWER: Final = 0.3
_DRAWS: Final = 2
