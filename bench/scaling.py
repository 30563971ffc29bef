"""W2x: several worker processes on one database.

Each process is an engine that starts and runs its own share, which is all of W2: so nothing but the database and the
machine is shared. All begin at once, warmed up. The rate is that of all steps from the first beginning to the last end;
its CPU time is that of all workers. Each number of processes has a database of its own on the measurement's server.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from multiprocessing.synchronize import Barrier
from typing import Final

from bench import postgres
from bench.flows import sequential_steps, warm_up
from bench.loops import run_on_loop
from bench.metering import Cost, Meter
from bench.processes import at_once
from bench.protocol import Candidate
from bench.recording import RECORDING
from bench.records import Figure, Request
from bench.workloads import SUBJECTS

PROCESSES: Final = (1, 2, 4)


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
    return [*rates, *ratios]


def _together(request: Request, processes: int) -> Figure:
    own = replace(request, server_url=postgres.new_database(request.server, f"processes_{processes}"))
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
