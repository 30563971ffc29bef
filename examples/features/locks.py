"""Many runs write into one file, one at a time, whatever process they are in and however often it is killed.

``python -m examples.features.locks DATABASE FILE`` starts ten runs, or goes on with them, and prints the file. The lock
lets one run in after the other; its fencing token keeps a writer out that was cut off and comes back too late.
"""

import asyncio
import sys
from pathlib import Path

from perdure import Context, Engine, NonRetryableError, activity, workflow

RUNS = 10


class OvertakenError(NonRetryableError):
    """Somebody who got the lock later has written already."""


@activity(name="features.locks.append")
async def append(path: str, line: str, token: int) -> None:
    """Append a line behind its writer's token, unless it stands there: a write that is made again counts once."""
    file = Path(path)
    written = _lines(file)
    if (str(token), line) in written:
        return
    if written and int(written[-1][0]) >= token:
        message = f"{line!r} comes with token {token}, after {written[-1][0]}"
        raise OvertakenError(message)
    written.append((str(token), line))
    await asyncio.sleep(0.02)  # the moment in which two writers at a time would lose a line
    new = file.with_suffix(".new")
    new.write_text("".join(f"{token} {line}\n" for token, line in written))
    new.replace(file)


def _lines(file: Path) -> list[tuple[str, str]]:
    lines = file.read_text().splitlines() if file.exists() else []
    return [(token, line) for token, _, line in (one.partition(" ") for one in lines)]


@workflow(name="features.locks.write")
async def write(ctx: Context, path: str, line: str) -> None:
    """Write a line while nobody else does."""
    async with ctx.lock(f"file:{path}") as lock:
        await append(path, line, lock.token)


async def main(database: str, path: str) -> None:
    """Start all runs that are not there yet, wait for all, print the file."""
    async with Engine(f"sqlite:///{database}") as engine:
        runs = [await engine.start(write, path, f"line {number}", id=f"line-{number}") for number in range(RUNS)]
        for run in runs:
            await run.result()
    print(Path(path).read_text(), end="")  # noqa: ASYNC240 - everything is over


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
