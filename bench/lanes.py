"""How many commits under way at once pay on PostgreSQL: steps per second and the client's CPU time with 1, 2, 4 lanes.

Starts a PostgreSQL server of its own (fsync on), and beside it proxies that deliver each packet later, as a network
does. The numbers of lanes take turns, each in a schema of its own. Prints medians, and how many writes a commit had.

    uv run --group bench python bench/lanes.py [--lanes 1,2,4] [--delays 0,1] [--workloads W1,W2,uneven] [--repeat 5]

W1 are workflows of one step, W2 of ten, as in `run.py`: all that are in flight go on at the same moment, and travel
together whatever the lanes. In `uneven` each step takes up to 20 ms, by chance, so that there is always something to
commit. Of each turn the middle counts, when all are in flight. The CPU time is that of this process: the server and the
proxies are others.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import uvloop

from perdure import Context, Engine, activity, workflow
from perdure.kernel.transition import Outcome, Write
from perdure.local_postgres import LocalPostgres
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.store import PostgresStore

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""What a throw-away server goes without."""


@dataclass(frozen=True)
class Workload:
    """So many workflows, each of so many steps in a row, of which each takes up to so many milliseconds."""

    name: str
    runs: int
    steps: int
    milliseconds: float = 0.0


WARM_UP = Workload("warm-up", 100, 1)


@dataclass(frozen=True)
class Turn:
    """What one turn has shown."""

    steps_per_second: float
    cpu_microseconds_per_step: float
    writes_per_commit: float


@activity(name="lanes_step")
async def step(number: int, milliseconds: float) -> dict[str, object]:
    """Do nothing, as the workloads say, or take a while."""
    if milliseconds:
        await asyncio.sleep(random.uniform(0.0, milliseconds) / 1_000)
    return {"ok": True, "i": number}


@workflow(name="lanes_chain")
async def chain(_ctx: Context, steps: int, milliseconds: float) -> int:
    """Run steps one after the other."""
    for number in range(steps):
        await step(number, milliseconds)
    return steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=_numbers, default=[1, 2, 4], help="numbers of lanes, which take turns")
    parser.add_argument("--delays", type=_numbers, default=[0, 1], help="milliseconds of each way; 0: no proxy")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=50)
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=["W1", "W2", "uneven"])
    given = parser.parse_args()
    many = given.in_flight
    workloads = [Workload("W1", many * 10, 1), Workload("W2", many * 2, 10), Workload("uneven", many, 30, 20.0)]
    with ExitStack() as stack:
        url = stack.enter_context(LocalPostgres(settings=DURABLE)).url()
        print_heading()
        for lanes in given.lanes:
            uvloop.run(take_turn(url, WARM_UP, lanes, in_flight=many))  # which makes the tables
        for delay in given.delays:
            near = stack.enter_context(delayed(url, delay / 1_000)) if delay else url
            for workload in (one for one in workloads if one.name in given.workloads):
                turns = take_turns(near, workload, given.lanes, repeat=given.repeat, in_flight=given.in_flight)
                print_turns(f"{workload.name}, {delay} ms", turns)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


# --- the workloads ---------------------------------------------------------------------------------------------------


def take_turns(
    url: str, workload: Workload, lanes: Sequence[int], *, repeat: int, in_flight: int
) -> dict[int, list[Turn]]:
    """Run a workload with each number of lanes, again and again."""
    turns: dict[int, list[Turn]] = defaultdict(list)
    for _, number in itertools.product(range(repeat), lanes):
        turns[number].append(uvloop.run(take_turn(url, workload, number, in_flight=in_flight)))
    return turns


