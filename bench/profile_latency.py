"""Where the time of a lone one-step workflow goes, from its start to its result in the caller's hands (workload W4).

Runs one workflow after the other on the embedded store and notes the time at each hand-over: between the client, the
event loop, the writer's thread and the disk. Beside it, in turns with it, one row is committed by SQLite alone. Prints
medians; the parts are the medians of their own and need not add up to that of the whole.

    uv run --group bench python bench/profile_latency.py [--runs 300] [--directory DIR]

On a memory file system (`--directory /dev/shm`) what remains is everything but the disk.
"""

import argparse
import functools
import itertools
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import apsw
import uvloop

from perdure import Context, Engine, activity, workflow
from perdure.execution import committer
from perdure.execution.active_run import ActiveRun
from perdure.stores.sqlite import writer

WARM_UP_RUNS = 100

PARTS = {
    ("begin", "advance"): "the client makes the run",
    ("advance", "advanced"): "the kernel advances it",
    ("advanced", "handed over"): "the committer encodes the transition",
    ("handed over", "woken"): "the writer's thread wakes up",
    ("woken", "durable"): "SQLite commits, the disk syncs",
    ("durable", "answered"): "the event loop wakes up",
    ("answered", "told"): "the committer goes on",
    ("told", "effects"): "effects are released",
    ("effects", "started"): "the client goes on",
    ("started", "step"): "the activity starts",
    ("step", "advance"): "the activity ends",
    ("effects", "end"): "the client has the result",
}
"""What lies between two moments that follow each other."""

moments: list[tuple[str, float]] = []


@activity(name="latency_step")
async def step(number: int) -> dict[str, object]:
    """Do nothing, as the workloads say."""
    note("step")
    return {"ok": True, "i": number}


@workflow(name="latency_one_step")
async def one_step(_ctx: Context) -> int:
    """Run one step."""
    await step(1)
    return 1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--directory", type=Path, default=None, help="where the databases go (a temporary folder)")
    given = parser.parse_args()
    watch(ActiveRun, "advance", before="advance", after="advanced")
    watch(writer.Writer, "commit", after="handed over")
    watch(writer.Writer, "_take", after="woken")
    watch(writer.Writer, "_process", after="durable")
    watch(writer, "_answer", before="answered")
    watch(committer, "_tell", before="told", after="effects")
    uvloop.run(measure(given.runs, given.directory))


def note(moment: str) -> None:
    """Note that a moment has come."""
    moments.append((moment, time.perf_counter()))


def watch(owner: object, name: str, *, before: str = "", after: str = "") -> None:
    """Note the moments before and after each call of a function."""
    function: Callable[..., object] = getattr(owner, name)

    @functools.wraps(function)
    def watched(*args: object, **kwargs: object) -> object:
        if before:
            note(before)
        try:
            return function(*args, **kwargs)
        finally:
            if after:
                note(after)

    setattr(owner, name, watched)


async def measure(runs: int, directory: Path | None) -> None:
    """Run workflows and bare commits in turns; print the table."""
    parts: dict[tuple[str, str], list[float]] = defaultdict(list)
    whole: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        connection = bare_database(Path(folder) / "bare.db")
        async with Engine(f"sqlite:///{folder}/runs.db") as engine:
            for number in range(-WARM_UP_RUNS, runs):
                moments.clear()
                note("begin")
                run = await engine.start(one_step, id=f"run {number}")
                note("started")
                await run.result()
                note("end")
                seconds = time_of(functools.partial(connection.execute, "INSERT INTO rows VALUES (?)", ("x" * 295,)))
                if number < 0:
                    continue
                bare.append(seconds)
                whole.append(moments[-1][1] - moments[0][1])
                for (one, begun), (other, ended) in itertools.pairwise(moments):
                    parts[one, other].append(ended - begun)
    print_table(parts, whole=whole, bare=bare)


def bare_database(path: Path) -> apsw.Connection:
    """Open a database with one table, as durable as the store's."""
    connection = apsw.Connection(str(path))
    for text in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "CREATE TABLE rows (data)"):
        connection.execute(text).get  # noqa: B018 - runs it
    return connection


def time_of(act: Callable[[], object]) -> float:
    """Return how long something takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def print_table(parts: dict[tuple[str, str], list[float]], *, whole: list[float], bare: list[float]) -> None:
    """Print microseconds per run, in the order in which the parts were met."""
    print("| part | times a run | us a run |\n|---|---|---|")
    for between, seconds in parts.items():
        times = len(seconds) / len(whole)
        if between in PARTS:
            print(f"| {PARTS[between]} | {times:.0f} | {statistics.median(seconds) * times * 1e6:.0f} |")
    print(f"| from start to result | 1 | {statistics.median(whole) * 1e6:.0f} |")
    print(f"| one row, committed by SQLite alone | 1 | {statistics.median(bare) * 1e6:.0f} |")


if __name__ == "__main__":
    main()
