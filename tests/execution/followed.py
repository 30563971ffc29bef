"""A database that two engines share, of each kind of store, and workflows whose steps are counted."""

from pathlib import Path
from typing import Final

import apsw

from perdure import Context, Engine, Settings, activity, workflow
from perdure.authoring.registry import Registry
from perdure.kernel.identity import WorkerId
from perdure.ports.store import RunStore
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sqlite.store import SqliteStore
from perdure.torture.programs.postgres_harness import PostgresHarness
from tests.execution.waiting_workflows import go

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


def stop(engine: Engine, name: str) -> None:
    """End what an engine does under this name."""
    (task,) = (task for task in engine.worker._tasks if task.get_name() == name)
    task.cancel()
