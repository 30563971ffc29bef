"""Primes are counted on a cluster, each range of numbers by one activity, whatever node dies meanwhile.

``python -m examples.features.clusters dask`` starts a cluster of this machine; so does ``ray``. With an address (``ray
10.0.0.1:6379``, ``dask tcp://10.0.0.1:8786``) it uses that one, whose nodes need Perdure and this module.
"""

import asyncio
import sys

from perdure import Context, Engine, Settings, activity, current_attempt, heartbeat, workflow

LIMIT = 60_000
RANGE = 20_000
STEP = 1_000


@activity(name="features.clusters.count_primes")
def count_primes(first: int, last: int) -> int:
    """Count the primes of a range. An attempt after a lost node goes on at the last heartbeat of the one before."""
    done, count = current_attempt().last_heartbeat(tuple[int, int]) or (first, 0)
    for start in range(done, last, STEP):
        numbers = range(max(start, 2), min(start + STEP, last))
        count += sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in numbers)
        heartbeat((start + STEP, count))
    return count


@workflow(name="features.clusters.primes")
async def primes(ctx: Context, limit: int, where: str) -> int:
    """Count the primes below a limit."""
    there = count_primes.options(executor=where)  # or for good: @activity(executor="ray")
    return sum(await ctx.map(lambda first: there(first, min(first + RANGE, limit)), range(0, limit, RANGE)))


async def main(where: str, address: str = "") -> None:
    """Count, and print how many there are."""
    settings = Settings(
        ray_address=address if where == "ray" else "", dask_address=address if where == "dask" else "", dask_slots=2
    )
    async with Engine("memory:", settings=settings) as engine:
        run = await engine.start(primes, LIMIT, where)
        print(await run.result(), "primes")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
