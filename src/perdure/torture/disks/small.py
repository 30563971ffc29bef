"""A real disk of five megabytes, which fills up again and again while an engine works on it.

`on_a_small_disk` mounts one in a namespace of its own, which needs no rights where the kernel allows such, and lets
this module run there as a program. A file takes all room but a little, runs are started until the disk refuses them,
and the file goes away. What was accepted must come to its end without help, and what was refused must not be there.
"""

import asyncio
import logging
import random
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.configuration import Settings
from perdure.engine import Engine
from perdure.errors import RunNotFoundError, StoreError, StoreFullError

__all__ = ["Lived", "SmallDiskError", "on_a_small_disk"]


class SmallDiskError(Exception):
    """This machine lets nobody mount a disk of his own."""


class Lived(msgspec.Struct):
    """How often the disk was full in a life, and what was wrong."""

    refusals: int = 0
    wrong: list[str] = []


def on_a_small_disk(seed: int, *, cycles: int) -> Lived:
    """Let engines live on a disk of five megabytes. Raises SmallDiskError where none can be mounted."""
    with tempfile.TemporaryDirectory() as folder:
        mount = f'mount -t tmpfs -o size={_BYTES} tmpfs "$1" || exit {_NOT_HERE}; shift; exec "$@"'
        program = [sys.executable, "-m", __name__, folder, str(seed), str(cycles)]
        words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", folder, *program]
        try:
            ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603
        except FileNotFoundError as error:
            raise SmallDiskError(str(error)) from error
    if ended.returncode == _NOT_HERE or ended.stderr.startswith("unshare: "):
        raise SmallDiskError(ended.stderr.strip())
    if ended.returncode:
        return Lived(wrong=[ended.stderr.strip()])
    return msgspec.json.decode(ended.stdout, type=Lived)


@activity(name="small_length")
async def length_of(text: str) -> int:
    """Say how long a text is."""
    return len(text)


@workflow(name="small_measured")
async def measured(_ctx: Context, text: str) -> int:
    """Have a text measured."""
    return await length_of(text)


class _Life:
    """A database, and the engines that work on it one after the other."""

    def __init__(self, folder: Path, chance: random.Random, lived: Lived) -> None:
        self._folder, self._ballast = folder, folder / "ballast"
        self._chance = chance
        self._accepted: dict[str, int] = {}
        self._refused: list[str] = []
        self._lived = lived

    async def live(self) -> None:
        """Fill the disk and make room again; let the engine that follows open the database, at times on a full disk."""
        for _ in range(_ENGINES):
            async with AsyncExitStack() as stack:
                engine = await self._open(stack)
                await self._compare(engine)
                self._fill()
                await self._start_until_refused(engine)
                self._ballast.unlink()
                await self._compare(engine)
                if self._chance.random() < _FULL_SHARE:
                    self._fill()

    async def _open(self, stack: AsyncExitStack) -> Engine:
        while True:
            engine = Engine(f"sqlite:///{self._folder}/small.db", settings=_SETTINGS)
            try:
                await stack.enter_async_context(engine)
            except StoreFullError:
                self._lived.refusals += 1
                self._ballast.unlink()  # raises where there was room: then no engine should have been refused
            else:
                self._ballast.unlink(missing_ok=True)
                return engine

    def _fill(self) -> None:
        """Take all room but a little."""
        room = self._chance.randrange(_ROOM_BYTES)
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(_BLOCK_BYTES))
            except OSError:
                file.truncate(max(file.tell() - room, 0))

    async def _start_until_refused(self, engine: Engine) -> None:
        for _ in range(_STARTS):
            text = "x" * self._chance.choice(_LENGTHS)
            run_id = f"run {len(self._accepted) + len(self._refused)}"
            try:
                await engine.start(measured, text, id=run_id)
            except StoreError as error:
                self._lived.refusals += 1
                self._refused.append(run_id)
                if not isinstance(error, StoreFullError):
                    self._lived.wrong.append(f"{run_id} was refused by {type(error).__name__}: {error}")
                return
            self._accepted[run_id] = len(text)

    async def _compare(self, engine: Engine) -> None:
        """Wait for what was accepted, and look for what was refused."""
        for run_id, length in self._accepted.items():
            found = await (await engine.get_run(run_id)).result(timeout=_PATIENCE)
            if found != length:
                self._lived.wrong.append(f"{run_id} has {found} in place of {length}")
        for run_id in self._refused:
            try:
                await engine.get_run(run_id)
            except RunNotFoundError:
                continue
            self._lived.wrong.append(f"{run_id} was refused, and is there")


async def _live(disk: Path, seed: int, cycles: int) -> Lived:
    chance, lived = random.Random(seed), Lived()
    for _ in range(0, cycles, _ENGINES):
        with tempfile.TemporaryDirectory(dir=disk) as folder:
            await _Life(Path(folder), chance, lived).live()
    return lived


_BYTES: Final = 5_000_000
_BLOCK_BYTES: Final = 65_536
_ROOM_BYTES: Final = 200_000
_LENGTHS: Final = (10, 1_000, 60_000)
_STARTS: Final = 100
_ENGINES: Final = 2
_FULL_SHARE: Final = 0.5
_NOT_HERE: Final = 77
_SECONDS: Final = 600
_PATIENCE: Final = timedelta(seconds=60)
_SETTINGS: Final = Settings(retry_store_seconds=0.01, retry_store_maximum_seconds=0.1, shutdown_grace_seconds=0)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # the engine warns of what is done to it
    found = asyncio.run(_live(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
    print(msgspec.json.encode(found).decode())
