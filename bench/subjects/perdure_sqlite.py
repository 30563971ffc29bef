"""Perdure on SQLite, embedded, as a user would write it: plain decorators, default settings, default durability."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import apsw

import perdure
from bench.measures import measure_engine
from bench.protocol import Run
from bench.recording import RECORDING, ledger
from bench.records import Outcome, Request
from bench.subjects import raw_sqlite
from perdure import Context, Signal, activity, workflow


def measure(request: Request) -> Outcome:
    return measure_engine(open_perdure, request, imported="perdure")


class Done(TypedDict):
    """What a step returns."""

    ok: bool
    i: int


go: Signal[int] = Signal("go", int)


@activity
async def step(index: int) -> Done:
    return {"ok": True, "i": index}


@activity
async def ledgered_step(number: int, index: int) -> Done:
    ledger().step(number, index)
    return {"ok": True, "i": index}


@activity
async def clocked_step(index: int) -> Done:
    RECORDING.clock.step()
    return {"ok": True, "i": index}


@workflow
async def sequential(_: Context, steps: int) -> int:
    for index in range(steps):
        await step(index)
    return steps


@workflow
async def parallel(_: Context, steps: int) -> int:
    return len(await asyncio.gather(*(step(index) for index in range(steps))))


@workflow
async def sleeping(_: Context, number: int, seconds: float) -> int:
    RECORDING.moments.falls_asleep(number)
    await asyncio.sleep(seconds)
    RECORDING.moments.wakes(number)
    return number


@workflow
async def waiting(ctx: Context) -> int:
    RECORDING.moments.waits()
    return await ctx.wait_for(go)


@workflow
async def ledgered(_: Context, number: int, steps: int) -> int:
    total = 0
    for index in range(steps):
        total += (await ledgered_step(number, index))["i"]
    return total


@workflow
async def long(_: Context, steps: int) -> int:
    for index in range(steps):
        await clocked_step(index)
    return steps


@dataclass(frozen=True, kw_only=True)
class PerdureRun:
    handle: perdure.Run[int]

    async def result(self) -> object:
        return await self.handle.result()

    async def signal(self, value: int) -> None:
        await self.handle.signal(go, value)


@dataclass(frozen=True, kw_only=True)
class PerdureEngine:
    engine: perdure.Engine
    database: Path

    async def sequential(self, id: str, steps: int) -> Run:
        return PerdureRun(handle=await self.engine.start(sequential, steps, id=id))

    async def parallel(self, id: str, steps: int) -> Run:
        return PerdureRun(handle=await self.engine.start(parallel, steps, id=id))

    async def sleeping(self, id: str, number: int, seconds: float) -> Run:
        return PerdureRun(handle=await self.engine.start(sleeping, number, seconds, id=id))

    async def waiting(self, id: str, number: int) -> Run:
        del number
        return PerdureRun(handle=await self.engine.start(waiting, id=id))

    async def ledgered(self, id: str, number: int, steps: int) -> Run:
        return PerdureRun(handle=await self.engine.start(ledgered, number, steps, id=id))

    async def long(self, id: str, steps: int) -> Run:
        return PerdureRun(handle=await self.engine.start(long, steps, id=id))

    async def find(self, id: str) -> Run:
        return PerdureRun(handle=await self.engine.get_run(id))

    def row_committer(self) -> Callable[[int], None]:
        connection = raw_sqlite.opened(self.database.with_name("raw.db"))
        return functools.partial(raw_sqlite.commit_rows, connection, run_key=0, rows=1)

    def facts(self) -> dict[str, str]:
        # The store reads `synchronous` back on its own connection when it opens and refuses less than FULL.
        from importlib.metadata import version  # noqa: PLC0415 - it would weigh on the idle process

        connection = apsw.Connection(str(self.database), flags=apsw.SQLITE_OPEN_READONLY)
        journal_mode = str(connection.pragma("journal_mode"))
        connection.close()
        return {
            "perdure": version("perdure"),
            "SQLite": apsw.sqlite_lib_version(),
            "journal_mode": journal_mode,
            "synchronous": "2",
        }


@asynccontextmanager
async def open_perdure(database: Path) -> AsyncIterator[PerdureEngine]:
    async with perdure.Engine(f"sqlite:///{database}") as engine:
        yield PerdureEngine(engine=engine, database=database)
