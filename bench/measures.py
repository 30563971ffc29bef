"""Which measure belongs to which phase of which workload, for subjects that are workflow engines."""

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Final

from bench import crashes, flows, footprint
from bench.protocol import Engine, OpenEngine
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
    ("M", "disk"): footprint.bytes_on_disk,
    ("M", "waiting"): footprint.memory_of_waiting_runs,
}


def measure_engine(open_engine: OpenEngine, request: Request, *, imported: str) -> Outcome:
    """Run one phase against an engine; `imported` is the name under which users import it."""
    if (request.workload, request.phase) == ("M", "import"):
        return Outcome(figures=footprint.import_cost(imported))
    return _run(_measure(open_engine, request), loop=request.loop)


async def _measure(open_engine: OpenEngine, request: Request) -> Outcome:
    phase = _PHASES.get((request.workload, request.phase))
    if phase is not None:
        return Outcome(figures=await phase(open_engine, request))
    async with open_engine(request.database) as engine:
        await flows.warm_up(engine)
        figures = await _FLOWS[request.workload](engine, request.size)
        return Outcome(figures=figures, facts=engine.facts())


def _run(measure: Awaitable[Outcome], *, loop: str) -> Outcome:
    async def main() -> Outcome:
        return await measure

    factory = import_module("uvloop").new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())
