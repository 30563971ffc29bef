"""Runs of random programs, of all kinds, and stores to bring them to."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.payload import NULL
from perdure.kernel.state import RunState, fold
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied, Creation, RunStatus
from perdure.ports.keeping import WholeRun
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreHarness, StoreSession
from perdure.testing.store_conformance.harness import START, Held, transition
from perdure.torture.disks.sectors import DyingDisk
from perdure.torture.programs.harnesses import MemoryHarness, SqliteHarness
from perdure.torture.programs.steps import program
from perdure.torture.programs.world import World

__all__ = ["Dying", "all_runs", "end_soundly", "lived", "plain", "session_on"]


class Dying(SqliteHarness):
    """A database on a disk that dies."""

    def __init__(self, path: Path, disk: DyingDisk) -> None:
        super().__init__(path)
        self._disk = disk

    def new_store(self) -> SqliteStore:
        return SqliteStore(self.path, disk=self._disk)


@asynccontextmanager
async def session_on(harness: StoreHarness) -> AsyncIterator[StoreSession]:
    """Open a session on a database, and leave it."""
    try:
        yield await harness.session()
    finally:
        await harness.close()


async def lived(seed: int, *, length: int = 40, harness: StoreHarness | None = None) -> World:
    """Return the world after a random program."""
    world = World(harness or MemoryHarness())
    await world.open()
    for step in program(seed, length=length):
        await world.do(step)
    return world


async def all_runs(world: World) -> list[WholeRun]:
    """Return all runs of a world, the generations of one id in their order."""
    found = [await world.observer.store.read_whole(row.run_key) for row in world.rows.values()]
    return sorted((run for run in found if run is not None), key=lambda run: run.summary.ref.generation)


def plain(run: WholeRun) -> WholeRun:
    """Return what must be the same of a run wherever it is: not its owner, nor the positions in its inbox."""
    summary = run.summary
    if summary.owner is not None:
        summary = msgspec.structs.replace(summary, owner=None, wake_at=summary.updated_at)
    inbox = tuple(msgspec.structs.replace(entry, position=0) for entry in run.inbox)
    return msgspec.structs.replace(run, summary=summary, inbox=inbox)


async def end_soundly(
    session: StoreSession,
    run: Held,
    status: RunStatus,
    *,
    at: Timestamp,
    signals: int = 0,
    creations: Sequence[Creation] = (),
) -> None:
    """Begin and end a run, which receives signals in between, and whose row says what its history does; with the next
    generation where it continues as one."""
    state = fold(RunState(), await session.store.read_history(run.run_key))
    happening = [
        e.RunStarted(),
        *(e.SignalReceived(name=f"signal {number}") for number in range(signals)),
        _ENDS[status],
    ]
    events = [RecordedEvent(number, at, event) for number, event in enumerate(happening, state.sequence + 1)]
    row = fold(state, events).row()
    write = msgspec.structs.replace(
        transition(run, events=len(events), creations=creations), events=tuple(events), row=row
    )
    outcome = await session.commit_one(write)
    assert isinstance(outcome, Applied), outcome
    run.sequence = row.sequence


_ENDS: Final[dict[RunStatus, e.Event]] = {
    RunStatus.COMPLETED: e.RunCompleted(),
    RunStatus.FAILED: e.RunFailed(failure=Failure(type="ValueError", message="it failed")),
    RunStatus.CANCELLED: e.RunCancelled(),
    RunStatus.TERMINATED: e.RunTerminated(),
    RunStatus.CONTINUED: e.RunContinued(input=NULL, next_generation=2, next_at=START),
}
