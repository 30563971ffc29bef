"""What a way to a PostgreSQL database costs: steps per second, as a ratio to the shortest one.

Starts a PostgreSQL server of its own (fsync on). The ways take turns, each in a schema of its own: `owner`, by the role
that owns the tables; `bound`, by one that row-level security binds to one namespace of three; `pooled`, through
PgBouncer in transaction mode (where the tests find it: see tests/pgbouncer.py). Prints medians.

    uv run --group bench python bench/ways.py [--ways owner,bound,pooled] [--in-flight 1,50] [--repeat 5]

The workload is W2: workflows of ten steps in a row, so many of them in flight. The CPU time is that of this process;
the server's is in the steps per second alone, where it shares its cores with this process.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

# Run as a script: its own folder is no place to import from, the repository is.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import asyncpg  # noqa: E402 - needs the path above
import uvloop  # noqa: E402

from bench.lanes import DURABLE, WARM_UP, Workload, live  # noqa: E402
from perdure import Engine  # noqa: E402
from perdure.kernel.time import Timestamp  # noqa: E402
from perdure.local_postgres import LocalPostgres  # noqa: E402
from perdure.stores.postgres.row_security import Binding  # noqa: E402
from perdure.stores.postgres.securing import secure_rows  # noqa: E402
from tests.pgbouncer import pooler_of  # noqa: E402

STEPS = 10
NAMESPACES = ("default", "second", "third")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", type=lambda text: text.split(","), default=["owner", "bound", "pooled"])
    parser.add_argument("--in-flight", type=lambda text: [int(one) for one in text.split(",")], default=[1, 50])
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    with ExitStack() as stack:
        url = stack.enter_context(LocalPostgres(settings=DURABLE)).url()
        runner = stack.enter_context(asyncio.Runner())
        ways = {name: runner.run(WAYS[name](url, stack, runner)) for name in given.ways}
        print(f"{'':<12}{'in flight':>10}{'steps/s':>10}{'x':>7}{'CPU us/step':>13}")
        for in_flight in given.in_flight:
            print_turns(in_flight, take_turns(ways, in_flight=in_flight, repeat=given.repeat))


async def by_owner(url: str, _stack: ExitStack, _runner: asyncio.Runner) -> str:
    """Give the URL of whoever owns the tables."""
    return f"{url}&schema=way_owner"


async def by_bound(url: str, _stack: ExitStack, _runner: asyncio.Runner) -> str:
    """Give the URL of a role that is bound to a namespace; others are bound to others."""
    place = f"{url}&schema=way_bound"
    connection = await asyncpg.connect(url)
    try:
        for namespace in NAMESPACES:
            await connection.execute(f"CREATE ROLE of_{namespace} LOGIN")
            binding = Binding(role=f"of_{namespace}", namespaces=(namespace,))
            await secure_rows(place, binding=binding, forced=None, now=Timestamp(time.time_ns() // 1_000))
    finally:
        await connection.close()
    return place.replace("postgres@", f"of_{NAMESPACES[0]}@", 1)


async def by_pooler(url: str, stack: ExitStack, runner: asyncio.Runner) -> str:
    """Give the URL that leads through PgBouncer, which stands there until the end."""
    opening = pooler_of(url, pool_size=10)
    pooler = await opening.__aenter__()
    stack.callback(lambda: runner.run(opening.__aexit__(None, None, None)))
    return f"{pooler.url}&schema=way_pooled"


WAYS = {"owner": by_owner, "bound": by_bound, "pooled": by_pooler}


def take_turns(ways: dict[str, str], *, in_flight: int, repeat: int) -> dict[str, list[tuple[float, float]]]:
    """Run the workload by each way, again and again; return steps per second, and CPU seconds per step."""
    turns: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _, (name, url) in itertools.product(range(repeat), ways.items()):
        turns[name].append(uvloop.run(take_turn(url, in_flight=in_flight)))
    return turns


async def take_turn(url: str, *, in_flight: int) -> tuple[float, float]:
    """Run the workload once."""
    workload = Workload("W2", max(in_flight * 4, 40), STEPS)
    async with Engine(url) as engine:
        await live(engine, WARM_UP, in_flight=in_flight)
        began, began_cpu = time.perf_counter(), time.process_time()
        await live(engine, workload, in_flight=in_flight)
        steps = workload.runs * workload.steps
        return steps / (time.perf_counter() - began), (time.process_time() - began_cpu) / steps


def print_turns(in_flight: int, turns: dict[str, list[tuple[float, float]]]) -> None:
    """Print medians, a row for each way."""
    base = statistics.median(rate for rate, _ in next(iter(turns.values())))
    for name, taken in turns.items():
        rate = statistics.median(rate for rate, _ in taken)
        cpu = statistics.median(seconds for _, seconds in taken) * 1e6
        print(f"{name:<12}{in_flight:>10}{rate:>10.0f}{rate / base:>7.2f}{cpu:>13.0f}")


if __name__ == "__main__":
    main()
