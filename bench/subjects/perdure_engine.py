"""Perdure, embedded, as a user would write it: plain decorators and default settings, whatever the store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypedDict

import perdure
from bench.protocol import Run
from bench.recording import RECORDING, ledger
from perdure import Context, Signal, activity, workflow


class Database(Protocol):
    """What an engine runs on, and what it can do without an engine."""

    @property
    def url(self) -> str: ...

    def row_committer(self) -> Callable[[int], None]: ...

    def facts(self) -> dict[str, str]: ...


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
    database: Database

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
        return self.database.row_committer()

    def facts(self) -> dict[str, str]:
        from importlib.metadata import version  # noqa: PLC0415 - it would weigh on the idle process

        return {"perdure": version("perdure"), **self.database.facts()}


@asynccontextmanager
async def open_perdure(database: Database) -> AsyncIterator[PerdureEngine]:
    async with perdure.Engine(database.url) as engine:
        yield PerdureEngine(engine=engine, database=database)
