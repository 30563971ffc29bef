"""Starts of which several become one: bursts, repetitions within a time, one at a time. `python -m
examples.features.starting_by_key` shows every option; docs/how-to/starting.md says when to use which.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta

from perdure import (
    Context,
    Debounce,
    Deduplicate,
    Engine,
    Run,
    RunCancelledError,
    RunExistsError,
    RunNotFoundError,
    Singleton,
    workflow,
)

SOON = timedelta(seconds=0.5)


@workflow
async def rebuild(_ctx: Context, what: str) -> str:
    """Take a moment."""
    await asyncio.sleep(0.5)
    return f"rebuilt {what}"


async def debounced(engine: Engine) -> None:
    """One run for a burst, with what the last start says: `wait` after it, but `max_wait` after the first at most."""
    rule = Debounce("page-7", wait=SOON, max_wait=timedelta(seconds=5))
    runs = [await engine.start(rebuild, text, debounce=rule) for text in ("d", "dr", "draft")]
    print("one run for the burst:", len({run.id for run in runs}) == 1)
    print(await runs[0].result())


async def deduplicated(engine: Engine) -> None:
    """One run within the `window`: further starts give the first, also when it has ended."""
    rule = Deduplicate("webhook-81", window=timedelta(hours=1))
    first = await engine.start(rebuild, "delivered", deduplicate=rule)
    print(await first.result())
    again = await engine.start(rebuild, "delivered once more", deduplicate=rule)
    print("the same run:", again.id == first.id)


async def rejected(engine: Engine) -> None:
    """At most one open run; a further start is refused. A text is the key of such a singleton."""
    await engine.start(rebuild, "site", singleton="site")
    try:
        await engine.start(rebuild, "site", singleton="site")
    except RunExistsError:
        print("a rebuild is under way")


async def returned(engine: Engine) -> None:
    """At most one open run; a further start gives it."""
    rule = Singleton("shop", when_open="return_existing")
    runs = [await engine.start(rebuild, "shop", singleton=rule) for _ in range(3)]
    print("the open run:", len({run.id for run in runs}) == 1)


async def lined_up(engine: Engine) -> None:
    """At most one open run; further ones begin when it has ended, in their order. Those that wait are listed."""
    rule = Singleton("index", when_open="wait")
    runs = [await engine.start(rebuild, f"index {number}", singleton=rule) for number in range(4)]
    print("waiting:", len([one.id async for one in engine.waiting_runs() if one.key == "index"]))
    await runs[2].cancel()  # a start that waits is withdrawn: there will be no such run
    for run in runs:
        print(await outcome(run))


async def replaced(engine: Engine) -> None:
    """At most one open run; a further start cancels it, and begins when it has ended."""
    old = await engine.start(rebuild, "old plan", singleton=Singleton("plan", when_open="replace"))
    new = await engine.start(rebuild, "new plan", singleton=Singleton("plan", when_open="replace"))
    print(await outcome(old))
    print(await outcome(new))


async def repeated(engine: Engine) -> None:
    """Make the same call again, as one whose answer was lost: it gives the same run, and waits in line once."""
    rule = Singleton("mail", when_open="wait")
    await engine.start(rebuild, "mail", singleton=rule)
    runs = [await engine.start(rebuild, "mail again", singleton=rule, request_id="call-17") for _ in range(3)]
    print("the same run:", len({run.id for run in runs}) == 1)
    print(await runs[0].result())


async def outcome(run: Run[str]) -> str:
    """Say what became of a run."""
    try:
        return await run.result()
    except RunCancelledError:
        return "cancelled"
    except RunNotFoundError:
        return "withdrawn"


PARTS: tuple[Callable[[Engine], Awaitable[None]], ...] = (
    debounced,
    deduplicated,
    rejected,
    returned,
    lined_up,
    replaced,
    repeated,
)


async def main(url: str) -> None:
    """Show each way to start by a key."""
    async with Engine(url) as engine:
        for part in PARTS:
            print(f"--- {part.__name__}")
            await part(engine)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///starting.db"))
