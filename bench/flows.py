"""W1 to W4, W6 and W7 as loops over an engine: what is timed, and from where to where, is the same code for everyone.

Before a timed loop each engine does a few runs that do not count, so that nobody's first use is measured; and the
garbage collector leaves out what is there by then, and works more rarely, as `perdure worker` has it do: a full pass
over modules takes a quarter of the time of the shortest loop, and comes in one of three.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from bench.metering import Cost, Meter
from bench.protocol import Engine
from bench.recording import RECORDING
from bench.records import Figure
from bench.summary import percentile

_YOUNG_OBJECTS: Final = 5_000
_WARM_UP_RUNS: Final = 20
_WARM_UP_STEPS: Final = 5
_STARTERS: Final = 100  # clients that submit at once where the workload limits nothing
_SLEEP_SECONDS: Final = 1.0
_ALL_WAIT_SECONDS: Final = 300.0

Size = dict[str, int]


async def keep_in_flight(limit: int, jobs: Iterable[int], do: Callable[[int], Awaitable[None]]) -> None:
    """Do all jobs, `limit` of them at any time."""
    left = iter(jobs)

    async def one_after_the_other() -> None:
        for job in left:
            await do(job)

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(one_after_the_other())


async def warm_up(engine: Engine, *, name: str = "warm") -> None:
    async def one(number: int) -> None:
        run = await engine.sequential(f"{name}-{number}", _WARM_UP_STEPS)
        expect(await run.result(), _WARM_UP_STEPS)

    await keep_in_flight(_WARM_UP_RUNS, range(_WARM_UP_RUNS), one)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def expect(found: object, wanted: object) -> None:
    """Refuse a wrong result: a fast engine that computes something else has no figure."""
    if found != wanted:
        raise AssertionError(f"a run returned {found!r} instead of {wanted!r}")


async def one_step_runs(engine: Engine, size: Size) -> list[Figure]:
    """W1."""

    async def one(number: int) -> None:
        run = await engine.sequential(f"one-{number}", 1)
        expect(await run.result(), 1)

    return [
        await _rate(
            "throughput", "workflows/s", size["runs"], keep_in_flight(size["in_flight"], range(size["runs"]), one)
        )
    ]


async def sequential_steps(engine: Engine, size: Size, *, name: str = "sequential") -> list[Figure]:
    """W2."""

    async def one(number: int) -> None:
        run = await engine.sequential(f"{name}-{number}", size["steps"])
        expect(await run.result(), size["steps"])

    runs = keep_in_flight(size["in_flight"], range(size["runs"]), one)
    return [await _rate("throughput", "steps/s", size["runs"] * size["steps"], runs)]


async def parallel_steps(engine: Engine, size: Size) -> list[Figure]:
    """W3."""

    async def one(number: int) -> None:
        run = await engine.parallel(f"parallel-{number}", size["steps"])
        expect(await run.result(), size["steps"])

    runs = keep_in_flight(size["runs"], range(size["runs"]), one)
    return [await _rate("throughput", "steps/s", size["runs"] * size["steps"], runs)]


async def one_at_a_time(engine: Engine, size: Size) -> list[Figure]:
    """W4. In turns with the runs the disk's own time is taken: it changes from one second to the next."""
    commit_row = engine.row_committer()
    seconds: list[float] = []
    commit_seconds: list[float] = []
    spent = Cost()
    for number in range(size["runs"]):
        meter = Meter()
        begun = time.perf_counter()
        run = await engine.sequential(f"single-{number}", 1)
        expect(await run.result(), 1)
        seconds.append(time.perf_counter() - begun)
        spent += meter.read()
        if commit_row is not None:
            begun = time.perf_counter()
            commit_row(number)
            commit_seconds.append(time.perf_counter() - begun)
    figures = latencies(seconds, spent)
    if commit_seconds:
        figures.append(Figure(metric="raw commit p50", value=percentile(commit_seconds, 50) * 1e3, unit="ms"))
    return figures


async def durable_sleeps(engine: Engine, size: Size) -> list[Figure]:
    """W6. Lateness is counted from the moment at which the workflow's own code asked for its sleep."""
    moments = RECORDING.moments
    runs: dict[int, Awaitable[object]] = {}

    async def start(number: int) -> None:
        run = await engine.sleeping(f"sleep-{number}", number, _SLEEP_SECONDS)
        runs[number] = asyncio.ensure_future(run.result())

    meter = Meter()
    begun = time.perf_counter()
    await keep_in_flight(_STARTERS, range(size["runs"]), start)
    for number, result in runs.items():
        expect(await result, number)
    total = time.perf_counter() - begun
    spent = meter.read()
    late = [moments.woke[number] - moments.slept[number] - _SLEEP_SECONDS for number in runs]
    return [
        spent.figure("total", total, "s", units=size["runs"]),
        Figure(metric="late p50", value=percentile(late, 50) * 1e3, unit="ms"),
        Figure(metric="late p99", value=percentile(late, 99) * 1e3, unit="ms"),
    ]


async def signals(engine: Engine, size: Size) -> list[Figure]:
    """W7. The clock starts when all runs wait; a round trip ends with the run's result in the client's hands."""
    seconds: list[float] = []

    async def start(number: int) -> None:
        await engine.waiting(f"wait-{number}", number)

    async def round_trip(number: int) -> None:
        run = await engine.find(f"wait-{number}")
        begun = time.perf_counter()
        await run.signal(number)
        expect(await run.result(), number)
        seconds.append(time.perf_counter() - begun)

    await keep_in_flight(_STARTERS, range(size["runs"]), start)
    await all_wait(size["runs"])
    meter = Meter()
    await keep_in_flight(size["in_flight"], range(size["runs"]), round_trip)
    return latencies(seconds, meter.read())


async def all_wait(runs: int) -> None:
    """Return when as many runs have come to their wait, and what they wrote on the way has settled."""
    async with asyncio.timeout(_ALL_WAIT_SECONDS):
        while RECORDING.moments.waiting < runs:  # noqa: ASYNC110 - no event: a subject may run workflows in other threads
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)


def latencies(seconds: list[float], spent: Cost) -> list[Figure]:
    return [
        spent.figure("p50", percentile(seconds, 50) * 1e3, "ms", units=len(seconds)),
        Figure(metric="p99", value=percentile(seconds, 99) * 1e3, unit="ms"),
    ]


async def _rate(metric: str, unit: str, units: int, work: Awaitable[None]) -> Figure:
    meter = Meter()
    begun = time.perf_counter()
    await work
    seconds = time.perf_counter() - begun
    return meter.read().figure(metric, units / seconds, unit, units=units)
