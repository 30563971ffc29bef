"""How long it takes to go on with the active runs of a worker that has died: cold, and as a hot standby.

One process starts runs, each of which makes some steps and then an activity that does not end. Then processes take over
from each other: an heir opens the database, waits (a standby until all its copies are up to date), the one before is
killed by SIGKILL, and the heir goes on until each run's activity has begun again. Cold heirs and standbys take turns on
the same runs, whose histories stay as they are: from 20 to 100 events, 60 on average.

    uv run --group bench python bench/standby.py [--stores postgres,sqlite] [--runs 1000] [--repeat 5]

Take-over is from when the runs of the dead are free to when the last activity has begun again. Until they are free it
takes as long for either: that the worker is dead is noticed by the other's looks. Prints medians.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

# Run as a script: its own folder is no place to import from, the repository is.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.findings import Finding, show  # noqa: E402 - needs the path above
from bench.loops import run_on_loop  # noqa: E402
from bench.many_runs import server_below  # noqa: E402
from bench.measurement import default_directory, loop_by_default  # noqa: E402
from bench.postgres import new_database  # noqa: E402
from perdure import Context, Engine, Settings, activity, workflow  # noqa: E402

_GOAL: Final = 0.5
_FEWEST_STEPS, _MOST_STEPS = 9, 49
_TEXT: Final = "x" * 100


class _Begun:
    """Counts the last activities that have begun in this process; tells when all have."""

    def __init__(self) -> None:
        self.count = 0
        self.runs = 0
        self.all = asyncio.Event()

    def note(self) -> None:
        self.count += 1
        if self.count == self.runs:
            self.all.set()


BEGUN: Final = _Begun()


@activity(name="standby_step")
async def step(number: int, text: str) -> dict[str, object]:
    """Do nothing."""
    return {"number": number, "text": text}


@activity(name="standby_last")
async def last() -> None:
    """Begin, and never end."""
    BEGUN.note()
    await asyncio.Event().wait()


@workflow(name="standby_chain")
async def chain(_ctx: Context, steps: int) -> None:
    """Make steps one after the other, and then the last activity."""
    for number in range(steps):
        await step(number, _TEXT)
    await last()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a process does. `is_standby`: None for who starts the runs."""

    url: str
    runs: int
    loop: str
    is_standby: bool | None = None


@dataclass(frozen=True, kw_only=True)
class TakeOver:
    """What an heir saw, by the clock that all processes have in common. `cpu`: its own since the runs were free."""

    freed: float
    ended: float
    cpu: float
    by_copies: int

    @property
    def seconds(self) -> float:
        return self.ended - self.freed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", type=lambda text: text.split(","), default=["postgres", "sqlite"])
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=None, help="where the databases go: a disk")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="append a line per figure")
    given = parser.parse_args()
    for store in given.stores:
        with database(store, given.directory) as url:
            findings = measure(url, runs=given.runs, repeat=given.repeat)
        show(f"Taking over {given.runs:,} active runs, {store}", findings, json_lines=given.json)


@contextmanager
def database(store: str, directory: Path | None) -> Iterator[str]:
    """Give the URL of a new database, on a disk."""
    with ExitStack() as stack:
        if store == "postgres":
            yield new_database(stack.enter_context(server_below(directory)).url, "standby")
        else:
            folder = directory or default_directory()
            folder.mkdir(parents=True, exist_ok=True)
            yield f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory(dir=folder))}/runs.db"


def measure(url: str, *, runs: int, repeat: int) -> list[Finding]:
    """Let heirs take over from each other, cold ones and standbys in turns."""
    found: dict[bool, list[tuple[float, TakeOver]]] = {False: [], True: []}
    before, line = begun(Plan(url=url, runs=runs, loop=loop_by_default()))
    for _ in range(repeat):
        for is_standby in (False, True):
            heir, line = begun(Plan(url=url, runs=runs, loop=loop_by_default(), is_standby=is_standby))
            killed_at = time.monotonic()
            before.kill()
            taken: TakeOver = line.recv()
            found[is_standby].append((taken.freed - killed_at, taken))
            before = heir
    before.kill()
    return findings_of(found[False], found[True])


