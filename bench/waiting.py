"""What a worker costs and does on a PostgreSQL database in which very many runs wait.

Fills a database (`bench.many_runs`): half of the runs wait for a timer of the future, half for a signal, which 100 of
them are sent while no worker is there. Then a worker starts, in a process of its own: measured are the times from the
order to start that process until its engine is open and until the first run that was due is done; what it takes of a
core while nothing is due; the memory that it needs at most; and, 20 times a second, signals to runs of the million that
are chosen by chance, each from the call to the result of its run in the hands of the client, which is in that process.

    uv run --group bench python bench/waiting.py [--runs 1000000] [--signals 500] [--rate 20] [--repeat 3]

A million runs take some minutes to make.
"""

import argparse
import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

# Run as a script: its own folder is no place to import from, the repository is.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import msgspec  # noqa: E402 - needs the path above

from bench.findings import Finding, show  # noqa: E402
from bench.loops import run_on_loop  # noqa: E402
from bench.measurement import loop_by_default  # noqa: E402
from bench.metering import Meter  # noqa: E402
from bench.recording import RECORDING  # noqa: E402
from bench.summary import percentile  # noqa: E402
from perdure import Engine  # noqa: E402
from perdure.kernel.history import RecordedEvent  # noqa: E402
from perdure.kernel.identity import RunRef  # noqa: E402
from perdure.torture.loads.workflows import answer, approval  # noqa: E402

if TYPE_CHECKING:
    from bench.servers import Server  # it would weigh on the worker

_GOAL_SERVING_SECONDS: Final = 5.0
_GOAL_MEGABYTES: Final = 400.0
_GOAL_SIGNAL_MILLISECONDS: Final = 100.0
_DUE: Final = 100
_IDLE_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 120.0
# Some that wait for a signal and have none, in no order.
_CHOSEN: Final = """
SELECT id FROM perdure.runs WHERE workflow = %s AND status = 'running' AND wake_at IS NULL ORDER BY md5(id) LIMIT %s
"""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker shall do. `ordered_at`: when, by the clock of the machine; `ids`: whom it signals.

    `server`: the number of the server's process.
    """

    url: str
    server: int
    due: int
    ids: list[str]
    rate: float
    loop: str
    ordered_at: float


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker has seen of itself; CPU times are those of all signals."""

    open_seconds: float
    serving_seconds: float
    idle_core_share: float
    idle_megabytes: float
    peak_megabytes: float
    signal_seconds: list[float]
    cpu_seconds: float
    server_cpu_seconds: float


def main() -> None:
    """Fill, measure and print; or be the worker."""
    given = _arguments()
    if given.worker is not None:
        order = msgspec.json.decode(given.worker, type=Order)
        print(msgspec.json.encode(run_on_loop(observe(order), loop=order.loop)).decode())
        return
    from bench.many_runs import fill, server_below  # noqa: PLC0415 - it would weigh on the worker

    with server_below(given.directory) as server:
        fill(server.url, waiting=given.runs)
        observed = [_start(server, given.signals, given.rate) for _ in range(given.repeat)]
    show(f"{given.runs:,} runs wait", findings(observed), json_lines=given.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--signals", type=int, default=500)
    parser.add_argument("--rate", type=float, default=20.0, help="signals a second")
    parser.add_argument("--repeat", type=int, default=3, help="workers, one after the other")
    parser.add_argument("--directory", type=Path, default=None, help="where the cluster goes: a disk")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="append a line per figure")
    parser.add_argument("--worker", default=None, help=argparse.SUPPRESS)
    return parser.parse_args()


def _start(server: "Server", signals: int, rate: float) -> Observed:
    """Have some runs come due, let a worker start, and return what it saw."""
    url = server.url
    asyncio.run(_answer(url, _chosen(url, _DUE)))
    order = Order(
        url=url,
        server=server.process,
        due=_DUE,
        ids=_chosen(url, signals),
        rate=rate,
        loop=loop_by_default(),
        ordered_at=time.monotonic(),
    )
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", msgspec.json.encode(order).decode()]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Observed)


async def _answer(url: str, ids: Sequence[str]) -> None:
    """Answer runs by a process that does not work: so they are due when a worker comes."""
    async with Engine(url, works=False) as engine:
        for id in ids:
            await (await engine.get_run(id)).signal(answer, 0)


