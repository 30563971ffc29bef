"""The subject: a worker in a process of its own that opens the file, does what is due, and is measured by itself.

It prints one line of JSON, `Findings`. Times count from when its process was ordered, on the clock that all processes
of a machine share: the interpreter's start and the imports are in them.
"""

import asyncio
import gc
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from perdure.engine import Engine
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunRef
from perdure.torture import planting
from perdure.torture.loads.workflows import quick

__all__ = ["Findings", "Order", "measure", "observe"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the subject shall do: open `database`, do `due` runs, be idle, then start runs for so long.

    `ordered_at`: when, in seconds of the monotonic clock.
    """

    database: str
    due: int
    idle_seconds: float
    busy_seconds: float = 0.0
    ordered_at: float = 0.0


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What the subject saw of itself.

    `left`: how many runs that were due were not done in time. `open_seconds`: until the engine was open.
    `serving_seconds`: until the first run that was due was done, for which it had worked `serving_cpu_seconds`;
    `caught_up_seconds`: until all were.
    `idle_core_share`: of a core, while nothing was due. `resident_megabytes`: the most that was seen.
    `megabytes_per_hour`: how much more memory it took with each hour of work (0 without).
    """

    left: int
    open_seconds: float
    serving_seconds: float
    serving_cpu_seconds: float
    caught_up_seconds: float
    idle_core_share: float
    resident_megabytes: float
    runs_done: int = 0
    megabytes_per_hour: float = 0.0


def observe(order: Order) -> Findings:
    """Let another process carry out `order`. Raises RuntimeError with its errors if it does not."""
    ordered = msgspec.structs.replace(order, ordered_at=time.monotonic())
    word = msgspec.json.encode(ordered).decode()
    ran = subprocess.run([*planting.command(), "load", "--plan", word], capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if ran.returncode:
        message = f"the worker ended with status {ran.returncode}: {ran.stderr[-_LONGEST_CHARACTERS:]}"
        raise RuntimeError(message)
    return msgspec.json.decode(ran.stdout.splitlines()[0], type=Findings)


async def measure(order: Order) -> Findings:
    """Carry out `order` in this process."""
    done = _Done(order.due)
    memory = _Memory()
    async with Engine(f"sqlite:///{order.database}", name="subject") as engine:
        opened_at = time.monotonic()
        engine.worker.listeners.append(done.hear)
        memory.look()
        with suppress(TimeoutError):
            await asyncio.wait_for(done.all.wait(), _PATIENCE_SECONDS)
        done.give_up()
        memory.look()
        idle_core_share = await _idle(order.idle_seconds)
        memory.look()
        runs_done, megabytes_per_hour = await _work(engine, order.busy_seconds, memory)
    return Findings(
        left=done.left,
        open_seconds=opened_at - order.ordered_at,
        serving_seconds=done.first_at - order.ordered_at,
        serving_cpu_seconds=done.first_cpu_seconds,
        caught_up_seconds=done.last_at - order.ordered_at,
        idle_core_share=idle_core_share,
        resident_megabytes=memory.most,
        runs_done=runs_done,
        megabytes_per_hour=megabytes_per_hour,
    )


class _Done:
    """Waits for the ends of runs that were due."""

    def __init__(self, due: int) -> None:
        self.left = due
        self.first_at = self.last_at = self.first_cpu_seconds = 0.0
        self.all = asyncio.Event()

    def give_up(self) -> None:
        """Wait no more: what is not done by now counts as done now, in times."""
        self.first_at, self.last_at = self.first_at or time.monotonic(), self.last_at or time.monotonic()
        self.first_cpu_seconds = self.first_cpu_seconds or time.process_time()

    def hear(self, _ref: RunRef, events: Sequence[RecordedEvent]) -> None:
        if events[-1].type != "run_completed" or self.all.is_set():
            return
        self.last_at = time.monotonic()
        if not self.first_at:
            self.first_at, self.first_cpu_seconds = self.last_at, time.process_time()
        self.left -= 1
        if not self.left:
            self.all.set()


class _Memory:
    """The resident memory of this process, in megabytes: by time, and the most that it ever was."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def look(self) -> None:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        self.seen.append((time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE") / 1e6))

    @property
    def most(self) -> float:
        """What the kernel has noted, also between two looks; `getrusage` would begin with the parent's."""
        status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        [peak] = (line for line in status if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1_024 / 1e6

    def slope(self, since: float) -> float:
        """Return by how much it grows in an hour, by least squares over what was seen since a moment."""
        seen = [(at, megabytes) for at, megabytes in self.seen if at >= since]
        mean_at = sum(at for at, _ in seen) / len(seen)
        mean = sum(megabytes for _, megabytes in seen) / len(seen)
        spread = sum((at - mean_at) ** 2 for at, _ in seen)
        return sum((at - mean_at) * (megabytes - mean) for at, megabytes in seen) / spread * 3_600 if spread else 0.0


async def _idle(seconds: float) -> float:
    """Do nothing; return how much of a core that took."""
    gc.collect()
    begun = time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - begun) / seconds


async def _work(engine: Engine, seconds: float, memory: _Memory) -> tuple[int, float]:
    """Start runs for so long, a few at a time; return how many ended and the growth of memory in the later part."""
    begun, done = time.monotonic(), 0
    while time.monotonic() < begun + seconds:
        runs = [await engine.start(quick, number) for number in range(_RUNS_AT_ONCE)]
        await asyncio.gather(*(run.result() for run in runs))
        done += len(runs)
        memory.look()
        await asyncio.sleep(_PAUSE_SECONDS)
    return done, memory.slope(begun + seconds * _WARMING_SHARE) if done else 0.0


_RUNS_AT_ONCE: Final = 20
_PAUSE_SECONDS: Final = 0.1
_WARMING_SHARE: Final = 0.3
"""This part of the time caches and arenas take to fill."""
_PATIENCE_SECONDS: Final = 20.0
_LONGEST_CHARACTERS: Final = 2_000