def findings_of(cold: Sequence[tuple[float, TakeOver]], warm: Sequence[tuple[float, TakeOver]]) -> list[Finding]:
    """Say what came out."""
    cold_seconds = statistics.median(taken.seconds for _, taken in cold)
    warm_seconds = statistics.median(taken.seconds for _, taken in warm)
    ratios = [one.seconds / other.seconds for (_, one), (_, other) in zip(warm, cold, strict=True)]
    return [
        Finding(metric="cold", value=cold_seconds * 1e3, unit="ms"),
        Finding(metric="standby", value=warm_seconds * 1e3, unit="ms"),
        Finding(metric="standby to cold", value=warm_seconds / cold_seconds, unit="x", goal=_GOAL),
        Finding(metric="standby to cold, least of the pairs", value=min(ratios), unit="x"),
        Finding(metric="standby to cold, most of the pairs", value=max(ratios), unit="x"),
        Finding(metric="CPU, cold", value=statistics.median(taken.cpu for _, taken in cold) * 1e3, unit="ms"),
        Finding(metric="CPU, standby", value=statistics.median(taken.cpu for _, taken in warm) * 1e3, unit="ms"),
        Finding(metric="went on by a copy", value=min(taken.by_copies for _, taken in warm), unit="runs"),
        Finding(
            metric="from the kill until the runs were free",
            value=statistics.median(seconds for seconds, _ in (*cold, *warm)) * 1e3,
            unit="ms",
        ),
    ]


def begun(plan: Plan) -> tuple[BaseProcess, Connection]:
    """Start a process and wait until it is ready: who starts the runs has done so, or an heir waits."""
    spawning = multiprocessing.get_context("spawn")
    receiver, sender = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_do, args=(plan, sender), daemon=True)
    process.start()
    sender.close()  # so that the end of the process is the end of its line
    receiver.recv()
    return process, receiver


def _do(plan: Plan, line: Connection) -> None:
    work = _start_runs(plan, line) if plan.is_standby is None else _take_over(plan, line, is_standby=plan.is_standby)
    run_on_loop(work, loop=plan.loop)


def _settings(plan: Plan, *, is_standby: bool = False) -> Settings:
    return Settings(loop_slots=2 * plan.runs, standby=is_standby, standby_runs=2 * plan.runs)


async def _start_runs(plan: Plan, line: Connection) -> None:
    BEGUN.runs = plan.runs
    async with Engine(plan.url, settings=_settings(plan)) as engine:
        spread = _MOST_STEPS - _FEWEST_STEPS + 1
        await asyncio.gather(
            *(engine.start(chain, _FEWEST_STEPS + number % spread, id=f"run-{number}") for number in range(plan.runs))
        )
        await BEGUN.all.wait()
        line.send("ready")
        await asyncio.Event().wait()


async def _take_over(plan: Plan, line: Connection, *, is_standby: bool) -> None:
    BEGUN.runs = plan.runs
    async with Engine(plan.url, settings=_settings(plan, is_standby=is_standby)) as engine:
        store: Any = engine.worker.store
        freed = _watch_freeing(store)
        for _ in range(10):  # connections, statements, threads: as of a worker that has done something
            for row in (await engine.list_runs(limit=1)).runs:
                await store.read_history(row.run_key)
        while is_standby and not await _is_warm(engine, runs=plan.runs):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.1)
        line.send("ready")
        freed_at, cpu_at = await freed
        await BEGUN.all.wait()
        ended, cpu = time.monotonic(), time.process_time() - cpu_at
        line.send(TakeOver(freed=freed_at, ended=ended, cpu=cpu, by_copies=engine.worker.standby.taken_over))
        await asyncio.Event().wait()


def _watch_freeing(store: Any) -> "asyncio.Future[tuple[float, float]]":  # noqa: ANN401 - of whatever kind it is
    """Return what is set when runs were freed: the time, and this process' CPU time."""
    future: asyncio.Future[tuple[float, float]] = asyncio.get_running_loop().create_future()
    inner = store._store  # noqa: SLF001 - a store frees by itself, too
    free_expired = inner.free_expired

    async def watched(**arguments: object) -> int:
        runs: int = await free_expired(**arguments)
        if runs and not future.done():
            future.set_result((time.monotonic(), time.process_time()))
        return runs

    inner.free_expired = store.free_expired = watched
    return future


async def _is_warm(engine: Engine, *, runs: int) -> bool:
    worker = engine.worker
    standings = await worker.store.list_standings(workflows=worker.registry.workflow_versions, limit=2 * runs)
    stand = {one.run_key: one.sequence for one in standings}
    return len(stand) == runs and worker.standby.warm == stand


if __name__ == "__main__":
    main()
