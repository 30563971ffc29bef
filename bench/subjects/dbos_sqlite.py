"""DBOS Transact for Python on SQLite, in its own environment.

Asynchronous workflows and steps, started with `start_workflow_async` in the loop of the caller: no queue and so no
polling between start and result. Durability is the default: DBOS sets neither journal_mode nor synchronous, so SQLite's
own apply (a rollback journal and FULL; the facts under the table are read from DBOS's own connections).
`max_executor_threads` is 4, a documented setting: with the unlimited default its threads fight for SQLite's single
write lock, which costs it 10 to 30 % of W1 and W2. Everything else is the default, the 1 s poll for messages included.

`dbos-sqlite-wal` is the same on a file that was put into WAL mode beforehand, which DBOS neither does nor documents.
"""

# DBOS lives in the peer's environment, where this module runs; a type checker sees only the project's.
# mypy: disable-error-code="import-not-found, untyped-decorator"

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from dbos import DBOS, SetWorkflowID

from bench.measures import measure_engine
from bench.protocol import Run
from bench.recording import RECORDING, ledger
from bench.records import Outcome, Request

_EXECUTOR_THREADS: Final = 4
_A_DAY: Final = 24 * 3600.0
_TOPIC: Final = "go"


def measure(request: Request) -> Outcome:
    wal = request.subject.endswith("-wal")
    return measure_engine(partial(open_dbos, wal=wal), request, imported="dbos")


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

    def row_committer(self) -> None:
        return None  # its environment has no apsw

    def facts(self) -> dict[str, str]:
        with self.dbos._sys_db.engine.connect() as connection:  # noqa: SLF001 - synchronous is a connection's own
            pragmas = {name: str(connection.exec_driver_sql(f"pragma {name}").scalar()) for name in _PRAGMAS}
        return {"dbos": version("dbos"), "SQLite": sqlite3.sqlite_version, **pragmas}


_PRAGMAS: Final = ("journal_mode", "synchronous")


@asynccontextmanager
async def open_dbos(database: Path, *, wal: bool) -> AsyncIterator[DbosEngine]:
    if wal:
        connection = sqlite3.connect(database)
        connection.execute("pragma journal_mode=wal")
        connection.close()
    dbos = DBOS(
        config={
            "name": "perdure-bench",
            "system_database_url": f"sqlite:///{database}",
            "application_version": "bench",  # the same after a restart, or nothing is recovered
            "log_level": "ERROR",
            "max_executor_threads": _EXECUTOR_THREADS,
        }
    )
    DBOS.launch()
    try:
        yield DbosEngine(dbos=dbos)
    finally:
        DBOS.destroy()


async def _started(id: str, workflow: Callable[..., object], *arguments: object) -> DbosRun:
    with SetWorkflowID(id):
        return DbosRun(handle=await DBOS.start_workflow_async(workflow, *arguments))
