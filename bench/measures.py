"""Which measure belongs to which phase of which workload, for subjects that are workflow engines."""

from collections.abc import Awaitable, Callable
from typing import Final

from bench import crashes, flows, footprint
from bench.loops import run_on_loop
from bench.protocol import Candidate, Engine, OpenEngine
from bench.recording import RECORDING
from bench.records import Figure, Outcome, Request

_Flow = Callable[[Engine, dict[str, int]], Awaitable[list[Figure]]]
_Phase = Callable[[OpenEngine, Request], Awaitable[list[Figure]]]

_FLOWS: Final[dict[str, _Flow]] = {
    "W1": flows.one_step_runs,
    "W2": flows.sequential_steps,
    "W3": flows.parallel_steps,
    "W4": flows.one_at_a_time,
    "W6": flows.durable_sleeps,
    "W7": flows.signals,
}
_PHASES: Final[dict[tuple[str, str], _Phase]] = {
    ("W5", "crash"): crashes.recovery_until_the_kill,
    ("W5", "restart"): crashes.recovery_after_the_kill,
    ("W8", "crash"): crashes.long_run_until_the_kill,
    ("W8", "restart"): crashes.long_run_after_the_kill,
    ("M", "idle"): footprint.idle_memory,
    ("M", "waiting"): footprint.memory_of_waiting_runs,
}


def measure_engine(candidate: Candidate, request: Request) -> Outcome:
    """Run one phase against an engine."""
    RECORDING.server_process = request.server_process
    match request.workload, request.phase:
        case "M", "import":
            return Outcome(figures=footprint.import_cost(candidate.imported))
        case "M", "disk":
            disk = footprint.growth_on_disk(candidate.open, request, candidate.bytes_on_disk)
            return Outcome(figures=run_on_loop(disk, loop=request.loop))
        case "W2x", _:
            from bench import scaling  # noqa: PLC0415 - what it needs would weigh on the idle process

            return Outcome(figures=scaling.several_processes(request))
        case _:
            return run_on_loop(_measure(candidate.open, request), loop=request.loop)


async def _measure(open_engine: OpenEngine, request: Request) -> Outcome:
    phase = _PHASES.get((request.workload, request.phase))
    if phase is not None:
        return Outcome(figures=await phase(open_engine, request))
    async with open_engine() as engine:
        await flows.warm_up(engine)
        figures = await _FLOWS[request.workload](engine, request.size)
        return Outcome(figures=figures, facts=engine.facts())
