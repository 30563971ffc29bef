"""The event loop of a subject's process: of the kind that the request names."""

import asyncio
from collections.abc import Awaitable
from importlib import import_module
from typing import TypeVar

Result = TypeVar("Result")


def run_on_loop(work: Awaitable[Result], *, loop: str) -> Result:
    """Do work on a new event loop; `loop` is "uvloop" or "asyncio"."""

    async def main() -> Result:
        return await work

    factory = import_module("uvloop").new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())
