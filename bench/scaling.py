"""W2x: several worker processes on one database.

Each process is an engine that starts and runs its own share, which is all of W2: so nothing but the database and the
machine is shared. All begin at once, warmed up. The rate is that of all steps from the first beginning to the last end;
its CPU time is that of all workers. Each number of processes has a database of its own on the measurement's server.

Where one process and the server keep all cores of the machine at work, a second one has nothing to add. So one is
measured on a single core, too, with the server: two processes on two cores against that is what twice the machine does.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from multiprocessing.synchronize import Barrier
from typing import Final

from bench import postgres
from bench.flows import sequential_steps, warm_up
from bench.loops import run_on_loop
from bench.metering import Cost, Meter, processes_of_tree
from bench.processes import at_once
from bench.protocol import Candidate
from bench.recording import RECORDING
from bench.records import Figure, Request
from bench.workloads import SUBJECTS

PROCESSES: Final = (1, 2, 4)
_CORES: Final = 2


@dataclass(frozen=True, kw_only=True)
class Share:
    """When a worker did its share, by the clock that all processes have in common, and what that cost it.

    The first worker has also read what the server used until the last one had ended.
    """

    begun: float
    ended: float
    cost: Cost


def several_processes(request: Request) -> list[Figure]:
    """W2x."""
    rates = [_together(request, processes) for processes in PROCESSES]
    ratios = [
        Figure(metric=f"{processes} to 1", value=rate.value / rates[0].value, unit="x")
        for processes, rate in zip(PROCESSES[1:], rates[1:], strict=True)
    ]
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == _CORES:
        with _on_one_core(request.server_process):
            alone = replace(_together(request, 1, name="on_one_core"), metric="throughput, 1 process on 1 core")
        ratios += [alone, Figure(metric="2 on 2 cores to 1 on 1", value=rates[1].value / alone.value, unit="x")]
    return [*rates, *ratios]


@contextmanager
def _on_one_core(server: int | None) -> Iterator[None]:
    """Keep this process, those that it starts, and the server's on one core."""
    cores = os.sched_getaffinity(0)
    _keep_on({min(cores)}, server)
    try:
        yield
    finally:
        _keep_on(cores, server)


def _keep_on(cores: set[int], server: int | None) -> None:
    for process in [0] if server is None else [0, *processes_of_tree(server)]:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(process, cores)


def _together(request: Request, processes: int, *, name: str = "") -> Figure:
    own = replace(request, server_url=postgres.new_database(request.server, name or f"processes_{processes}"))
    shares = at_once(processes, partial(do_share, own))
    seconds = max(share.ended for share in shares) - min(share.begun for share in shares)
    steps = processes * request.size["runs"] * request.size["steps"]
    spent = sum((share.cost for share in shares), start=Cost())
    metric = f"throughput, {processes} process{'es' if processes > 1 else ''}"
    return spent.figure(metric, steps / seconds, "steps/s", units=steps)


def do_share(request: Request, number: int, gate: Barrier) -> Share:
    """Be one of the workers."""
    RECORDING.server_process = None if number else request.server_process
    candidate: Candidate = import_module(f"bench.subjects.{SUBJECTS[request.subject].module}").candidate(request)
    return run_on_loop(_do_share(candidate, request, number, gate), loop=request.loop)


async def _do_share(candidate: Candidate, request: Request, number: int, gate: Barrier) -> Share:
    async with candidate.open() as engine:
        await warm_up(engine, name=f"warm-{number}")
        await asyncio.to_thread(gate.wait)
        meter = Meter()
        begun = time.monotonic()
        await sequential_steps(engine, request.size, name=f"sequential-{number}")
        ended = time.monotonic()
        await asyncio.to_thread(gate.wait)
        return Share(begun=begun, ended=ended, cost=meter.read())
