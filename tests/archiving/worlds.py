"""Runs of random programs, of all kinds, and stores to bring them to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from perdure.ports.keeping import WholeRun
from perdure.testing.store_conformance import StoreHarness, StoreSession
from perdure.torture.programs.harnesses import MemoryHarness
from perdure.torture.programs.steps import program
from perdure.torture.programs.world import World

__all__ = ["all_runs", "lived", "plain", "session_on"]


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
