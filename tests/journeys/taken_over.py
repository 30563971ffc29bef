"""A workflow whose steps leave lines in a file, and a process that runs it up to the step at which it is killed.

``python -m tests.journeys.taken_over URL FILE``
"""

import asyncio
import os
import sys
from pathlib import Path

from perdure import Context, Engine, Settings, activity, workflow

QUICK = Settings(lease_seconds=3.0, lease_renewals=6)
WAITS = "TAKEN_OVER_WAITS"
"""In whose environment this stands has no second step."""


@activity(name="takeover.note")
async def note(file: str, line: str) -> None:
    with Path(file).open("a") as notes:  # noqa: ASYNC230 - a line
        notes.write(f"{line}\n")


@activity(name="takeover.wait_or_note")
async def wait_or_note(file: str, line: str) -> None:
    await note(file, line)
    if WAITS in os.environ:
        sys.stdout.write("waiting\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


@workflow(name="takeover.noting")
async def noting(ctx: Context, file: str) -> str:
    await note(file, "first")
    await wait_or_note(file, "second")
    await note(file, "third")
    return "noted"


async def main(url: str, file: str) -> None:
    async with Engine(url, settings=QUICK) as engine:
        await (await engine.start(noting, file, id="one")).result()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
