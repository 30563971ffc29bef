"""A database that two engines share, of each kind of store, workflows whose steps are counted, and reads of them."""

from pathlib import Path
from typing import Any, Final

import apsw

from perdure import Context, Engine, Run, Settings, activity, workflow
from perdure.authoring.registry import Registry
from perdure.kernel.identity import RunKey, WorkerId
from perdure.ports.following import HistoryPart, HistoryPlace
from perdure.ports.store import RunStore
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sqlite.store import SqliteStore
from perdure.torture.programs.postgres_harness import PostgresHarness
from tests.execution.waiting_workflows import go
from tests.journeys.workflows import until

STANDBY: Final = Settings(standby=True, standby_share=1.0, shutdown_grace_seconds=0.2)
made: list[str] = []
"""The steps that were made, by any engine of this process."""


@activity(name="followed_note")
async def note(step: str) -> str:
    made.append(step)
    return step


@workflow(name="followed_steps")
async def steps(ctx: Context, name: str, count: int) -> list[str]:
    """Make some steps, then one for each signal, until that is 0."""
    done = [await note(f"{name} {number}") for number in range(count)]
    while number := await ctx.wait_for(go):
        done.append(await note(f"{name} after {number}"))
    return done


class Shared:
    """A database: stores on it, and a way to have a session's lease pass."""

    def __init__(self, kind: str, folder: Path, url: str) -> None:
        self.kind: Final = kind
        self.database: Final = MemoryDatabase()
        self._path: Final = folder / "runs.db"
        self._url: Final = url

    def new_store(self) -> RunStore:
        if self.kind == "memory":
            return MemoryStore(self.database)
        return SqliteStore(self._path) if self.kind == "sqlite" else PostgresStore(self._url)

    def engine(self, settings: Settings | None = None, *, registry: Registry | None = None) -> Engine:
        chosen = settings or Settings(shutdown_grace_seconds=0.2)
        return Engine(self.new_store(), settings=chosen, registry=registry)

    async def let_lease_pass(self, engine: Engine) -> None:
        """Have it be too late for the next renewal of a lease; nobody has noticed yet."""
        worker_id = engine.worker.worker_id
        if self.kind == "memory":
            self.database.sessions[WorkerId(worker_id)].lease_until = engine.worker.clock.now()
        elif self.kind == "sqlite":
            connection = apsw.Connection(str(self._path))
            connection.set_busy_timeout(5_000)
            connection.execute("UPDATE sessions SET lease_until = 0 WHERE worker_id = ?", (worker_id,))
            connection.close()
        else:
            statement = "UPDATE sessions SET lease_until = 0 WHERE worker_id = $1"
            await PostgresHarness(self._url).execute(statement, worker_id)

    async def pass_on(self, owner: Engine, heir: Engine) -> None:
        """Have an engine find out that the lease of another has passed, who does not notice, and claims nothing."""
        stop(owner, "perdure-lease")
        stop(owner, "perdure-claims")
        await self.let_lease_pass(owner)
        await heir.worker.store.free_expired(now=heir.worker.clock.now())
        heir.worker.claims.wake()


class Reads:
    """What an engine reads of histories, since it was last looked at."""

    def __init__(self, engine: Engine) -> None:
        store: Any = engine.worker.store
        self._read_history, self._read_on = store.read_history, store.read_on
        self.loaded: list[RunKey] = []
        self.events = 0
        store.read_history, store.read_on = self.read_history, self.read_on

    async def read_history(self, run_key: RunKey, **limits: int) -> object:
        self.loaded.append(run_key)
        return await self._read_history(run_key, **limits)

    async def read_on(self, places: dict[RunKey, HistoryPlace], **limits: int) -> list[HistoryPart]:
        parts: list[HistoryPart] = await self._read_on(places, **limits)
        self.events += sum(len(part.events) for part in parts)
        return parts

    def clear(self) -> None:
        self.loaded, self.events = [], 0


async def start(engine: Engine, *names: str, count: int = 3) -> list[Run[list[str]]]:
    """Start runs and wait until their steps are made."""
    runs = [await engine.start(steps, name, count, id=name) for name in names]
    for run in runs:
        await until(lambda run=run: waits(engine, run))  # type: ignore[misc]
    return runs


async def waits(engine: Engine, run: Run[Any]) -> bool:
    active = engine.worker.active.get((await run.describe()).run_key)
    return active is not None and active.is_idle


async def is_warm(standby: Engine, runs: list[Run[Any]]) -> bool:
    """Whether there is a copy of each run, and of no other, that is up to date."""
    rows = [await run.describe() for run in runs]
    return standby.worker.standby.warm == {row.run_key: row.sequence for row in rows}


async def has(engine: Engine, runs: list[Run[Any]]) -> bool:
    return {(await run.describe()).run_key for run in runs} == set(engine.worker.active)


def stop(engine: Engine, name: str) -> None:
    """End what an engine does under this name."""
    (task,) = (task for task in engine.worker._tasks if task.get_name() == name)
    task.cancel()
