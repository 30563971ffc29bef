"""DBOS Transact for Python, in its own environment, whatever the database.

Asynchronous workflows and steps, started with `start_workflow_async` in the loop of the caller: no queue and so no
polling between start and result. Everything that a subject does not say is DBOS's default.
"""

# DBOS lives in the peer's environment, where this module runs; a type checker sees only the project's.
# mypy: disable-error-code="import-not-found, untyped-decorator"

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, Protocol

from dbos import DBOS, SetWorkflowID

from bench.protocol import Run
from bench.recording import RECORDING, ledger

_A_DAY: Final = 24 * 3600.0
_TOPIC: Final = "go"


class Database(Protocol):
    """What DBOS runs on. `settings`: what differs from DBOS's defaults."""

    @property
    def url(self) -> str: ...

    @property
    def settings(self) -> dict[str, object]: ...

    def row_committer(self) -> Callable[[int], None] | None: ...

    def facts(self, dbos: Any) -> dict[str, str]: ...  # noqa: ANN401 - DBOS has no types here


@DBOS.step()
async def step(index: int) -> dict[str, object]:
    return {"ok": True, "i": index}


@DBOS.step()
async def ledgered_step(number: int, index: int) -> dict[str, int]:
    ledger().step(number, index)
    return {"i": index}


@DBOS.step()
async def clocked_step(index: int) -> dict[str, object]:
    RECORDING.clock.step()
    return {"ok": True, "i": index}


@DBOS.workflow()
async def sequential(steps: int) -> int:
    for index in range(steps):
        await step(index)
    return steps


@DBOS.workflow()
async def parallel(steps: int) -> int:
    return len(await asyncio.gather(*(step(index) for index in range(steps))))


@DBOS.workflow()
async def sleeping(number: int, seconds: float) -> int:
    RECORDING.moments.falls_asleep(number)
    await DBOS.sleep_async(seconds)
    RECORDING.moments.wakes(number)
    return number


@DBOS.workflow()
async def waiting() -> int:
    RECORDING.moments.waits()
    value: int = await DBOS.recv_async(_TOPIC, timeout_seconds=_A_DAY)
    return value


@DBOS.workflow()
async def ledgered(number: int, steps: int) -> int:
    total = 0
    for index in range(steps):
        total += (await ledgered_step(number, index))["i"]
    return total


@DBOS.workflow()
async def long(steps: int) -> int:
    for index in range(steps):
        await clocked_step(index)
    return steps


@dataclass(frozen=True, kw_only=True)
class DbosRun:
    handle: Any  # WorkflowHandleAsync

    async def result(self) -> object:
        result: object = await self.handle.get_result()
        return result

    async def signal(self, value: int) -> None:
        await DBOS.send_async(self.handle.get_workflow_id(), value, _TOPIC)


@dataclass(frozen=True, kw_only=True)
class DbosEngine:
    dbos: Any
    database: Database

    async def sequential(self, id: str, steps: int) -> Run:
        return await _started(id, sequential, steps)

    async def parallel(self, id: str, steps: int) -> Run:
        return await _started(id, parallel, steps)

    async def sleeping(self, id: str, number: int, seconds: float) -> Run:
        return await _started(id, sleeping, number, seconds)

    async def waiting(self, id: str, number: int) -> Run:
        del number
        return await _started(id, waiting)

    async def ledgered(self, id: str, number: int, steps: int) -> Run:
        return await _started(id, ledgered, number, steps)

    async def long(self, id: str, steps: int) -> Run:
        return await _started(id, long, steps)

    async def find(self, id: str) -> Run:
        return DbosRun(handle=await DBOS.retrieve_workflow_async(id))

    def row_committer(self) -> Callable[[int], None] | None:
        return self.database.row_committer()

    def facts(self) -> dict[str, str]:
        return {"dbos": version("dbos"), **self.database.facts(self.dbos)}


@asynccontextmanager
async def open_dbos(database: Database) -> AsyncIterator[DbosEngine]:
    dbos = DBOS(
        config={
            "name": "perdure-bench",
            "system_database_url": database.url,
            "application_version": "bench",  # the same after a restart, or nothing is recovered
            "log_level": "ERROR",
            **database.settings,
        }
    )
    DBOS.launch()
    try:
        yield DbosEngine(dbos=dbos, database=database)
    finally:
        DBOS.destroy()


async def _started(id: str, workflow: Callable[..., object], *arguments: object) -> DbosRun:
    with SetWorkflowID(id):
        return DbosRun(handle=await DBOS.start_workflow_async(workflow, *arguments))
