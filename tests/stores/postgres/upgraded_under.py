"""A workflow that goes on as it is told, and an engine that works on it while others upgrade the database under it.

``python tests/stores/postgres/upgraded_under.py URL``, with whatever Perdure comes first in PYTHONPATH: it starts a run
for each line that it reads, and says what was done. No more is used of the library than its oldest versions have.
"""

import asyncio
import sys

from perdure import Context, Engine, Settings, Signal, activity, workflow

QUICK = Settings(lease_seconds=3.0)

told: Signal[str] = Signal("told", str)


@activity(name="upgraded.do")
async def do(what: str) -> str:
    sys.stdout.write(f"did {what}\n")
    sys.stdout.flush()
    return what


@workflow(name="upgraded.going_on")
async def going_on(ctx: Context, name: str) -> str:
    done = [await do(name)]
    while done[-1] != "end":
        done.append(await do(await ctx.wait_for(told)))
    return " ".join(done)


async def main(url: str) -> None:
    async with Engine(url, settings=QUICK) as engine:
        while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
            await engine.start(going_on, name, id=name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
