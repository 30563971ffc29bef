"""Shielding: work of a workflow that no cancellation cuts off, though it is remembered until the work is done."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from perdure.kernel.journal import Journal

__all__ = ["shield"]

T = TypeVar("T")


async def shield(journal: Journal, work: Awaitable[T]) -> T:
    """Await `work` to its end; see `Context.shielded`."""
    task = asyncio.ensure_future(work)  # unwound with the run, if that is leaving memory
    journal.require_running()
    interruption: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            interruption = error
        except Exception:  # noqa: BLE001 - raised below, by result()
            break
    result = task.result()
    if interruption is not None:
        raise interruption
    return result
