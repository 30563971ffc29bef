"""W2x: several worker processes on one database.

Each process is an engine that starts and runs its own share, which is all of W2: so nothing but the database and the
machine is shared. All begin at once, warmed up. The rate is that of all steps from the first beginning to the last end;
its CPU time is that of all workers. Each number of processes has a database of its own on the measurement's server.
"""

import multiprocessing
import time
from dataclasses import dataclass, replace
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Final

from bench import postgres
from bench.flows import sequential_steps, warm_up
from bench.loops import run_on_loop
from bench.metering import Cost, Meter
from bench.protocol import Candidate
from bench.records import Figure, Request
from bench.workloads import SUBJECTS

PROCESSES: Final = (1, 2, 4)
_PATIENCE_SECONDS: Final = 300.0


@dataclass(frozen=True, kw_only=True)
class Share:
    """When a worker did its share, by the clock that all processes have in common, and its own CPU time."""

    begun: float
    ended: float
    cpu_seconds: float


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
    spawning = multiprocessing.get_context("spawn")
    gate = spawning.Barrier(processes + 1, timeout=_PATIENCE_SECONDS)
    lines = [spawning.Pipe(duplex=False) for _ in range(processes)]
    workers = [
        spawning.Process(target=work, args=(own, number, gate, sender), daemon=True)
        for number, (_, sender) in enumerate(lines)
    ]
    for worker in workers:
        worker.start()
    gate.wait()
    meter = Meter()
    shares = [_share(receiver) for receiver, _ in lines]
    server = meter.read().server
    for worker in workers:
        worker.join()
    seconds = max(share.ended for share in shares) - min(share.begun for share in shares)
    steps = processes * request.size["runs"] * request.size["steps"]
    spent = Cost(own=sum(share.cpu_seconds for share in shares), server=server)
    metric = f"throughput, {processes} process{'es' if processes > 1 else ''}"
    return spent.figure(metric, steps / seconds, "steps/s", units=steps)


def _share(receiver: Connection) -> Share:
    if not receiver.poll(_PATIENCE_SECONDS):
        raise TimeoutError(f"a worker did not do its share within {_PATIENCE_SECONDS:.0f} s")
    share: Share = receiver.recv()
    return share


def work(request: Request, number: int, gate: Barrier, sender: Connection) -> None:
    """Be one of the workers."""
    candidate: Candidate = import_module(f"bench.subjects.{SUBJECTS[request.subject].module}").candidate(request)
    sender.send(run_on_loop(_work(candidate, request, number, gate), loop=request.loop))


async def _work(candidate: Candidate, request: Request, number: int, gate: Barrier) -> Share:
    async with candidate.open() as engine:
        await warm_up(engine, name=f"warm-{number}")
        gate.wait()  # nothing else is to be done meanwhile
        meter = Meter()
        begun = time.monotonic()
        await sequential_steps(engine, request.size, name=f"sequential-{number}")
        return Share(begun=begun, ended=time.monotonic(), cpu_seconds=meter.read().own)
