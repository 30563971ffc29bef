"""Where the CPU time of a sequential step goes, by room.

Runs workload W2 twice on the embedded store: once plainly, for the CPU time of a step, and once under cProfile, for the
share of each room in it. The profiler slows every Python call alike, so its shares are good and its times are not:
the table multiplies the plain time by the shares.

    uv run --group bench python bench/profile_step.py [--runs 200] [--steps 10] [--in-flight 50]
"""

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from perdure import Context, Engine, activity, workflow

PACKAGE = f"{Path(__file__).parents[1] / 'src' / 'perdure'}/"


@activity(name="profiled_step")
async def step(number: int) -> dict[str, object]:
    """Do nothing, as the workloads say."""
    return {"ok": True, "i": number}


@workflow(name="profiled_chain")
async def chain(_ctx: Context, steps: int) -> int:
    """Run steps one after the other."""
    for number in range(steps):
        await step(number)
    return steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--in-flight", type=int, default=50)
    parser.add_argument(
        "--directory", type=Path, default=None, help="where the databases go; the default is a temporary folder"
    )
    given = parser.parse_args()
    asyncio.run(measure(given.runs, given.steps, given.in_flight, given.directory))


async def measure(runs: int, steps: int, in_flight: int, directory: Path | None) -> None:
    """Run W2 plainly and profiled; print the table."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        async with Engine(f"sqlite:///{folder}/runs.db") as engine:
            await live(engine, "warm", in_flight, steps, in_flight)
            loop_begun, begun = time.thread_time(), time.process_time()
            await live(engine, "plain", runs, steps, in_flight)
            count = runs * steps
            loop = (time.thread_time() - loop_begun) / count * 1e6
            other = (time.process_time() - begun) / count * 1e6 - loop
            profiler = cProfile.Profile()
            profiler.enable()
            await live(engine, "profiled", runs, steps, in_flight)
            profiler.disable()
    print_table(by_room(profiler), loop=loop, other=other)


async def live(engine: Engine, name: str, runs: int, steps: int, in_flight: int) -> None:
    """Run `runs` chains, at most `in_flight` at once."""
    room = asyncio.Semaphore(in_flight)

    async def one(number: int) -> None:
        async with room:
            await (await engine.start(chain, steps, id=f"{name}-{number}")).result()

    await asyncio.gather(*(one(number) for number in range(runs)))


def by_room(profiler: cProfile.Profile) -> dict[str, float]:
    """Return the profiled seconds of each room; built-in functions count for the room that called them."""
    seconds: dict[str, float] = defaultdict(float)
    for (path, _, name), (_, _, own, _, callers) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        if path != "~":
            seconds[room_of(path)] += own
        elif "poll" not in name:  # waiting for the disk is not work
            for (caller, _, _), (_, _, share, _) in callers.items():
                seconds[room_of(caller)] += share
    return seconds


def room_of(path: str) -> str:
    """Name the room of a source file."""
    if path.startswith(PACKAGE):
        room = path.removeprefix(PACKAGE).split("/")
        return "/".join(room[:2]) if room[0] in {"kernel", "execution"} else room[0]
    return "asyncio" if "/asyncio/" in path else "other Python"


def print_table(seconds: dict[str, float], *, loop: float, other: float) -> None:
    """Print microseconds and shares, largest first."""
    total = sum(seconds.values())
    print("| room | us per step | share |\n|---|---|---|")
    print(f"| the writer's thread (SQLite) | {other:.1f} | {other / (loop + other):.0%} |")
    for room, own in sorted(seconds.items(), key=lambda item: -item[1]):
        if own / total >= _SMALLEST_SHARE:
            print(f"| {room} | {loop * own / total:.1f} | {own / total * loop / (loop + other):.0%} |")
    print(f"| all | {loop + other:.1f} | 100% |")


_SMALLEST_SHARE = 0.01

if __name__ == "__main__":
    main()
