"""M: what an engine weighs. Each part in a process of its own, so that none pays for another."""

import asyncio
import gc
import os
import resource
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Final

from bench.conditions import resident_bytes
from bench.flows import all_wait, expect, keep_in_flight
from bench.protocol import BytesOnDisk, Engine, OpenEngine
from bench.records import Figure, Request

_IMPORTS: Final = 7
_IDLE_SECONDS: Final = 1.0
_STARTERS: Final = 100


def import_cost(module: str) -> list[Figure]:
    """Measure the CPU time of `import module` beyond that of an interpreter that imports nothing."""
    _cpu_of(module)  # writes the bytecode
    milliseconds = median(_cpu_of(module) for _ in range(_IMPORTS)) - median(_cpu_of("sys") for _ in range(_IMPORTS))
    return [Figure(metric="import CPU", value=milliseconds * 1e3, unit="ms")]


async def idle_memory(open_engine: OpenEngine, request: Request) -> list[Figure]:
    """Measure the process with an open engine that has nothing to do; the interpreter is included."""
    del request
    async with open_engine():
        await asyncio.sleep(_IDLE_SECONDS)
        gc.collect()
        return [Figure(metric="idle RSS", value=resident_bytes() / 1e6, unit="MB")]


async def growth_on_disk(open_engine: OpenEngine, request: Request, bytes_on_disk: BytesOnDisk) -> list[Figure]:
    """Run W2 and close; compare with what an engine that did nothing has left."""
    size = request.size
    async with open_engine():
        pass
    empty = bytes_on_disk()
    async with open_engine() as engine:

        async def one(number: int) -> None:
            run = await engine.sequential(f"disk-{number}", size["steps"])
            expect(await run.result(), size["steps"])

        await keep_in_flight(_STARTERS, range(size["runs"]), one)
    grown = bytes_on_disk() - empty
    return [Figure(metric="bytes per step on disk", value=grown / (size["runs"] * size["steps"]), unit="B")]


async def memory_of_waiting_runs(open_engine: OpenEngine, request: Request) -> list[Figure]:
    """Start runs that wait and let them leave memory, twice: only what the second lot adds is counted.

    The first lot grows whatever is grown once: the allocator's arenas, caches, the database's pages.
    """
    runs = request.size["waiting"]
    async with open_engine() as engine:
        await _start_waiting(engine, range(runs), request.size["settle_seconds"])
        before = resident_bytes()
        await _start_waiting(engine, range(runs, 2 * runs), request.size["settle_seconds"])
        per_run = (resident_bytes() - before) / runs
    return [Figure(metric="RSS per waiting run", value=per_run, unit="B")]


async def _start_waiting(engine: Engine, numbers: range, settle_seconds: int) -> None:
    async def start(number: int) -> None:
        await engine.waiting(f"wait-{number}", number)

    await keep_in_flight(_STARTERS, numbers, start)
    await all_wait(numbers.stop)
    await asyncio.sleep(settle_seconds)
    gc.collect()


def _cpu_of(module: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=_plain_environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def bytes_of_file(database: Path) -> int:
    """Give the size of the closed database with everything in it; the log, which is used again, does not count."""
    import sqlite3  # noqa: PLC0415 - it would weigh on the idle process

    with closing(sqlite3.connect(database)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    return database.stat().st_size
