"""W5 and W8: a process dies by SIGKILL in the middle of its work, a second one finishes it.

The first process kills itself inside a step (see `bench.recording`); the harness starts the second at once. W5 counts
from the start of the second process, interpreter and imports included, because that is what an operator waits for;
W8 counts from before the engine is opened, because it asks for the cost of replay.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Final

from bench.conditions import cpu_seconds
from bench.flows import expect, keep_in_flight, warm_up
from bench.protocol import OpenEngine, Run
from bench.recording import RECORDING, Ledger, StepClock
from bench.records import Figure, Request

_LONG: Final = "long"
_DONE_BEFORE_KILL: Final = 0.98
_FIRST_STEP_COUNTED: Final = 10

Phase = Callable[[OpenEngine, Request], Awaitable[list[Figure]]]


async def recovery_until_the_kill(open_engine: OpenEngine, request: Request) -> list[Figure]:
    """W5, first process: start all runs at once; the ledger kills it in the step after half of the steps."""
    size = request.size
    ledger = Ledger(path=_ledger_path(request), kill_at=size["runs"] * size["steps"] // 2 + 1)
    ledger.open()
    RECORDING.ledger = ledger
    async with open_engine() as engine:
        runs: list[Run] = []

        async def start(number: int) -> None:
            runs.append(await engine.ledgered(f"crash-{number}", number, size["steps"]))
            ledger.acknowledged(number)

        await keep_in_flight(size["runs"], range(size["runs"]), start)
        await asyncio.gather(*(run.result() for run in runs))
    raise AssertionError("the process was to be killed at half of the steps, but all of them ran")


async def recovery_after_the_kill(open_engine: OpenEngine, request: Request) -> list[Figure]:
    """W5, second process: open, and wait for every run. What the kill kept from being submitted is submitted again."""
    size = request.size
    ledger = Ledger(path=_ledger_path(request))
    acknowledged = ledger.runs()
    before = ledger.steps().total()
    ledger.open()
    RECORDING.ledger = ledger
    failures: list[str] = []
    async with open_engine() as engine:

        async def finish(number: int) -> None:
            id = f"crash-{number}"
            try:
                if number in acknowledged:
                    run = await engine.find(id)
                else:
                    run = await engine.ledgered(id, number, size["steps"])
                expect(await run.result(), sum(range(size["steps"])))
            except Exception as error:  # noqa: BLE001 - whatever keeps an acknowledged run from its result is a loss
                failures.append(f"{id}: {error!r}")

        await keep_in_flight(size["runs"], range(size["runs"]), finish)
        seconds = time.monotonic() - request.spawned_at
    if failures:
        print("\n".join(failures[:20]), flush=True)
    steps = ledger.steps()
    never = size["runs"] * size["steps"] - len(steps)
    ran_now = steps.total() - before
    per_step = cpu_seconds() / max(1, ran_now) * 1e6
    return [
        Figure(metric="restart", value=seconds, unit="s", cpu_microseconds_per_unit=per_step),
        Figure(metric="run twice", value=sum(count - 1 for count in steps.values()), unit="steps"),
        Figure(metric="lost", value=len(failures) + never, unit="runs, steps"),
    ]


async def long_run_until_the_kill(open_engine: OpenEngine, request: Request) -> list[Figure]:
    """W8, first process."""
    RECORDING.clock = StepClock(path=_clock_path(request), kill_at=_done_before_kill(request) + 1)
    async with open_engine() as engine:
        await warm_up(engine)  # or the first steps would look dearer than the last
        run = await engine.long(_LONG, request.size["steps"])
        await run.result()
    raise AssertionError("the process was to be killed in its long run, but the run ended")


async def long_run_after_the_kill(open_engine: OpenEngine, request: Request) -> list[Figure]:
    """W8, second process: from before the engine opens to the first step that the first process did not finish."""
    marks = json.loads(_clock_path(request).read_text(encoding="ascii"))
    done = _done_before_kill(request)
    RECORDING.clock = StepClock()
    begun, cpu_begun = time.monotonic(), time.process_time()
    async with open_engine() as engine:
        run = await engine.find(_LONG)
        expect(await run.result(), request.size["steps"])
    clock = RECORDING.clock
    seconds, cpu = clock.wall[0] - begun, clock.cpu[0] - cpu_begun
    window = max(_FIRST_STEP_COUNTED, request.size["steps"] // 10)
    start = _step_cost("step at start", marks, _FIRST_STEP_COUNTED, window)
    end = _step_cost("step at end", marks, done - window, window)
    return [
        start,
        end,
        Figure(metric="end to start", value=end.value / start.value, unit="x"),
        Figure(metric="end to start, CPU", value=_cpu(end) / _cpu(start), unit="x"),
        Figure(metric="replay", value=seconds, unit="s"),
        Figure(
            metric="replay per step",
            value=seconds / done * 1e6,
            unit="µs",
            cpu_microseconds_per_unit=cpu / done * 1e6,
        ),
        Figure(metric="run twice", value=len(clock.wall) - (request.size["steps"] - done), unit="steps"),
    ]


def _step_cost(metric: str, marks: dict[str, list[float]], first: int, window: int) -> Figure:
    """Give the median wall time, which one slow commit does not move, and the mean CPU of a window of steps."""
    wall, cpu = marks["wall"], marks["cpu"]
    steps = range(first, first + window)
    return Figure(
        metric=metric,
        value=median(wall[step + 1] - wall[step] for step in steps) * 1e6,
        unit="µs",
        cpu_microseconds_per_unit=(cpu[first + window] - cpu[first]) / window * 1e6,
    )


def _cpu(figure: Figure) -> float:
    return figure.cpu_microseconds_per_unit or 0.0


def _done_before_kill(request: Request) -> int:
    return int(request.size["steps"] * _DONE_BEFORE_KILL)


def _ledger_path(request: Request) -> Path:
    return Path(request.directory) / "ledger"


def _clock_path(request: Request) -> Path:
    return Path(request.directory) / "clock.json"