async def take_turn(url: str, workload: Workload, lanes: int, *, in_flight: int) -> Turn:
    """Run a workload once."""
    store = CountingStore(url, settings=PostgresSettings(lanes=lanes, schema=f"lanes_{lanes}"))
    async with Engine(store) as engine:
        await live(engine, WARM_UP, in_flight=in_flight)
        store.course.clear()
        await live(engine, workload, in_flight=in_flight)
    count = len(store.course)
    middle = store.course[count // 5 : count * 4 // 5]
    writes = sum(commit.writes for commit in middle[1:])
    steps = writes * workload.runs * workload.steps / sum(commit.writes for commit in store.course)
    return Turn(
        steps / (middle[-1].at - middle[0].at),
        (middle[-1].cpu_seconds - middle[0].cpu_seconds) / steps * 1e6,
        writes / (len(middle) - 1),
    )


@dataclass(frozen=True)
class Commit:
    """When a commit was answered, what CPU time had been used by then, and how many writes were in it."""

    at: float
    cpu_seconds: float
    writes: int


class CountingStore(PostgresStore):
    """Notes what is committed."""

    def __init__(self, url: str, *, settings: PostgresSettings) -> None:
        super().__init__(url, settings=settings)
        self.course: list[Commit] = []

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Commit, and note it."""
        outcomes = await super().commit(writes)
        self.course.append(Commit(time.perf_counter(), time.process_time(), len(writes)))
        return outcomes


async def live(engine: Engine, workload: Workload, *, in_flight: int) -> None:
    """Run a workload's workflows, at most `in_flight` at once."""
    room = asyncio.Semaphore(in_flight)

    async def one() -> None:
        async with room:
            await (await engine.start(chain, workload.steps, workload.milliseconds)).result()

    await asyncio.gather(*(one() for _ in range(workload.runs)))


# --- a network -------------------------------------------------------------------------------------------------------


@contextmanager
def delayed(url: str, seconds: float) -> Iterator[str]:
    """Yield a URL of the same database by which every packet takes longer, each way."""
    socket = Path(parse_qs(urlsplit(url).query)["host"][0]) / ".s.PGSQL.5432"
    ours, theirs = multiprocessing.Pipe()
    proxy = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, socket, seconds), daemon=True)
    proxy.start()
    with closing(ours):
        port = ours.recv()
        user = urlsplit(url).username
        yield f"postgresql://{user}@127.0.0.1:{port}/postgres?sslmode=disable"
        proxy.terminate()
        proxy.join()


def serve(parent: Connection, socket: Path, seconds: float) -> None:
    """Be the proxy, and tell the parent at which port."""
    uvloop.run(Proxy(socket, seconds).serve(parent))


class Proxy:
    """Passes packets on after a while, in their order."""

    def __init__(self, socket: Path, seconds: float) -> None:
        self._socket = socket
        self._seconds = seconds
        self._passing: set[asyncio.Task[None]] = set()

    async def serve(self, parent: Connection) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._socket)
        await asyncio.gather(self._pass_on(reader, to_server), self._pass_on(from_server, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while packet := await reader.read(1 << 20):
            loop.call_later(self._seconds, writer.write, packet)
        loop.call_later(self._seconds, writer.close)


# --- the table -------------------------------------------------------------------------------------------------------


def print_heading() -> None:
    """Print what the columns are."""
    print(f"{'':<14}{'lanes':>6}{'steps/s':>10}{'x':>6}{'CPU us/step':>13}{'writes/commit':>15}")


def print_turns(title: str, turns: dict[int, list[Turn]]) -> None:
    """Print medians, a row for each number of lanes."""
    first = next(iter(turns))
    base = statistics.median(turn.steps_per_second for turn in turns[first])
    for lanes, taken in turns.items():
        rate = statistics.median(turn.steps_per_second for turn in taken)
        cpu = statistics.median(turn.cpu_microseconds_per_step for turn in taken)
        size = statistics.median(turn.writes_per_commit for turn in taken)
        print(
            f"{title if lanes == first else '':<14}{lanes:>6}{rate:>10.0f}{rate / base:>6.2f}{cpu:>13.0f}{size:>15.1f}"
        )


if __name__ == "__main__":
    main()
