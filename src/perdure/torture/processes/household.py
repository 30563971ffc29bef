"""A household: a nursery and the processes that it has forked, as the tool sees them."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec

from perdure.torture.processes.words import Order, Word

__all__ = ["Household", "Process"]


class Process:
    """A forked process, as its words tell. `done` is how much it has said to have done."""

    def __init__(self, order: Order) -> None:
        """Expect the process that `order` describes."""
        self.order = order
        self.process = 0
        self.status = 0
        self.done = 0
        self.is_killed = False
        self.is_settled = False
        self.born, self.ready, self.dead = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def hear(self, word: Word) -> None:
        """Take note of what it says, or what is said of it."""
        self.process = word.process
        match word.word:
            case "born":
                self.born.set()
            case "ready":
                self.ready.set()
            case "busy":
                self.done = word.done
            case "settled":
                self.is_settled = True
            case "dead":
                self.status = word.status
                self.dead.set()


class Household:
    """Forks and kills processes. `mishaps`: those that ended by themselves, or did not do in time what they should."""

    def __init__(self, command: Sequence[str]) -> None:
        """Prepare; `command` starts the nursery."""
        self.mishaps: Final[list[str]] = []
        self._command: Final = command
        self._processes: Final[dict[int, Process]] = {}
        self._nursery: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._news: Final = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Start the nursery."""
        self._nursery = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._listening = asyncio.get_running_loop().create_task(self._listen(self._nursery))
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Let the nursery end all that still live."""
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        assert self._listening is not None
        self._nursery.stdin.close()
        await self._nursery.wait()
        await self._listening

    def __len__(self) -> int:
        """Return how many processes there have been."""
        return len(self._processes)

    @property
    def ids(self) -> list[int]:
        """The ids of all processes there have been."""
        return [process.process for process in self._processes.values()]

    @property
    def done(self) -> int:
        """How much all of them have said to have done."""
        return sum(process.done for process in self._processes.values())

    async def has_done(self, much: int) -> None:
        """Wait until they have said to have done so much, or a mishap happened."""
        while self.done < much and not self.mishaps:
            self._news.clear()
            await self._news.wait()

    def fork(self, make_order: Callable[[int], Order]) -> Process:
        """Have a process forked; `make_order` gets its number."""
        number = len(self._processes) + 1
        process = self._processes[number] = Process(make_order(number))
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(msgspec.json.encode(process.order) + b"\n")
        return process

    async def kill(self, process: Process) -> bool:
        """Kill a process; return whether it was still alive."""
        await self.hear(process.born, "fork")
        process.is_killed, was_alive = True, not process.dead.is_set()
        if was_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.process, signal.SIGKILL)
        await self.hear(process.dead, "die")
        return was_alive

    def stop(self, process: Process) -> None:
        """Let a process stand still, with all that it holds."""
        os.kill(process.process, signal.SIGSTOP)

    def let_go_on(self, process: Process) -> None:
        """Let a process that stands still go on, as if no time had passed."""
        os.kill(process.process, signal.SIGCONT)

    async def outlive(self, process: Process, *, seconds: float) -> bool:
        """Wait until a process that has something to do has done it; kill it and return False if that takes longer."""
        try:
            async with asyncio.timeout(seconds):
                await process.dead.wait()
        except TimeoutError:
            await self.kill(process)
            return False
        return True

    async def hear(self, event: asyncio.Event, what: str) -> None:
        """Wait until a process did what it should; note it as a mishap if it does not in time."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await event.wait()
        except TimeoutError:
            self.mishaps.append(f"process: one did not {what} within {_PATIENCE_SECONDS:g} s")

    async def _listen(self, nursery: asyncio.subprocess.Process) -> None:
        assert nursery.stdout is not None
        async for line in nursery.stdout:
            word = msgspec.json.decode(line, type=Word)
            process = self._processes[word.number]
            process.hear(word)
            has_ended_well = process.is_settled and process.status == 0
            if process.dead.is_set() and not process.is_killed and not has_ended_well:
                self.mishaps.append(_obituary(process))
                process.ready.set()
            self._news.set()


def _obituary(process: Process) -> str:
    log = Path(process.order.folder) / f"log-{process.order.number}"
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return f"process: {process.order} ended by itself with status {process.status}: {text[-_LOG_CHARACTERS:]}"


_PATIENCE_SECONDS: Final = 60.0
_LOG_CHARACTERS: Final = 2_000