def _chosen(url: str, count: int) -> list[str]:
    with import_module("psycopg").connect(url, autocommit=True) as connection:
        return [str(id) for (id,) in connection.execute(_CHOSEN, (approval.name, count))]


def findings(observed: Sequence[Observed]) -> list[Finding]:
    """Give medians of the workers, and the most memory that any of them took."""
    signals = [seconds for one in observed for seconds in one.signal_seconds]
    own, server = (
        median(getattr(one, name) / len(one.signal_seconds) for one in observed) * 1e6
        for name in ("cpu_seconds", "server_cpu_seconds")
    )
    return [
        Finding(metric="until the engine is open", value=median(one.open_seconds for one in observed), unit="s"),
        Finding(
            metric="until the first due run is done",
            value=median(one.serving_seconds for one in observed),
            unit="s",
            goal=_GOAL_SERVING_SECONDS,
        ),
        Finding(metric="memory, idle", value=median(one.idle_megabytes for one in observed), unit="MB"),
        Finding(
            metric="memory, at most",
            value=max(one.peak_megabytes for one in observed),
            unit="MB",
            goal=_GOAL_MEGABYTES,
        ),
        Finding(metric="idle", value=median(one.idle_core_share for one in observed) * 100, unit="% of a core"),
        Finding(metric="signal to result, p50", value=percentile(signals, 50) * 1e3, unit="ms"),
        Finding(
            metric="signal to result, p99",
            value=percentile(signals, 99) * 1e3,
            unit="ms",
            goal=_GOAL_SIGNAL_MILLISECONDS,
        ),
        Finding(metric="CPU of a signal, the worker's", value=own, unit="µs"),
        Finding(metric="CPU of a signal, the server's", value=server, unit="µs"),
    ]


# --- the worker ------------------------------------------------------------------------------------------------------


async def observe(order: Order) -> Observed:
    """Be the worker."""
    serving = Serving(order.due)
    async with Engine(order.url, name="waiting") as engine:
        opened_at = time.monotonic()
        engine.worker.listeners.append(serving.hear)
        await asyncio.wait_for(serving.all_done.wait(), _PATIENCE_SECONDS)
        share = await _idle(_IDLE_SECONDS)
        idle_megabytes = _megabytes("VmRSS")
        RECORDING.server_process = order.server
        meter = Meter()
        signals = await _signal(engine, order.ids, rate=order.rate)
        cost = meter.read()
        return Observed(
            open_seconds=opened_at - order.ordered_at,
            serving_seconds=serving.first_at - order.ordered_at,
            idle_core_share=share,
            idle_megabytes=idle_megabytes,
            peak_megabytes=_megabytes("VmHWM"),
            signal_seconds=signals,
            cpu_seconds=cost.own,
            server_cpu_seconds=cost.server or 0.0,
        )


class Serving:
    """Hears of the runs that were due: when the first one was done, and when all are."""

    def __init__(self, due: int) -> None:
        self.first_at = 0.0
        self.all_done = asyncio.Event()
        self._left = due

    def hear(self, _ref: RunRef, events: Sequence[RecordedEvent]) -> None:
        """Count one more if a run has ended."""
        if events[-1].type != "run_completed":
            return
        self.first_at = self.first_at or time.monotonic()
        self._left -= 1
        if not self._left:
            self.all_done.set()


async def _idle(seconds: float) -> float:
    """Do nothing; return how much of a core that took."""
    gc.collect()
    begun = time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - begun) / seconds


async def _signal(engine: Engine, ids: Sequence[str], *, rate: float) -> list[float]:
    """Signal runs, so many a second whether or not others have answered; return how long each took."""
    begun = time.monotonic()

    async def one(number: int, id: str) -> float:
        await asyncio.sleep(begun + number / rate - time.monotonic())
        called = time.perf_counter()
        run = await engine.get_run(id)
        await run.signal(answer, number)
        result = await run.result()
        if result != number:
            raise AssertionError(f"{id} was sent {number} and returned {result!r}")
        return time.perf_counter() - called

    return await asyncio.gather(*(one(number, id) for number, id in enumerate(ids)))


def _megabytes(name: str) -> float:
    """Return what Linux says of this process's memory: VmRSS is now, VmHWM the most that it ever was."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    [found] = (line for line in lines if line.startswith(f"{name}:"))
    return int(found.split()[1]) * 1_024 / 1e6


if __name__ == "__main__":
    main()
