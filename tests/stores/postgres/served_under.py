"""Activities of a task queue, and an engine that serves it, while others upgrade the database under it.

``python tests/stores/postgres/served_under.py URL NAME``, with whatever Perdure comes first in PYTHONPATH: it says that
it is open, and serves until a line comes. No more is used of the library than the first one with task queues has;
demands of newer ones are for who imports this.
"""

import asyncio
import sys
from typing import Final

from perdure import Context, Engine, Settings, activity, workflow

QUEUE: Final = "render"
whose: list[str] = []


@activity(name="served.plain", queue=QUEUE)
async def plain() -> str:
    return whose[0]


async def labelled() -> str:
    return whose[0]


@workflow(name="served.plainly")
async def plainly(ctx: Context) -> str:
    del ctx
    return await plain()


async def main(url: str, name: str) -> None:
    activity(name="served.labelled", queue=QUEUE)(labelled)
    whose.append(name)
    async with Engine(url, settings=Settings(queues=(QUEUE,), only_queues=True)):
        sys.stdout.write("did open\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
