"""Workloads of retention: runs are archived and removed, and brought back; what struck in between must not show."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, cast

from perdure.archiving.pruning import Pruning
from perdure.archiving.run_lines import SavedRun, read_runs
from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.client.client import Client
from perdure.configuration import Retention
from perdure.engine import Engine
from perdure.kernel import events as e
from perdure.kernel.identity import RunRef
from perdure.kernel.time import Timestamp
from perdure.torture.simulation.program import Call, request, send, start
from perdure.torture.simulation.store import SimulatedStore
from perdure.torture.simulation.tables import Tables
from perdure.torture.simulation.workloads.control import go, more
from perdure.torture.simulation.workloads.requesting import held
from perdure.torture.simulation.workloads.steps import sequential
from perdure.torture.simulation.workloads.workload import Workload

__all__ = ["WORKLOADS"]


@workflow(name="sim_parent_to_keep")
async def parent_to_keep(ctx: Context) -> None:
    """Have a child that ends before, and wait for a signal."""
    await ctx.run_child(sequential, 1, id="child")
    await ctx.wait_for(go)


class _Disk:
    """Where the archive is: it survives whoever writes to it."""

    def __init__(self) -> None:
        self.parts: list[list[bytes]] = []


class _Archive:
    """The archive as one process writes to it: takes its time, and may be struck before and after."""

    def __init__(self, disk: _Disk, store: SimulatedStore) -> None:
        self._disk = disk
        self._store = store

    async def append(self, lines: Sequence[bytes], *, now: Timestamp) -> int:
        """See `perdure.archiving.filing.Sink`."""
        del now
        await self._store.pass_point("before the archive")
        await self._store.lag()
        self._disk.parts.append(list(lines))
        await self._store.pass_point("after the archive")
        return sum(map(len, lines))


def _program(_chance: random.Random) -> list[Call]:
    disk = _Disk()
    removed = ("one", "two", "child")

    async def prune(client: Client) -> None:
        worker = cast("Engine", client).worker
        archive = _Archive(disk, cast("SimulatedStore", worker.store))
        while any([await worker.store.find(RunRef(id=run_id)) for run_id in removed]):
            pruning = Pruning(worker.store, worker.clock, Retention(keep=timedelta(0)))
            if not (await pruning.run(holder=worker.name, archive=archive)).runs:
                await asyncio.sleep(_PAUSE_SECONDS)  # the clock was set back: they have not ended yet

    async def bring_back(client: Client) -> None:
        store = cast("Engine", client).worker.store
        runs = [one.run for part in disk.parts for one in read_runs(part) if isinstance(one, SavedRun)]
        await asyncio.gather(*(store.bring_in(run, sealed_as=run.summary.run_key) for run in runs))

    def have_ended(tables: Tables) -> bool:
        return bool(disk.parts) or all(map(tables.is_closed, removed))

    def started(call: Call) -> Call:
        """Let nobody start a run again that was removed meanwhile."""
        return replace(call, is_done=lambda tables: bool(disk.parts) or call.is_done(tables))

    return [
        start(parent_to_keep, id="open"),
        started(start(sequential, 2, id="two")),
        started(start(held, id="one")),
        request(
            "first", "one", lambda run, mine: run.signal(more, 1, request_id=mine), e.SignalReceived, request_id="1"
        ),
        request(
            "second",
            "one",
            lambda run, mine: run.signal(more, 2, request_id=mine),
            e.SignalReceived,
            request_id="2",
            when=lambda tables: len(tables.generations("one")) > 1,
        ),
        Call(name="prune", run_id="one", perform=prune, is_done=have_ended, when=have_ended, is_repeatable=True),
        Call(
            name="bring back",
            run_id="one",
            perform=bring_back,
            is_done=lambda tables: all(map(tables.is_closed, removed)),
            when=lambda _tables: True,
            is_repeatable=True,
        ),
        send("open", go, "go", message_id="go"),
    ]


_PAUSE_SECONDS: Final = 30.0

WORKLOADS: Final = (Workload(name="pruned", program=_program, in_order=False, results={"one": "2"}),)
